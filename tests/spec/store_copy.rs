//! `pyapns store copy`: a node's store moved into a cluster's, and back, with nothing lost.

use crate::support::client::Client;
use crate::support::process::{Home, entry};
use crate::support::redis_server::RedisServer;
use crate::support::shared::{Cluster, pyapns, said};
use crate::support::world::{APP, Credential, World, to, token};
use pyapns::credentials::{Keyring, Material, sealed};
use pyapns::model::{AppId, AppKey, Environment, Feedback, Records};
use pyapns::store::{AppRecord, Apps, Events, Expect, Revision, Sqlite};
use serde_json::{Value, json};
use simulator::TokenState;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Dead tokens, so that lists have more entries than one page of a copy.
const DEAD: usize = 700;
/// Tokens of a wrong environment: enough for the mass-removal guard.
const BAD: usize = 120;

const TOKEN_APP: &str = "/apps/token-app/production";

/// Provisions a second app and fills the lists of both.
async fn fill(world: &World, client: &mut Client) {
    let identity = world.simulator.identity();
    let (key, key_id, team_id) = (&identity.key_pem, &identity.key_id, &identity.team_id);
    let second = json!({"key": key, "key_id": key_id, "team_id": team_id, "topic": identity.topic, "timeout": 20});
    assert_eq!(client.post(TOKEN_APP, second.to_string()).await.status, 201);
    let dead = |timestamp| Some(TokenState::Dead { reason: "Unregistered", timestamp: Some(timestamp) });
    for number in 0..DEAD {
        world.simulator.set_token(&token(number), dead(1_700_000_000_000 + number as i64));
    }
    let bad = Some(TokenState::Dead { reason: "BadDeviceToken", timestamp: None });
    (DEAD..DEAD + BAD).for_each(|number| world.simulator.set_token(&token(number), bad.clone()));
    let batch = |numbers: std::ops::Range<usize>| Value::from_iter(numbers.rev().map(|number| to(&token(number))));
    let sent = client.post(&format!("{APP}/notifications"), batch(0..DEAD).to_string()).await;
    assert!(sent.outcomes().iter().all(|outcome| *outcome == "rejected"));
    let sent = client.post(&format!("{TOKEN_APP}/notifications"), batch(DEAD - 3..DEAD + BAD).to_string()).await;
    assert!(sent.outcomes().iter().all(|outcome| *outcome == "rejected"));
    let first = client.get(&format!("{APP}/feedback?limit=2")).await;
    let cursor = first.body["cursor"].as_str().expect("a cursor").to_owned();
    assert_eq!(client.call("DELETE", &format!("{APP}/feedback?through={cursor}"), "").await.status, 200);
}

/// All that a node says about its apps and their lists, but what differs from store to store and from run to run.
async fn everything(client: &mut Client) -> Value {
    let mut all = Vec::new();
    for app in [APP, TOKEN_APP] {
        let mut about = client.get(app).await.response().clone();
        for run in ["revision", "state", "connections", "last_success_at", "last_error", "bound_by", "counts"] {
            about.as_object_mut().expect("an object").remove(run);
        }
        let fields = ["app_id", "environment", "topic", "timeout", "lanes", "credential", "feedback_held"];
        let about: Value = fields.iter().map(|field| (*field, about[field].clone())).collect();
        let mut lists = vec![about];
        for list in ["feedback?limit=10000", "disconnections?limit=10000", "feedback/held"] {
            let page = client.get(&format!("{app}/{list}")).await;
            assert_eq!(page.status, 200, "{page:?}");
            lists.push(page.response().clone());
        }
        all.push(Value::from(lists));
    }
    Value::from(all)
}

async fn cursor(client: &mut Client) -> String {
    client.get(&format!("{APP}/feedback?limit=3")).await.body["cursor"].as_str().expect("a cursor").to_owned()
}

async fn refuses(client: &mut Client, cursor: &str) {
    for list in ["feedback", "disconnections"] {
        let refused = client.get(&format!("{APP}/{list}?cursor={cursor}")).await;
        assert_eq!((refused.status, refused.reason()), (400, "foreign_cursor"), "{refused:?}");
    }
}

