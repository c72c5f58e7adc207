//! A node as a separate process, which can be measured and killed.

use super::client::Client;
use super::world::{APP, World};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub struct Daemon {
    pub address: SocketAddr,
    child: Child,
}

impl Daemon {
    /// A daemon beside a world's node, with the same simulator and the world's app.
    pub async fn start(world: &World) -> Self {
        let daemon = Self::on(world, &world.directory.path().join("daemon"), &[]).await;
        let pem = world.simulator.identity().client_pem.clone();
        assert_eq!(Client::connect(daemon.address).await.post(APP, pem).await.status, 201);
        daemon
    }

    /// A daemon that delivers to a world's simulator, with this data directory and these variables.
    pub async fn on(world: &World, data: &Path, variables: &[(&str, &str)]) -> Self {
        Self::run(Self::command(world, data, variables)).await
    }

    /// The command that starts it.
    pub fn command(world: &World, data: &Path, variables: &[(&str, &str)]) -> Command {
        let gateway = format!("https://{}", world.simulator.address());
        Self::between(world.directory.path(), &[gateway.clone(), gateway], data, variables)
    }

    /// A daemon with the simulator's folder in `directory` and these gateways for sandbox and production.
    pub fn between(directory: &Path, gateways: &[String; 2], data: &Path, variables: &[(&str, &str)]) -> Command {
        let program = std::env::var_os("PYAPNS_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_pyapns").into());
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
        command.env("PYAPNS_APPLE_SANDBOX", &gateways[0]).env("PYAPNS_APPLE_PRODUCTION", &gateways[1]);
        command.env("PYAPNS_APPLE_CA_FILE", directory.join("simulator/ca.pem"));
        command.env("PYAPNS_LOG_LEVEL", "error").envs(variables.iter().copied());
        command
    }

    /// Runs a command that ends up as a node, and waits until it listens.
    pub async fn run(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let said = tokio::task::spawn_blocking(|| stdout.lines().next().expect("a line").expect("text"));
        let said = said.await.expect("a first line");
        let address = said.rsplit('/').next().and_then(|address| address.parse().ok()).expect("an address");
        Self { address, child }
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory that it holds.
    pub fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") << 10
    }

    /// SIGTERM: whether it ended well. Blocks.
    pub fn stop(mut self) -> bool {
        let pid = self.child.id().try_into().ok().and_then(rustix::process::Pid::from_raw).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("it ends").success()
    }

    /// Waits for its end. Blocks.
    pub fn wait(mut self) {
        self.child.wait().expect("it ends");
    }

    /// SIGKILL: it gets no chance to finish anything.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
