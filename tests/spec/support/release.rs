//! A copy of an older release's files (`tests/fixtures`), with a simulator that knows its keys.

use super::process::Process;
use serde_json::Value;
use simulator::{Options, Simulator};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;

pub struct Release {
    pub simulator: Simulator,
    /// The last responses of its nodes.
    pub answers: Value,
    folder: TempDir,
}

impl Release {
    /// Each of them.
    pub async fn all() -> Vec<Self> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let found = fs::read_dir(fixtures).expect("the fixtures").map(|entry| entry.expect("an entry").path());
        let mut releases = Vec::new();
        for release in found.filter(|path| path.is_dir()) {
            releases.push(Self::copy(&release).await);
        }
        assert!(!releases.is_empty(), "0.6.0 is there at least");
        releases
    }

    async fn copy(release: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy(release, folder.path());
        for data in ["data", "data-json"] {
            own(&folder.path().join(data).join("pyapns.db"));
        }
        let answers = fs::read(folder.path().join("answers.json")).expect("its answers");
        let directory = Some(folder.path().join("simulator"));
        let simulator = Simulator::start(Options { directory, ..Options::default() }).await.expect("a simulator");
        Self { simulator, answers: serde_json::from_slice(&answers).expect("JSON"), folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the command that reads one of its configuration files, which name files relative to their folder.
    pub fn command(&self, command: &str, file: &str) -> Command {
        let gateway = format!("https://{}", self.simulator.address());
        let mut program = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        program.args([command, "--config", file]).current_dir(self.folder.path());
        program.env("PYAPNS_APPLE_SANDBOX", &gateway).env("PYAPNS_APPLE_PRODUCTION", &gateway);
        program.env("PYAPNS_APPLE_CA_FILE", "simulator/ca.pem");
        program
    }

    /// This release's node, on the old one's TOML file and the data directory that this names.
    pub async fn start(&self) -> Process {
        Process::run(self.command("serve", "pyapns.toml")).await
    }

    /// The store, while no node has it.
    pub fn store(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path("data/pyapns.db")).expect("the store")
    }
}

/// Makes a store take its file for the one that it was in: as in an upgrade, where nothing is copied.
fn own(file: &Path) {
    let store = rusqlite::Connection::open(file).expect("the store");
    let version: i64 = store.pragma_query_value(None, "user_version", |row| row.get(0)).expect("its version");
    if version >= 5 {
        let about = fs::metadata(file).expect("the file");
        let place = [about.dev(), about.ino()].map(u64::cast_signed);
        store.execute("UPDATE identity SET device = ?1, inode = ?2, made = NULL", place).expect("one row");
    }
}

/// As private as they were made: Git keeps no more of a mode than whether a file can be run.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let from = entry.expect("an entry").path();
        let to = to.join(from.file_name().expect("a name"));
        if from.is_dir() {
            fs::create_dir(&to).expect("a new folder");
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a copy");
        }
        let mode = if from.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(&to, Permissions::from_mode(mode)).expect("a mode");
    }
}
