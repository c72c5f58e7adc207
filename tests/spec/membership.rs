//! Nodes of one Redis are a cluster: one of them sends for each app, through joins, deaths and outages.
//!
//! The tests wait for leases, which last 6 s: each takes at most 40 s.

mod outages;

use crate::support::client::Answer;
use crate::support::site::{Node, Site, apps_of};
use crate::support::world::{to, token};
use serde_json::{Value, json};
use simulator::{Latency, Script, TokenState};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const NAMES: [&str; 3] = ["a", "b", "c"];
/// The longest that a node without life stays in the ring, and that its lanes keep their connections elsewhere.
const RING_WITHOUT_DEAD: Duration = Duration::from_secs(7);
const HANDED_OVER: Duration = Duration::from_millis(10_500);

/// Sends one notification of each app, to a token of its own, from each of these nodes.
async fn send_all(nodes: &[&Node], apps: &[String], first: usize) {
    for (number, app) in apps.iter().enumerate() {
        for node in nodes {
            node.sends(app, first + number).await;
        }
    }
}

#[tokio::test]
async fn of_three_nodes_one_opens_the_connections_of_an_app_whichever_takes_its_notifications() {
    let site = Site::new(&[]).await;
    let owned: Vec<_> = (0..3).map(|index| apps_of(&NAMES, index, 4)).collect();
    let apps = owned.concat();
    let nodes = site.ready(NAMES, &apps).await;
    send_all(&nodes.each_ref(), &apps, 0).await;
    for (number, app) in apps.iter().enumerate() {
        assert_eq!(site.connections_of(number).len(), 1, "{app}");
    }
    for node in &nodes {
        assert_eq!(node.process.lines_with("refused a connection"), 0, "a member that joins is no stranger");
        assert_eq!(node.metric("pyapns_attempts_total").await, 12.0, "{}", node.name);
        assert_eq!(node.metric("pyapns_cluster_members").await, 3.0);
        assert_eq!(node.metric("pyapns_cluster_lease_held").await, 1.0);
        let age = node.metric("pyapns_cluster_beat_age_seconds").await;
        assert!((0.0..6.0).contains(&age), "{age}");
        assert!(node.metric("pyapns_cluster_beat_seconds_count").await >= 2.0);
        assert!(node.metric("pyapns_cluster_view_changes_total").await >= 1.0);
        for peer in NAMES.iter().filter(|peer| **peer != node.name) {
            let trip = node.metric(&format!("pyapns_peer_round_trip_seconds{{node=\"{peer}\"}}")).await;
            assert!(trip > 0.0 && trip < 5.0, "{trip}");
        }
    }
    for node in nodes {
        node.process.stop().await;
    }
    assert_eq!(site.redis.cli(&["KEYS", "pyapns:lease:*"]), "", "leases are given back");
    assert_eq!(site.redis.cli(&["HLEN", "pyapns:members"]), "0");
}

#[tokio::test]
async fn when_an_owner_is_killed_both_survivors_choose_the_same_substitute_at_once() {
    let site = Site::new(&[]).await;
    let apps = apps_of(&NAMES, 1, 3);
    let [a, b, c] = site.ready(NAMES, &apps).await;
    send_all(&[&a, &c], &apps, 0).await;

    // Apple takes its time with one that is in flight.
    let latency = Some(Latency::FixedMs(5_000.0));
    site.simulator.set_script(Script { latency, ..Script::default() }).expect("a good script");
    let before = site.simulator.ledger().totals().requests;
    let (mut client, path) = (a.client().await, format!("{}/notifications?timeout=9", apps[0]));
    let body = json!({"token": "00fc".repeat(16), "payload": {"aps": {}}}).to_string();
    let in_flight = tokio::spawn(async move { client.post(&path, body).await });
    site.simulator.ledger().wait_until(|totals| totals.requests > before).await;
    site.simulator.set_script(Script::default()).expect("a good script");

    let killed = Instant::now();
    b.process.signal("KILL");
    // What is written before the kernel has closed the sockets is in flight, too.
    for node in [&a, &c] {
        node.wait_metric("pyapns_peer_reachable{node=\"b\"}", 0.0).await;
    }
    let noticed = killed.elapsed();
    let mut slowest = Duration::ZERO;
    for (number, app) in apps.iter().enumerate() {
        for node in [&a, &c] {
            let began = Instant::now();
            node.sends(app, 100 + number).await;
            slowest = slowest.max(began.elapsed());
        }
        assert_eq!(site.connections_of(100 + number).len(), 1, "one substitute for {app}");
    }
    let answer: Answer = in_flight.await.expect("an answer");
    let reason = answer.response()["reason"].as_str().unwrap_or_default().to_owned();
    assert_eq!((answer.outcomes(), reason.as_str()), (vec!["unknown"], "peer_lost"), "{answer:?}");
    for node in [&a, &c] {
        node.wait_metric("pyapns_cluster_members", 2.0).await;
    }
    let gone = killed.elapsed();
    println!("noticed after {noticed:?}; slowest send then {slowest:?}; out of the ring after {gone:?}");
    assert!(gone < RING_WITHOUT_DEAD, "{gone:?}");
    assert!(noticed + slowest < Duration::from_millis(250), "{noticed:?} {slowest:?}");
    // The ring says the same as the substitution did.
    send_all(&[&a, &c], &apps, 100).await;
    for number in 0..apps.len() {
        assert_eq!(site.connections_of(100 + number).len(), 1);
    }
}

