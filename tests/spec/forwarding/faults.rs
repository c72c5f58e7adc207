//! A link that fails: what is known of each notification is what its caller is told.

use super::always;
use crate::support::client::{Answer, Client};
use crate::support::fault_proxy::{FaultProxy, Way};
use crate::support::fleet::{Fleet, Plan, app_owned_among};
use crate::support::world::{to, token};
use serde_json::json;
use simulator::{Act, Fault, Script};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Two nodes; the first one reaches the second one, which owns the app, through a proxy.
async fn pair() -> (Fleet, String) {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2).proxied(&[1]), &[&app]).await;
    (fleet, app)
}

fn proxy(fleet: &Fleet) -> &FaultProxy {
    fleet.proxies[1].as_ref().expect("a proxy")
}

/// Sends one notification through the first node, and says how long the answer took.
pub fn send(fleet: &Fleet, app: &str, query: &str, number: usize) -> JoinHandle<(Answer, Duration)> {
    let (address, path) = (fleet.nodes[0].address, format!("{app}/notifications{query}"));
    let body = to(&token(number)).to_string();
    tokio::spawn(async move {
        let began = Instant::now();
        (Client::connect(address).await.post(&path, body).await, began.elapsed())
    })
}

pub fn reason(answer: &Answer) -> &str {
    answer.response()["reason"].as_str().unwrap_or_default()
}

const SURROGATE: &str = "pyapns_surrogate_total{node=\"node-1\"}";

#[tokio::test]
async fn a_peer_that_is_not_connected_costs_no_time_and_no_notification() {
    let (fleet, app) = pair().await;
    proxy(&fleet).set(Way::Cut);
    fleet.wait_link(0, 1, false).await;
    let (answer, took) = send(&fleet, &app, "", 1).await.expect("an answer");
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!((fleet.attempts(0).await, fleet.attempts(1).await), (1, 0));
    assert_eq!(fleet.metric(0, SURROGATE).await, 1.0);
    proxy(&fleet).set(Way::Open);
    fleet.wait_link(0, 1, true).await;
    assert_eq!(send(&fleet, &app, "", 2).await.expect("an answer").0.outcomes(), ["accepted"]);
    assert_eq!((fleet.attempts(0).await, fleet.attempts(1).await), (1, 1), "the owner sends again");
    fleet.stop().await;
}

#[tokio::test]
async fn what_a_lost_peer_may_have_sent_is_unknown_at_once() {
    let (fleet, app) = pair().await;
    fleet.simulator.set_script(always(Act::Silence { processed: true })).expect("a good script");
    let sent = send(&fleet, &app, "", 1);
    fleet.simulator.ledger().wait_until(|totals| totals.accepted == 1).await;
    proxy(&fleet).set(Way::Cut);
    let (answer, took) = sent.await.expect("an answer");
    assert_eq!((answer.outcomes(), reason(&answer)), (vec!["unknown"], "peer_lost"), "{answer:?}");
    assert!(took < Duration::from_secs(5), "not at its deadline: {took:?}");
    assert_eq!(fleet.metric(0, "pyapns_forwarded_total{end=\"unknown\",node=\"node-1\"}").await, 1.0);
    fleet.simulator.stop().await;
}

#[tokio::test]
async fn with_retry_unknown_what_a_lost_peer_may_have_sent_goes_another_way_under_the_same_id() {
    let (fleet, app) = pair().await;
    let once = Fault { times: Some(1), ..Fault::new(Act::Silence { processed: true }) };
    fleet.simulator.set_script(Script { faults: vec![once], ..Script::default() }).expect("a good script");
    let sent = send(&fleet, &app, "?retry_unknown=true&timeout=20", 1);
    fleet.simulator.ledger().wait_until(|totals| totals.accepted == 1).await;
    proxy(&fleet).set(Way::Cut);
    let (answer, _) = sent.await.expect("an answer");
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    let id = answer.response()["apns_id"].as_str().expect("an id").to_owned();
    assert_eq!(fleet.simulator.ledger().accepted_ids().get(&id), Some(&2), "a duplicate that was asked for");
    assert_eq!((fleet.attempts(0).await, fleet.attempts(1).await), (1, 1));
    fleet.simulator.stop().await;
}

