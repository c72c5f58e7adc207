//! Nodes that share one Redis.

use crate::canaries::holds;
use crate::support::client::Client;
use crate::support::forms::{Forms, PASSPHRASE};
use crate::support::redis_server::RedisServer;
use crate::support::shared::Cluster;
use crate::support::world::{Running, to, token};
use pyapns::config::Origin;
use pyapns::node::{Node, World as Outside};
use serde_json::{Value, json};
use simulator::{Options, Simulator, TokenState};
use std::fs;
use tempfile::TempDir;

const APP: &str = "/apps/com.example.app/sandbox";
/// The beginning of every provider token: a JWT's header.
const PROVIDER_TOKEN: &[u8] = b"eyJ";

struct Fleet {
    simulator: Simulator,
    nodes: Vec<Running>,
    cluster: Cluster,
    folder: TempDir,
}

impl Fleet {
    async fn of(nodes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { directory: Some(folder.path().join("simulator")), ..Options::default() };
        let simulator = Simulator::start(options).await.expect("a simulator");
        let cluster = Cluster::on(&folder.path().join("cluster"), RedisServer::with(&["rdbcompression no"]));
        let mut fleet = Self { simulator, nodes: Vec::new(), cluster, folder };
        for number in 0..nodes {
            let node = fleet.node(number).await;
            fleet.nodes.push(node);
        }
        fleet
    }

    async fn node(&self, number: usize) -> Running {
        let (folder, gateway) = (self.folder.path().display(), self.simulator.address());
        let more = format!(
            "data_dir = '{folder}/data-{number}'\n[apple]\nca_file = '{folder}/simulator/ca.pem'\n\
             sandbox = 'https://{gateway}'\nproduction = 'https://{gateway}'\n"
        );
        let file = self.folder.path().join(format!("node-{number}.toml"));
        fs::write(&file, self.cluster.settings(&format!("push-{number}")) + &more).expect("a file");
        let config = Origin::new(Some(file), |_| None).load().expect("good settings");
        let outside = Outside::real(&config);
        Running::run(Node::build(config, outside).await.expect("a node"))
    }

    async fn client(&self, node: usize) -> Client {
        Client::connect(self.nodes[node].address).await
    }

    async fn call(&self, node: usize, method: &str, path: &str, body: impl ToString) -> Value {
        let answer = self.client(node).await.call(method, path, body.to_string()).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        answer.response().clone()
    }

    async fn get(&self, node: usize, path: &str) -> Value {
        self.client(node).await.get(path).await.body
    }

    async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
        self.simulator.stop().await;
    }
}

#[tokio::test]
async fn dead_tokens_that_any_node_met_are_one_list_which_any_node_acknowledges() {
    let fleet = Fleet::of(2).await;
    fleet.call(0, "POST", APP, &fleet.simulator.identity().client_pem).await;
    let dead = || TokenState::Dead { reason: "Unregistered", timestamp: None };
    for (node, number) in [(0, 1), (1, 2), (0, 3)] {
        fleet.simulator.set_token(&token(number), Some(dead()));
        let path = format!("{APP}/notifications");
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
        // The other node learns of the app within a second.
        while fleet.client(node).await.post(&path, to(&token(number)).to_string()).await.status != 201 {
            assert!(tokio::time::Instant::now() < until);
            tokio::task::yield_now().await;
        }
    }
    let feedback = format!("{APP}/feedback");
    let (here, there) = (fleet.get(0, &feedback).await, fleet.get(1, &feedback).await);
    assert_eq!(here["response"], there["response"]);
    let listed =
        here["response"].as_array().expect("a list").iter().map(|one| one["token"].as_str().unwrap_or_default());
    assert_eq!(listed.collect::<Vec<_>>(), [1, 2, 3].map(token));
    let cursor = here["cursor"].as_str().expect("a cursor");
    fleet.call(1, "DELETE", &format!("{feedback}?through={cursor}"), "").await;
    assert_eq!(fleet.get(0, &feedback).await["response"], json!([]));
    fleet.stop().await;
}

#[tokio::test]
async fn a_dump_of_redis_holds_no_key_passphrase_or_provider_token() {
    let fleet = Fleet::of(1).await;
    let identity = fleet.simulator.identity();
    let (key, key_id, team_id) = (&identity.key_pem, &identity.key_id, &identity.team_id);
    let body = json!({"key": key, "key_id": key_id, "team_id": team_id, "topic": identity.topic});
    fleet.call(0, "POST", "/apps/token/sandbox", &body).await;
    fleet.call(0, "POST", "/apps/pem/sandbox", &identity.client_pem).await;
    let encrypted = Forms::get().forms.iter().find(|form| form.name == "encrypted PKCS#8").expect("a form");
    let pem = String::from_utf8_lossy(&encrypted.bytes);
    fleet.call(0, "POST", "/apps/encrypted/production", json!({"certificate": pem, "passphrase": PASSPHRASE})).await;
    fleet.simulator.set_token(&token(1), Some(TokenState::Dead { reason: "Unregistered", timestamp: None }));
    for app in ["token", "pem"] {
        fleet.call(0, "POST", &format!("/apps/{app}/sandbox/notifications"), to(&token(1))).await;
    }

    fleet.cluster.redis.cli(&["SAVE"]);
    let dump = fs::read(fleet.cluster.redis.folder().join("dump.rdb")).expect("a dump");
    for there in ["sandbox/token", "production/encrypted", &token(1), "Unregistered"] {
        assert!(holds(&dump, there.as_bytes()), "{there}");
    }
    let mut secrets = Forms::get().canaries();
    secrets.push(PROVIDER_TOKEN.to_vec());
    for pem in [&identity.key_pem, &identity.client_pem] {
        let key = pem.split("PRIVATE KEY-----").nth(1).expect("a private key");
        secrets.extend(key.lines().filter(|line| line.len() > 20).map(|line| line.as_bytes().to_vec()));
    }
    for secret in secrets {
        assert!(!holds(&dump, &secret), "{}", String::from_utf8_lossy(&secret));
    }
    fleet.stop().await;
}
