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
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Site {
    pub simulator: Simulator,
    pub redis: RedisServer,
    /// The URL at which nodes find it.
    url: String,
    folder: TempDir,
    notice: u32,
}

/// The place of a node: its addresses, and those at which it finds the others.
#[derive(Clone)]
pub struct Seat {
    pub name: &'static str,
    /// Its folder.
    pub data: String,
    /// The beginning of the command line that runs it.
    pub command: Vec<String>,
    /// The IP address on which it serves callers.
    pub host: String,
    /// The port of it; 0 takes a free one.
    pub port: u16,
    /// The address on which it accepts links.
    pub link: String,
    /// The address of its links that the others read in Redis.
    pub advertise: Option<String>,
    pub redis: String,
    /// The file of the key that seals credentials.
    pub key: String,
    /// Further lines of its configuration.
    pub more: String,
}

/// A node of the site.
pub struct Node {
    pub name: &'static str,
    pub process: Process,
}

impl Site {
    /// With further lines of redis.conf.
    pub async fn new(redis: &[&str]) -> Self {
        Self::beside("127.0.0.1:0", RedisServer::with(redis)).await
    }

    /// With this Redis, and the stand-in for Apple on this address.
    pub async fn beside(apple: &str, redis: RedisServer) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = Some(folder.path().join("simulator"));
        let options = Options { listen: apple.to_owned(), directory, ..Options::default() };
        let simulator = Simulator::start(options).await.expect("a simulator");
        let made = pyapns(&["cluster", "init", folder.path().join("cluster").to_str().expect("text")]);
        assert!(made.status.success(), "{made:?}");
        Self { simulator, url: redis.url(), redis, folder, notice: 0 }
    }

    /// Sets the `drain_notice_seconds` of the nodes.
    pub fn with_notice(self, seconds: u32) -> Self {
        Self { notice: seconds, ..self }
    }

    /// Nodes find Redis at this URL.
    pub fn reach_redis_at(&mut self, url: String) {
        self.url = url;
    }

    /// Starts a node with its data in the folder `data`.
    pub async fn start(&self, name: &'static str, data: &str) -> Node {
        self.start_at(Seat { data: data.to_owned(), ..self.seat(name) }).await
    }

    /// A place on loopback.
    pub fn seat(&self, name: &'static str) -> Seat {
        Seat {
            name,
            data: name.to_owned(),
            command: Vec::new(),
            host: "127.0.0.1".to_owned(),
            port: 0,
            link: lasting_address().to_string(),
            advertise: None,
            redis: self.url.clone(),
            key: self.folder.path().join("cluster/credentials.key").display().to_string(),
            more: String::new(),
        }
    }

    /// The folder of everything that belongs to the site.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a node in its place.
    pub async fn start_at(&self, seat: Seat) -> Node {
        let Seat { name, data, command, host, port, link, advertise, redis, key, more } = seat;
        let (folder, gateway) = (self.folder.path().display(), self.simulator.address());
        let advertise = advertise.map(|address| format!("advertise = '{address}'")).unwrap_or_default();
        let is_loopback = host == "127.0.0.1";
        // An address of loopback may only be advertised to nodes on the same machine.
        let allow = if link.starts_with("127.") { "127.0.0.0/8" } else { "10.0.0.0/8" };
        let text = format!(
            "listen = '{host}:{port}'\ninsecure = {}\nnode_name = '{name}'\ndata_dir = '{folder}/{data}'\n\
             drain_notice_seconds = {}\nstore.url = '{redis}'\n\
             credentials.key_files = ['{key}']\n\
             [cluster]\nlisten = '{link}'\n{advertise}\nallow = ['{allow}']\n\
             identity_files = ['{folder}/cluster/cluster.pem']\n\
             [apple]\nca_file = '{folder}/simulator/ca.pem'\nsandbox = 'https://{gateway}'\n\
             production = 'https://{gateway}'\n{more}",
            !is_loopback, self.notice
        );
        let file = self.folder.path().join(format!("{data}.toml"));
        std::fs::write(&file, text).expect("a file");
        let program = [env!("CARGO_BIN_EXE_pyapns"), "serve", "--config", file.to_str().expect("text")];
        let line: Vec<&str> = command.iter().map(String::as_str).chain(program).collect();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]);
        Node { name, process: Process::run(command).await }
    }

    /// Nodes that all reach each other, and apps that all of them know.
    pub async fn ready<const N: usize>(&self, names: [&'static str; N], apps: &[String]) -> [Node; N] {
        self.ready_at(names.map(|name| self.seat(name)), apps).await
    }

    /// The same, each in its place.
    pub async fn ready_at<const N: usize>(&self, seats: [Seat; N], apps: &[String]) -> [Node; N] {
        let mut nodes = Vec::new();
        for seat in seats {
            nodes.push(self.start_at(seat).await);
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
