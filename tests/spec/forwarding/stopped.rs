//! A node that is stopped as a process is, and goes on later: what lay in its socket is sent only if its time is not over.

use super::faults::{reason, send};
use crate::support::fleet::{Fleet, Plan, app_owned_among, config, epoch, member, metric_at, name};
use crate::support::world::{Running, token};
use pyapns::cluster::{Identity, Pins, View};
use pyapns::model::NodeSession;
use pyapns::node::cluster::FixedCluster;
use pyapns::node::{Node, World as Outside};
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// The folder of the fleet, the address of the simulator, and those of both links, for the second node.
const PLACE: &str = "PYAPNS_TEST_SECOND_NODE";
const TEST: &str = "forwarding::stopped::a_stopped_owner_that_goes_on_sends_only_what_is_still_in_time";
const SAYS: &str = "the second node listens on ";

/// Runs the second node in this process, until standard input ends.
async fn be_second_node(place: &str) {
    let [directory, gateway, first, second] = place.split('|').collect::<Vec<_>>()[..] else { panic!("{place}") };
    let directory = PathBuf::from(directory);
    let links = [first, second].map(|address| address.parse::<SocketAddr>().expect("an address"));
    let config = config(&directory, (gateway.parse().expect("an address"), None), 1, "");
    let mut outside = Outside::real(&config);
    let members = [0, 1].map(|index| member(index, links[index]));
    outside.cluster = Some(FixedCluster {
        node: name(1),
        session: NodeSession::from_bits(2),
        epoch: epoch(),
        identity: Identity::load(&[directory.join("cluster.pem")]).expect("an identity"),
        listener: TcpListener::bind(links[1]).await.expect("the port is still free"),
        allow: vec!["127.0.0.1".parse().expect("a network")],
        view: Arc::new(View::of(members, Pins::default())),
    });
    let node = Running::run(Node::build(config, outside).await.expect("a node"));
    println!("{SAYS}{}", node.address);
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    let _ = ended.await;
}

/// The second node of a fleet, as a process of its own.
struct Second {
    child: Child,
    address: SocketAddr,
}

impl Second {
    async fn start(fleet: &Fleet) -> Self {
        let (directory, gateway) = (fleet.directory.path().display(), fleet.simulator.address());
        let place = format!("{directory}|{gateway}|{}|{}", fleet.links[0], fleet.links[1]);
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", TEST, "--nocapture"]).env(PLACE, place).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let said = async {
            loop {
                let line = lines.next_line().await.expect("text").expect("it says its address");
                if let Some((_, address)) = line.split_once(SAYS) {
                    return address.parse().expect("an address");
                }
            }
        };
        let address = tokio::time::timeout(Duration::from_secs(20), said).await.expect("it starts soon");
        Self { child, address }
    }

    /// Stops it, and waits until all of its threads are: on a busy machine they run on for some milliseconds.
    async fn halt(&self) {
        self.signal("STOP");
        let threads = format!("/proc/{}/task", self.child.id().expect("a running process"));
        let is_stopped = |entry: std::io::Result<std::fs::DirEntry>| {
            let stat = entry.and_then(|entry| std::fs::read_to_string(entry.path().join("stat")));
            stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T ")))
        };
        while !std::fs::read_dir(&threads).expect("Linux").all(is_stopped) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().expect("a running process");
        let sent = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status();
        assert!(sent.expect("a shell").success());
    }
}

#[tokio::test]
async fn a_stopped_owner_that_goes_on_sends_only_what_is_still_in_time() {
    if let Ok(place) = std::env::var(PLACE) {
        return be_second_node(&place).await;
    }
    let app = app_owned_among(2, 1);
    let mut fleet = Fleet::start(Plan::of(2).played()).await;
    drop(fleet.played.take());
    let second = Second::start(&fleet).await;
    fleet.provision(&app, &json!({})).await;
    assert_eq!(fleet.provision_at(second.address, &app, &json!({})).await.status, 201);
    fleet.wait_link(0, 1, true).await;
    let (answer, _) = send(&fleet, &app, "", 1).await.expect("an answer");
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");

    second.halt().await;
    let in_flight = "pyapns_forwarded_in_flight{node=\"node-1\"}";
    let late = send(&fleet, &app, "?timeout=1", 2);
    fleet.wait_metric(0, in_flight, 1.0).await;
    let in_time = send(&fleet, &app, "?timeout=60", 3);
    fleet.wait_metric(0, in_flight, 2.0).await;
    let (answer, _) = late.await.expect("an answer");
    assert_eq!((answer.outcomes(), reason(&answer)), (vec!["unknown"], "deadline_passed"), "{answer:?}");
    let (answer, took) = in_time.await.expect("an answer");
    assert_eq!((answer.outcomes(), reason(&answer)), (vec!["unknown"], "peer_lost"), "{answer:?}");
    assert!((2900..8000).contains(&took.as_millis()), "{took:?}");
    let (answer, _) = send(&fleet, &app, "", 4).await.expect("an answer");
    assert_eq!(answer.outcomes(), ["accepted"], "the substitute sends: {answer:?}");

    second.signal("CONT");
    // It reads both, in their order, though the connection has been closed.
    fleet.simulator.ledger().wait_until(|totals| totals.requests >= 3).await;
    let tokens: Vec<_> = fleet.simulator.ledger().entries().into_iter().map(|entry| entry.token).collect();
    assert_eq!(tokens, [token(1), token(4), token(3)], "Apple never sees the late one");
    assert_eq!(metric_at(second.address, "pyapns_forwarded_received_total").await, 3.0);
    fleet.wait_link(0, 1, true).await;
    let (answer, _) = send(&fleet, &app, "", 5).await.expect("an answer");
    assert_eq!(answer.outcomes(), ["accepted"], "the owner sends again: {answer:?}");
    assert_eq!((fleet.attempts(0).await, fleet.simulator.ledger().totals().requests), (1, 4));
    drop(second);
    fleet.stop().await;
}
