//! Nodes that keep their apps in Redis, as operators start them.

use crate::support::client::{Answer, Client};
use crate::support::full;
use crate::support::process::{Process, entry};
use crate::support::redis_certificates::RedisCertificates;
use crate::support::redis_server::RedisServer;
use crate::support::redis_watched::Watched;
use crate::support::world::{to, token};
use serde_json::json;
use simulator::{Options, Simulator, TokenState};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

const APP: &str = "/apps/com.example.app/sandbox";
const SECRET: &str = "correct-horse-battery";
/// The documentation's page, with the user that these tests use.
const PAGE: &str = include_str!("../../docs/redis.md");
/// Changes are taken again within this time of a primary's end.
const AFTER_FAILOVER: Duration = Duration::from_secs(15);
/// Changes are taken again within this time of Redis going on.
const AFTER_HEALING: Duration = Duration::from_secs(2);

/// A change of one node reaches the others within this time.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

/// The common files of the nodes of a cluster, and the simulator.
struct Site {
    simulator: Simulator,
    folder: TempDir,
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { directory: Some(folder.path().join("simulator")), ..Options::default() };
        let simulator = Simulator::start(options).await.expect("a simulator");
        let mut init = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        let made = init.args(["cluster", "init"]).arg(folder.path().join("cluster")).output().await.expect("a program");
        assert!(made.status.success(), "{made:?}");
        Self { simulator, folder }
    }

    /// A command that starts a node on this store, with more settings of the section `[store]`.
    fn serve(&self, name: &str, url: &str, store: &str) -> Command {
        self.serve_with(name, url, store, "")
    }

    /// The same with entries of apps.
    fn serve_with(&self, name: &str, url: &str, store: &str, entries: &str) -> Command {
        let (folder, gateway) = (self.folder.path().display(), self.simulator.address());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let cluster = listener.local_addr().expect("an address");
        let text = format!(
            "listen = '127.0.0.1:0'\nnode_name = '{name}'\ndata_dir = '{folder}/{name}'\ndrain_notice_seconds = 0\n\
             [store]\nurl = '{url}'\n{store}\n\
             [credentials]\nkey_files = ['{folder}/cluster/credentials.key']\n\
             [cluster]\nlisten = '{cluster}'\nallow = ['127.0.0.0/8']\nidentity_files = ['{folder}/cluster/cluster.pem']\n\
             [log]\nlevel = 'debug'\n\
             [apple]\nca_file = '{folder}/simulator/ca.pem'\nsandbox = 'https://{gateway}'\n\
             production = 'https://{gateway}'\n{entries}"
        );
        let file = self.folder.path().join(format!("{name}.toml"));
        fs::write(&file, text).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        command.args(["serve", "--config"]).arg(file);
        command
    }

    async fn start(&self, name: &str, url: &str, store: &str) -> Process {
        Process::run(self.serve(name, url, store)).await
    }

    /// Entries of these apps, which have the simulator's certificate.
    fn entries(&self, apps: &[&str]) -> String {
        let file = self.folder.path().join("shop.pem");
        fs::write(&file, &self.simulator.identity().client_pem).expect("a file");
        apps.iter().map(|app| entry(app, &file, "")).collect()
    }

    async fn provision_with(&self, node: &Process, field: &str, value: u32) -> Answer {
        let body = json!({"certificate": self.simulator.identity().client_pem, field: value});
        node.client().await.post(APP, body.to_string()).await
    }

    /// A file with the password, as a setting.
    fn password(&self, password: &str) -> String {
        let file = self.folder.path().join(format!("{}-characters.password", password.len()));
        fs::write(&file, format!("{password}\n")).expect("a file");
        format!("password_file = '{}'", file.display())
    }

    async fn provision(&self, node: &Process, app: &str) -> Answer {
        node.client().await.post(app, self.simulator.identity().client_pem.clone()).await
    }

    /// Provisions until it works; returns how long that took. Notifications are sent meanwhile, and are all accepted.
    async fn provisioned(&self, node: &Process, app: &str, within: Duration) -> Duration {
        let began = Instant::now();
        loop {
            let sent = node.client().await.post(&format!("{APP}/notifications"), to(&token(1)).to_string()).await;
            assert_eq!(sent.outcomes(), ["accepted"], "sending goes on: {sent:?}");
            let answer = self.provision(node, app).await;
            if answer.status == 201 {
                return began.elapsed();
            }
            assert_eq!((answer.status, answer.reason()), (503, "store_away"), "{answer:?}");
            assert!(began.elapsed() < within, "{answer:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn send(client: &mut Client) -> Answer {
    client.post(&format!("{APP}/notifications"), to(&token(1)).to_string()).await
}

async fn apps(node: &Process) -> Vec<String> {
    let answer = node.client().await.get("/apps").await;
    let id = |app: &serde_json::Value| app["app_id"].as_str().expect("an id").to_owned();
    answer.response().as_array().expect("a list").iter().map(id).collect()
}

fn revision(answer: &Answer) -> Option<i64> {
    answer.response()["revision"].as_str()?.parse().ok()
}

/// Asks a node for the app until the answer is as wanted, for at most [`SEEN_WITHIN`].
async fn seen(node: &Process, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let (mut client, until) = (node.client().await, Instant::now() + SEEN_WITHIN);
    loop {
        let answer = client.get(APP).await;
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < until, "{answer:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// The user of the documentation, and no other.
fn only_the_documented_user() -> Vec<String> {
    let line = PAGE.lines().find(|line| line.starts_with("user pyapns on ")).expect("the page has the line");
    vec!["user default off".to_owned(), line.replace(">PASSWORD", &format!(">{SECRET}"))]
}

#[tokio::test]
async fn a_node_refuses_to_start_on_a_redis_that_does_not_fit_and_names_the_setting_to_change() {
    let site = Site::new().await;
    let evicting = RedisServer::with(&["maxmemory-policy allkeys-lru"]);
    let replica = RedisServer::with(&["replicaof 127.0.0.1 1"]);
    let closed = RedisServer::with(&[format!("requirepass {SECRET}")]);
    let right = RedisCertificates::mint(site.folder.path(), "right");
    let wrong = RedisCertificates::mint(site.folder.path(), "wrong");
    // In TLS 1.3 the refusal of a client certificate comes after the handshake, and may be lost with the connection: such
    // a Redis counts as away.
    let tls = RedisServer::with(&[right.lines(), vec!["tls-protocols TLSv1.2".to_owned()]].concat());
    let ca = |certificates: &RedisCertificates| format!("ca_file = '{}'", certificates.ca.display());
    let password = site.password(&format!("wrong-{SECRET}"));
    let secure = format!("rediss://127.0.0.1:{}", tls.port);
    for (url, store, parts) in [
        (evicting.url(), String::new(), ["maxmemory-policy noeviction", "allkeys-lru"]),
        (replica.url(), String::new(), ["store.url", "replica"]),
        (closed.url(), String::new(), ["store.password_file", "asks for a password"]),
        (closed.url(), password, ["store.password_file", "refuses the user or the password"]),
        (secure.clone(), ca(&wrong), ["store.ca_file", "UnknownIssuer"]),
        (secure, ca(&right), ["store.certificate", "store.key"]),
    ] {
        let (code, said) = Process::refused(site.serve("a", &url, &store)).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} in: {said}");
        assert!(!said.contains(SECRET), "{said}");
    }
    let url = format!("redis://:{SECRET}@127.0.0.1:1");
    let (code, said) = Process::refused(site.serve("a", &url, "")).await;
    assert!(code.is_some_and(|code| code != 0) && said.contains("store.password_file"), "{said}");
    assert!(!said.contains(SECRET), "{said}");
}

/// Provisions on one node, and sends from another; nothing of either log or of Redis shows a secret.
async fn two_nodes_share(site: &Site, url: &str, store: &str, folder: &Path) {
    let first = site.start("a", url, store).await;
    assert_eq!(site.provision(&first, APP).await.status, 201);
    let second = site.start("b", url, store).await;
    assert_eq!(apps(&second).await, ["com.example.app"]);
    assert_eq!(send(&mut second.client().await).await.outcomes(), ["accepted"]);
    for node in [&first, &second] {
        assert!(node.lines_with("connected to Redis") > 0, "the log has what is looked for");
        assert_eq!(node.lines_with(SECRET), 0);
    }
    let identity = site.simulator.identity();
    let key = identity.client_pem.lines().filter(|line| !line.starts_with("---")).max_by_key(|line| line.len());
    let dump = fs::read_dir(folder.join("appendonlydir")).expect("a folder");
    let dump: Vec<u8> = dump.flat_map(|file| fs::read(file.expect("a file").path()).expect("a file")).collect();
    let holds = |text: &str| dump.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("com.example.app"), "the dump has what is looked for");
    assert!(!holds(SECRET) && !holds(key.expect("a line")) && !holds("PRIVATE KEY"));
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn nodes_share_apps_over_tls_with_a_client_certificate_as_the_documented_user() {
    let site = Site::new().await;
    let certificates = RedisCertificates::mint(site.folder.path(), "redis");
    let aof = ["appendonly yes".to_owned(), "appendfsync always".to_owned()];
    let server = RedisServer::with(&[certificates.lines(), only_the_documented_user(), aof.to_vec()].concat());
    let store = format!(
        "username = 'pyapns'\n{}\nca_file = '{}'\ncertificate = '{}'\nkey = '{}'",
        site.password(SECRET),
        certificates.ca.display(),
        certificates.client.display(),
        certificates.client_key.display()
    );
    two_nodes_share(&site, &format!("rediss://127.0.0.1:{}", server.port), &store, server.folder()).await;
}

#[tokio::test]
async fn nodes_share_apps_over_a_unix_socket_as_the_documented_user() {
    let site = Site::new().await;
    let server = RedisServer::with(&[only_the_documented_user(), vec!["appendonly yes".to_owned()]].concat());
    let store = format!("username = 'pyapns'\n{}", site.password(SECRET));
    two_nodes_share(&site, &format!("redis+unix://{}", server.socket().display()), &store, server.folder()).await;
}

/// Takes at most 60 s, five times as long in the long form.
#[tokio::test]
async fn after_a_failover_of_sentinel_changes_are_taken_within_15_s_and_no_app_is_missing() {
    let site = Site::new().await;
    let faults = [|watched: &mut Watched| watched.primary.kill(), |watched: &mut Watched| watched.primary.pause()];
    for run in 0..if full() { 5 } else { 1 } {
        for (number, fault) in faults.iter().enumerate() {
            let mut watched = Watched::start(&[], &[], &[]);
            let node = site.start(&format!("n{run}{number}"), &watched.url("redis+sentinel"), "").await;
            assert_eq!(site.provision(&node, APP).await.status, 201);
            let began = Instant::now();
            while watched.replica.cli(&["HLEN", "pyapns:apps"]) != "1" {
                assert!(began.elapsed() < Duration::from_secs(5), "the replica gets the app");
            }
            fault(&mut watched);
            let took = site.provisioned(&node, "/apps/later/sandbox", AFTER_FAILOVER).await;
            assert!(took < AFTER_FAILOVER, "{took:?}");
            assert_eq!(apps(&node).await, ["com.example.app", "later"]);
            assert_eq!(watched.replica.cli(&["HLEN", "pyapns:apps"]), "2", "the replica has taken over");
            node.stop().await;
        }
    }
}

#[tokio::test]
async fn while_redis_hangs_sending_goes_on_and_changes_are_refused_with_the_time_to_come_back() {
    let site = Site::new().await;
    let server = RedisServer::start();
    let node = site.start("a", &server.url(), "").await;
    assert_eq!(site.provision(&node, APP).await.status, 201);
    server.pause();
    for _ in 0..3 {
        let began = Instant::now();
        let refused = site.provision(&node, "/apps/later/sandbox").await;
        assert_eq!((refused.status, refused.reason()), (503, "store_away"), "{refused:?}");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert_eq!(send(&mut node.client().await).await.outcomes(), ["accepted"]);
        let reports = async {
            loop {
                let ready = node.client().await.get("/readyz").await;
                assert_eq!(ready.status, 200, "it keeps its traffic");
                if ready.response()["status"] == "degraded" {
                    break;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(Duration::from_secs(5), reports).await.is_ok(), "it reports the outage");
    }
    server.resume();
    let took = site.provisioned(&node, "/apps/later/sandbox", AFTER_HEALING).await;
    assert!(took < AFTER_HEALING, "{took:?}");
    assert_eq!(apps(&node).await, ["com.example.app", "later"]);
    node.stop().await;
}

#[tokio::test]
async fn what_one_process_changes_holds_on_the_other_within_a_second() {
    let (site, server) = (Site::new().await, RedisServer::start());
    let [one, other] = [site.start("a", &server.url(), "").await, site.start("b", &server.url(), "").await];
    let made = site.provision(&one, APP).await;
    assert_eq!(made.status, 201, "{made:?}");
    seen(&other, |answer| answer.status == 200 && revision(answer) == revision(&made)).await;
    assert_eq!(send(&mut other.client().await).await.outcomes(), ["accepted"]);
    let changed = site.provision_with(&other, "lanes", 2).await;
    let answer = seen(&one, |answer| revision(answer) == revision(&changed)).await;
    assert_eq!(answer.response()["lanes"], 2);
    assert_eq!(one.client().await.call("DELETE", APP, "").await.status, 200);
    seen(&other, |answer| answer.reason() == "unknown_app").await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_quarantine_that_one_node_begins_and_another_ends_is_known_on_both_within_a_second() {
    let (site, server) = (Site::new().await, RedisServer::start());
    let [one, other] = [site.start("a", &server.url(), "").await, site.start("b", &server.url(), "").await];
    assert_eq!(site.provision(&one, APP).await.status, 201);
    seen(&other, |answer| answer.status == 200).await;
    let bad = TokenState::Dead { reason: "BadDeviceToken", timestamp: None };
    (0..120).for_each(|number| site.simulator.set_token(&token(number), Some(bad.clone())));
    let batch = serde_json::Value::from_iter((0..120).map(|number| to(&token(number))));
    assert_eq!(one.client().await.post(&format!("{APP}/notifications"), batch.to_string()).await.status, 201);
    let held = |answer: &Answer| answer.response()["feedback_held"].is_object();
    assert!(held(&one.client().await.get(APP).await));
    seen(&other, held).await;
    let released = other.client().await.post(&format!("{APP}/feedback/held"), r#"{"action":"release"}"#).await;
    assert_eq!(released.response()["count"], 120);
    seen(&one, |answer| !held(answer)).await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn of_two_callers_who_provision_one_app_at_once_one_is_the_last_on_both_nodes() {
    let (site, server) = (Site::new().await, RedisServer::start());
    let nodes = [site.start("a", &server.url(), "").await, site.start("b", &server.url(), "").await];
    for round in 1..=8 {
        let (one, other) = tokio::join!(
            site.provision_with(&nodes[0], "timeout", round),
            site.provision_with(&nodes[1], "timeout", round + 100)
        );
        assert_eq!((one.status, other.status), (201, 201), "{one:?} {other:?}");
        assert_ne!(revision(&one), revision(&other));
        let last = if revision(&one) > revision(&other) { one } else { other };
        for node in &nodes {
            let answer = seen(node, |answer| revision(answer) == revision(&last)).await;
            assert_eq!(answer.response()["timeout"], last.response()["timeout"]);
        }
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn nodes_with_other_entries_take_no_app_from_each_other_when_they_start_and_start_again() {
    let (site, server) = (Site::new().await, RedisServer::start());
    let all = [("a", site.entries(&["one", "two"])), ("b", site.entries(&["two", "three"])), ("c", String::new())];
    let start = |number: usize| Process::run(site.serve_with(all[number].0, &server.url(), "", &all[number].1));
    let (a, b, c) = tokio::join!(start(0), start(1), start(2));
    let mut nodes = vec![a, b, c];
    for round in 0..2 {
        for node in &nodes {
            let until = Instant::now() + SEEN_WITHIN;
            while apps(node).await != ["one", "three", "two"] {
                assert!(Instant::now() < until, "in round {round}: {:?}", apps(node).await);
                sleep(Duration::from_millis(10)).await;
            }
        }
        for number in 0..3 {
            let node = nodes.remove(0);
            node.signal(if round == 0 { "KILL" } else { "TERM" });
            node.ended().await;
            nodes.push(start(number).await);
        }
    }
    assert_eq!(server.cli(&["HLEN", "pyapns:apps"]), "3");
    for node in nodes {
        node.stop().await;
    }
}
