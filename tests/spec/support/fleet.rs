//! Several nodes of one cluster in this process, each with its own store, and one stand-in for Apple.

use super::client::{Answer, Client};
use super::fault_proxy::FaultProxy;
use super::world::Running;
use pyapns::clock::Clock;
use pyapns::cluster::{Identity, Member, MemberState, Pins, View, identity};
use pyapns::config::{Config, File};
use pyapns::delivery::peer::peers::Peers;
use pyapns::model::{AppId, AppKey, Environment, NodeName, NodeSession};
use pyapns::node::cluster::FixedCluster;
use pyapns::node::{Node, World as Outside};
use pyapns::store::Epoch;
use serde_json::{Value, json};
use simulator::{Options, Simulator};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub struct Fleet {
    pub simulator: Simulator,
    pub nodes: Vec<Running>,
    /// Each node's links to the others.
    pub peers: Vec<Arc<Peers>>,
    /// The proxy through which the first node reaches the node of that index, and the second node the first one, where it
    /// has one.
    pub proxies: Vec<Option<FaultProxy>>,
    /// The address on which each node accepts links.
    pub links: Vec<SocketAddr>,
    /// The listener of the last member, if the test plays it.
    pub played: Option<TcpListener>,
    pub members: Vec<Member>,
    pub identity: Identity,
    pub directory: TempDir,
}

/// The options of a fleet.
pub struct Plan {
    pub nodes: usize,
    /// Nodes that are reached through a proxy: the first one by the second, the others by the first.
    pub proxied: Vec<usize>,
    /// Further settings of the last node.
    pub settings: String,
    /// Whom the last node lets in.
    pub allow: &'static str,
    /// The last node takes the first one for the owner of everything of this app.
    pub pinned: Option<AppKey>,
    /// The last member is none of the nodes: the test plays it.
    pub is_played: bool,
    /// The clock of each node; the machine's if there is none.
    pub clocks: Vec<Clock>,
}

impl Plan {
    pub fn of(nodes: usize) -> Self {
        let (proxied, settings, clocks) = (Vec::new(), String::new(), Vec::new());
        Self { nodes, proxied, settings, allow: "127.0.0.1", pinned: None, is_played: false, clocks }
    }

    pub fn proxied(self, proxied: &[usize]) -> Self {
        Self { proxied: proxied.into(), ..self }
    }

    pub fn set(self, settings: &str) -> Self {
        Self { settings: settings.to_owned(), ..self }
    }

    pub fn allow(self, allow: &'static str) -> Self {
        Self { allow, ..self }
    }

    pub fn played(self) -> Self {
        Self { is_played: true, ..self }
    }

    pub fn clocks(self, clocks: &[Clock]) -> Self {
        Self { clocks: clocks.to_vec(), ..self }
    }

    pub fn pinned(self, app: &str) -> Self {
        Self { pinned: Some(key(app)), ..self }
    }
}

/// The epoch that all nodes of a fleet name.
pub fn epoch() -> Epoch {
    Epoch::stored(7)
}

/// A new identity, by way of a file.
pub fn new_identity(directory: &Path, name: &str) -> Identity {
    let path = directory.join(name);
    std::fs::write(&path, identity::generate().expect("an identity").expose()).expect("a file");
    Identity::load(&[path]).expect("an identity")
}

