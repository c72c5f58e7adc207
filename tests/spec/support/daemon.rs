//! A node as a process of its own, whose memory can be measured.

use super::client::Client;
use super::world::{APP, World};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

pub struct Daemon {
    pub address: SocketAddr,
    child: Child,
}

impl Daemon {
    /// One beside a world's node, on the same stand-in for Apple, with the world's app.
    pub async fn start(world: &World) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pyapns"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(world.directory.path().join("daemon"))
            .env("PYAPNS_APPLE_SANDBOX", format!("https://{}", world.simulator.address()))
            .env("PYAPNS_APPLE_CA_FILE", world.directory.path().join("simulator/ca.pem"))
            .env("PYAPNS_LOG_LEVEL", "error")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let said = tokio::task::spawn_blocking(|| stdout.lines().next().expect("a line").expect("text"));
        let said = said.await.expect("a first line");
        let address = said.rsplit('/').next().and_then(|address| address.parse().ok()).expect("an address");
        let daemon = Self { address, child };
        let pem = world.simulator.identity().client_pem.clone();
        assert_eq!(Client::connect(address).await.post(APP, pem).await.status, 201);
        daemon
    }

    /// Bytes of memory that it holds.
    pub fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") << 10
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
