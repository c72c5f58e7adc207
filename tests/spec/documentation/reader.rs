//! A reader of a page: an empty folder, a shell in it, and the servers that the page has started so far.

use super::page::{self, Block, Language, Page};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Longer than any block should take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The addresses on the pages: of a node, of the simulator and of its control port. Each page gets free ports in their place.
const NODE: &str = "127.0.0.1:8088";
const GATEWAY: &str = "127.0.0.1:2197";
const CONTROL: &str = "127.0.0.1:2198";
/// A replacement of cargo that runs the program that is built already.
const CARGO: &str = "#!/bin/sh\n[ \"$1 $2 $3\" = 'run --release --' ] || exit 64\nshift 3\nexec pyapns \"$@\"\n";

pub struct Reader {
    folder: TempDir,
    /// The real addresses.
    addresses: HashMap<&'static str, String>,
    servers: Vec<Server>,
}

struct Server {
    child: Child,
    /// Its output, kept open: without a reader its next line would fail.
    lines: Lines<BufReader<ChildStdout>>,
}

/// Returns whether a block starts a server.
fn is_server(text: &str) -> bool {
    text.contains("pyapns simulator") || text.contains("pyapns serve") || text.contains("-- serve")
}

impl Reader {
    /// Starts a node with the simulator beside it, unless the page starts its own servers.
    pub async fn at(page: &Page) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let cargo = folder.path().join(".bin/cargo");
        fs::create_dir(folder.path().join(".bin")).expect("a folder");
        fs::write(&cargo, CARGO).expect("a file");
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("a program");
        let mut reader = Self { folder, addresses: HashMap::new(), servers: Vec::new() };
        let commands = || page.blocks.iter().filter(|block| block.language.is_run());
        if commands().next().is_some() && !commands().any(|block| is_server(&block.text)) {
            reader.start("pyapns serve --simulator").await.expect("a node");
        }
        reader
    }

    /// Runs a block and returns what it printed. A server is started and keeps running.
    ///
    /// # Errors
    /// The exit status, with everything that the block printed.
    pub async fn run(&mut self, block: &Block) -> Result<String, String> {
        if block.language == Language::Sh && is_server(&block.text) {
            self.start(block.text.trim_end()).await?;
            return Ok(String::new());
        }
        let mut command = match block.language {
            Language::Python => self.command("python3", &["-c"]),
            _ => self.command("bash", &["-euo", "pipefail", "-c"]),
        };
        command.arg(self.with_real_addresses(&block.text));
        let ended = timeout(PATIENCE, command.output()).await.map_err(|_| "the block does not end".to_owned())?;
        let Output { status, stdout, stderr } = ended.map_err(|error| error.to_string())?;
        let printed = String::from_utf8_lossy(&stdout).into_owned();
        if status.success() {
            return Ok(printed);
        }
        let said = String::from_utf8_lossy(&stderr);
        Err(format!("{status}\n{}printed: {printed}\nsaid: {said}", block.text))
    }

    /// Saves a block that has a file name.
    pub fn save(&self, block: &Block) {
        if let Some(name) = &block.file {
            fs::write(self.folder.path().join(name), self.with_real_addresses(&block.text)).expect("a file");
        }
    }

    /// Stops the servers, the last one first. Each must exit with 0.
    pub async fn leave(mut self) -> Result<(), String> {
        while let Some(mut server) = self.servers.pop() {
            let id = server.child.id().ok_or("a server ended by itself")?;
            let id = id.try_into().ok().and_then(rustix::process::Pid::from_raw).expect("a process");
            rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
            let ended = timeout(PATIENCE, server.child.wait()).await.map_err(|_| "a server does not end".to_owned())?;
            let status = ended.expect("a status");
            if !status.success() {
                return Err(format!("a server ended with {status}"));
            }
        }
        Ok(())
    }

    async fn start(&mut self, block: &str) -> Result<(), String> {
        let is_simulator = block.contains("pyapns simulator");
        let mut text = self.with_real_addresses(block);
        if is_simulator {
            text = text.replace(GATEWAY, "127.0.0.1:0").replace(CONTROL, "127.0.0.1:0");
            if !text.contains("--listen") {
                text.push_str(" --listen 127.0.0.1:0 --control 127.0.0.1:0");
            }
        }
        // The shell becomes the server, so signals reach it.
        let mut command = self.command("bash", &["-euc"]);
        command.arg(format!("exec env {text}")).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut server = Server { child, lines };
        let said = server.says("").await?;
        if is_simulator {
            let said: serde_json::Value = serde_json::from_str(&said).map_err(|error| error.to_string())?;
            let address = |name: &str| said[name].as_str().expect("an address").to_owned();
            self.addresses.extend([(GATEWAY, address("listen")), (CONTROL, address("control"))]);
        } else {
            let address = said.rsplit('/').next().expect("an address").to_owned();
            self.addresses.insert(NODE, address);
        }
        if block.contains("--simulator") {
            // This line comes after the demo app is provisioned.
            server.says("try: ").await?;
        }
        self.servers.push(server);
        Ok(())
    }

    fn with_real_addresses(&self, text: &str) -> String {
        self.addresses.iter().fold(text.to_owned(), |text, (shown, real)| text.replace(shown, real))
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let built = Path::new(env!("CARGO_BIN_EXE_pyapns")).parent().expect("a folder");
        let path = std::env::var("PATH").expect("a path");
        // Python with the packages of the examples, if tests/run has installed them.
        let python =
            std::env::var_os("PYAPNS_TEST_PYTHON").and_then(|python| Path::new(&python).parent().map(Path::to_owned));
        let folders = [Some(self.folder.path().join(".bin")), Some(built.to_owned()), python];
        let folders = folders.iter().flatten().map(|folder| folder.display().to_string()).collect::<Vec<_>>();
        let path = format!("{}:{path}", folders.join(":"));
        command.args(arguments).current_dir(self.folder.path()).env("PATH", path);
        command.env("PYAPNS_LISTEN", "127.0.0.1:0").env("PYAPNS_DRAIN_NOTICE_SECONDS", "0");
        // The package `pyapns`, as if its wheel were installed.
        command.env("PYTHONPATH", page::root().join("python")).env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(node) = self.addresses.get(NODE) {
            command.env("PYAPNS_NODE", format!("http://{node}"));
        }
        command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

impl Server {
    /// Waits for a line with this beginning.
    async fn says(&mut self, beginning: &str) -> Result<String, String> {
        loop {
            let line =
                timeout(PATIENCE, self.lines.next_line()).await.map_err(|_| "the server is silent".to_owned())?;
            match line.map_err(|error| error.to_string())? {
                Some(line) if line.starts_with(beginning) => return Ok(line),
                Some(_) => {}
                None => return Err("the server ended".to_owned()),
            }
        }
    }
}
