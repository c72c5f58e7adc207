//! Nodes that share one store: what one of them changes holds on all.

use crate::support::client::{Answer, Client};
use crate::support::process::entry;
use crate::support::world::{Running, to, token};
use pyapns::config::Origin;
use pyapns::node::{Node, World as Outside};
use pyapns::store::{Apps, Epoch, Memory, Revision};
use serde_json::{Value, json};
use simulator::{Options, Simulator};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const APP: &str = "/apps/com.example.app/sandbox";
/// The time in which a change on one node must hold on all.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

/// Nodes in one process, beside one simulator, over one store.
struct Fleet {
    simulator: Simulator,
    store: Arc<Memory>,
    folder: TempDir,
    nodes: Vec<Running>,
}

impl Fleet {
    async fn of(nodes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { directory: Some(folder.path().join("simulator")), ..Options::default() };
        let simulator = Simulator::start(options).await.expect("a simulator");
        fs::write(folder.path().join("sealing.key"), "07".repeat(32)).expect("a key");
        fs::write(folder.path().join("shop.pem"), &simulator.identity().client_pem).expect("a certificate");
        let mut fleet = Self { simulator, store: Arc::new(Memory::new()), folder, nodes: Vec::new() };
        for _ in 0..nodes {
            fleet.start("").await;
        }
        fleet
    }

    fn file(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("node-{node}.toml"))
    }

    /// Writes a node's configuration, with these entries.
    fn configure(&self, node: usize, entries: &str) {
        let (folder, gateway) = (self.folder.path().display(), self.simulator.address());
        let text = format!(
            "listen = '127.0.0.1:0'\ndrain_notice_seconds = 0\ndata_dir = '{folder}/data-{node}'\n\
             [credentials]\nkey_files = ['{folder}/sealing.key']\n\
             [apple]\nca_file = '{folder}/simulator/ca.pem'\nsandbox = 'https://{gateway}'\n\
             production = 'https://{gateway}'\n{entries}"
        );
        let new = self.folder.path().join("new.toml");
        fs::write(&new, text).expect("a file");
        fs::rename(new, self.file(node)).expect("in its place");
    }

    /// Starts one more node, with these entries in its configuration.
    async fn start(&mut self, entries: &str) {
        let node = self.build(self.nodes.len(), entries).await;
        self.nodes.push(node);
    }

    async fn build(&self, number: usize, entries: &str) -> Running {
        self.configure(number, entries);
        let origin = Origin::new(Some(self.file(number)), |_| None);
        let config = origin.load().expect("good settings");
        let outside = Outside { shared_store: Some(self.store.clone()), ..Outside::real(&config) };
        let node = Node::build(config.clone(), outside).await.expect("a node");
        Running::run(node.with_reload(origin, &config, None).expect("signals"))
    }

    /// An entry of the configuration with the fleet's certificate.
    fn entry(&self, app: &str) -> String {
        entry(app, self.folder.path().join("shop.pem"), "")
    }

    async fn client(&self, node: usize) -> Client {
        Client::connect(self.nodes[node].address).await
    }

    async fn provision(&self, node: usize, more: Value) -> Answer {
        let mut body = json!({"certificate": self.simulator.identity().client_pem});
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        self.client(node).await.post(APP, body.to_string()).await
    }

    async fn send(&self, node: usize) -> Answer {
        let body = to(&token(node)).to_string();
        self.client(node).await.post(&format!("{APP}/notifications"), body).await
    }

    /// The ids of a node's apps.
    async fn apps(&self, node: usize) -> Vec<String> {
        let apps = self.client(node).await.get("/apps").await;
        let id = |app: &Value| app["app_id"].as_str().expect("an id").to_owned();
        apps.response().as_array().expect("a list").iter().map(id).collect()
    }

    /// Asks until the answer is as wanted, for at most `limit`.
    async fn within(&self, limit: Duration, node: usize, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let (mut client, until) = (self.client(node).await, Instant::now() + limit);
        loop {
            let answer = client.get(path).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < until, "node {node}: {path} is {answer:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
        self.simulator.stop().await;
    }
}

