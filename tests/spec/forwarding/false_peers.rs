//! A stranger on a member's address, and a member that answers falsely. The stranger receives no notification, and
//! every caller gets a true outcome in time.

use super::faults::{reason, send};
use super::liars::refused;
use crate::support::false_peer::{Answering, FalsePeer, frames, hello};
use crate::support::fleet::{Fleet, Plan, app_owned_among, new_identity};
use pyapns::delivery::peer::wire::{self, Hello, Refusal, VERSION_MAX};
use pyapns::model::{NodeSession, Outcome, OutcomeKind};
use pyapns::store::Epoch;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const IN_FLIGHT: &str = "pyapns_forwarded_in_flight{node=\"node-1\"}";

/// One node, which has an app that the played member owns.
async fn alone() -> (Fleet, String) {
    let app = app_owned_among(2, 1);
    (Fleet::ready(Plan::of(2).played(), &[&app]).await, app)
}

/// The same, with a member that answers so, once it is reachable.
async fn beside(answering: Answering) -> (Fleet, String, Arc<FalsePeer>) {
    let (mut fleet, app) = alone().await;
    let listener = fleet.played.take().expect("a listener");
    let peer = FalsePeer::new(1, answering).start(listener, &fleet.identity);
    fleet.wait_link(0, 1, true).await;
    (fleet, app, peer)
}

pub fn outcomes(id: u64, count: usize) -> Vec<u8> {
    let outcome = Outcome { kind: OutcomeKind::Accepted, status: Some(200), reason: None, timestamp: 1.0, attempts: 1 };
    let mut bytes = Vec::new();
    wire::put_outcomes(&mut bytes, id, &vec![outcome; count]);
    bytes
}

#[tokio::test]
async fn a_listener_without_the_clusters_identity_is_counted_and_gets_nothing() {
    let (mut fleet, app) = alone().await;
    let foreign = new_identity(fleet.directory.path(), "foreign.pem");
    let listener = fleet.played.take().expect("a listener");
    let peer = FalsePeer::new(1, Box::new(|_, _, _| None)).start(listener, &foreign);
    fleet.wait_counted(0, &refused("tls")).await;
    let (answer, _) = send(&fleet, &app, "", 1).await.expect("an answer");
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    assert_eq!((peer.batches(), fleet.attempts(0).await), (0, 1));
    fleet.stop().await;
}

#[tokio::test]
async fn an_address_outside_the_networks_is_counted_by_the_node_that_does_not_connect_to_it() {
    let app = app_owned_among(2, 1);
    let mut fleet = Fleet::ready(Plan::of(2).played().allow("10.0.0.0/8"), &[&app]).await;
    let listener = fleet.played.take().expect("a listener");
    let peer = FalsePeer::new(1, Box::new(|_, _, _| None)).start(listener, &fleet.identity);
    fleet.wait_counted(0, &refused("address")).await;
    let (answer, _) = send(&fleet, &app, "", 1).await.expect("an answer");
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    assert_eq!((peer.connections(), fleet.attempts(0).await), (0, 1));
    fleet.stop().await;
}