#[tokio::test]
async fn a_resend_that_fails_leaves_what_a_lost_peer_may_have_sent_unknown() {
    let (fleet, app) = pair().await;
    let once = Fault { times: Some(1), ..Fault::new(Act::Silence { processed: true }) };
    let refused = Fault::new(Act::Answer { status: 400, reason: "BadDeviceToken".to_owned() });
    fleet.simulator.set_script(Script { faults: vec![once, refused], ..Script::default() }).expect("a good script");
    let sent = send(&fleet, &app, "?retry_unknown=true&timeout=20", 1);
    fleet.simulator.ledger().wait_until(|totals| totals.accepted == 1).await;
    proxy(&fleet).set(Way::Cut);
    let (answer, _) = sent.await.expect("an answer");
    assert_eq!((answer.outcomes(), reason(&answer)), (vec!["unknown"], "BadDeviceToken"), "{answer:?}");
    fleet.simulator.stop().await;
}

#[tokio::test]
async fn a_peer_in_a_black_hole_is_left_out_after_a_second_and_a_half() {
    let (fleet, app) = pair().await;
    proxy(&fleet).set(Way::Stalled);
    let began = Instant::now();
    let first = send(&fleet, &app, "", 1);
    fleet.wait_link(0, 1, false).await;
    let noticed = began.elapsed();
    assert!((1400..3000).contains(&noticed.as_millis()), "{noticed:?}");
    let (answer, took) = send(&fleet, &app, "", 2).await.expect("an answer");
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(fleet.metric(0, SURROGATE).await, 1.0);
    // The peer may have what was written before.
    let (answer, took) = first.await.expect("an answer");
    assert_eq!((answer.outcomes(), reason(&answer)), (vec!["unknown"], "peer_lost"), "{answer:?}");
    assert!((2900..6000).contains(&took.as_millis()), "{took:?}");
    proxy(&fleet).set(Way::Open);
    fleet.wait_link(0, 1, true).await;
    assert_eq!(send(&fleet, &app, "", 3).await.expect("an answer").0.outcomes(), ["accepted"]);
    fleet.stop().await;
}