fn revision(answer: &Answer) -> &str {
    answer.response()["revision"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn what_one_node_changes_holds_on_the_other_within_a_second() {
    let fleet = Fleet::of(2).await;
    let made = fleet.provision(0, json!({})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let seen = fleet.within(SEEN_WITHIN, 1, APP, |answer| answer.status == 200).await;
    assert_eq!(revision(&seen), revision(&made));
    assert_eq!(fleet.send(1).await.outcomes(), ["accepted"]);

    let changed = fleet.provision(1, json!({"lanes": 2})).await;
    let is_seen = |answer: &Answer| revision(answer) == revision(&changed);
    assert_eq!(fleet.within(SEEN_WITHIN, 0, APP, is_seen).await.response()["lanes"], 2);

    assert_eq!(fleet.client(0).await.call("DELETE", APP, "").await.status, 200);
    fleet.within(SEEN_WITHIN, 1, APP, |answer| answer.reason() == "unknown_app").await;
    let until = Instant::now() + SEEN_WITHIN;
    while !fleet.client(1).await.text("/metrics").await.contains("\npyapns_connections 0\n") {
        assert!(Instant::now() < until, "connections of a removed app stay open on the other node");
        sleep(Duration::from_millis(10)).await;
    }
    fleet.stop().await;
}

#[tokio::test]
async fn of_changes_on_two_nodes_at_once_one_is_the_last_on_both() {
    let fleet = Fleet::of(2).await;
    for round in 1..=5 {
        let [first, second] = [json!({"timeout": round}), json!({"timeout": round + 100})];
        let (one, other) = tokio::join!(fleet.provision(0, first), fleet.provision(1, second));
        assert_eq!((one.status, other.status), (201, 201), "{one:?} {other:?}");
        let number = |answer: &Answer| revision(answer).parse::<i64>().expect("a number");
        let last = if number(&one) > number(&other) { one } else { other };
        for node in [0, 1] {
            let seen = fleet.within(SEEN_WITHIN, node, APP, |answer| revision(answer) == revision(&last)).await;
            assert_eq!(seen.response()["timeout"], last.response()["timeout"]);
        }
    }
    fleet.stop().await;
}

#[tokio::test]
async fn a_node_that_has_not_seen_a_change_yet_does_not_overwrite_it_for_a_caller_who_has_not_either() {
    let fleet = Fleet::of(2).await;
    let first = fleet.provision(0, json!({})).await;
    fleet.within(SEEN_WITHIN, 1, APP, |answer| answer.status == 200).await;
    let second = fleet.provision(0, json!({"lanes": 2})).await;
    // At once, most likely before node 1 has read the change.
    let tag = format!("\"{}\"", revision(&first));
    let body = fleet.simulator.identity().client_pem.clone();
    let refused = fleet.client(1).await.post_with(APP, ("if-match", &tag), body.clone()).await;
    assert_eq!((refused.status, refused.reason()), (412, "changed_meanwhile"), "{refused:?}");
    assert_eq!(refused.body["args"]["revision"], revision(&second));

    let [mut one, mut other] = [fleet.client(0).await, fleet.client(1).await];
    assert_eq!(one.call("DELETE", APP, "").await.status, 200);
    let create = ("if-none-match", "*");
    let (one, other) = tokio::join!(one.post_with(APP, create, body.clone()), other.post_with(APP, create, body));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 412], "{one:?} {other:?}");
    fleet.stop().await;
}

#[tokio::test]
async fn nodes_with_other_entries_in_their_configurations_leave_each_others_apps_alone() {
    let mut fleet = Fleet::of(0).await;
    let [a, b, c] = ["a", "b", "c"].map(|app| fleet.entry(app));
    for entries in [format!("{a}{b}"), format!("{b}{c}"), String::new()] {
        fleet.start(&entries).await;
    }
    for node in 0..3 {
        let is_there = |answer: &Answer| answer.response().as_array().is_some_and(|apps| apps.len() == 3);
        fleet.within(SEEN_WITHIN, node, "/apps", is_there).await;
        assert_eq!(fleet.apps(node).await, ["a", "b", "c"]);
    }
    let before = fleet.client(2).await.get("/apps").await;
    fleet.start(&format!("{a}{b}{c}")).await;
    assert_eq!(fleet.client(3).await.get("/apps").await.body, before.body, "equal entries write nothing");

    // An entry that leaves the file of a node which has read it takes its app away, from all nodes.
    fleet.configure(0, &b);
    for node in 0..4 {
        let reload = Duration::from_secs(5);
        fleet.within(reload, node, "/apps/a/sandbox", |answer| answer.status == 404).await;
        assert_eq!(fleet.apps(node).await, ["b", "c"]);
    }
    fleet.stop().await;
}

#[tokio::test]
async fn nodes_that_start_at_once_with_the_same_entries_write_each_app_once() {
    let mut fleet = Fleet::of(0).await;
    let entries: String = (0..10).map(|number| fleet.entry(&format!("app-{number}"))).collect();
    let (one, two, three) = tokio::join!(fleet.build(0, &entries), fleet.build(1, &entries), fleet.build(2, &entries));
    fleet.nodes = vec![one, two, three];
    for node in 0..3 {
        assert_eq!(fleet.apps(node).await.len(), 10, "each is there when its node has started");
    }
    let newest = fleet.store.changes(Revision::NONE, 100).await.expect("the changes").revision;
    assert_eq!(newest, Revision::stored(10), "one change an app");
    fleet.stop().await;
}

#[tokio::test]
async fn a_store_that_comes_back_empty_takes_no_app_away_and_is_reported() {
    let fleet = Fleet::of(2).await;
    fleet.provision(0, json!({})).await;
    fleet.within(SEEN_WITHIN, 1, APP, |answer| answer.status == 200).await;
    fleet.store.lose_all(Epoch::new());
    for node in [0, 1] {
        let is_reported = |answer: &Answer| answer.response()["status"] == "degraded";
        let ready = fleet.within(SEEN_WITHIN, node, "/readyz", is_reported).await;
        assert_eq!((ready.status, &ready.response()["degraded"][0]["what"]), (200, &json!("registry")));
        assert_eq!(fleet.send(node).await.outcomes(), ["accepted"]);
        let refused = fleet.provision(node, json!({})).await;
        assert_eq!((refused.status, refused.reason()), (503, "registry_foreign"), "{refused:?}");
    }
    fleet.stop().await;
}