impl Fleet {
    pub async fn start(plan: Plan) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let options = Options { directory: Some(directory.path().join("simulator")), ..Options::default() };
        let simulator = Simulator::start(options).await.expect("a simulator");
        let identity = new_identity(directory.path(), "cluster.pem");
        let (mut listeners, mut members, mut links, mut proxies) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for index in 0..plan.nodes {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("bound");
            proxies.push(if plan.proxied.contains(&index) { Some(FaultProxy::start(address).await) } else { None });
            members.push(member(index, address));
            links.push(address);
            listeners.push(listener);
        }
        let played = if plan.is_played { listeners.pop() } else { None };
        let (nodes, peers) = (Vec::new(), Vec::new());
        let mut fleet = Self { simulator, nodes, peers, proxies, links, played, members, identity, directory };
        for (index, listener) in listeners.into_iter().enumerate() {
            let node = fleet.build(index, listener, &plan).await;
            fleet.peers.extend(node.peers().cloned());
            fleet.nodes.push(Running::run(node));
        }
        fleet
    }

    /// A fleet in which every node reaches every other one, and has these apps.
    pub async fn ready(plan: Plan, apps: &[&str]) -> Self {
        let fleet = Self::start(plan).await;
        for app in apps {
            fleet.provision(app, &json!({})).await;
        }
        fleet.wait_reachable().await;
        fleet
    }

    async fn build(&self, index: usize, listener: TcpListener, plan: &Plan) -> Node {
        let is_last = index + 1 == plan.nodes - usize::from(plan.is_played);
        let settings = if is_last { plan.settings.as_str() } else { "" };
        let channels = self.simulator.channels_address(simulator::Environment::Sandbox);
        let config = config(self.directory.path(), (self.simulator.address(), channels), index, settings);
        let mut outside = Outside::real(&config);
        outside.clock = plan.clocks.get(index).cloned().unwrap_or(outside.clock);
        let mut cluster = self.cluster(index, listener);
        if is_last {
            cluster.allow = vec![plan.allow.parse().expect("a network")];
            let lanes = (0..64).map(|lane| (lane, name(0))).collect();
            let pins = plan.pinned.clone().map(|app| Pins { lanes: [(app, lanes)].into(), ..Pins::default() });
            cluster.view = Arc::new(View::of(self.members.clone(), pins.unwrap_or_default()));
        }
        outside.cluster = Some(cluster);
        Node::build(config, outside).await.expect("a node")
    }

    fn cluster(&self, index: usize, listener: TcpListener) -> FixedCluster {
        let mut members = self.members.clone();
        // The first node reaches the others through them, and the second one the first.
        let is_through = |to: usize| matches!((index, to), (0, 1..) | (1, 0));
        for (to, member) in members.iter_mut().enumerate().filter(|(to, _)| is_through(*to)) {
            member.address =
                self.proxies[to].as_ref().map_or(member.address.clone(), |proxy| proxy.address.to_string());
        }
        let Member { node, session, .. } = self.members[index].clone();
        FixedCluster {
            node,
            session,
            epoch: epoch(),
            identity: self.identity.clone(),
            listener,
            allow: vec!["127.0.0.1".parse().expect("a network")],
            view: Arc::new(View::of(members, Pins::default())),
        }
    }

    /// Provisions the app on every node.
    pub async fn provision(&self, app: &str, settings: &Value) {
        for node in &self.nodes {
            assert_eq!(self.provision_on(node, app, settings).await.status, 201);
        }
    }

    pub async fn provision_on(&self, node: &Running, app: &str, settings: &Value) -> Answer {
        self.provision_at(node.address, app, settings).await
    }

    pub async fn provision_at(&self, node: SocketAddr, app: &str, settings: &Value) -> Answer {
        let identity = self.simulator.identity();
        let (key, key_id, team_id) = (&identity.key_pem, &identity.key_id, &identity.team_id);
        let mut body = json!({"key": key, "key_id": key_id, "team_id": team_id, "topic": identity.topic});
        for (field, value) in settings.as_object().expect("an object") {
            body[field] = value.clone();
        }
        Client::connect(node).await.post(app, body.to_string()).await
    }

    pub async fn client(&self, index: usize) -> Client {
        Client::connect(self.nodes[index].address).await
    }

    /// Sends to an app through the node of that index.
    pub async fn send(&self, index: usize, app: &str, notifications: &Value) -> Answer {
        let path = format!("{app}/notifications");
        self.client(index).await.post(&path, notifications.to_string()).await
    }

    /// The value of a metric of a node, with its labels as they are written; 0 if there is none.
    pub async fn metric(&self, index: usize, name: &str) -> f64 {
        metric_at(self.nodes[index].address, name).await
    }

    /// Waits until a metric of a node, which only grows, is not 0.
    pub async fn wait_counted(&self, index: usize, name: &str) {
        let counted = async {
            while self.metric(index, name).await == 0.0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(8), counted).await;
        assert!(waited.is_ok(), "{name} of node {index} is 0 after 8 seconds");
    }

    /// Waits until a metric of a node has this value.
    pub async fn wait_metric(&self, index: usize, name: &str, wanted: f64) {
        let reached = async {
            while self.metric(index, name).await != wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(8), reached).await;
        assert!(waited.is_ok(), "{name} of node {index} is not {wanted} after 8 seconds");
    }

    /// Waits until the link of one node to another is, or is not, of use.
    pub async fn wait_link(&self, from: usize, to: usize, is_reachable: bool) {
        let name = format!("pyapns_peer_reachable{{node=\"{}\"}}", self.members[to].node);
        self.wait_metric(from, &name, f64::from(u8::from(is_reachable))).await;
    }

    /// Waits until every node reaches every other one.
    pub async fn wait_reachable(&self) {
        for from in 0..self.nodes.len() {
            for to in (0..self.nodes.len()).filter(|to| *to != from) {
                self.wait_link(from, to, true).await;
            }
        }
    }

    /// Requests that a node made to Apple.
    pub async fn attempts(&self, index: usize) -> u64 {
        self.metric(index, "pyapns_attempts_total").await as u64
    }

    /// Everything must end well.
    pub async fn stop(self) {
        drop(self.peers);
        let stopping: Vec<_> = self.nodes.into_iter().map(|node| tokio::spawn(node.stop())).collect();
        for node in stopping {
            node.await.expect("a node that ends well");
        }
        self.simulator.stop().await;
    }
}

