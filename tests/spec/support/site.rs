//! A cluster as operators run it: a real Redis, nodes as processes on loopback, and one stand-in for Apple.

use super::client::{Answer, Client};
use super::lasting_address::lasting_address;
use super::process::Process;
use super::redis_server::RedisServer;
use super::shared::pyapns;
use super::world::{to, token};
use pyapns::cluster::{Member, MemberState, Pins, View};
use pyapns::model::{AppId, AppKey, Environment, NodeSession};
use simulator::{Options, Simulator};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Site {
    pub simulator: Simulator,
    pub redis: RedisServer,
    folder: TempDir,
    notice: u32,
}

/// A node of the site.
pub struct Node {
    pub name: &'static str,
    pub process: Process,
}

impl Site {
    /// With further lines of redis.conf.
    pub async fn new(redis: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { directory: Some(folder.path().join("simulator")), ..Options::default() };
        let simulator = Simulator::start(options).await.expect("a simulator");
        let made = pyapns(&["cluster", "init", folder.path().join("cluster").to_str().expect("text")]);
        assert!(made.status.success(), "{made:?}");
        Self { simulator, redis: RedisServer::with(redis), folder, notice: 0 }
    }

    /// Sets the `drain_notice_seconds` of the nodes.
    pub fn with_notice(self, seconds: u32) -> Self {
        Self { notice: seconds, ..self }
    }

    /// Starts a node with its data in the folder `data`.
    pub async fn start(&self, name: &'static str, data: &str) -> Node {
        self.start_at(name, data, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts a node with its API at an address.
    pub async fn start_at(&self, name: &'static str, data: &str, listen: SocketAddr) -> Node {
        let notice = self.notice;
        let (folder, gateway, url) = (self.folder.path().display(), self.simulator.address(), self.redis.url());
        let cluster = lasting_address();
        let text = format!(
            "listen = '{listen}'\nnode_name = '{name}'\ndata_dir = '{folder}/{data}'\n\
             drain_notice_seconds = {notice}\nstore.url = '{url}'\n\
             credentials.key_files = ['{folder}/cluster/credentials.key']\n\
             [cluster]\nlisten = '{cluster}'\nallow = ['127.0.0.0/8']\nidentity_files = ['{folder}/cluster/cluster.pem']\n\
             [apple]\nca_file = '{folder}/simulator/ca.pem'\nsandbox = 'https://{gateway}'\n\
             production = 'https://{gateway}'\n"
        );
        let file = self.folder.path().join(format!("{data}.toml"));
        std::fs::write(&file, text).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        command.args(["serve", "--config"]).arg(file);
        Node { name, process: Process::run(command).await }
    }

    /// Nodes that all reach each other, and apps that all of them know.
    pub async fn ready<const N: usize>(&self, names: [&'static str; N], apps: &[String]) -> [Node; N] {
        let mut nodes = Vec::new();
        for name in names {
            nodes.push(self.start(name, name).await);
        }
        let nodes: [Node; N] = nodes.try_into().unwrap_or_else(|_| panic!("as many as names"));
        self.wait_joined(&nodes.each_ref()).await;
        for app in apps {
            assert_eq!(self.provision(&nodes[0], app).await.status, 201);
        }
        for node in &nodes {
            node.wait("it knows the apps", async |node| {
                for app in apps {
                    if node.client().await.get(app).await.status != 200 {
                        return false;
                    }
                }
                true
            })
            .await;
        }
        nodes
    }

    /// Waits until each of these nodes is active, and reaches all others.
    pub async fn wait_joined(&self, nodes: &[&Node]) {
        for node in nodes {
            node.wait_metric("pyapns_cluster_state{state=\"active\"}", 1.0).await;
            for other in nodes.iter().filter(|other| other.name != node.name) {
                node.wait_metric(&format!("pyapns_peer_reachable{{node=\"{}\"}}", other.name), 1.0).await;
            }
        }
        // Each has itself in its own ring, so equal ones have all of them.
        let agree = async |first: &Node| {
            let ring = first.metric("pyapns_cluster_ring").await;
            for node in nodes {
                if node.metric("pyapns_cluster_ring").await != ring {
                    return false;
                }
            }
            true
        };
        nodes[0].wait("all have the same ring", agree).await;
    }

    pub async fn provision(&self, node: &Node, app: &str) -> Answer {
        node.client().await.post(app, self.simulator.identity().client_pem.clone()).await
    }

    /// The connections to Apple on which notifications to this token arrived, in order.
    pub fn connections_of(&self, number: usize) -> BTreeSet<u64> {
        let wanted = token(number);
        let entries = self.simulator.ledger().entries();
        entries.iter().filter(|entry| entry.token == wanted).map(|entry| entry.connection).collect()
    }
}

impl Node {
    pub async fn client(&self) -> Client {
        Client::connect(self.process.address).await
    }

    /// Sends to the token of that number.
    pub async fn send(&self, app: &str, number: usize) -> Answer {
        self.client().await.post(&format!("{app}/notifications?timeout=5"), to(&token(number)).to_string()).await
    }

    /// Sends to the token of that number, which must be accepted.
    pub async fn sends(&self, app: &str, number: usize) {
        let answer = self.send(app, number).await;
        assert_eq!(answer.outcomes(), ["accepted"], "by {}: {answer:?}", self.name);
    }

    /// The value of a metric, with its labels as they are written; 0 if there is none.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.client().await.text("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Waits until a metric has this value; returns how long that took.
    pub async fn wait_metric(&self, name: &str, wanted: f64) -> Duration {
        let what = format!("{name} is {wanted}");
        self.wait(&what, async |node| node.metric(name).await == wanted).await
    }

    /// Waits until this is so; returns how long that took.
    pub async fn wait(&self, what: &str, is_so: impl AsyncFn(&Self) -> bool) -> Duration {
        let began = Instant::now();
        while !is_so(self).await {
            assert!(began.elapsed() < PATIENCE, "not so on {}: {what}", self.name);
            sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    }
}

/// The paths of so many apps that the node of that index owns among nodes of these names.
pub fn apps_of(names: &[&str], index: usize, count: usize) -> Vec<String> {
    let view = View::of(names.iter().map(member), Pins::default());
    let apps = (0..1000).map(|number| format!("app-{number}"));
    let is_owned = |app: &String| {
        let key = AppKey::new(AppId::new(app.as_str()).expect("an id"), Environment::Sandbox);
        view.owner(&key, 0).is_some_and(|owner| owner.node.as_str() == names[index])
    };
    apps.filter(is_owned).take(count).map(|app| format!("/apps/{app}/sandbox")).collect()
}

fn member(name: &&str) -> Member {
    let (node, session) = (name.parse().expect("a name"), NodeSession::from_bits(1));
    Member { node, session, address: "127.0.0.1:1".to_owned(), weight: 1, state: MemberState::Active }
}
