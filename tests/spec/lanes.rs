//! An app with several lanes: device tokens are distributed among them, invisibly for callers.

use crate::support::client::Client;
use crate::support::pipes::{Gateway, Peer, talk};
use crate::support::sender::{DEADLINE, Sender, all, app_of_lanes, is_accepted, numbers, sum, tally};
use crate::support::stream::{self, Protocol};
use crate::support::world::{APP, Credential, World, to, token};
use pyapns::delivery::Refused;
use pyapns::delivery::bound::Bound;
use pyapns::delivery::shard::lane_of;
use pyapns::model::OutcomeKind;
use serde_json::{Value, json};
use simulator::{Options, TokenState};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// A world whose app has so many lanes, with one connection each.
async fn world(lanes: u16) -> World {
    let world = World::with_one_connection(Options::default(), Credential::Certificate).await;
    provision(&world, lanes).await;
    world
}

async fn provision(world: &World, lanes: u16) {
    let body = json!({"certificate": world.simulator.identity().client_pem, "lanes": lanes}).to_string();
    let answer = world.client().await.post(APP, body).await;
    assert_eq!((answer.status, &answer.response()["lanes"]), (201, &json!(lanes)), "{answer:?}");
}

async fn connections(world: &World) -> f64 {
    sum(&world.metrics().await, "connections")
}

/// The lane of the token that tests call so.
fn lane(number: usize, lanes: u16) -> u16 {
    lane_of(token(number).as_bytes(), lanes)
}

/// A notification to each of the first tokens that fall into this lane.
fn into_lane(wanted: u16, lanes: u16, count: usize) -> Vec<(usize, usize)> {
    (0..).filter(|number| lane(*number, lanes) == wanted).map(|number| (number, number)).take(count).collect()
}

fn each(count: usize) -> Vec<(usize, usize)> {
    (0..count).map(|at| (at, at)).collect()
}

#[tokio::test]
async fn a_list_over_several_lanes_gets_its_outcomes_in_its_own_order() {
    let world = world(4).await;
    let bad = |number: usize| number % 97 == 13;
    (0..1000).filter(|number| bad(*number)).for_each(|at| world.simulator.set_token(&token(at), Some(TokenState::Bad)));
    let batch: Vec<Value> = (0..1000).map(|at| json!({"token": token(at), "payload": {}, "identifier": at})).collect();
    let answer = world.send(&Value::Array(batch)).await;
    let outcomes = answer.response().as_array().expect("a list");
    assert_eq!(outcomes.len(), 1000);
    let mut accepted = HashSet::new();
    for (at, outcome) in outcomes.iter().enumerate() {
        assert_eq!((&outcome["identifier"], &outcome["token"]), (&json!(at), &json!(token(at))));
        assert_eq!(outcome["outcome"], if bad(at) { "rejected" } else { "accepted" }, "{outcome}");
        if !bad(at) {
            accepted.insert(outcome["apns_id"].as_str().expect("an id").to_owned());
        }
    }
    let arrived = world.simulator.ledger().accepted_ids();
    assert!(arrived.values().all(|times| *times == 1) && arrived.into_keys().collect::<HashSet<_>>() == accepted);
    assert_eq!(world.simulator.ledger().totals().requests, 1000, "none twice");

    let mut client = world.client().await;
    let log = client.get(&format!("{APP}/disconnections?limit=1000")).await;
    let at_fault = log.response().as_array().expect("a list").iter();
    let at_fault: HashSet<_> =
        at_fault.map(|entry| entry["offending_notification"]["identifier"].as_u64().expect("a number")).collect();
    assert_eq!(at_fault, (0..1000).filter(|at| bad(*at)).map(|at| at as u64).collect());
    let app = client.get(APP).await;
    assert_eq!((&app.response()["lanes"], &app.response()["connections"]), (&json!(4), &json!(4)), "{app:?}");
    assert_eq!(client.call("DELETE", APP, "").await.status, 200);
    while connections(&world).await > 0.0 {
        tokio::task::yield_now().await;
    }
    world.stop().await;
}

