//! Outages of Redis: sending goes on, and no lane moves.

use super::{NAMES, send_all};
use crate::support::redis_server::RedisServer;
use crate::support::site::{Node, Site, apps_of};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const BACK_WITHIN: Duration = Duration::from_secs(2);

/// Sends for so long from all nodes; each token's notifications stay on the connection that they had.
async fn keeps_sending(site: &Site, nodes: &[&Node], apps: &[String], how_long: Duration) {
    let began = Instant::now();
    while began.elapsed() < how_long {
        send_all(nodes, apps, 0).await;
        for node in nodes {
            assert_eq!(node.metric("pyapns_cluster_members").await, 3.0, "{}", node.name);
        }
        sleep(Duration::from_millis(100)).await;
    }
    for (number, app) in apps.iter().enumerate() {
        assert_eq!(site.connections_of(number).len(), 1, "{app} has moved");
    }
}

/// Takes Redis away, for so long, and brings it back; nothing else happens to the cluster.
async fn goes_through(
    mut site: Site,
    away: impl Fn(&mut RedisServer),
    how_long: Duration,
    back: impl Fn(&mut RedisServer),
) {
    let apps: Vec<_> = (0..3).flat_map(|index| apps_of(&NAMES, index, 2)).collect();
    let nodes = site.ready(NAMES, &apps).await;
    send_all(&nodes.each_ref(), &apps, 0).await;
    away(&mut site.redis);
    for node in &nodes {
        node.wait("it says so", async |node| node.metric("pyapns_degraded{what=\"cluster\"}").await == 1.0).await;
        assert!(node.metric("pyapns_cluster_beat_failures_total").await >= 1.0);
    }
    keeps_sending(&site, &nodes.each_ref(), &apps, how_long).await;
    for node in &nodes {
        let ready = node.client().await.get("/readyz").await;
        assert_eq!((ready.status, &ready.response()["status"]), (200, &json!("degraded")), "{ready:?}");
        let degraded = ready.response()["degraded"].as_array().expect("a list");
        assert!(degraded.iter().any(|part| part["what"] == "shared_store"), "{ready:?}");
    }
    back(&mut site.redis);
    let began = Instant::now();
    for node in &nodes {
        node.wait_metric("pyapns_cluster_lease_held", 1.0).await;
        node.wait_metric("pyapns_degraded{what=\"cluster\"}", 0.0).await;
    }
    println!("all beat again after {:?}", began.elapsed());
    assert!(began.elapsed() < BACK_WITHIN, "{:?}", began.elapsed());
    // The time in which a node could take its own lease for the only one.
    keeps_sending(&site, &nodes.each_ref(), &apps, Duration::from_secs(7)).await;
    for node in nodes {
        node.process.stop().await;
    }
}

#[tokio::test]
async fn while_redis_stands_still_for_ten_seconds_sends_go_on_and_no_lane_moves() {
    let site = Site::new(&[]).await;
    goes_through(site, |redis| redis.pause(), Duration::from_secs(9), |redis| redis.resume()).await;
}

#[tokio::test]
async fn while_redis_is_killed_for_ten_seconds_sends_go_on_and_no_lane_moves() {
    let site = Site::new(&["appendonly yes", "appendfsync always"]).await;
    goes_through(site, RedisServer::kill, Duration::from_secs(9), RedisServer::restart).await;
}

#[tokio::test]
async fn an_emptied_redis_moves_no_lane_and_removes_no_app() {
    let site = Site::new(&[]).await;
    let apps: Vec<_> = (0..3).flat_map(|index| apps_of(&NAMES, index, 2)).collect();
    let nodes = site.ready(NAMES, &apps).await;
    send_all(&nodes.each_ref(), &apps, 0).await;
    assert_eq!(site.redis.cli(&["FLUSHALL"]), "OK");
    keeps_sending(&site, &nodes.each_ref(), &apps, Duration::from_secs(8)).await;
    for node in &nodes {
        for app in &apps {
            assert_eq!(node.client().await.get(app).await.status, 200, "{app} on {}", node.name);
        }
    }
    site.wait_joined(&nodes.each_ref()).await;
    for node in nodes {
        node.process.stop().await;
    }
}
