//! A real redis-server for one test: a process of its own, in a temporary directory, that ends with the test.
//!
//! The unit tests and the specs both include this file.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Longer than a start takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lines of the log that may wait to be read.
const LOG_LINES: usize = 10_000;

/// redis-server or redis-sentinel on a free loopback port, and on the socket `redis.sock` in its folder.
pub struct RedisServer {
    folder: tempfile::TempDir,
    pub port: u16,
    sentinel: bool,
    command: Vec<String>,
    child: Child,
    log: Receiver<String>,
}

impl RedisServer {
    /// A server that takes writes, without persistence.
    pub fn start() -> Self {
        Self::with::<&str>(&[])
    }

    /// The same with further lines of redis.conf, as `maxmemory 10mb`. `{folder}` in a line is its folder, `{port}` its
    /// port.
    pub fn with<S: AsRef<str>>(lines: &[S]) -> Self {
        Self::launch(lines, false, &["redis-server"])
    }

    /// A Sentinel with the lines of its configuration.
    pub fn sentinel<S: AsRef<str>>(lines: &[S]) -> Self {
        Self::launch(lines, true, &["redis-server"])
    }

    /// A server that is started by `command`, as in `ip netns exec NAME redis-server`.
    pub fn by<S: AsRef<str>>(command: &[&str], lines: &[S]) -> Self {
        Self::launch(lines, false, command)
    }

    fn launch<S: AsRef<str>>(lines: &[S], sentinel: bool, command: &[&str]) -> Self {
        let command: Vec<String> = command.iter().map(|part| (*part).to_owned()).collect();
        // Another process may take the port between its choice and the start.
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a folder");
            let port = free_port();
            write_configuration(folder.path(), port, lines, sentinel);
            let (child, log) = spawn(&command, folder.path(), sentinel);
            let mut server = Self { folder, port, sentinel, command: command.clone(), child, log };
            if server.is_up() {
                return server;
            }
        }
        panic!("redis-server found no free port");
    }

    /// Waits until it serves; returns false if it ended instead.
    fn is_up(&mut self) -> bool {
        let ready = if self.sentinel { "Sentinel ID is" } else { "eady to accept connections" };
        let mut said = String::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(ready) => return true,
                Ok(line) => {
                    said.push_str(&line);
                    said.push('\n');
                }
                Err(RecvTimeoutError::Timeout) => panic!("redis-server does not start: {said}"),
                Err(RecvTimeoutError::Disconnected) if said.contains("Address already in use") => return false,
                Err(RecvTimeoutError::Disconnected) => panic!("redis-server ended: {said}"),
            }
        }
    }

    /// `redis://127.0.0.1:port/0`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The path of its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The output of redis-cli for a command, over the Unix socket. Panics if redis-cli cannot connect.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.arg("-s").arg(self.socket()).arg("--no-auth-warning").args(arguments);
        let output = command.output().expect("redis-cli is installed");
        assert!(output.status.success(), "redis-cli {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Ends it as kill -9 does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it as SIGSTOP does: its kernel still accepts connections.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is installed").success());
    }

    /// Starts it again, on the same port and folder, after [`Self::kill`].
    pub fn restart(&mut self) {
        self.kill();
        (self.child, self.log) = spawn(&self.command, self.folder.path(), self.sentinel);
        assert!(self.is_up(), "the port was taken meanwhile");
    }

    /// Waits for a line of its log that contains `text`, at most `within`.
    pub fn said(&self, text: &str, within: Duration) -> bool {
        let until = std::time::Instant::now() + within;
        loop {
            match self.log.recv_timeout(until.saturating_duration_since(std::time::Instant::now())) {
                Ok(line) if line.contains(text) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn write_configuration<S: AsRef<str>>(folder: &Path, port: u16, lines: &[S], sentinel: bool) {
    let here = folder.display();
    let mut text = format!("dir {here}\nbind 127.0.0.1\nport {port}\nunixsocket {here}/redis.sock\n");
    if !sentinel {
        text += "save \"\"\nrepl-diskless-sync-delay 0\n";
    }
    for line in lines {
        text += &line.as_ref().replace("{folder}", &here.to_string()).replace("{port}", &port.to_string());
        text.push('\n');
    }
    std::fs::write(folder.join("redis.conf"), text).expect("a file");
}

fn spawn(command: &[String], folder: &Path, sentinel: bool) -> (Child, Receiver<String>) {
    let [program, arguments @ ..] = command else { panic!("a command has a program") };
    let mut command = Command::new(program);
    command.args(arguments).arg(folder.join("redis.conf"));
    if sentinel {
        command.arg("--sentinel");
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("redis-server is installed");
    let stdout = child.stdout.take().expect("piped");
    let (lines, log) = sync_channel(LOG_LINES);
    std::thread::spawn(move || read(stdout, &lines));
    (child, log)
}

/// Reads on when nobody wants the lines any more, so that the server is not held up.
fn read(stdout: impl std::io::Read, lines: &SyncSender<String>) {
    for line in BufReader::new(stdout).lines() {
        let Ok(line) = line else { return };
        let _ = lines.try_send(line);
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    listener.local_addr().expect("an address").port()
}
