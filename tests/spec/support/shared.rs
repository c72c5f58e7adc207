//! The common parts of nodes on a shared store: a real Redis, the files of `pyapns cluster init`, and settings.

use super::lasting_address::lasting_address;
use super::process::Home;
use super::redis_server::RedisServer;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A command of pyapns, to its end. Blocks.
pub fn pyapns(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
    command.args(arguments).output().expect("the program runs")
}

/// The exit code and output of a command.
pub fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    (output.status.code(), text)
}

/// The secrets of a cluster, and its Redis.
pub struct Cluster {
    pub redis: RedisServer,
    /// The folder of `cluster.pem` and `credentials.key`.
    pub folder: PathBuf,
}

impl Cluster {
    /// Makes the secrets in a new folder.
    pub fn make(folder: &Path) -> Self {
        Self::on(folder, RedisServer::start())
    }

    pub fn on(folder: &Path, redis: RedisServer) -> Self {
        let made = pyapns(&["cluster", "init", folder.to_str().expect("text")]);
        assert!(made.status.success(), "{made:?}");
        Self { redis, folder: folder.to_owned() }
    }

    /// A file of the cluster, as text.
    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The settings of a node. Each call gives it another address for links.
    pub fn settings(&self, node: &str) -> String {
        let (key, identity) = (self.file("credentials.key"), self.file("cluster.pem"));
        format!(
            "node_name = '{node}'
            listen = '127.0.0.1:0'
            drain_notice_seconds = 0
            store.url = '{}'
            credentials.key_files = '{key}'
            cluster.listen = '{}'
            cluster.allow = '127.0.0.1'
            cluster.identity_files = '{identity}'\n",
            self.redis.url(),
            lasting_address()
        )
    }

    /// Makes a home the node of this name.
    pub fn configure(&self, home: &Home, node: &str) {
        home.configure(&self.settings(node));
    }
}
