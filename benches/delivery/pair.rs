//! Two nodes of one cluster in one process: callers speak to the one, and the other one owns their app.

use crate::load::message::app_path;
use crate::process::Program;
use pyapns::cluster::{Identity, Member, MemberState, Pins, View, identity};
use pyapns::config::{Config, File};
use pyapns::model::{AppId, AppKey, Environment, NodeName, NodeSession};
use pyapns::node::cluster::FixedCluster;
use pyapns::node::{Node, World};
use pyapns::store::Epoch;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Makes this program the pair; a folder, the simulator's address and its authority's file follow.
pub const ARGUMENT: &str = "pair";

/// Starts the pair on the simulator, without apps. Its first line ends with the addresses of the owner and of the entry.
pub fn start(dir: &Path, simulator: &Program) -> Program {
    let said = simulator.json();
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(ARGUMENT).arg(dir);
    command.args([said["listen"].as_str().expect("an address"), said["ca_file"].as_str().expect("a path")]);
    Program::start(&mut command)
}

/// The addresses of both nodes, the owner's first.
pub fn addresses(pair: &Program) -> Vec<String> {
    pair.said.trim().split(' ').filter_map(|word| word.strip_prefix("http://")).map(str::to_owned).collect()
}

/// The pair's own process.
pub fn main() {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let [dir, gateway, ca_file] = arguments.as_slice() else { panic!("three arguments") };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let owner = Seat::take("owner", 1).await;
        let entry = Seat::take("entry", 2).await;
        let members = [owner.member.clone(), entry.member.clone()];
        let identity_file = Path::new(dir).join("cluster.pem");
        std::fs::create_dir_all(dir).expect("a folder");
        std::fs::write(&identity_file, identity::generate().expect("an identity").expose()).expect("a file");
        let identity = Identity::load(&[identity_file]).expect("an identity");
        let mut addresses = Vec::new();
        for seat in [owner, entry] {
            addresses.push(seat.run(Path::new(dir), gateway, ca_file, &identity, &members).await);
        }
        while !metrics(addresses[1]).await.contains("pyapns_peer_reachable{node=\"owner\"} 1") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        println!("the pair listens on http://{} http://{}", addresses[0], addresses[1]);
        std::future::pending::<()>().await;
    });
}

/// A node that does not run yet, and its listener for the other one.
struct Seat {
    member: Member,
    listener: TcpListener,
}

impl Seat {
    async fn take(name: &str, session: u128) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let member = Member {
            node: name.parse::<NodeName>().expect("a name"),
            session: NodeSession::from_bits(session),
            address: listener.local_addr().expect("bound").to_string(),
            weight: 1,
            state: MemberState::Active,
        };
        Self { member, listener }
    }

    async fn run(
        self,
        dir: &Path,
        gateway: &str,
        ca_file: &str,
        identity: &Identity,
        members: &[Member],
    ) -> SocketAddr {
        let Member { node, session, .. } = self.member;
        let data = dir.join(node.as_str());
        let text = format!(
            "listen = \"127.0.0.1:0\"\nnode_name = \"{node}\"\ndata_dir = {data:?}\n[apple]\nca_file = {ca_file:?}\nsandbox = \"https://{gateway}\"\n",
        );
        let config = Config::parse(Some(File { name: "bench", text: &text }), &|_| None).expect("good settings");
        let pins = Pins { lanes: [(app(), [(0, members[0].node.clone())].into())].into(), ..Pins::default() };
        let cluster = FixedCluster {
            node,
            session,
            epoch: Epoch::stored(1),
            identity: identity.clone(),
            listener: self.listener,
            allow: vec!["127.0.0.1".parse().expect("a network")],
            view: Arc::new(View::of(members.to_vec(), pins)),
        };
        let world = World { cluster: Some(cluster), ..World::real(&config) };
        let node = Node::build(config, world).await.expect("a node");
        let address = node.address().expect("an address");
        tokio::spawn(node.run(std::future::pending()));
        address
    }
}

/// The app that forwarded notifications are for.
fn app() -> AppKey {
    let path = app_path(0);
    let id = path.split('/').nth(2).expect("an id");
    AppKey::new(AppId::new(id).expect("an id"), Environment::Sandbox)
}

async fn metrics(address: SocketAddr) -> String {
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    socket.write_all(request).await.expect("written");
    let mut text = String::new();
    socket.read_to_string(&mut text).await.expect("an answer");
    text
}
