//! A separate small disk for a data directory, in a mount namespace that needs no rights and outlives the daemon.

use super::daemon::Daemon;
use super::world::World;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Larger than what a start writes, smaller than what SQLite writes before it moves its log into the database.
const SIZE: &str = "size=2m";

pub struct SmallDisk {
    holder: Child,
    data: PathBuf,
}

impl SmallDisk {
    /// A small disk at `data`, visible to processes started on it.
    pub fn at(data: PathBuf) -> Self {
        fs::create_dir(&data).expect("a folder");
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", "mount -t tmpfs -o \"$0\" tmpfs \"$1\" && echo mounted && exec cat", SIZE]);
        let mut holder =
            command.arg(&data).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare is installed");
        let mut said = String::new();
        let stdout = holder.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut said).expect("a line");
        assert_eq!(said, "mounted\n");
        Self { holder, data }
    }

    /// The command that runs a program where the disk is mounted.
    pub fn command(&self, inner: &Command) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--user", "--mount", "--preserve-credentials", "--target", &self.holder.id().to_string()]);
        command.arg(inner.get_program()).args(inner.get_args());
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }

    pub async fn daemon(&self, world: &World) -> Daemon {
        Daemon::run(self.command(&Daemon::command(world, &self.data, &[]))).await
    }

    /// A file or folder of it, as the test sees it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root{}", self.holder.id(), self.data.display()));
        root.join(name)
    }

    /// Writes until nothing more fits.
    pub fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.path("ballast")).expect("a file");
        for size in [64 << 10, 4 << 10, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    /// Makes room again.
    pub fn empty(&self) {
        fs::remove_file(self.path("ballast")).expect("a file");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