#[tokio::test]
async fn while_an_owner_is_stopped_others_send_and_nothing_past_its_deadline_is_sent_when_it_goes_on() {
    let site = Site::new(&[]).await;
    let apps = apps_of(&NAMES, 1, 1);
    let [a, mut b, c] = site.ready(NAMES, &apps).await;
    send_all(&[&a, &c], &apps, 0).await;
    b.process.signal("STOP");
    let stopped = Instant::now();
    // These reach the socket of the node that stands still.
    let mut caught = Vec::new();
    for (number, node) in [&a, &c].into_iter().enumerate() {
        let (mut client, path) = (node.client().await, format!("{}/notifications?timeout=3", apps[0]));
        let body = to(&token(50 + number)).to_string();
        caught.push(tokio::spawn(async move { client.post(&path, body).await }));
    }
    for node in [&a, &c] {
        node.wait_metric("pyapns_peer_reachable{node=\"b\"}", 0.0).await;
    }
    let noticed = stopped.elapsed();
    let began = Instant::now();
    send_all(&[&a, &c], &apps, 100).await;
    println!("noticed after {noticed:?}, then sent in {:?}", began.elapsed());
    assert!(noticed + began.elapsed() < Duration::from_millis(1_900), "{noticed:?} {:?}", began.elapsed());
    assert_eq!(site.connections_of(100).len(), 1, "one substitute");
    for answer in caught {
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.outcomes(), ["unknown"], "{answer:?}");
    }
    for node in [&a, &c] {
        node.wait_metric("pyapns_cluster_members", 2.0).await;
    }
    sleep(Duration::from_secs(8).saturating_sub(stopped.elapsed())).await;
    // On a slow machine, a substitute may have sent one of them in time, and the answer came too late.
    let sent = [50, 51].map(|number| site.connections_of(number).len());
    b.process.signal("CONT");
    site.wait_joined(&[&a, &b, &c]).await;
    b.process.logs("this process stood still", 1).await;
    send_all(&[&a, &b, &c], &apps, 0).await;
    assert_eq!([50, 51].map(|number| site.connections_of(number).len()), sent, "past its deadline");
}

#[tokio::test]
async fn lanes_of_a_node_that_joins_move_to_it_and_their_old_connections_end() {
    let site = Site::new(&[]).await;
    let apps = apps_of(&NAMES, 2, 4);
    let [a, b] = site.ready(["a", "b"], &apps).await;
    send_all(&[&a, &b], &apps, 0).await;
    let last = Instant::now();
    let c = site.start("c", "c").await;
    site.wait_joined(&[&a, &b, &c]).await;
    send_all(&[&a, &b, &c], &apps, 100).await;
    for number in 0..apps.len() {
        let (before, after) = (site.connections_of(number), site.connections_of(100 + number));
        assert!(after.len() == 1 && before.is_disjoint(&after), "{before:?} {after:?}");
    }
    assert_eq!(c.metric("pyapns_attempts_total").await, 12.0);
    for node in [&a, &b] {
        node.wait_metric("pyapns_connections", 0.0).await;
    }
    println!("the old connections ended {:?} after their last notification", last.elapsed());
    assert!(last.elapsed() < HANDED_OVER + Duration::from_millis(500), "{:?}", last.elapsed());
    assert!(last.elapsed() > Duration::from_secs(9), "a late batch finds them open");
    assert_eq!(c.metric("pyapns_connections").await, 4.0);
    for (node, sent_for) in [(&a, 0), (&b, 0), (&c, 4)] {
        let metrics = node.client().await.text("/metrics").await;
        for gauge in ["app_in_flight", "app_queue", "app_state"] {
            let series = metrics.lines().filter(|line| line.starts_with(&format!("pyapns_{gauge}{{"))).count();
            assert_eq!(series, sent_for, "{gauge} of {}: an app is shown where it is sent for", node.name);
        }
    }
    for node in [a, b, c] {
        node.process.stop().await;
    }
}

