//! The settings of a shared store: told all at once, never with a password, and never beside somebody else's database.

use crate::support::process::{Home, entry};
use crate::support::redis_server::RedisServer;
use crate::support::shared::{Cluster, pyapns, said};
use crate::support::world::{APP, World, to, token};
use std::process::Output;

/// The settings that a shared store needs beside its URL.
const NEEDED: [&str; 5] =
    ["node_name", "credentials.key_files", "cluster.listen", "cluster.allow", "cluster.identity_files"];

#[test]
fn serve_and_check_config_tell_all_that_a_shared_store_misses_in_one_run() {
    for (command, code) in [("serve", 2), ("check-config", 1)] {
        let (status, text) = said(&pyapns(&[command, "--store", "redis://127.0.0.1:1"]));
        assert_eq!(status, Some(code), "{command}: {text}");
        for setting in NEEDED {
            assert!(text.contains(&format!("{setting} in configuration: it is missing")), "{command}: {text}");
        }
    }
}

#[test]
fn a_password_on_the_command_line_is_refused_and_never_repeated() {
    let url = "redis://pyapns:hunter2@127.0.0.1:1";
    for arguments in [
        &["serve", "--store", url][..],
        &["check-config", "--store", url],
        &["doctor", "--no-push", "--store", url],
        &["store", "copy", "sqlite:nowhere", url],
        &["store", "copy", url, "sqlite:nowhere"],
    ] {
        let (status, text) = said(&pyapns(arguments));
        assert!(matches!(status, Some(1 | 2)), "{arguments:?}: {text}");
        assert!(text.contains("must not hold a user or a password"), "{arguments:?}: {text}");
        assert!(!text.contains("hunter2"), "{arguments:?}: {text}");
    }
}

