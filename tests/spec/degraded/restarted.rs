//! Nodes that start while Redis is away: from their copy, or without one.

use super::*;
use crate::support::process::entry;
use crate::support::site::{Seat, apps_of};
use std::fs;

#[tokio::test]
async fn a_node_that_is_killed_in_an_outage_serves_from_its_copy_and_loses_no_feedback() {
    let mut site = Site::new(&["appendonly yes", "appendfsync always"]).await;
    let app = apps_of(&["a", "b"], 1, 1).remove(0);
    let [a, b] = site.ready(["a", "b"], std::slice::from_ref(&app)).await;
    (1_000..1_010).for_each(|number| kill_token(&site, number));
    b.sends(&app, 1).await;
    rejects(&b, &app, 1_000).await;
    let revision = a.client().await.get(&app).await.response()["revision"].clone();
    site.redis.kill();
    b.wait("it says so", async |node| !degraded(node, "cluster").await.is_null()).await;
    for number in 1_001..1_004 {
        rejects(&b, &app, number).await;
    }
    b.process.signal("KILL");
    b.process.ended().await;

    let b = site.start("b", "b").await;
    let ready = b.client().await.get("/readyz").await;
    assert_eq!((ready.status, &ready.response()["status"]), (200, &json!("degraded")), "{ready:?}");
    let copy = degraded(&b, "registry_copy").await;
    let age = copy["since"].as_f64().expect("a time") - copy["as_of"].as_f64().expect("a time");
    assert!((0.0..120.0).contains(&age), "{copy}");
    for what in ["registry_copy", "registry", "shared_store"] {
        b.wait_metric(&format!("pyapns_degraded{{what=\"{what}\"}}"), 1.0).await;
    }
    assert_eq!(b.client().await.get(&app).await.response()["revision"], revision, "the same app");
    b.sends(&app, 2).await;
    a.sends(&app, 2).await;
    assert!(b.metric("pyapns_events_spooled").await >= 3.0);
    let limit = b.metric("pyapns_events_spool_limit_bytes").await;
    assert!(limit == 268_435_456.0 && (1.0..limit).contains(&b.metric("pyapns_events_spooled_bytes").await));
    for number in 1_004..1_007 {
        rejects(&b, &app, number).await;
    }
    assert_refused(&site.provision(&b, &app).await, 503, "store_away");
    assert_refused(&b.client().await.call("DELETE", &app, "").await, 503, "store_away");
    // Once more, and not killed.
    b.process.stop().await;
    let b = site.start("b", "b").await;
    rejects(&b, &app, 1_007).await;

    site.redis.restart();
    for node in [&a, &b] {
        wait_well(node).await;
        let arrived = async |node: &Node| feedback(node, &app).await == tokens(1_000..1_008);
        node.wait("the feedback of the outage is there", arrived).await;
    }
    assert_eq!(b.metric("pyapns_events_spooled").await, 0.0);
    let log = logged(&a, &app).await;
    let each: BTreeSet<_> = log.iter().cloned().collect();
    assert_eq!((log.len(), each), (8, tokens(1_000..1_008)), "each entry of the log is there once");
    site.wait_joined(&[&a, &b]).await;
    assert_eq!(site.provision(&b, &app).await.status, 201);
    for node in [a, b] {
        node.process.stop().await;
    }
}

#[tokio::test]
async fn a_node_without_redis_and_without_a_copy_is_not_ready_and_joins_when_redis_comes() {
    let mut site = Site::new(&["appendonly yes", "appendfsync always"]).await;
    let app = apps_of(&["a", "b"], 1, 1).remove(0);
    let [a] = site.ready(["a"], std::slice::from_ref(&app)).await;
    site.redis.kill();
    let b = site.start("b", "b").await;
    let ready = b.client().await.get("/readyz").await;
    assert_refused(&ready, 503, "store_away");
    assert_eq!(degraded(&b, "apps").await["what"], "apps", "{ready:?}");
    assert_refused(&b.send(&app, 1).await, 404, "unknown_app");
    assert_refused(&site.provision(&b, &app).await, 503, "store_away");
    a.sends(&app, 1).await;
    site.redis.restart();
    for node in [&a, &b] {
        wait_well(node).await;
    }
    site.wait_joined(&[&a, &b]).await;
    b.sends(&app, 2).await;
    for node in [a, b] {
        node.process.stop().await;
    }
}

#[tokio::test]
async fn no_app_vanishes_when_nodes_with_differing_entries_restart_in_an_outage() {
    let mut site = Site::new(&["appendonly yes", "appendfsync always"]).await;
    let file = site.folder().join("shop.pem");
    fs::write(&file, &site.simulator.identity().client_pem).expect("a file");
    let entries = |apps: &[&str]| apps.iter().map(|app| entry(app, &file, "")).collect::<String>();
    let seats = NAMES.map(|name| Seat { more: entries(&["all", name]), ..site.seat(name) });
    let nodes = site.ready_at(seats.clone(), &[]).await;
    let all = BTreeSet::from(["all", "a", "b", "c"].map(str::to_owned));
    for node in &nodes {
        node.wait("it has all apps", async |node| apps_of_node(node).await == all).await;
    }
    let [a, b, c] = nodes;
    site.redis.kill();
    b.wait("it says so", async |node| !degraded(node, "cluster").await.is_null()).await;
    // One with another entry, one with none.
    for node in [b, c] {
        node.process.stop().await;
    }
    let [_, second, third] = seats;
    let b = site.start_at(Seat { more: entries(&["all", "new"]), ..second }).await;
    let c = site.start_at(Seat { more: String::new(), ..third }).await;
    for node in [&b, &c] {
        assert_eq!(apps_of_node(node).await, all, "{}", node.name);
        node.sends("/apps/b/sandbox", 1).await;
    }
    site.redis.restart();
    let with_new = &all | &BTreeSet::from(["new".to_owned()]);
    for node in [&a, &b, &c] {
        node.wait("it has all apps, and the new one", async |node| apps_of_node(node).await == with_new).await;
        wait_well(node).await;
    }
    for node in [a, b, c] {
        node.process.stop().await;
    }
}