#[tokio::test]
async fn feedback_that_one_node_holds_back_is_shown_and_released_on_every_node() {
    let site = Site::new(&[]).await;
    let app = apps_of(&["a", "b"], 0, 1).remove(0);
    let [a, b] = site.ready(["a", "b"], std::slice::from_ref(&app)).await;
    let bad = Some(TokenState::Dead { reason: "BadDeviceToken", timestamp: None });
    (0..120).for_each(|number| site.simulator.set_token(&token(number), bad.clone()));
    let batch = Value::from_iter((0..120).map(|number| to(&token(number))));
    let sent = b.client().await.post(&format!("{app}/notifications"), batch.to_string()).await;
    assert!(sent.outcomes().iter().all(|outcome| *outcome == "rejected"), "{sent:?}");
    let held = format!("{app}/feedback/held");
    for node in [&a, &b] {
        let is_held = async |node: &Node| !node.client().await.get(&held).await.response()["since"].is_null();
        node.wait("its quarantine is known", is_held).await;
        assert_eq!(node.metric("pyapns_feedback_holds").await, 1.0, "{}", node.name);
    }
    let released = b.client().await.post(&held, r#"{"action":"release"}"#).await;
    assert_eq!(released.status, 200, "{released:?}");
    for node in [&a, &b] {
        node.wait_metric("pyapns_feedback_holds", 0.0).await;
        assert!(node.client().await.get(&held).await.response()["since"].is_null(), "{}", node.name);
    }
}

#[tokio::test]
async fn a_node_that_stops_hands_its_lanes_over_and_is_out_of_the_ring_at_once() {
    let site = Site::new(&[]).await;
    let apps = apps_of(&NAMES, 1, 2);
    let [a, b, c] = site.ready(NAMES, &apps).await;
    send_all(&[&a, &c], &apps, 0).await;
    let began = Instant::now();
    b.process.stop().await;
    send_all(&[&a, &c], &apps, 100).await;
    for node in [&a, &c] {
        node.wait_metric("pyapns_cluster_members", 2.0).await;
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    send_all(&[&a, &c], &apps, 100).await;
    for number in 0..apps.len() {
        assert_eq!(site.connections_of(100 + number).len(), 1);
    }
}

#[tokio::test]
async fn a_second_process_of_a_name_says_so_and_sends_everything_itself_until_the_first_one_ends() {
    let site = Site::new(&[]).await;
    let apps = apps_of(&["a", "b"], 1, 1);
    let [a, b] = site.ready(["a", "b"], &apps).await;
    let mut second = site.start("a", "second").await;
    second.process.logs("its node_name belongs to another process", 1).await;
    let ready = second.client().await.get("/readyz").await;
    let degraded = &ready.response()["degraded"][0];
    assert_eq!((ready.status, &degraded["what"]), (200, &json!("cluster")), "{ready:?}");
    second.sends(&apps[0], 1).await;
    assert_eq!(second.metric("pyapns_attempts_total").await, 1.0);
    a.sends(&apps[0], 1).await;
    assert_eq!(b.metric("pyapns_attempts_total").await, 1.0, "the first one still forwards");
    a.process.stop().await;
    site.wait_joined(&[&second, &b]).await;
    second.sends(&apps[0], 1).await;
    assert_eq!((second.metric("pyapns_attempts_total").await, b.metric("pyapns_attempts_total").await), (1.0, 2.0));
    let ready = second.client().await.get("/readyz").await;
    assert_eq!(ready.response()["status"], "ready", "{ready:?}");
}