/// Sends to the tokens in every form there is: singly and upper-case, as a list, as one payload to many, and as lines.
async fn send_in_every_form(world: &World, tokens: &[String]) {
    for token in tokens {
        assert_eq!(world.send(&to(&token.to_uppercase())).await.outcomes(), ["accepted"]);
    }
    let list = Value::Array(tokens.iter().map(|token| to(token)).collect());
    for sent in [list, json!({"tokens": tokens, "payload": {}})] {
        assert_eq!(world.send(&sent).await.outcomes(), vec!["accepted"; tokens.len()]);
    }
    let (sender, mut outcomes) = stream::open(world.node.address, Protocol::Http1).await;
    let lines: String = tokens.iter().map(|token| format!("{}\n", to(token))).collect();
    sender.send(lines.into()).await.expect("the node reads on");
    drop(sender);
    let mut told = Vec::new();
    while let Some(some) = outcomes.more().await {
        told.extend(some);
    }
    let told: Vec<_> = told.iter().map(|outcome| (&outcome["token"], &outcome["outcome"])).collect();
    let (expected, accepted) = (tokens.iter().map(|token| json!(token)).collect::<Vec<_>>(), json!("accepted"));
    assert_eq!(told, expected.iter().map(|token| (token, &accepted)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_token_falls_into_the_same_lane_in_every_form_and_after_a_restart() {
    let mut world = world(4).await;
    let tokens: Vec<String> = (0..40).map(token).collect();
    for _ in 0..2 {
        world.simulator.reset();
        send_in_every_form(&world, &tokens).await;
        let mut used: HashMap<u64, HashSet<u16>> = HashMap::new();
        let entries = world.simulator.ledger().entries();
        assert_eq!(entries.len(), 4 * tokens.len());
        for entry in entries {
            used.entry(entry.connection).or_default().insert(lane_of(entry.token.as_bytes(), 4));
        }
        assert!(used.len() == 4 && used.values().all(|lanes| lanes.len() == 1), "a connection for each lane: {used:?}");
        world = world.restart_with_one_connection().await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changing_the_number_of_lanes_under_traffic_loses_nothing_and_closes_unneeded_connections() {
    const BATCHES: usize = 60;
    const BATCH: usize = 50;
    let world = world(1).await;
    let node = world.node.address;
    let callers: Vec<_> = (0..4)
        .map(|caller| async move {
            let mut client = Client::connect(node).await;
            let numbers = (0..BATCH).map(|at| caller * BATCH + at);
            let batch = numbers.map(|at| json!({"token": token(at), "payload": {}, "identifier": at})).collect();
            let body = Value::Array(batch).to_string();
            for _ in 0..BATCHES {
                let answer = client.post(&format!("{APP}/notifications"), body.clone()).await;
                for (at, outcome) in answer.response().as_array().expect("a list").iter().enumerate() {
                    let told = (&outcome["identifier"], &outcome["outcome"]);
                    assert_eq!(told, (&json!(caller * BATCH + at), &json!("accepted")), "{outcome}");
                }
                assert_eq!(answer.outcomes().len(), BATCH);
            }
        })
        .map(tokio::spawn)
        .collect();
    for (step, lanes) in [2, 1, 3, 64, 2, 1].into_iter().enumerate() {
        let sent = (4 * BATCHES * BATCH * (step + 1) / 8) as u64;
        world.simulator.ledger().wait_until(|totals| totals.accepted >= sent).await;
        provision(&world, lanes).await;
    }
    for caller in callers {
        caller.await.expect("traffic without an error");
    }
    let totals = world.simulator.ledger().totals();
    assert_eq!((totals.requests, totals.accepted_ids), ((4 * BATCHES * BATCH) as u64, (4 * BATCHES * BATCH) as u64));
    assert_eq!(world.send(&to(&token(1))).await.outcomes(), ["accepted"]);
    while connections(&world).await > 1.0 {
        tokio::task::yield_now().await;
    }
    let app = world.client().await.get(APP).await;
    assert_eq!((&app.response()["lanes"], &app.response()["connections"]), (&json!(1), &json!(1)), "{app:?}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_disturbs_its_own_lane_only() {
    let gateway = Gateway::new(|mut peer| {
        if peer.number > 0 {
            return talk(peer.serve(100, SECOND / 10));
        }
        talk(async move {
            peer.handshake(100).await;
            for _ in 0..20 {
                peer.next().await.expect("a request");
            }
        })
    });
    let (sender, app) = (Sender::new(&gateway), app_of_lanes("hot", 4));
    let outcomes = sender.begin(&app, each(300), DEADLINE).await.expect("no panic");
    let broken: HashSet<u16> = {
        let ledger = gateway.ledger();
        let tokens = ledger.pushes.iter().filter(|push| push.connection == 0).map(|push| numbers(&push.body).0);
        tokens.map(|number| lane(number, 4)).collect()
    };
    assert_eq!(broken.len(), 1);
    assert_eq!(gateway.ledger().dials.len(), 5, "one for each lane, and another for the one that broke");
    let undisturbed = |at: usize| !broken.contains(&lane(at, 4));
    for (at, outcome) in outcomes.iter().enumerate().filter(|(at, _)| undisturbed(*at)) {
        assert_eq!((outcome.kind, outcome.attempts), (OutcomeKind::Accepted, 1), "{at}: {outcome:?}");
    }
    let hit = outcomes.iter().enumerate().filter(|(at, outcome)| !undisturbed(*at) && !is_accepted(outcome)).count();
    assert!(hit >= 20, "what it had taken: {:?}", tally(&outcomes));
}

/// Says 503 to what falls into lane 1 of 3.
async fn fail_one_lane(mut peer: Peer) {
    peer.handshake(100).await;
    while let Some(push) = peer.next().await {
        sleep(SECOND / 1000).await;
        match lane(numbers(&push.body).0, 3) {
            1 => peer.refuse(&push, 503, "ServiceUnavailable").await,
            _ => peer.accept(&push).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_breaker_of_one_lane_stops_no_other_and_shows_for_the_app() {
    let gateway = Gateway::new(|peer| talk(fail_one_lane(peer)));
    let (sender, app) = (Sender::new(&gateway), app_of_lanes("hot", 3));
    for _ in 0..2 {
        let outcomes = sender.begin(&app, each(100), 2 * SECOND).await.expect("no panic");
        for (at, outcome) in outcomes.iter().enumerate() {
            let expected = if lane(at, 3) == 1 { OutcomeKind::NotSent } else { OutcomeKind::Accepted };
            assert_eq!(outcome.kind, expected, "{at}: {outcome:?}");
        }
    }
    let seen = sender.seen(&app);
    assert_eq!((seen.state.as_str(), sender.metric("breakers_open")), ("breaker_open", 1.0));
    assert!(seen.last_error.is_some() && seen.last_success.is_some(), "{seen:?}");
    let again = app_of_lanes("hot", 3);
    let seen = sender.seen(&again);
    assert_eq!((seen.state.as_str(), seen.last_error), ("ok", None), "nothing is known of the new provisioning");
    assert!(is_accepted(&sender.one(&again, into_lane(2, 3, 1)[0].0, 0).await));
    assert_eq!(sender.seen(&again).state.as_str(), "ok", "one lane has no result yet, and the others have no error");
}

#[tokio::test(start_paused = true)]
async fn an_app_shows_its_lanes_together() {
    let gateway = Gateway::new(|peer| talk(peer.serve(2, SECOND / 10)));
    let sender = Sender::with(&gateway, |lanes| lanes.with_connections_max(1));
    let app = app_of_lanes("hot", 4);
    let batch = sender.begin(&app, each(400), DEADLINE);
    sleep(2 * SECOND).await;
    let seen = sender.seen(&app);
    assert_eq!((seen.connections, seen.streams, seen.in_flight), (4, 8, 8));
    assert!((200..390).contains(&seen.queued), "{seen:?}");
    assert_eq!((seen.state.as_str(), seen.bound_by()), ("ok", Bound::Streams));
    assert_eq!(sender.metric("bound_by{by=\"streams\"}"), 4.0, "lanes are counted");
    let waiting = sender.metric("queued_notifications") + sender.metric("in_flight_requests");
    assert_eq!(sender.metric("notifications_total") + waiting, 400.0);
    assert!(batch.await.expect("no panic").iter().all(is_accepted));
    sleep(4000 * SECOND).await;
    let seen = sender.seen(&app);
    assert_eq!((seen.connections, seen.in_flight, seen.queued, seen.bound_by()), (0, 0, 0, Bound::Caller));
    assert!(seen.last_success.is_some(), "it is remembered when the lanes have ended for want of traffic");
    assert!(sender.begin(&app, each(100), DEADLINE).await.expect("no panic").iter().all(is_accepted));
    assert_eq!((sender.seen(&app).connections, gateway.ledger().dials.len()), (4, 8), "they begin again");
}

#[tokio::test(start_paused = true)]
async fn a_single_notification_needs_one_lane_only() {
    let gateway = Gateway::new(|peer| talk(peer.serve(100, SECOND / 10)));
    let (sender, app) = (Sender::new(&gateway), app_of_lanes("hot", 64));
    for number in 0..3 {
        assert!(is_accepted(&sender.one(&app, 7, number).await));
    }
    assert_eq!((gateway.ledger().dials.len(), sender.seen(&app).connections), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_batch_holds_its_memory_until_its_last_part_has_ended() {
    let gateway = Gateway::new(|mut peer| match peer.number {
        0 => talk(async move {
            peer.handshake(100).await;
            while peer.next().await.is_some() {}
        }),
        _ => talk(peer.serve(100, SECOND / 10)),
    });
    let (sender, app) = (Sender::new(&gateway), app_of_lanes("hot", 4));
    let batch = sender.begin(&app, each(100), 8 * SECOND);
    sleep(SECOND).await;
    let all_of_it = sender.metric("queue_bytes");
    sleep(4 * SECOND).await;
    assert!((50.0..100.0).contains(&sender.metric("notifications_total")), "all but one part have ended");
    assert!(all_of_it > 0.0 && sender.metric("queue_bytes") == all_of_it);
    assert!(!batch.is_finished());
    let outcomes = batch.await.expect("no panic");
    assert!(outcomes.iter().any(|outcome| outcome.kind == OutcomeKind::Unknown), "{:?}", tally(&outcomes));
    assert_eq!(sender.metric("queue_bytes"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_for_which_one_lane_has_no_room_is_refused_whole() {
    const INBOX: usize = 1024;
    for full in [0, 1] {
        let gateway = Gateway::new(|peer| talk(peer.serve(100, SECOND / 100)));
        let (sender, app) = (Sender::new(&gateway), app_of_lanes("hot", 2));
        let (busy, free) = (into_lane(full, 2, 1)[0], into_lane(1 - full, 2, 1)[0]);
        // All are begun before a lane comes to run.
        let waiting: Vec<_> = (0..INBOX).map(|number| sender.begin(&app, vec![(busy.0, number)], DEADLINE)).collect();
        let refused = tokio::spawn(sender.attempt(&app, vec![free, busy, free], DEADLINE, false));
        let taken = tokio::spawn(sender.attempt(&app, vec![free], DEADLINE, false));
        assert!(matches!(refused.await.expect("no panic"), Err(Refused::AppOverloaded { .. })));
        assert_eq!(taken.await.expect("no panic").expect("there is room").len(), 1);
        assert!(all(waiting).await.iter().all(is_accepted));
        assert_eq!(gateway.ledger().pushes.len(), INBOX + 1, "nothing of it was sent");
        assert_eq!(sender.metric("taken_notifications_total"), (INBOX + 1) as f64);
        assert_eq!((sender.metric("queued_notifications"), sender.metric("queue_bytes")), (0.0, 0.0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_read_before_the_app_was_changed_is_sent_nevertheless() {
    let gateway = Gateway::new(|peer| talk(peer.serve(100, SECOND / 10)));
    let sender = Sender::new(&gateway);
    let (four, one, two) = (app_of_lanes("hot", 4), app_of_lanes("hot", 1), app_of_lanes("hot", 2));
    for app in [&four, &one, &four, &two, &four, &one] {
        assert!(sender.begin(app, each(100), DEADLINE).await.expect("no panic").iter().all(is_accepted));
    }
    sleep(SECOND).await;
    assert_eq!(sender.metric("connections"), 2.0, "no removed lane came back");
    let started = Instant::now();
    assert!(sender.begin(&two, each(100), DEADLINE).await.expect("no panic").iter().all(is_accepted));
    assert!(started.elapsed() < SECOND);
}