/// The settings of the node of that index. `apple` has the gateway, and the one that manages the sandbox's channels.
pub fn config(fleet: &Path, apple: (SocketAddr, Option<SocketAddr>), index: usize, settings: &str) -> Config {
    let (gateway, channels) = apple;
    let channels = channels.map_or_else(String::new, |address| format!("sandbox_channels = \"https://{address}\"\n"));
    let (data, ca, node) = (fleet.join(format!("data-{index}")), fleet.join("simulator/ca.pem"), name(index));
    let text = format!(
        "drain_notice_seconds = 0\nlisten = \"127.0.0.1:0\"\nnode_name = \"{node}\"\ndata_dir = {data:?}\n{settings}\n\
         [apple]\nca_file = {ca:?}\nsandbox = \"https://{gateway}\"\nproduction = \"https://{gateway}\"\n{channels}",
    );
    Config::parse(Some(File { name: "test", text: &text }), &|_| None).expect("good settings")
}

/// The value of a metric of the node at an address, with its labels as they are written; 0 if there is none.
pub async fn metric_at(node: SocketAddr, name: &str) -> f64 {
    let text = Client::connect(node).await.text("/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

pub fn member(index: usize, address: SocketAddr) -> Member {
    Member {
        node: name(index),
        session: NodeSession::from_bits(index as u128 + 1),
        address: address.to_string(),
        weight: 1,
        state: MemberState::Active,
    }
}

pub fn name(index: usize) -> NodeName {
    format!("node-{index}").parse().expect("a name")
}

/// The path of an app whose only lane the node of that index owns among so many nodes.
pub fn app_owned_among(nodes: usize, index: usize) -> String {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let members: Vec<Member> = (0..nodes).map(|index| member(index, nowhere)).collect();
    app_owned_by(&members, index)
}

/// The app of such a path.
pub fn key(app: &str) -> AppKey {
    let id = app.trim_start_matches("/apps/").trim_end_matches("/sandbox");
    AppKey::new(AppId::new(id).expect("an id"), Environment::Sandbox)
}

fn app_owned_by(members: &[Member], index: usize) -> String {
    let view = View::of(members.to_vec(), Pins::default());
    let mut apps = (0..1000).map(|number| format!("/apps/com.example.app{number}/sandbox"));
    let is_owned = |app: &String| view.owner(&key(app), 0).is_some_and(|owner| owner.node == members[index].node);
    apps.find(is_owned).expect("one of 1,000")
}
