//! A node without an app and without Apple, for tests of its listeners, and `curl` as its caller.

use pyapns::config::{Config, File};
use pyapns::node::{Node, World};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub struct BareNode {
    pub directory: TempDir,
    url: String,
    address: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    done: JoinHandle<bool>,
}

impl BareNode {
    /// Starts a node. `settings` begin its configuration, and `sections` end it.
    pub async fn start(settings: &str, sections: &str) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let text = format!("{settings}\ndata_dir = {:?}\n{sections}\n", directory.path().join("data"));
        let config = Config::parse(Some(File { name: "test", text: &text }), &|_| None).expect("good settings");
        let outside = World::real(&config);
        let node = Node::build(config, outside).await.expect("a node");
        let (url, address) = (node.url().to_owned(), node.address().ok());
        let admin = node.admin_address().map(|address| address.expect("an address"));
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(async move {
            node.run(async {
                let _ = stopped.await;
            })
            .await
        });
        Self { directory, url, address, admin, stop, done }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn address(&self) -> SocketAddr {
        self.address.expect("it listens over TCP")
    }

    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin.expect("it has an admin listener"))
    }

    /// Drains the node; all it had must be finished in time.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        assert!(self.done.await.expect("no panic"), "the node did not finish in time");
    }
}

/// The response that `curl` received; status 0 means none.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub version: String,
    pub text: String,
    pub body: Value,
}

impl Answer {
    pub fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }
}

/// Runs `curl` to its end. Blocks.
pub fn curl(arguments: &[&str]) -> Answer {
    let mut command = Command::new("curl");
    command.args(["-s", "--noproxy", "*", "-m", "20", "-w", "\n%{http_code} %{http_version}"]).args(arguments);
    let output = command.output().expect("curl is installed");
    let text = String::from_utf8(output.stdout).expect("text");
    let (text, last) = text.rsplit_once('\n').expect("a last line");
    let (status, version) = last.split_once(' ').expect("status and version");
    let body = serde_json::from_str(text).unwrap_or(Value::Null);
    Answer { status: status.parse().expect("a number"), version: version.to_owned(), text: text.to_owned(), body }
}

/// A certificate for `localhost` that is its own authority, and its key.
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Pair {
    pub fn make(directory: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let (certificate, key) = (directory.join("server.pem"), directory.join("server.key"));
        std::fs::write(&certificate, made.cert.pem()).expect("a file");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
        Self { certificate, key }
    }
}
