//! `pyapns serve` as operators run it: a process with a configuration file, told by signals, heard by its log.

use super::client::Client;
use super::world::World;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder for one node: its configuration file, what that names, its data.
pub struct Home {
    pub folder: PathBuf,
    file: PathBuf,
    gateway: String,
    ca_file: PathBuf,
}

pub struct Process {
    pub address: SocketAddr,
    child: Child,
    log: watch::Receiver<Vec<String>>,
}

impl Home {
    /// Beside a world's own node, on the same stand-in for Apple. The configuration is `file` in a folder `name`.
    pub fn new(world: &World, name: &str, file: &str) -> Self {
        let folder = world.directory.path().join(name);
        std::fs::create_dir(&folder).expect("a new folder");
        let gateway = format!("https://{}", world.simulator.address());
        let ca_file = world.directory.path().join("simulator/ca.pem");
        Self { file: folder.join(file), folder, gateway, ca_file }
    }

    /// Writes the JSON configuration of pyapns 0.5 with one app, `shop` in the sandbox.
    pub fn of_0_5(world: &World, name: &str) -> Self {
        let old = Self::new(world, name, "config.json");
        old.put("shop.pem", &world.simulator.identity().client_pem);
        let app = json!({"app_id": "shop", "cert": old.path("shop.pem"), "environment": "sandbox", "timeout": 15});
        old.configure(&json!({"host": "localhost", "rest_port": 0, "autoprovision": [app]}).to_string());
        old
    }

    /// Writes the configuration as it should be done: whole, and then put in place.
    pub fn configure(&self, text: &str) {
        self.put(self.file.file_name().and_then(|name| name.to_str()).expect("a name"), text);
    }

    /// Writes another file of the folder.
    pub fn put(&self, name: &str, text: &str) {
        let new = self.folder.join("new");
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(new, self.folder.join(name)).expect("a file in place");
    }

    /// The path of a file of the folder for the configuration.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Writes the configuration in place.
    pub fn overwrite(&self, text: &str) {
        std::fs::write(&self.file, text).expect("a file");
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        command.arg("serve").arg("--config").arg(&self.file).arg("--data-dir").arg(self.data());
        command.env("PYAPNS_APPLE_SANDBOX", &self.gateway).env("PYAPNS_APPLE_PRODUCTION", &self.gateway);
        command.env("PYAPNS_APPLE_CA_FILE", &self.ca_file);
        piped(&mut command);
        command
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub async fn start(&self) -> Process {
        Process::run(self.command()).await
    }

    /// Starts a node for which the kernel answers `openat2` with this error: `ENOSYS` or `EPERM`.
    pub async fn start_without_openat2(&self, error: &str) -> Process {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/without_openat2.py");
        let usual = self.command();
        let mut command = Command::new("python3");
        command.args([script, error]).arg(usual.as_std().get_program()).args(usual.as_std().get_args());
        command.envs(usual.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
        Process::run(command).await
    }

    /// Starts what must refuse to: its exit code, and what it said.
    pub async fn refused(&self) -> (Option<i32>, String) {
        Process::refused(self.command()).await
    }
}

fn piped(command: &mut Command) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
}

fn listen(from: impl AsyncRead + Unpin + Send + 'static) -> watch::Receiver<Vec<String>> {
    let (tell, told) = watch::channel(Vec::new());
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            tell.send_modify(|lines| lines.push(line));
        }
    });
    told
}

impl Process {
    /// Runs a command that ends up as a node, and waits until it listens.
    pub async fn run(command: Command) -> Self {
        Self::run_printing(command, 0).await
    }

    /// Runs a node that must refuse to start. Returns its exit code and its output.
    pub async fn refused(mut command: Command) -> (Option<i32>, String) {
        let ended = timeout(PATIENCE, command.output()).await.expect("it ends soon");
        let Output { status, stderr, .. } = ended.expect("the program starts");
        (status.code(), String::from_utf8(stderr).expect("text"))
    }

    /// Runs a node whose address for the test is in that line of what it prints, from 0.
    pub async fn run_printing(mut command: Command, line: usize) -> Self {
        piped(&mut command);
        let mut child = command.spawn().expect("the program starts");
        let log = listen(child.stderr.take().expect("piped"));
        let mut out = listen(child.stdout.take().expect("piped"));
        let said = timeout(PATIENCE, out.wait_for(|lines| lines.len() > line)).await.expect("it starts soon");
        let said = said.map(|lines| lines[line].clone());
        let said = said.unwrap_or_else(|_| panic!("it did not start: {:?}", *log.borrow()));
        let address = said.rsplit('/').next().and_then(|address| address.parse().ok()).expect("an address");
        Self { address, child, log }
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().expect("a running process");
        let sent = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status();
        assert!(sent.expect("a shell").success());
    }

    /// Returns how many lines of its log hold this text so far.
    pub fn lines_with(&self, text: &str) -> usize {
        self.log.borrow().iter().filter(|line| line.contains(text)).count()
    }

    /// The first line of its log that holds this text.
    pub fn line_with(&self, text: &str) -> String {
        let found = self.log.borrow().iter().find(|line| line.contains(text)).cloned();
        found.unwrap_or_else(|| panic!("no {text:?} in {:#?}", *self.log.borrow()))
    }

    /// Waits until so many lines of its log hold this text.
    pub async fn logs(&mut self, text: &str, times: usize) {
        let enough = |lines: &Vec<String>| lines.iter().filter(|line| line.contains(text)).count() >= times;
        let found = timeout(PATIENCE, self.log.wait_for(enough)).await.is_ok_and(|found| found.is_ok());
        assert!(found, "{times} times {text:?} in {:#?}", *self.log.borrow());
    }

    /// Waits until its log has ended, because the process has.
    pub async fn logs_until_end(&mut self) {
        let ended = timeout(PATIENCE, self.log.wait_for(|_| false)).await;
        assert!(ended.is_ok_and(|ended| ended.is_err()), "it ends soon");
    }

    /// Sends SIGHUP and waits until the configuration was read.
    pub async fn reload(&mut self) {
        let done = "read the configuration again";
        let before = self.lines_with(done);
        self.signal("HUP");
        self.logs(done, before + 1).await;
    }

    /// Waits for its end: its exit code.
    pub async fn ended(mut self) -> Option<i32> {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends soon").expect("a status").code()
    }

    pub async fn stop(self) {
        self.signal("TERM");
        assert_eq!(self.ended().await, Some(0));
    }
}

/// An entry of the configuration for an app with this credential file, and more settings of it.
pub fn entry(app_id: &str, file: impl AsRef<Path>, more: &str) -> String {
    let file = file.as_ref().display();
    format!("[[autoprovision]]\napp_id = '{app_id}'\nenvironment = 'sandbox'\ncertificate = '{file}'\n{more}\n")
}

/// A node with one app, `shop` in the sandbox, and more settings of it.
pub async fn start(world: &World, name: &str, more: &str) -> Process {
    let home = Home::new(world, name, "pyapns.toml");
    home.put("shop.pem", &world.simulator.identity().client_pem);
    home.configure(&format!("listen = '127.0.0.1:0'\n{more}\n{}", entry("shop", "shop.pem", "")));
    home.start().await
}
