//! HAProxy and Nginx in front of nodes, as real programs, with the configuration files of this repository. The tests
//! change addresses in them, and leave out what needs root.

use super::lasting_address::lasting_address;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than a start takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Haproxy,
    Nginx,
}

/// A balancer that ends with the test.
pub struct Balancer {
    pub address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Balancer {
    /// Starts it in front of nodes, which need not run yet, and waits until it listens.
    pub async fn start(kind: Kind, nodes: &[(&str, SocketAddr)]) -> Self {
        let (folder, address) = (tempfile::tempdir().expect("a folder"), lasting_address());
        let mut command = match kind {
            Kind::Haproxy => haproxy(folder.path(), address, nodes),
            Kind::Nginx => nginx(folder.path(), address, nodes),
        };
        let log = std::fs::File::create(folder.path().join("log")).expect("a file");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{kind:?} is installed: {error}"));
        let mut balancer = Self { address, child, folder };
        balancer.wait_listening().await;
        balancer
    }

    async fn wait_listening(&mut self) {
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let has_ended = self.child.try_wait().expect("a child").is_some();
            assert!(!has_ended && began.elapsed() < PATIENCE, "it does not listen: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Makes HAProxy read its file again, and waits until its new worker runs.
    pub async fn reload(&self) {
        let loaded = || self.log().matches("Loading success").count();
        let before = loaded();
        let asked = Command::new("kill").args(["-USR2", &self.child.id().to_string()]).status();
        assert!(asked.expect("a command").success());
        let began = Instant::now();
        while loaded() == before {
            assert!(began.elapsed() < PATIENCE, "it does not reload: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Everything that it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("a file")
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // With its worker processes.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

fn haproxy(folder: &Path, address: SocketAddr, nodes: &[(&str, SocketAddr)]) -> Command {
    let text = repository("haproxy/haproxy.cfg");
    let servers: Vec<_> = nodes.iter().map(|(name, node)| format!("    server {name} {node}")).collect();
    let text = replace(&text, |line| line.trim_start().starts_with("server "), &servers);
    let text = replace(&text, |line| line.starts_with("    user ") || line.starts_with("    group "), &[]);
    let (file, owners) = (folder.join("haproxy.cfg"), folder.join("owners.map"));
    std::fs::write(&file, text).expect("a file");
    std::fs::write(&owners, "").expect("a file");
    let mut command = program("haproxy");
    // In the foreground, with a worker process as systemd starts it.
    command.args(["-W", "-db", "-f"]).arg(file).env("FRONT", address.to_string()).env("OWNERS", owners);
    command
}

fn nginx(folder: &Path, address: SocketAddr, nodes: &[(&str, SocketAddr)]) -> Command {
    let text = repository("deploy/nginx/nginx.conf");
    let is_server = |line: &str| line.starts_with("        server 10.");
    let old = text.lines().find(|line| is_server(line)).and_then(|line| line.split_once(":8088"));
    let limits = old.expect("a server with its limits").1;
    let servers: Vec<_> = nodes.iter().map(|(_, node)| format!("        server {node}{limits}")).collect();
    let text = replace(&text, is_server, &servers);
    let text = replace(&text, |line| line.trim_start().starts_with("listen "), &[format!("        listen {address};")]);
    let text = replace(&text, |line| line.starts_with("user "), &[]);
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders = kinds.map(|kind| format!("    {kind}_temp_path {}/{kind};", folder.display()));
    let text = replace(&text, |line| line == "http {", &[&["http {".to_owned()], &folders[..]].concat());
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text).expect("a file");
    let mut command = program("nginx");
    let more = format!("daemon off; pid {}/pid;", folder.display());
    command.arg("-p").arg(folder).args(["-e", "stderr", "-g", &more, "-c"]).arg(file);
    command
}

/// The path of users on Debian lacks the folder of servers.
fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
    command
}

fn repository(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(path).expect("a file of the repository")
}

/// Puts lines in place of the lines that match, of which there must be some.
fn replace(text: &str, is_old: impl Fn(&str) -> bool, new: &[String]) -> String {
    let first = text.lines().position(&is_old).expect("a line to replace");
    let mut lines: Vec<&str> = text.lines().filter(|line| !is_old(line)).collect();
    lines.splice(first..first, new.iter().map(String::as_str));
    lines.join("\n") + "\n"
}
