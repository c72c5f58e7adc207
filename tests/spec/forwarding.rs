//! A node forwards notifications to the owner of their app, and the outcomes are the same.

mod channels;
pub mod false_peers;
mod faults;
mod hostile_members;
mod liars;
mod members;
pub mod releases;
mod stopped;
mod traffic;

use super::support::fleet::{Fleet, Plan, app_owned_among, key, name};
use super::support::stream::{self, Protocol};
use super::support::world::{to, token};
use pyapns::cluster::{Pins, View};
use pyapns::delivery::shard::lane_of;
use serde_json::{Value, json};
use simulator::{Act, Fault, Script, TokenState};
use std::collections::HashSet;

/// A script with one fault for everything.
fn always(act: Act) -> Script {
    Script { faults: vec![Fault::new(act)], ..Script::default() }
}

#[tokio::test]
async fn a_send_for_an_app_of_another_node_is_sent_by_that_node_alone() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[&app]).await;
    let answer = fleet.send(0, &app, &to(&token(1))).await;
    assert_eq!((answer.status, answer.outcomes()), (201, vec!["accepted"]), "{answer:?}");
    let ledger = fleet.simulator.ledger().entries();
    assert_eq!(ledger.len(), 1);
    assert_eq!(ledger[0].apns_id, answer.response()["apns_id"], "{answer:?}");
    assert_eq!((fleet.attempts(0).await, fleet.attempts(1).await), (0, 1));
    assert_eq!(fleet.metric(0, "pyapns_forwarded_total{end=\"answered\",node=\"node-1\"}").await, 1.0);
    assert_eq!(fleet.metric(1, "pyapns_forwarded_received_total").await, 1.0);
    assert_eq!(fleet.metric(0, "pyapns_queued_notifications").await, 0.0);
    fleet.stop().await;
}

/// The response that a caller reads, without the fields that differ from send to send.
fn comparable(response: &Value) -> Value {
    let mut list = response.as_array().expect("a list").clone();
    for outcome in &mut list {
        let outcome = outcome.as_object_mut().expect("an object");
        assert!(outcome["apns_id"].as_str().is_some_and(|id| id.len() == 36), "{outcome:?}");
        assert!(outcome["timestamp"].as_f64().is_some_and(|time| time > 1_700_000_000.0), "{outcome:?}");
        outcome.remove("timestamp");
        outcome.remove("apns_id");
    }
    Value::Array(list)
}

#[tokio::test]
async fn outcomes_of_a_forwarded_batch_read_as_those_of_one_that_was_not() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[&app]).await;
    fleet
        .simulator
        .set_token(&token(2), Some(TokenState::Dead { reason: "Unregistered", timestamp: Some(1_600_000_000_000) }));
    fleet.simulator.set_token(&token(3), Some(TokenState::Bad));
    let payload = json!({"aps": {"alert": "Grüße \u{1f600}"}, "escaped": "\n"});
    let batch = json!([
        {"token": token(1), "payload": payload, "identifier": "a \"name\""},
        {"token": token(2), "payload": payload, "identifier": 7},
        {"token": token(3), "payload": payload, "priority": 5, "collapse_id": "c"},
        {"token": token(4), "payload": payload, "expiry": 1_000_000_000},
        {"token": token(5), "payload": payload, "push_type": "background", "priority": 5},
        {"token": token(6), "payload": payload, "topic": "com.example.other"},
    ]);
    let forwarded = fleet.send(0, &app, &batch).await;
    let ledger = fleet.simulator.ledger().entries();
    fleet.simulator.ledger().reset();
    let direct = fleet.send(1, &app, &batch).await;
    assert_eq!(comparable(forwarded.response()), comparable(direct.response()));
    assert_eq!(forwarded.outcomes()[..4], ["accepted", "rejected", "rejected", "expired"]);
    // Apple saw the same too.
    let seen = |entries: &[simulator::Entry]| {
        let mut seen: Vec<_> = entries
            .iter()
            .map(|entry| {
                let headers = [&entry.topic, &entry.push_type, &entry.priority, &entry.expiration, &entry.collapse_id];
                (entry.token.clone(), headers.map(Clone::clone), entry.body.clone(), entry.status)
            })
            .collect();
        seen.sort_by(|one, other| one.0.cmp(&other.0));
        seen
    };
    assert_eq!(seen(&ledger), seen(&fleet.simulator.ledger().entries()));
    // The dead tokens are in the feedback of the node that sent.
    let feedback = fleet.client(1).await.get(&format!("{app}/feedback")).await;
    assert_eq!(feedback.response().as_array().map(Vec::len), Some(2), "{feedback:?}");
    fleet.stop().await;
}

