//! A node that stops: the next owners of its lanes connect to Apple first, and it finishes what it has.

use super::NAMES;
use crate::support::site::{Node, Site, apps_of};
use crate::support::world::{to, token};
use simulator::{Latency, Script};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The state of a node by its record in Redis.
fn state(site: &Site, node: &str) -> String {
    let record = site.redis.cli(&["HGET", "pyapns:members", node]);
    let from = record.find("\"state\":\"").map(|at| at + "\"state\":\"".len());
    from.map_or_else(String::new, |from| record[from..].chars().take_while(|letter| *letter != '"').collect())
}

async fn connections(nodes: &[&Node]) -> f64 {
    let mut sum = 0.0;
    for node in nodes {
        sum += node.metric("pyapns_connections").await;
    }
    sum
}

#[tokio::test]
async fn the_next_owners_connect_before_a_node_hands_over_and_it_then_forwards_what_it_still_accepts() {
    let site = Site::new(&[]).await.with_notice(4);
    let apps = apps_of(&NAMES, 1, 4);
    let [a, mut b, c] = site.ready(NAMES, &apps).await;
    for app in &apps {
        b.sends(app, 1).await;
    }
    assert_eq!((connections(&[&a, &c]).await, connections(&[&b]).await), (0.0, 4.0));
    b.process.signal("TERM");
    b.process.logs("take the lanes of this node over", 1).await;
    assert_eq!(connections(&[&a, &c]).await, 4.0, "no notification was sent yet");
    let ready = b.client().await.get("/readyz").await;
    assert_eq!((ready.status, ready.reason()), (503, "shutting_down"));
    b.wait("its record says that it is gone", async |_| state(&site, "b") == "gone").await;
    for node in [&a, &c] {
        node.wait_metric("pyapns_peer_reachable{node=\"b\"}", 0.0).await;
    }
    let attempts = b.metric("pyapns_attempts_total").await;
    for (number, app) in apps.iter().enumerate() {
        let answer = b.send(app, 100 + number).await;
        assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
        assert!(["a", "c"].map(Some).contains(&answer.owner.as_deref()), "{answer:?}");
        for node in [&a, &c] {
            node.sends(app, 100 + number).await;
        }
        assert_eq!(site.connections_of(100 + number).len(), 1, "{app} has one owner");
    }
    assert_eq!(b.metric("pyapns_attempts_total").await, attempts, "it sends nothing itself");
    assert_eq!(connections(&[&a, &c]).await, 4.0, "those that were opened first were used");
    b.process.logs_until_end().await;
    assert_eq!(b.process.lines_with("takes no batches now"), 0, "the other nodes are well");
    assert_eq!(b.process.ended().await, Some(0));
    assert_eq!((state(&site, "b"), site.redis.cli(&["EXISTS", "pyapns:lease:b"])), (String::new(), "0".to_owned()));
    for node in [a, c] {
        node.process.stop().await;
    }
}

#[tokio::test]
async fn what_a_leaving_node_has_of_its_peers_is_finished_and_its_lease_is_kept_until_then() {
    let site = Site::new(&[]).await.with_notice(1);
    let apps = apps_of(&["a", "b"], 1, 1);
    let [a, mut b] = site.ready(["a", "b"], &apps).await;
    let latency = Some(Latency::FixedMs(4_000.0));
    site.simulator.set_script(Script { latency, ..Script::default() }).expect("a good script");
    let (mut client, path) = (a.client().await, format!("{}/notifications?timeout=20", apps[0]));
    let slow = tokio::spawn(async move { client.post(&path, to(&token(1)).to_string()).await });
    site.simulator.ledger().wait_until(|totals| totals.requests == 1).await;
    site.simulator.set_script(Script::default()).expect("a good script");
    let began = Instant::now();
    b.process.signal("TERM");
    b.process.logs("take the lanes of this node over", 1).await;
    a.wait_metric("pyapns_peer_reachable{node=\"b\"}", 0.0).await;
    a.sends(&apps[0], 2).await;
    sleep(Duration::from_secs(2).saturating_sub(began.elapsed())).await;
    assert_eq!(site.redis.cli(&["EXISTS", "pyapns:lease:b"]), "1", "it is a member while it has something to do");
    assert!(!slow.is_finished());
    let answer = slow.await.expect("an answer");
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    assert_eq!(b.process.ended().await, Some(0));
    assert_eq!(site.simulator.ledger().totals().requests, 2, "nothing was sent twice");
    a.process.stop().await;
}

#[tokio::test]
async fn without_redis_a_node_still_hands_its_lanes_over() {
    let mut site = Site::new(&[]).await.with_notice(2);
    let apps = apps_of(&["a", "b"], 1, 2);
    let [a, mut b] = site.ready(["a", "b"], &apps).await;
    for app in &apps {
        a.sends(app, 1).await;
    }
    site.redis.kill();
    b.wait("it knows that Redis is away", async |node| node.metric("pyapns_degraded{what=\"cluster\"}").await == 1.0)
        .await;
    b.process.signal("TERM");
    b.process.logs("take the lanes of this node over", 1).await;
    assert_eq!(connections(&[&a]).await, 2.0);
    for (number, app) in apps.iter().enumerate() {
        for node in [&a, &b] {
            node.sends(app, 10 + number).await;
        }
        assert_eq!(site.connections_of(10 + number).len(), 1, "{app} has one owner");
    }
    assert_eq!(b.process.ended().await, Some(0));
    for app in &apps {
        a.sends(app, 20).await;
    }
}
