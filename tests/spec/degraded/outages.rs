//! Outages of Redis under a load: plain sends go on, no lane moves, and no feedback is lost.

use super::*;
use crate::support::client::Client;
use crate::support::full;
use crate::support::redis_server::RedisServer;
use crate::support::site::apps_of;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// All nodes beat again within this time of Redis's end of an outage.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// Tokens that are dead: those of the outage, and one after it.
const DEAD: std::ops::Range<usize> = 1_000..1_012;
const LATER: usize = 1_020;

/// The interval and the time limit of the checks of `haproxy/haproxy.cfg`, and the failures in a row that end the traffic.
const CHECK: Duration = Duration::from_millis(500);
const FAILED_CHECKS: usize = 2;

fn length(short: u64, long: u64) -> Duration {
    Duration::from_secs(if full() { long } else { short })
}

/// Checks the node as the load balancer does, until the end. Returns the most failures in a row.
async fn failed_checks(node: SocketAddr, end: CancellationToken) -> usize {
    let (mut most, mut row, mut clock) = (0, 0, interval(CHECK));
    while !end.is_cancelled() {
        clock.tick().await;
        let check = async { Client::connect(node).await.get("/readyz").await.status };
        row = if timeout(CHECK, check).await == Ok(200) { 0 } else { row + 1 };
        most = most.max(row);
    }
    most
}

/// Takes Redis away from three nodes for so long.
async fn goes_through(
    mut site: Site,
    away: impl Fn(&mut RedisServer),
    how_long: Duration,
    back: impl Fn(&mut RedisServer),
) {
    let apps: Vec<_> = (0..3).flat_map(|index| apps_of(&NAMES, index, 2)).collect();
    let nodes = site.ready(NAMES, &apps).await;
    DEAD.chain([LATER]).for_each(|number| kill_token(&site, number));
    for (number, app) in apps.iter().enumerate() {
        nodes[0].sends(app, number).await;
    }
    let running = load(&nodes.each_ref(), &apps);
    let end = CancellationToken::new();
    let checks: JoinSet<_> = nodes.iter().map(|node| failed_checks(node.process.address, end.clone())).collect();
    away(&mut site.redis);
    let began = Instant::now();
    for node in &nodes {
        node.wait("it says so", async |node| !degraded(node, "cluster").await.is_null()).await;
    }
    for number in DEAD {
        rejects(&nodes[number % 3], &apps[0], number).await;
    }
    let refused = site.provision(&nodes[1], &apps[0]).await;
    assert_refused(&refused, 503, "store_away");
    assert_refused(&nodes[2].client().await.get(&format!("{}/feedback", apps[0])).await, 503, "store_away");
    // The owner of the app has the feedback of all nodes.
    let spooled = async |node: &Node| node.metric("pyapns_events_spooled").await;
    assert!(spooled(&nodes[0]).await >= 1.0);
    sleep(how_long.saturating_sub(began.elapsed())).await;
    end.cancel();
    let failed = checks.join_all().await;
    assert!(failed.iter().all(|row| *row < FAILED_CHECKS), "the load balancer keeps every node: {failed:?}");
    back(&mut site.redis);
    let healed = Instant::now();
    for node in &nodes {
        node.wait_metric("pyapns_cluster_lease_held", 1.0).await;
        node.wait_metric("pyapns_degraded{what=\"cluster\"}", 0.0).await;
    }
    println!("all beat again after {:?}", healed.elapsed());
    assert!(healed.elapsed() < BACK_WITHIN, "{:?}", healed.elapsed());
    for node in &nodes {
        wait_well(node).await;
        node.wait_metric("pyapns_events_spooled", 0.0).await;
        let arrived = async |node: &Node| feedback(node, &apps[0]).await == tokens(DEAD);
        node.wait("the feedback of the outage is there", arrived).await;
    }
    rejects(&nodes[1], &apps[0], LATER).await;
    assert!(feedback(&nodes[2], &apps[0]).await.contains(&token(LATER)), "it is written at once again");
    // The time in which a node could take its own lease for the only one.
    sleep(Duration::from_secs(7).saturating_sub(healed.elapsed())).await;
    let told = running.stop().await;
    told.assert_true(site.simulator.ledger());
    let (accepted, all) = (told.accepted(), told.notes.len());
    println!("{accepted} of {all} accepted: {:?}", told.tally());
    assert!(all - accepted <= all / 1_000, "{:?}", told.tally());
    for (number, app) in apps.iter().enumerate() {
        nodes[2].sends(app, number).await;
        assert_eq!(site.connections_of(number).len(), 1, "{app} has moved");
    }
    for node in nodes {
        node.process.stop().await;
    }
}

#[tokio::test]
async fn while_redis_is_killed_sends_go_on_no_lane_moves_and_no_feedback_is_lost() {
    let site = Site::new(&["appendonly yes", "appendfsync always"]).await;
    goes_through(site, RedisServer::kill, length(4, 60), RedisServer::restart).await;
}

#[tokio::test]
async fn while_redis_stands_still_sends_go_on_no_lane_moves_and_no_feedback_is_lost() {
    let site = Site::new(&[]).await;
    goes_through(site, |redis| redis.pause(), length(5, 20), |redis| redis.resume()).await;
}

#[tokio::test]
async fn a_full_redis_and_one_that_has_forgotten_its_scripts_take_events_and_stop_no_send() {
    let site = Site::new(&[]).await;
    let apps: Vec<_> = (0..3).flat_map(|index| apps_of(&NAMES, index, 1)).collect();
    let nodes = site.ready(NAMES, &apps).await;
    DEAD.for_each(|number| kill_token(&site, number));
    let running = load(&nodes.each_ref(), &apps);
    assert_eq!(site.redis.cli(&["SCRIPT", "FLUSH"]), "OK");
    for number in 1_000..1_003 {
        rejects(&nodes[number % 3], &apps[0], number).await;
    }
    assert_eq!(feedback(&nodes[1], &apps[0]).await, tokens(1_000..1_003));
    assert_eq!(site.redis.cli(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    for number in 1_003..1_006 {
        rejects(&nodes[number % 3], &apps[0], number).await;
    }
    assert_eq!(feedback(&nodes[1], &apps[0]).await, tokens(1_000..1_006));
    assert_refused(&site.provision(&nodes[0], &apps[0]).await, 507, "store_full");
    for node in &nodes {
        let is_told = async |node: &Node| !degraded(node, "shared_store").await.is_null();
        node.wait("it says that Redis is full", is_told).await;
        assert_eq!(node.client().await.get("/readyz").await.status, 200);
        assert_eq!(node.metric("pyapns_cluster_lease_held").await, 1.0, "{}", node.name);
    }
    assert_eq!(site.redis.cli(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
    for node in &nodes {
        wait_well(node).await;
        assert_eq!(node.metric("pyapns_cluster_beat_failures_total").await, 0.0, "{}", node.name);
        assert_eq!(node.metric("pyapns_events_spooled").await, 0.0, "{}", node.name);
    }
    let told = running.stop().await;
    told.assert_true(site.simulator.ledger());
    assert_eq!(told.accepted(), told.notes.len(), "{:?}", told.tally());
    for node in nodes {
        node.process.stop().await;
    }
}
