//! The programs under measurement, and what the operating system says they used.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Linux counts CPU time in hundredths of a second for everyone.
const TICKS_PER_SECOND: u32 = 100;

/// CPU (user and system) and wall time of a measured stretch.
pub struct Usage {
    pub cpu: Duration,
    pub wall: Duration,
}

impl Usage {
    pub fn cpu_us(&self, notifications: usize) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / notifications as f64
    }
}

/// A running program and the line with which it said that it is ready.
pub struct Program {
    child: Child,
    pub said: String,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut said = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut said).expect("a first line");
        Self { child, said }
    }

    pub fn simulator(dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        command.args([
            "simulator",
            "--listen",
            "127.0.0.1:0",
            "--control",
            "127.0.0.1:0",
            "--ledger",
            "counts",
            "--dir",
        ]);
        Self::start(command.arg(dir.join("simulator")))
    }

    pub fn daemon(dir: &Path, simulator: &Self) -> Self {
        let said = simulator.json();
        let config = dir.join("pyapns.toml");
        let listen = said["listen"].as_str().expect("an address");
        let ca_file = said["ca_file"].as_str().expect("a path");
        let text = format!(
            "[apple]\nsandbox = \"https://{listen}\"\nproduction = \"https://{listen}\"\nca_file = \"{ca_file}\"\n[log]\nlevel = \"error\"\n"
        );
        std::fs::write(&config, text).expect("a configuration file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        command.args(["serve", "--listen", "127.0.0.1:0"]).arg("--config").arg(&config);
        Self::start(command.arg("--data-dir").arg(dir.join("data")))
    }

    /// The first line as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.said).unwrap_or_else(|error| panic!("{error} in {:?}", self.said))
    }

    /// The last word of the first line, without the scheme.
    pub fn address(&self) -> &str {
        self.said.trim().rsplit("http://").next().expect("an address")
    }

    pub fn cpu(&self) -> Duration {
        cpu_of(&self.child.id().to_string())
    }

    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a VmRSS line");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of a process so far; `process` is a number or `self`.
pub fn cpu_of(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a running process");
    let after_name = stat.rsplit(')').next().expect("fields");
    let ticks: u32 =
        after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u32>().expect("ticks")).sum();
    Duration::from_secs(1) * ticks / TICKS_PER_SECOND
}
