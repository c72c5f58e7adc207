//! A Redis that was emptied, and the decision of the operator.

use super::*;
use crate::support::shared::{pyapns, said};
use crate::support::site::apps_of;

/// The apps in Redis.
fn stored(site: &Site) -> String {
    site.redis.cli(&["HLEN", "pyapns:apps"])
}

fn restore(node: &Node, action: &str) {
    let url = format!("http://{}", node.process.address);
    let done = pyapns(&["cluster", "restore-registry", action, "--node", &url]);
    assert!(done.status.success(), "{:?}", said(&done));
}

async fn wait_foreign(node: &Node) {
    let is_foreign = async |node: &Node| {
        let refused = node.client().await.call("DELETE", "/apps/nothing/sandbox", "").await;
        refused.reason() == "registry_foreign"
    };
    node.wait("it refuses changes", is_foreign).await;
}

#[tokio::test]
async fn an_emptied_redis_gets_the_apps_of_one_node_back_and_the_others_follow() {
    let site = Site::new(&[]).await;
    let apps: Vec<_> = (0..3).flat_map(|index| apps_of(&NAMES, index, 2)).collect();
    let [a, b, mut c] = site.ready(NAMES, &apps).await;
    (1_000..1_002).for_each(|number| kill_token(&site, number));
    for (number, app) in apps.iter().enumerate() {
        a.sends(app, number).await;
    }
    let running = load(&[&a, &b], &apps);
    assert_eq!(site.redis.cli(&["FLUSHALL"]), "OK");
    for node in [&a, &b, &c] {
        wait_foreign(node).await;
        assert_eq!(apps_of_node(node).await.len(), 6, "{}", node.name);
        let registry = degraded(node, "registry").await;
        assert!(registry["why"].as_str().expect("a sentence").contains("restore-registry"), "{registry}");
        assert_eq!(node.client().await.get("/readyz").await.status, 200);
    }
    let refused = site.provision(&b, &apps[0]).await;
    assert_refused(&refused, 503, "registry_foreign");
    assert!(
        refused.body["error"].as_str().unwrap_or_default().contains("pyapns cluster restore-registry"),
        "{refused:?}"
    );
    // Events are stored all the same.
    rejects(&b, &apps[0], 1_000).await;
    assert_eq!(feedback(&a, &apps[0]).await, tokens([1_000]));
    // A node that restarts meanwhile keeps its apps.
    c.process.stop().await;
    c = site.start("c", "c").await;
    wait_foreign(&c).await;
    assert_eq!(apps_of_node(&c).await.len(), 6);
    c.sends(&apps[0], 50).await;
    assert_eq!(stored(&site), "0");

    restore(&b, "write-back");
    assert_eq!(stored(&site), "6");
    for node in [&a, &b, &c] {
        wait_well(node).await;
        assert_eq!(apps_of_node(node).await.len(), 6, "{}", node.name);
    }
    let revision = async |node: &Node| node.client().await.get(&apps[0]).await.response()["revision"].clone();
    assert_eq!(revision(&a).await, revision(&c).await);
    restore(&a, "write-back");
    let told = running.stop().await;
    told.assert_true(site.simulator.ledger());
    assert_eq!(told.accepted(), told.notes.len(), "{:?}", told.tally());
    // Node c has lost its connections with its process.
    for (number, app) in apps.iter().enumerate().take(4) {
        b.sends(app, number).await;
        assert_eq!(site.connections_of(number).len(), 1, "{app} has other connections");
    }
    site.wait_joined(&[&a, &b, &c]).await;
    assert_eq!(site.provision(&c, &apps[0]).await.status, 201);
    assert_eq!(c.client().await.call("DELETE", &apps[1], "").await.status, 200);
    a.wait("the app is gone", async |node| node.client().await.get(&apps[1]).await.status == 404).await;
    for node in [a, b, c] {
        node.process.stop().await;
    }
    // The copies follow the new history, too.
    let a = site.start("a", "a").await;
    wait_well(&a).await;
    assert_eq!(apps_of_node(&a).await.len(), 5);
    a.process.stop().await;
}