#[tokio::test]
async fn a_listener_that_introduces_itself_as_somebody_else_is_counted_and_gets_nothing() {
    let (mut fleet, app) = alone().await;
    let lies = [
        frames(&Hello { session: NodeSession::from_bits(99), ..hello(1) }, &[]),
        frames(&hello(0), &[]),
        frames(&Hello { epoch: Epoch::stored(8), ..hello(1) }, &[]),
        frames(&Hello { versions: (VERSION_MAX + 1, VERSION_MAX + 2), ..hello(1) }, &[]),
        frames(&hello(1), &[0xff; 64]),
        vec![0xff; 64],
    ];
    let greeting = Box::new(move |number: usize| lies[number % lies.len()].clone());
    let peer = FalsePeer { greeting, ..FalsePeer::new(1, Box::new(|_, _, _| None)) };
    let peer = peer.start(fleet.played.take().expect("a listener"), &fleet.identity);
    for why in ["session", "epoch", "version", "malformed"] {
        fleet.wait_counted(0, &refused(why)).await;
        let (answer, _) = send(&fleet, &app, "", 1).await.expect("an answer");
        assert_eq!(answer.outcomes(), ["accepted"], "{why}: {answer:?}");
    }
    assert_eq!((peer.batches(), fleet.attempts(0).await), (0, 4));
    fleet.stop().await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_one_leaves_the_notification_unknown_and_ends_the_connection() {
    let turn = AtomicUsize::new(0);
    let answering = move |id: u64, _: &_, _: &_| {
        let mut ping = Vec::new();
        wire::put_ping(&mut ping, 1);
        let answers = [outcomes(id, 0), outcomes(id, 2), outcomes(id + 1000, 1), vec![0xff; 64], ping];
        Some(answers[turn.fetch_add(1, Ordering::SeqCst) % answers.len()].clone())
    };
    let (fleet, app, peer) = beside(Box::new(answering)).await;
    for round in 1..=5 {
        let (answer, took) = send(&fleet, &app, "?timeout=20", round).await.expect("an answer");
        assert_eq!((answer.outcomes(), reason(&answer)), (vec!["unknown"], "peer_lost"), "{round}: {answer:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert!(fleet.metric(0, &refused("malformed")).await >= round as f64);
        fleet.wait_link(0, 1, true).await;
    }
    assert_eq!((peer.batches(), fleet.simulator.ledger().totals().requests), (5, 0));
    fleet.stop().await;
}

#[tokio::test]
async fn a_second_answer_changes_nothing() {
    let answering = |id: u64, _: &_, _: &_| {
        let mut refusal = Vec::new();
        wire::put_refused(&mut refusal, id, Refusal::UnknownApp);
        // The last one is to a PING.
        Some([outcomes(id, 1), outcomes(id, 1), refusal, outcomes(1, 1)].concat())
    };
    let (fleet, app, peer) = beside(Box::new(answering)).await;
    let connections = peer.connections();
    for number in 0..10 {
        let (answer, _) = send(&fleet, &app, "", number).await.expect("an answer");
        assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    }
    assert_eq!((peer.batches(), peer.connections()), (10, connections));
    assert_eq!(fleet.simulator.ledger().totals().requests, 0, "what it refused after its answer is not sent again");
    fleet.stop().await;
}

#[tokio::test]
async fn what_a_peer_refuses_is_sent_here_once_or_refused_as_the_peer_did() {
    let refusals = [
        Refusal::Leaving,
        Refusal::UnknownApp,
        Refusal::Malformed,
        Refusal::AppOverloaded { retry_after_seconds: 3 },
        Refusal::NodeOverloaded { retry_after_seconds: u32::MAX },
    ];
    let turn = AtomicUsize::new(0);
    let answering = move |id: u64, _: &_, _: &_| {
        let mut bytes = Vec::new();
        wire::put_refused(&mut bytes, id, refusals[turn.fetch_add(1, Ordering::SeqCst)]);
        Some(bytes)
    };
    let (fleet, app, peer) = beside(Box::new(answering)).await;
    for number in 0..3 {
        let (answer, _) = send(&fleet, &app, "", number).await.expect("an answer");
        assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    }
    for (status, why) in [(429, "app_overloaded"), (503, "overloaded")] {
        let (answer, _) = send(&fleet, &app, "", 9).await.expect("an answer");
        assert_eq!((answer.status, answer.reason()), (status, why), "{answer:?}");
    }
    assert_eq!((peer.batches(), fleet.attempts(0).await, fleet.simulator.ledger().totals().requests), (5, 3, 3));
    fleet.stop().await;
}

#[tokio::test]
async fn a_peer_whose_clock_is_at_the_end_of_time_keeps_no_caller_waiting() {
    let (mut fleet, app) = alone().await;
    let peer = FalsePeer { clock_ms: u64::MAX, ..FalsePeer::new(1, Box::new(|_, _, _| Some(Vec::new()))) };
    let peer = peer.start(fleet.played.take().expect("a listener"), &fleet.identity);
    fleet.wait_link(0, 1, true).await;
    let (answer, took) = send(&fleet, &app, "?timeout=1", 1).await.expect("an answer");
    assert_eq!((answer.outcomes(), reason(&answer)), (vec!["unknown"], "deadline_passed"), "{answer:?}");
    assert!((1200..4000).contains(&took.as_millis()), "{took:?}");
    assert_eq!(peer.batches(), 1);
    fleet.stop().await;
}

#[tokio::test]
async fn a_peer_that_hangs_up_on_every_batch_gets_each_of_them_once() {
    let (fleet, app, peer) = beside(Box::new(|_, _, _| None)).await;
    let (answer, _) = send(&fleet, &app, "", 1).await.expect("an answer");
    assert_eq!((answer.outcomes(), reason(&answer)), (vec!["unknown"], "peer_lost"), "{answer:?}");
    assert_eq!((peer.batches(), fleet.attempts(0).await), (1, 0));
    fleet.wait_link(0, 1, true).await;
    let (answer, _) = send(&fleet, &app, "?retry_unknown=true", 2).await.expect("an answer");
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    assert_eq!((peer.batches(), fleet.attempts(0).await), (2, 1), "sent from here after the one that was lost");
    fleet.stop().await;
}

#[tokio::test]
async fn a_peer_that_leaves_costs_none_of_a_burst_of_notifications() {
    let leaving = |id: u64, _: &_, _: &_| {
        let mut bytes = Vec::new();
        wire::put_leaving(&mut bytes);
        Some([bytes, outcomes(id, 1)].concat())
    };
    let (fleet, app, _peer) = beside(Box::new(leaving)).await;
    let sent: Vec<_> = (0..150).map(|number| send(&fleet, &app, "", number)).collect();
    for sent in sent {
        let (answer, _) = sent.await.expect("an answer");
        assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    }
    fleet.stop().await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_leaves_no_bytes_and_no_place_behind() {
    let (fleet, app, _peer) = beside(Box::new(|_, _, _| Some(Vec::new()))).await;
    let sent = send(&fleet, &app, "?timeout=1", 1);
    fleet.wait_metric(0, IN_FLIGHT, 1.0).await;
    assert!(fleet.metric(0, "pyapns_queue_bytes").await > 0.0);
    sent.abort();
    fleet.wait_metric(0, IN_FLIGHT, 0.0).await;
    fleet.wait_metric(0, "pyapns_queue_bytes", 0.0).await;
    assert_eq!(fleet.metric(0, "pyapns_forwarded_total{end=\"unknown\",node=\"node-1\"}").await, 1.0);
    fleet.stop().await;
}

#[tokio::test]
async fn a_node_that_must_end_does_not_wait_for_a_peer_that_never_answers() {
    let app = app_owned_among(2, 1);
    let mut fleet = Fleet::ready(Plan::of(2).played().set("drain_seconds = 4"), &[&app]).await;
    let listener = fleet.played.take().expect("a listener");
    let peer = FalsePeer::new(1, Box::new(|_, _, _| Some(Vec::new()))).start(listener, &fleet.identity);
    fleet.wait_link(0, 1, true).await;
    let sent = send(&fleet, &app, "?timeout=60&retry_unknown=true", 1);
    fleet.wait_metric(0, IN_FLIGHT, 1.0).await;
    fleet.nodes.remove(0).stop().await;
    let (answer, took) = sent.await.expect("an answer");
    assert_eq!((answer.outcomes(), reason(&answer)), (vec!["unknown"], "shutting_down"), "{answer:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!((peer.batches(), fleet.simulator.ledger().totals().requests), (1, 0));
    fleet.stop().await;
}