#[tokio::test]
async fn what_a_blocked_connection_never_took_goes_another_way_and_only_the_rest_is_unknown() {
    const REQUESTS: usize = 12;
    const EACH: usize = 850;
    let (fleet, app) = pair().await;
    proxy(&fleet).set(Way::Stalled);
    // More bytes than the kernel keeps for a connection.
    let text = "x".repeat(3900);
    let sent: Vec<_> = (0..REQUESTS)
        .map(|request| {
            let one = |at| json!({"token": token(request * EACH + at), "payload": {"text": text}});
            let body = serde_json::Value::Array((0..EACH).map(one).collect()).to_string();
            let (address, path) = (fleet.nodes[0].address, format!("{app}/notifications"));
            tokio::spawn(async move { Client::connect(address).await.post(&path, body).await })
        })
        .collect();
    let (mut accepted, mut unknown) = (0, 0);
    for sent in sent {
        let answer = sent.await.expect("an answer");
        let outcomes = answer.outcomes();
        assert!(outcomes.len() == EACH && outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
        match outcomes[0] {
            "accepted" => accepted += 1,
            "unknown" => unknown += 1,
            other => panic!("{other}"),
        }
    }
    println!("{accepted} requests went another way, {unknown} are unknown");
    assert!(accepted >= 3 && unknown >= 1, "{accepted} {unknown}");
    proxy(&fleet).set(Way::Cut);
    assert_eq!(fleet.simulator.ledger().totals().accepted_ids, (accepted * EACH) as u64);
    assert_eq!((fleet.attempts(0).await, fleet.attempts(1).await), ((accepted * EACH) as u64, 0));
    fleet.stop().await;
}

#[tokio::test]
async fn answers_that_do_not_come_back_are_unknown_though_apple_has_the_notification() {
    let (fleet, app) = pair().await;
    proxy(&fleet).set(Way::AnswersStalled);
    let (answer, _) = send(&fleet, &app, "", 1).await.expect("an answer");
    assert_eq!((answer.outcomes(), reason(&answer)), (vec!["unknown"], "peer_lost"), "{answer:?}");
    assert_eq!(fleet.simulator.ledger().totals().accepted, 1);
    proxy(&fleet).set(Way::Cut);
    fleet.stop().await;
}

#[tokio::test]
async fn what_reaches_the_peer_after_its_deadline_is_not_sent() {
    let (fleet, app) = pair().await;
    proxy(&fleet).set(Way::Stalled);
    let (answer, took) = send(&fleet, &app, "?timeout=1", 1).await.expect("an answer");
    assert_eq!((answer.outcomes(), reason(&answer)), (vec!["unknown"], "deadline_passed"), "{answer:?}");
    assert!((1200..2500).contains(&took.as_millis()), "{took:?}");
    proxy(&fleet).set(Way::Open);
    fleet.wait_metric(1, "pyapns_forwarded_received_total", 1.0).await;
    fleet.wait_link(0, 1, true).await;
    assert_eq!(send(&fleet, &app, "", 2).await.expect("an answer").0.outcomes(), ["accepted"]);
    let tokens: Vec<_> = fleet.simulator.ledger().entries().into_iter().map(|entry| entry.token).collect();
    assert_eq!(tokens, [token(2)], "Apple never sees the late one");
    fleet.stop().await;
}

#[tokio::test]
async fn a_slow_link_is_a_link() {
    let (fleet, app) = pair().await;
    proxy(&fleet).set(Way::Delayed(Duration::from_millis(150)));
    let (answer, took) = send(&fleet, &app, "", 1).await.expect("an answer");
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    assert!(took >= Duration::from_millis(300), "there and back: {took:?}");
    assert_eq!((fleet.attempts(0).await, fleet.attempts(1).await), (0, 1));
    proxy(&fleet).set(Way::Open);
    fleet.stop().await;
}

#[tokio::test]
async fn a_node_that_leaves_costs_its_peers_nothing() {
    let (mut fleet, app) = pair().await;
    let latency = simulator::Latency::FixedMs(300.0);
    fleet.simulator.set_script(Script { latency: Some(latency), ..Script::default() }).expect("a good script");
    let in_flight: Vec<_> = (0..20).map(|number| send(&fleet, &app, "", number)).collect();
    fleet.wait_metric(1, "pyapns_forwarded_received_total", 20.0).await;
    let leaving = tokio::spawn(fleet.nodes.remove(1).stop());
    let link = "pyapns_peer_reachable{node=\"node-1\"}";
    fleet.wait_metric(0, link, 0.0).await;
    for number in 20..40 {
        let (answer, _) = send(&fleet, &app, "", number).await.expect("an answer");
        assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    }
    for sent in in_flight {
        let (answer, _) = sent.await.expect("an answer");
        assert_eq!(answer.outcomes(), ["accepted"], "what it had is finished: {answer:?}");
    }
    leaving.await.expect("a node that ends well");
    let totals = fleet.simulator.ledger().totals();
    assert_eq!((totals.requests, totals.accepted_ids, fleet.attempts(0).await), (40, 40, 20));
    fleet.stop().await;
}

#[tokio::test]
async fn an_owner_without_time_to_finish_says_what_it_knows_before_it_ends() {
    let app = app_owned_among(2, 1);
    let mut fleet = Fleet::ready(Plan::of(2).set("drain_seconds = 4"), &[&app]).await;
    fleet.simulator.set_script(always(Act::Silence { processed: true })).expect("a good script");
    let sent = send(&fleet, &app, "?timeout=60", 1);
    fleet.simulator.ledger().wait_until(|totals| totals.accepted == 1).await;
    fleet.nodes.remove(1).stop().await;
    let (answer, took) = sent.await.expect("an answer");
    // The answer is the owner's: it knows of an attempt.
    assert_eq!((answer.outcomes(), &answer.response()["attempts"]), (vec!["unknown"], &json!(1)), "{answer:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    fleet.simulator.stop().await;
}

#[tokio::test]
async fn a_node_that_ends_has_the_answers_of_its_peers_first() {
    let (mut fleet, app) = pair().await;
    let latency = simulator::Latency::FixedMs(500.0);
    fleet.simulator.set_script(Script { latency: Some(latency), ..Script::default() }).expect("a good script");
    let sent: Vec<_> = (0..5).map(|number| send(&fleet, &app, "", number)).collect();
    fleet.wait_metric(1, "pyapns_forwarded_received_total", 5.0).await;
    let first = tokio::spawn(fleet.nodes.remove(0).stop());
    for sent in sent {
        let (answer, _) = sent.await.expect("an answer");
        assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    }
    first.await.expect("a node that ends well");
    let answer = fleet.send(0, &app, &json!([to(&token(9))])).await;
    assert_eq!(answer.outcomes(), ["accepted"], "the other one goes on: {answer:?}");
    fleet.stop().await;
}