#[tokio::test]
async fn all_nodes_take_the_apps_of_another_redis_when_one_of_them_is_told_to_accept_it() {
    let site = Site::new(&[]).await;
    let apps = apps_of(&["a", "b"], 0, 3);
    let [a, b] = site.ready(["a", "b"], &apps).await;
    assert_eq!(site.redis.cli(&["FLUSHALL"]), "OK");
    for node in [&a, &b] {
        wait_foreign(node).await;
    }
    // A node without a copy takes the emptied store for a new one.
    let c = site.start("c", "c").await;
    assert_eq!(site.provision(&c, "/apps/new/sandbox").await.status, 201);
    assert_eq!(apps_of_node(&a).await.len(), 3);
    restore(&a, "accept");
    for node in [&a, &b, &c] {
        wait_well(node).await;
        assert_eq!(apps_of_node(node).await, BTreeSet::from(["new".to_owned()]), "{}", node.name);
        node.sends("/apps/new/sandbox", 1).await;
        assert_refused(&node.send(&apps[0], 1).await, 404, "unknown_app");
    }
    for node in [a, b, c] {
        node.process.stop().await;
    }
}

#[tokio::test]
async fn an_older_snapshot_of_redis_is_completed_by_the_apps_that_changed_since() {
    let mut site = Site::new(&["appendonly yes", "appendfsync always"]).await;
    let apps = apps_of(&["a", "b"], 0, 2);
    let [a, b] = site.ready(["a", "b"], &apps).await;
    let log = site.redis.folder().join("appendonlydir");
    let kept = site.redis.folder().join("kept");
    let copied = std::process::Command::new("cp").arg("-r").args([&log, &kept]).status().expect("cp");
    assert!(copied.success());
    let body = json!({"certificate": site.simulator.identity().client_pem, "lanes": 2}).to_string();
    assert_eq!(a.client().await.post(&apps[0], body).await.status, 201);
    assert_eq!(site.provision(&b, "/apps/new/sandbox").await.status, 201);
    assert_eq!(a.client().await.call("DELETE", &apps[1], "").await.status, 200);
    for node in [&a, &b] {
        node.wait("it has the changes", async |node| {
            let names = apps_of_node(node).await;
            names.len() == 2 && names.contains("new")
        })
        .await;
    }
    site.redis.kill();
    std::fs::remove_dir_all(&log).expect("a folder");
    std::fs::rename(&kept, &log).expect("a folder");
    site.redis.restart();
    for node in [&a, &b] {
        wait_foreign(node).await;
        assert_eq!(apps_of_node(node).await.len(), 2);
    }
    assert_eq!(stored(&site), "2");
    restore(&a, "write-back");
    for node in [&a, &b] {
        wait_well(node).await;
        assert_eq!(apps_of_node(node).await.len(), 3);
        assert_eq!(node.client().await.get(&apps[0]).await.response()["lanes"], 2, "{}", node.name);
    }
    assert_eq!(stored(&site), "3");
    // The app that was removed after the snapshot is there again, also for a node that starts from its copy.
    b.process.stop().await;
    let b = site.start("b", "b").await;
    site.wait_joined(&[&a, &b]).await;
    assert_eq!(apps_of_node(&b).await, apps_of_node(&a).await);
    for node in [a, b] {
        node.process.stop().await;
    }
}

#[tokio::test]
async fn a_node_of_its_own_has_nothing_to_recover_and_says_so() {
    let world = crate::support::world::World::start().await;
    let mut client = crate::support::client::Client::connect(world.node.address).await;
    for (body, status, reason) in [
        (r#"{"action":"accept"}"#, 409, "not_shared"),
        (r#"{"action":"burn"}"#, 400, "wrong_type"),
        (r#"{"action":"accept","x":1}"#, 400, "unknown_field"),
        ("", 400, "malformed_json"),
    ] {
        assert_refused(&client.post("/cluster/registry", body.to_owned()).await, status, reason);
    }
    world.stop().await;
}