fn check(home: &Home) -> Output {
    pyapns(&["check-config", "--config", &home.path("pyapns.toml")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_config_reads_the_files_of_a_shared_store_and_warns_of_a_short_notice() {
    let world = World::start().await;
    let home = Home::new(&world, "node", "pyapns.toml");
    let cluster = Cluster::make(&home.folder.join("cluster"));
    cluster.configure(&home, "push-1");
    let (status, text) = said(&check(&home));
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("warning: drain_notice_seconds is 0: in a cluster"), "{text}");

    home.put("password", "");
    home.put("no.pem", "nothing");
    let bad = cluster.settings("push-1").replace(&cluster.file("cluster.pem"), &home.path("no.pem"));
    home.configure(&format!("{bad}\nstore.password_file = '{}'", home.path("password")));
    let (status, text) = said(&check(&home));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("cluster.identity_files in") && text.contains("store.password_file in"), "{text}");
    world.stop().await;
}

#[test]
fn check_config_refuses_what_cannot_be_a_cluster_and_names_every_setting_to_change_in_one_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pyapns.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).expect("a file");
        said(&pyapns(&["check-config", "--config", file.to_str().expect("text")]))
    };
    let secrets = "credentials.key_files = 'gone.key'\ncluster.identity_files = ['one.pem', 'two.pem']";
    for (listen, advertise, told) in [
        ("0.0.0.0:8090", "0.0.0.0:8090", &["cannot connect to 0.0.0.0:8090"][..]),
        ("[::]:8090", "[::]:8090", &["cannot connect to [::]:8090"]),
        ("10.0.0.1:0", "10.0.0.1:0", &["port 0 is another port", "cannot connect to 10.0.0.1:0"]),
        ("127.0.0.1:8090", "127.0.0.1:8090", &["only this machine connects to", "127.0.0.1:8090 is this machine only"]),
        (
            "0.0.0.0:8088",
            "localhost:8088",
            &["is already the address of listen", "localhost:8088 is this machine only"],
        ),
    ] {
        let (status, text) = check(&format!(
            "node_name = 'a'\nstore.url = 'redis://10.0.0.9'\ncluster.allow = '10.0.0.0/24'\n{secrets}
             cluster.listen = '{listen}'\ncluster.advertise = '{advertise}'"
        ));
        assert_eq!(status, Some(1), "{text}");
        for told in told.iter().chain(&["gone.key", "one.pem", "two.pem"]) {
            assert!(text.contains(told), "{listen}: no {told:?} in {text}");
        }
    }
    let (status, text) = check("cluster.listen = '10.0.0.1:8090'\ncluster.allow = '10.0.0.0/24'");
    assert_eq!((status, text.matches("store.url names none: set store.url").count()), (Some(1), 2), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_used_alone_or_beside_a_shared_store_but_never_changes_sides_by_itself() {
    let world = World::start().await;
    let home = Home::new(&world, "node", "pyapns.toml");
    let cluster = Cluster::make(&home.folder.join("cluster"));
    let pem = world.simulator.identity().client_pem.clone();

    home.configure("listen = '127.0.0.1:0'");
    let alone = home.start().await;
    assert_eq!(alone.client().await.post(APP, pem.clone()).await.status, 201);
    alone.stop().await;
    cluster.configure(&home, "push-1");
    let (status, text) = home.refused().await;
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("holds apps or events of its own") && text.contains("`pyapns store copy sqlite:"), "{text}");
    assert!(text.contains(" config:FILE`"), "the password and the keys are in the configuration: {text}");
    assert_eq!(cluster.redis.cli(&["DBSIZE"]), "0", "nothing was written");

    std::fs::remove_dir_all(home.data()).expect("the folder");
    let shared = home.start().await;
    let mut client = shared.client().await;
    assert_eq!(client.post(APP, pem).await.status, 201);
    let sent = client.post(&format!("{APP}/notifications"), to(&token(1)).to_string()).await;
    assert_eq!(sent.outcomes(), ["accepted"]);
    assert_eq!(cluster.redis.cli(&["HLEN", "pyapns:apps"]), "1", "the app is in Redis");
    drop(client);
    shared.stop().await;
    let again = home.start().await;
    assert_eq!(again.client().await.get(APP).await.response()["state"], "ok", "it opens what it has sealed");
    again.stop().await;

    home.configure("listen = '127.0.0.1:0'");
    let (status, text) = home.refused().await;
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("a node's copy of a shared store") && text.contains("set store.url"), "{text}");
    let backup = pyapns(&["backup", "--store", &cluster.redis.url(), &home.path("copy.db")]);
    assert_ne!(backup.status.code(), Some(0), "the database has nothing to back up: {backup:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_connects_to_the_shared_store_and_says_what_would_be_refused() {
    let world = World::start().await;
    let home = Home::new(&world, "node", "pyapns.toml");
    let cluster = Cluster::make(&home.folder.join("cluster"));
    let doctor = |cluster: &Cluster| {
        cluster.configure(&home, "push-1");
        let data = home.data().display().to_string();
        let gateway = format!("https://{}", world.simulator.address());
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pyapns"));
        command.args(["doctor", "--no-push", "--config", &home.path("pyapns.toml"), "--data-dir", &data]);
        command.env("PYAPNS_APPLE_SANDBOX", &gateway).env("PYAPNS_APPLE_PRODUCTION", &gateway);
        command.env("PYAPNS_APPLE_CA_FILE", world.directory.path().join("simulator/ca.pem"));
        said(&command.output().expect("the program runs"))
    };
    let line = |text: &str, verdict: &str, about: &str| {
        text.lines().any(|line| line.starts_with(&format!("{verdict:<5} store ")) && line.contains(about))
    };
    let (status, text) = doctor(&cluster);
    assert_eq!(status, Some(0), "{text}");
    assert!(line(&text, "ok", "answers, can be written, 0 apps"), "{text}");
    assert!(!home.data().exists(), "nothing was made");
    assert_eq!(cluster.redis.cli(&["HLEN", "pyapns:apps"]), "0");

    cluster.configure(&home, "push-1");
    let node = home.start().await;
    let pem = world.simulator.identity().client_pem.clone();
    assert_eq!(node.client().await.post(APP, pem).await.status, 201);
    let (_, text) = doctor(&cluster);
    assert!(line(&text, "ok", "is held by a node that runs") && line(&text, "ok", "can be written, 1 apps"), "{text}");
    node.stop().await;

    let evicting =
        Cluster { redis: RedisServer::with(&["maxmemory 100mb", "maxmemory-policy allkeys-lru"]), ..cluster };
    let (status, text) = doctor(&evicting);
    assert_eq!(status, Some(1), "{text}");
    assert!(line(&text, "fail", "maxmemory-policy noeviction"), "{text}");
    let mut gone = evicting;
    gone.redis.kill();
    let (status, text) = doctor(&gone);
    assert_eq!(status, Some(1), "{text}");
    assert!(line(&text, "fail", "store.url"), "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_the_key_of_the_others_is_not_ready_and_its_log_names_the_key() {
    let world = World::start().await;
    let [first, second] = ["first", "second"].map(|name| Home::new(&world, name, "pyapns.toml"));
    let cluster = Cluster::make(&first.folder.join("cluster"));
    cluster.configure(&first, "push-1");
    let node = first.start().await;
    assert_eq!(node.client().await.get("/readyz").await.status, 200);
    let pem = world.simulator.identity().client_pem.clone();
    assert_eq!(node.client().await.post(APP, pem).await.status, 201);

    second.put("other.key", &"0a".repeat(32));
    let (old, new) = (cluster.file("credentials.key"), second.path("other.key"));
    let with_keys = |keys: &str| cluster.settings("push-2").replace(&format!("'{old}'"), keys);
    second.configure(&with_keys(&format!("'{new}'")));
    let stranger = second.start().await;
    let ready = stranger.client().await.get("/readyz").await;
    assert_eq!((ready.status, ready.reason()), (503, "credential_key_missing"), "{ready:?}");
    assert_eq!(ready.response()["degraded"][0]["what"], "credential_keys", "{ready:?}");
    let told = stranger.line_with("which is not in credentials.key_files");
    assert!(told.contains("are sealed with the key "), "{told}");
    let body = world.simulator.identity().client_pem.clone();
    let refused = stranger.client().await.post("/apps/new/sandbox", body).await;
    assert_eq!((refused.status, refused.reason()), (503, "credential_key_missing"), "{refused:?}");
    stranger.stop().await;
    second.put("shop.pem", &world.simulator.identity().client_pem);
    second.configure(&(with_keys(&format!("'{new}'")) + &entry("com.example.app", "shop.pem", "")));
    let stored = || cluster.redis.cli(&["HGET", "pyapns:apps", "sandbox/com.example.app"]);
    let before = stored();
    second.start().await.stop().await;
    assert_eq!(stored(), before, "a node with another key breaks no app of the others");

    second.configure(&with_keys(&format!("['{new}', '{old}']")));
    let both = second.start().await;
    assert_eq!(both.client().await.get("/readyz").await.status, 200);
    let sent = both.client().await.post(&format!("{APP}/notifications"), to(&token(1)).to_string()).await;
    assert_eq!(sent.outcomes(), ["accepted"]);
    assert_eq!(node.client().await.get("/readyz").await.status, 200, "a node that runs goes on");
    node.stop().await;
    let behind = first.start().await;
    assert_eq!(behind.client().await.get("/readyz").await.status, 503, "others seal with a key that it does not have");
    behind.stop().await;
    both.stop().await;
    world.stop().await;
}