#[tokio::test]
async fn lanes_of_several_nodes_give_one_answer_in_the_order_of_the_request() {
    let app = "/apps/com.example.app/sandbox".to_owned();
    let fleet = Fleet::start(Plan::of(3)).await;
    fleet.provision(&app, &json!({"lanes": 16})).await;
    fleet.wait_reachable().await;
    fleet.simulator.set_token(&token(77), Some(TokenState::Bad));
    let one = |number| json!({"token": token(number), "payload": {"aps": {"badge": number}}, "identifier": number});
    let batch = Value::Array((0..500).map(one).collect());
    let answer = fleet.send(0, &app, &batch).await;
    assert_eq!(answer.status, 201);
    for (number, outcome) in answer.response().as_array().expect("a list").iter().enumerate() {
        assert_eq!((&outcome["identifier"], &outcome["token"]), (&json!(number), &json!(token(number))));
        assert_eq!(outcome["outcome"], if number == 77 { "rejected" } else { "accepted" });
    }
    let attempts = [fleet.attempts(0).await, fleet.attempts(1).await, fleet.attempts(2).await];
    assert!(attempts.iter().all(|attempts| *attempts > 50), "{attempts:?}");
    assert_eq!(attempts.iter().sum::<u64>(), 500);
    assert_eq!(fleet.simulator.ledger().totals().accepted_ids, 499);
    fleet.stop().await;
}

#[tokio::test]
async fn a_stream_of_ten_thousand_lines_is_sent_by_the_owner_in_order_with_an_outcome_for_each() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[&app]).await;
    let (lines, mut answer) = stream::open_for(&app, fleet.nodes[0].address, Protocol::Http2).await;
    tokio::spawn(async move {
        let one = |number: usize| json!({"token": token(number % 3000), "payload": {"aps": {}}, "identifier": number});
        for first in (0..10_000).step_by(500) {
            let text: String = (first..first + 500).map(|number| format!("{}\n", one(number))).collect();
            lines.send(text.into()).await.expect("the stream is read");
        }
    });
    let mut outcomes = Vec::new();
    while let Some(more) = answer.more().await {
        outcomes.extend(more);
    }
    assert_eq!((answer.status, outcomes.len()), (201, 10_000));
    let mut ids = HashSet::new();
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!((&outcome["identifier"], &outcome["outcome"]), (&json!(number), &json!("accepted")), "{outcome}");
        ids.insert(outcome["apns_id"].as_str().expect("an id").to_owned());
    }
    let ledger = fleet.simulator.ledger().accepted_ids();
    assert!(ledger.len() == 10_000 && ids.iter().all(|id| ledger.get(id) == Some(&1)), "told and ledger agree");
    assert_eq!((fleet.attempts(0).await, fleet.attempts(1).await), (0, 10_000));
    fleet.stop().await;
}

#[tokio::test]
async fn an_app_that_its_owner_does_not_know_is_sent_by_the_node_that_took_it() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[]).await;
    assert_eq!(fleet.provision_on(&fleet.nodes[0], &app, &json!({})).await.status, 201);
    let answer = fleet.send(0, &app, &json!([to(&token(1)), to(&token(2))])).await;
    assert_eq!(answer.outcomes(), ["accepted", "accepted"], "{answer:?}");
    assert_eq!((fleet.attempts(0).await, fleet.attempts(1).await), (2, 0));
    assert_eq!(fleet.metric(0, "pyapns_forwarded_total{end=\"refused\",node=\"node-1\"}").await, 1.0);
    fleet.stop().await;
}

