//! The programs under measurement, and what the operating system says they used.

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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

    /// The simulator, which counts requests and stores none.
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

    /// A daemon on the simulator, without apps, with everything on. `dir` is its own.
    pub fn daemon(dir: &Path, simulator: &Self, connections: usize) -> Self {
        let said = simulator.json();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir)
            .env("PYAPNS_APPLE_SANDBOX", format!("https://{}", said["listen"].as_str().expect("an address")))
            .env("PYAPNS_APPLE_CA_FILE", said["ca_file"].as_str().expect("a path"))
            .env("PYAPNS_APPLE_CONNECTIONS", connections.to_string())
            .env("PYAPNS_LOG_LEVEL", "error");
        Self::start(&mut command)
    }

    /// The first line as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.said).unwrap_or_else(|error| panic!("{error} in {:?}", self.said))
    }

    /// The last word of the first line, without the scheme.
    pub fn address(&self) -> &str {
        self.said.trim().rsplit("http://").next().expect("an address")
    }

    /// User and system time so far.
    pub fn cpu(&self) -> Duration {
        cpu_of(Pid::from_raw(self.child.id().cast_signed()))
    }

    /// Resident now, and at the most so far.
    pub fn resident_bytes(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let read = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of sizes");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
        };
        (read("VmRSS:"), read("VmHWM:"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of a process so far, all its threads, to the nanosecond.
fn cpu_of(process: Pid) -> Duration {
    clock_getcpuclockid(process).and_then(ClockId::now).expect("a running process").into()
}

/// The same numbers of this process.
pub fn own_cpu() -> Duration {
    ClockId::CLOCK_PROCESS_CPUTIME_ID.now().expect("a clock").into()
}