async fn sends(client: &mut Client) {
    for app in [APP, TOKEN_APP] {
        let sent = client.post(&format!("{app}/notifications"), to(&token(100_000)).to_string()).await;
        assert_eq!(sent.outcomes(), ["accepted"], "the credential of {app} works: {sent:?}");
    }
}

/// Runs a copy without holding up the simulator.
async fn copy(arguments: &[&str]) -> (Option<i32>, String) {
    let arguments: Vec<String> = ["store", "copy"].iter().chain(arguments).map(|text| (*text).to_owned()).collect();
    let run = move || said(&pyapns(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

fn sqlite(folder: &Path) -> String {
    format!("sqlite:{}", folder.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_moves_into_redis_and_back_has_everything_it_had() {
    let world = World::start().await;
    let single = Home::new(&world, "single", "pyapns.toml");
    single.put("shop.pem", &world.simulator.identity().client_pem);
    let own = entry("com.example.app", "shop.pem", "");
    single.configure(&format!("listen = '127.0.0.1:0'\ndrain_notice_seconds = 0\n{own}"));
    let node = single.start().await;
    let mut client = node.client().await;
    fill(&world, &mut client).await;
    let before = everything(&mut client).await;
    assert_eq!(before[0][1].as_array().map(Vec::len), Some(DEAD - 2));
    assert_eq!(before[1][3]["count"], BAD, "{}", before[1][3]);
    let old = cursor(&mut client).await;
    let shared = Home::new(&world, "shared", "pyapns.toml");
    let cluster = Cluster::make(&shared.folder.join("cluster"));
    shared.configure(&cluster.settings("push-1"));
    let to_redis = [&*sqlite(&single.data()), &*format!("config:{}", shared.path("pyapns.toml"))];
    let (status, text) = copy(&to_redis).await;
    assert!(status == Some(1) && text.contains("is in use by another pyapns"), "a node that runs holds it: {text}");
    assert_eq!(cluster.redis.cli(&["DBSIZE"]), "0");
    drop(client);
    node.stop().await;

    let (status, text) = copy(&to_redis).await;
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains(&format!("apps 2, entries of configurations 1, feedback {}", DEAD - 2 + 3)), "{text}");
    let (status, text) = copy(&to_redis).await;
    assert!(status == Some(1) && text.contains("holds apps, events, pins or cordons already"), "{text}");
    let node = shared.start().await;
    let mut client = node.client().await;
    assert_eq!(everything(&mut client).await, before);
    refuses(&mut client, &old).await;
    let new = cursor(&mut client).await;
    drop(client);
    let back = Home::new(&world, "back", "pyapns.toml");
    back.put("shop.pem", &world.simulator.identity().client_pem);
    let (url, key) = (cluster.redis.url(), cluster.file("credentials.key"));
    let (status, text) = copy(&[&url, &sqlite(&back.data()), "--from-keys", &key]).await;
    assert!(status == Some(1) && text.contains("nodes use it: stop push-1 first"), "a node that runs: {text}");
    node.stop().await;

    let (status, text) = copy(&[&url, &sqlite(&back.data())]).await;
    assert!(status == Some(1) && text.contains("--from-keys is missing"), "{text}");
    let (status, text) = copy(&[&url, &sqlite(&back.data()), "--from-keys", &key]).await;
    assert_eq!(status, Some(0), "{text}");
    back.configure(&format!("listen = '127.0.0.1:0'\ndrain_notice_seconds = 0\n{own}"));
    let node = back.start().await;
    let mut client = node.client().await;
    assert_eq!(everything(&mut client).await, before);
    refuses(&mut client, &new).await;
    sends(&mut client).await;
    let released = client.post(&format!("{TOKEN_APP}/feedback/held"), r#"{"action":"release"}"#).await;
    assert_eq!(released.response()["count"], BAD);
    back.configure("listen = '127.0.0.1:0'\ndrain_notice_seconds = 0");
    drop(client);
    node.stop().await;
    let node = back.start().await;
    assert_eq!(
        node.client().await.get(APP).await.status,
        404,
        "the entry that made the app came along, and goes with it"
    );
    node.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_cut_off_starts_no_node_and_is_finished_by_the_same_command() {
    let world = World::with(Credential::Token).await;
    let shared = Home::new(&world, "shared", "pyapns.toml");
    let cluster = Cluster::make(&shared.folder.join("cluster"));
    let World { simulator, node, directory } = world;
    node.stop().await;
    let data = directory.path().join("data");
    shared.configure(&cluster.settings("push-1"));
    let name = sqlite(&data.canonicalize().expect("a folder"));
    // What a copy leaves that ends in the middle.
    cluster.redis.cli(&["HSET", "pyapns:meta", "unfinished_copy", &name, "epoch", "77"]);
    cluster.redis.cli(&["HSET", "pyapns:entries", "sandbox/cut", "off"]);
    let (status, text) = shared.refused().await;
    assert!(status == Some(1) && text.contains("the unfinished result of `pyapns store copy` from sqlite:"), "{text}");
    let config = format!("config:{}", shared.path("pyapns.toml"));
    let (status, text) = copy(&[&config, &sqlite(&directory.path().join("new"))]).await;
    assert!(status == Some(1) && text.contains("the unfinished copy of sqlite:"), "{text}");
    std::fs::create_dir(directory.path().join("other")).expect("a folder");
    std::fs::copy(data.join("pyapns.db"), directory.path().join("other/pyapns.db")).expect("a file");
    std::fs::copy(data.join("credentials.key"), directory.path().join("other/credentials.key")).expect("a file");
    let (status, text) = copy(&[&sqlite(&directory.path().join("other")), &config]).await;
    assert!(status == Some(1) && text.contains("the unfinished copy of another source"), "{text}");

    let (status, text) = copy(&[&name, &config]).await;
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(cluster.redis.cli(&["HLEN", "pyapns:entries"]), "0", "nothing of the one that was cut off is left");
    let node = shared.start().await;
    let sent = node.client().await.post(&format!("{APP}/notifications"), to(&token(1)).to_string()).await;
    assert_eq!(sent.outcomes(), ["accepted"]);
    node.stop().await;
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_copied_that_the_keys_do_not_open_or_that_nodes_use() {
    let world = World::start().await;
    let World { simulator, node, directory } = world;
    node.stop().await;
    let data = directory.path().join("data");
    let lines = ["user default off", "user pyapns on >hunter2 ~push:* resetchannels +@all -@admin -@dangerous +info"];
    let cluster = Cluster::on(&directory.path().join("cluster"), RedisServer::with(&lines));
    let (password, key) = (directory.path().join("password"), cluster.file("credentials.key"));
    std::fs::write(&password, "hunter2\n").expect("a file");
    let password = password.display().to_string();
    let (url, from) = (cluster.redis.url(), sqlite(&data));
    let login = ["--to-username", "pyapns", "--to-password-file", &password, "--to-prefix", "push:"];
    let into = |more: &[&str]| [&[&*from, &*url, "--to-keys", &key], &login[..], more].concat().join("\n");
    let run = async |arguments: String| copy(&arguments.split('\n').collect::<Vec<_>>()).await;

    let (status, text) = run(into(&["--from-keys", &key])).await;
    assert!(status == Some(1) && text.contains("these credentials cannot be opened"), "{text}");
    assert!(text.contains("com.example.app/sandbox: the stored credential is sealed with the key "), "{text}");
    let cli = |arguments: &[&str]| cluster.redis.cli(&[&["--user", "pyapns", "--pass", "hunter2"], arguments].concat());
    assert_eq!(cli(&["EXISTS", "push:meta"]), "0", "nothing was written");
    let (_, text) = copy(&[&from, &url, "--to-keys", &key]).await;
    assert!(text.contains("store.password_file"), "without a password: {text}");

    cli(&["HSET", "push:members", "push-7", "{}"]);
    cli(&["SET", "push:lease:push-7", "a session", "PX", "600000"]);
    let (status, text) = run(into(&[])).await;
    assert!(status == Some(1) && text.contains("nodes use it: stop push-7 first"), "{text}");
    cli(&["DEL", "push:lease:push-7"]);
    let (status, text) = run(into(&[])).await;
    assert_eq!(status, Some(0), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(cli(&["HLEN", "push:apps"]), "1");
    assert_eq!(cli(&["HEXISTS", "push:meta", "check"]), "1", "a node without the key will notice");

    let (status, text) =
        copy(&[&sqlite(&directory.path().join("nowhere")), &sqlite(&directory.path().join("new"))]).await;
    assert!(status == Some(1) && text.contains("there is no database in"), "{text}");
    assert!(!directory.path().join("nowhere").exists() && !directory.path().join("new").exists());
    let (status, text) = copy(&[&from, &from]).await;
    assert!(status == Some(1) && text.contains("are the same store"), "{text}");
    let (status, text) = copy(&["elsewhere", &from]).await;
    assert!(status == Some(1) && text.contains("FROM must be sqlite:DIR"), "{text}");
    simulator.stop().await;
}

/// Fills a database with apps of two dead tokens each.
async fn fill_database(folder: &Path, apps: usize) {
    let store = Sqlite::open(folder).expect("a database");
    let keyring = Keyring::load(&[], folder).expect("a key");
    let material = Material::Certificate { pem: "any text".into() };
    for number in 0..apps {
        let key = AppKey::new(AppId::new(&format!("app-{number}")).expect("an id"), Environment::Sandbox);
        let record = AppRecord {
            credential: sealed::seal(&keyring, &key, &material),
            certificate_path: None,
            topic: None,
            timeout_seconds: 15,
            lanes: 1,
            entry: None,
            revision: Revision::NONE,
            key: key.clone(),
        };
        let reason = "Unregistered".to_owned();
        let dead = |token| Feedback { app: key.clone(), token, reason: reason.clone(), timestamp: 1.0 };
        let feedback = vec![dead(token(1)), dead(token(2))];
        let records = Arc::new(Records { feedback, disconnections: Vec::new() });
        let (put, recorded) = tokio::join!(store.put(record, Expect::Any), store.record(records));
        put.expect("an app");
        recorded.expect("feedback");
    }
}

/// Takes at most 20 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_killed_again_and_again_is_finished_by_the_same_command_with_nothing_twice() {
    const APPS: usize = 300;
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::make(&folder.path().join("cluster"));
    let data = folder.path().join("data");
    fill_database(&data, APPS).await;
    let (from, url, key) = (sqlite(&data), cluster.redis.url(), cluster.file("credentials.key"));
    let arguments = [&*from, &*url, "--to-keys", &key];
    let mut cut_off = 0;
    for copied in [0, 1, APPS / 3, APPS / 2] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        let mut copying =
            command.args(["store", "copy"]).args(arguments).kill_on_drop(true).spawn().expect("a program");
        let until = Instant::now() + Duration::from_secs(5);
        while cluster.redis.cli(&["HEXISTS", "pyapns:meta", "unfinished_copy"]) == "0"
            || cluster.redis.cli(&["HLEN", "pyapns:apps"]).parse::<usize>().expect("a number") < copied
        {
            assert!(Instant::now() < until, "the copy begins");
        }
        copying.kill().await.expect("it runs");
        cut_off += cluster.redis.cli(&["HEXISTS", "pyapns:meta", "unfinished_copy"]).parse::<u32>().expect("a number");
    }
    assert!(cut_off > 0, "none was in the middle");
    let (status, text) = copy(&arguments).await;
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains(&format!("apps {APPS}, entries of configurations 0, feedback {}", 2 * APPS)), "{text}");
    assert_eq!(cluster.redis.cli(&["HLEN", "pyapns:apps"]), APPS.to_string());
    assert_eq!(cluster.redis.cli(&["HLEN", "pyapns:fb:sandbox/app-7"]), "2");
    let back = folder.path().join("back");
    let (status, text) = copy(&[&url, &sqlite(&back), "--from-keys", &key]).await;
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains(&format!("apps {APPS}, entries of configurations 0, feedback {}", 2 * APPS)), "{text}");
}