#[tokio::test]
async fn an_overloaded_owner_refuses_as_if_it_had_been_asked_itself() {
    let app = app_owned_among(2, 1);
    let plan = Plan::of(2).set("[limits]\nin_flight_app_bytes = 70000");
    let fleet = Fleet::ready(plan, &[&app]).await;
    let spread = "/apps/com.example.spread/sandbox";
    fleet.provision(spread, &json!({"lanes": 8})).await;
    fleet.simulator.set_script(always(Act::Silence { processed: false })).expect("a good script");
    // An empty pool takes anything: this fills both apps' pools of node 1.
    let text = "x".repeat(3000);
    let many = |from: usize| {
        let one = |number| json!({"token": token(from + number), "payload": {"aps": {}, "text": text}});
        Value::Array((0..40).map(one).collect())
    };
    for path in [&app, spread] {
        let (mut client, path) = (fleet.client(1).await, format!("{path}/notifications?timeout=20"));
        let body = many(0).to_string();
        tokio::spawn(async move { client.post(&path, body).await });
    }
    // What it has of the second app is more than the pool, too.
    fleet.simulator.ledger().wait_until(|totals| totals.requests >= 2).await;
    let direct = fleet.send(1, &app, &many(100)).await;
    let forwarded = fleet.send(0, &app, &many(100)).await;
    assert_eq!((forwarded.status, forwarded.reason()), (direct.status, direct.reason()), "{forwarded:?}");
    assert_eq!(forwarded.status, 429, "{forwarded:?}");
    let view = View::of(fleet.members.clone(), Pins::default());
    let is_of_node_1 = |token: &String| {
        let lane = lane_of(token.as_bytes(), 8);
        view.owner(&key(spread), lane).is_some_and(|owner| owner.node == name(1))
    };
    let single = (0..).map(token).find(is_of_node_1).expect("a token of node 1");
    let answer = fleet.send(0, spread, &json!({"token": single, "payload": {"text": text}})).await;
    assert_eq!((answer.status, answer.reason()), (429, "app_overloaded"), "the only part: {answer:?}");
    // Of several parts only those of node 1 are refused.
    fleet.simulator.set_script(Script::default()).expect("a good script");
    let answer = fleet.send(0, spread, &many(200)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let outcomes = answer.response().as_array().expect("a list");
    let refused = outcomes.iter().filter(|outcome| outcome["outcome"] == "not_sent").collect::<Vec<_>>();
    assert!(!refused.is_empty() && refused.len() < outcomes.len(), "{answer:?}");
    for outcome in refused {
        assert_eq!((&outcome["reason"], &outcome["attempts"]), (&json!("overloaded"), &json!(0)), "{outcome}");
        assert!(outcome["timestamp"].as_f64().is_some_and(|time| time > 1_700_000_000.0), "{outcome}");
    }
    fleet.simulator.stop().await;
}

#[tokio::test]
async fn a_stream_of_lines_waits_for_an_overloaded_owner() {
    let app = app_owned_among(2, 1);
    let plan = Plan::of(2).set("[limits]\nin_flight_app_bytes = 70000");
    let fleet = Fleet::ready(plan, &[&app]).await;
    let latency = simulator::Latency::FixedMs(1500.0);
    fleet.simulator.set_script(Script { latency: Some(latency), ..Script::default() }).expect("a good script");
    let text = "x".repeat(3000);
    let one = |number| json!({"token": token(number), "payload": {"aps": {}, "text": text}});
    let (mut client, path) = (fleet.client(1).await, format!("{app}/notifications"));
    let body = Value::Array((0..40).map(one).collect()).to_string();
    let first = tokio::spawn(async move { client.post(&path, body).await });
    fleet.simulator.ledger().wait_until(|totals| totals.requests >= 1).await;
    let (lines, mut answer) = stream::open_for(&app, fleet.nodes[0].address, Protocol::Http2).await;
    let text: String = (100..120).map(|number| format!("{}\n", one(number))).collect();
    lines.send(text.into()).await.expect("the stream is read");
    drop(lines);
    let mut outcomes = Vec::new();
    while let Some(more) = answer.more().await {
        outcomes.extend(more);
    }
    assert!(outcomes.len() == 20 && outcomes.iter().all(|outcome| outcome["outcome"] == "accepted"), "{outcomes:?}");
    let refused = fleet.metric(0, "pyapns_forwarded_total{end=\"refused\",node=\"node-1\"}").await;
    assert!(refused >= 1.0, "it was refused at first");
    assert!(first.await.expect("an answer").outcomes().iter().all(|outcome| *outcome == "accepted"));
    assert_eq!(fleet.simulator.ledger().totals().accepted_ids, 60);
    fleet.stop().await;
}

#[tokio::test]
async fn a_batch_is_forwarded_once_whatever_the_receiver_takes_for_its_owner() {
    let app = app_owned_among(2, 1);
    // Each of the two takes the other one for the owner.
    let fleet = Fleet::ready(Plan::of(2).pinned(&app), &[&app]).await;
    let answer = fleet.send(0, &app, &to(&token(1))).await;
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    assert_eq!((fleet.attempts(0).await, fleet.attempts(1).await), (0, 1));
    let answer = fleet.send(1, &app, &to(&token(2))).await;
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    assert_eq!((fleet.attempts(0).await, fleet.attempts(1).await), (1, 1));
    fleet.stop().await;
}

#[tokio::test]
async fn nodes_that_know_different_numbers_of_lanes_still_send_everything_once() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[]).await;
    for (node, lanes) in fleet.nodes.iter().zip([4, 2]) {
        assert_eq!(fleet.provision_on(node, &app, &json!({"lanes": lanes})).await.status, 201);
    }
    let batch = Value::Array((0..200).map(|number| to(&token(number))).collect());
    for node in 0..2 {
        let answer = fleet.send(node, &app, &batch).await;
        assert!(answer.outcomes().iter().all(|outcome| *outcome == "accepted"), "{answer:?}");
    }
    let totals = fleet.simulator.ledger().totals();
    assert_eq!((totals.requests, totals.accepted_ids), (400, 400));
    fleet.stop().await;
}
