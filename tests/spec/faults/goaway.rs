//! Group 5, GOAWAY: any reason, code and debug data, any last stream id, twice, without a close, on all connections
//! together.

use super::outcomes::{Outcomes, after, only};
use crate::support::world::{Credential, World};
use simulator::{Close, DebugData, Ending, GoAway, Latency, Options, Script, SettingsPlay, Values, When};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const OTHER: &str = "/apps/com.example.app/production";

fn script(goaway: GoAway) -> Script {
    Script { goaway: Some(goaway), latency: Some(Latency::FixedMs(3.0)), ..Script::default() }
}

/// Plays it to a connection in use, once, and expects that every notification is accepted, once.
async fn costs_nothing(credential: Credential, goaway: GoAway) {
    let what = format!("5 {credential:?} {:?} code {} {:?}", goaway.kind, goaway.code, goaway.close);
    let world = World::with_one_connection(Options::default(), credential).await;
    let mut outcomes = Outcomes::new();
    assert!(only(&outcomes.send(&world, 100).await, "accepted"));
    world.simulator.set_script(script(GoAway { times: Some(1), ..goaway })).expect("a script");
    let began = Instant::now();
    let told = outcomes.send(&world, 400).await;
    assert!(only(&told, "accepted"), "{what}: {told:?}");
    outcomes.recover(&world, &what, began, 3 * SECOND).await;
    outcomes.check(&world);
    let totals = world.simulator.ledger().totals();
    assert_eq!((totals.connections, totals.accepted_ids), (2, totals.accepted), "{what}: {totals:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reasons_codes_and_debug_data_of_any_shape_cost_nothing() {
    let debug = [
        (0, DebugData::Reason("Shutdown".into())),
        (1, DebugData::Reason("IdleTimeout".into())),
        (2, DebugData::Reason("An unknown reason".into())),
        (7, DebugData::Text("Maximum active streams violated for this endpoint.".into())),
        (11, DebugData::Text(String::new())),
        (0xffff_ffff, DebugData::Base64(vec![0xff; 16_376])),
        (0, DebugData::Text("{\"reason\":".repeat(1500))),
    ];
    for (code, debug) in debug {
        let goaway = GoAway::new(When::ConnectionRequests(150), Ending::Single);
        costs_nothing(Credential::Certificate, GoAway { code, debug, ..goaway }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_last_stream_id_and_any_way_to_close_cost_nothing() {
    // Streams 1 to 199 carried the first hundred, so these are: none of the present ones, some of them.
    let single = GoAway::new(When::ConnectionRequests(100), Ending::Single);
    let graceful = GoAway::new(When::ConnectionRequests(100), Ending::Graceful);
    let variants = [
        GoAway { last_stream_id: Some(0), ..single.clone() },
        GoAway { last_stream_id: Some(261), ..single.clone() },
        GoAway { second_empty: true, ..single.clone() },
        GoAway { close: Close::AfterMs(300), ..single.clone() },
        GoAway { close: Close::Never, second_empty: true, ..single },
        GoAway { second_after_ms: 100, ..graceful.clone() },
        GoAway { second_after_ms: 5, close: Close::Never, ..graceful },
    ];
    let credentials = [Credential::Certificate, Credential::Token].into_iter().cycle();
    for (goaway, credential) in variants.into_iter().zip(credentials) {
        costs_nothing(credential, goaway).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_waiting_at_a_limit_of_one_go_to_the_next_connection() {
    let goaway = GoAway { times: Some(2), ..GoAway::new(When::ConnectionRequests(1), Ending::Single) };
    let script = Script { latency: Some(Latency::FixedMs(50.0)), ..script(goaway) };
    let world = World::beside_with(Options { script, ..Options::default() }, Credential::Token).await;
    let mut outcomes = Outcomes::new();
    let began = Instant::now();
    let told = outcomes.send(&world, 200).await;
    assert!(only(&told, "accepted"), "{told:?}");
    outcomes.recover(&world, "5 behind a limit of 1", began, 5 * SECOND).await;
    outcomes.check(&world);
    assert_eq!(world.simulator.ledger().totals().goaways, 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maintenance_on_all_connections_together_is_survived() {
    let settings = SettingsPlay { first: Values::streams(5), ..Default::default() };
    let slow = Script { settings: Some(settings), latency: Some(Latency::FixedMs(30.0)), ..Script::default() };
    for kind in [Ending::Graceful, Ending::Single, Ending::Abrupt, Ending::Cut] {
        let world = World::beside(Options { script: slow.clone(), ..Options::default() }).await;
        let mut outcomes = Outcomes::new();
        assert!(only(&outcomes.send(&world, 300).await, "accepted"));
        let mut connections = 0;
        let maintenance = Script { goaway: Some(GoAway::new(When::Now, kind)), ..slow.clone() };
        let mut began = Instant::now();
        let told = outcomes
            .send_during(&world, 200, async {
                connections = after(world.simulator.ledger(), 100).await.connections as usize;
                world.simulator.set_script(maintenance).expect("a script");
                began = Instant::now();
            })
            .await;
        let unknown = told.get("unknown connection_lost").copied().unwrap_or(0);
        assert_eq!(told["accepted"] + unknown, 200, "{kind:?}: {told:?}");
        assert!(connections >= 2, "{connections} connections carry the load");
        // Another connection may have been opened since.
        let most = if matches!(kind, Ending::Graceful | Ending::Single) { 0 } else { 5 * (connections + 1) };
        assert!(unknown <= most, "{kind:?}: only what was in flight may be unknown: {told:?}");
        outcomes.recover(&world, &format!("5 maintenance {kind:?}"), began, 5 * SECOND).await;
        outcomes.check(&world);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_lost_with_a_connection_are_resent_only_on_request() {
    for query in ["", "?retry_unknown=true"] {
        let world = World::start().await;
        let mut outcomes = Outcomes::new();
        assert!(only(&outcomes.send(&world, 100).await, "accepted"));
        let cut = GoAway { unanswered: 20, ..GoAway::new(When::ConnectionRequests(100), Ending::Cut) };
        world.simulator.set_script(script(GoAway { times: Some(1), ..cut })).expect("a script");
        let told = outcomes.send_with(&world, query, 300).await;
        let unknown = told.get("unknown connection_lost").copied().unwrap_or(0);
        assert_eq!(told["accepted"] + unknown, 300, "{told:?}");
        assert!(if query.is_empty() { unknown >= 20 } else { unknown == 0 }, "{query}: {told:?}");
        outcomes.check(&world);
        let twice = world.simulator.ledger().accepted_ids().values().filter(|times| **times > 1).count();
        assert_eq!(twice > 0, !query.is_empty(), "{twice} twice");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goaway_about_the_certificate_stops_only_its_app_until_it_is_provisioned_again() {
    for reason in ["BadCertificate", "BadCertificateEnvironment"] {
        let world = World::start().await;
        let (mut outcomes, mut others) = (Outcomes::of(OTHER), Outcomes::new());
        assert!(only(&others.send(&world, 100).await, "accepted"));
        let debug = DebugData::Reason(reason.into());
        let blame = GoAway { debug, ..GoAway::new(When::Connect, Ending::Single) };
        world.simulator.set_script(script(blame)).expect("a script");
        assert_eq!(world.provision(OTHER, Credential::Certificate).await.status, 201);
        let began = Instant::now();
        let (told, fine) = tokio::join!(outcomes.send(&world, 200), others.send(&world, 1000));
        assert!(only(&told, "not_sent credential_error"), "{told:?}");
        assert!(only(&fine, "accepted"), "the other app goes on: {fine:?}");
        println!("5 {reason}: told {} ms after the app was provisioned", began.elapsed().as_millis());
        let told = outcomes.send(&world, 200).await;
        assert!(only(&told, "not_sent credential_error"), "{told:?}");
        assert!(world.simulator.ledger().totals().connections <= 3, "no loop");

        world.simulator.set_script(Script::default()).expect("a script");
        assert_eq!(world.provision(OTHER, Credential::Certificate).await.status, 201);
        outcomes.recover(&world, &format!("5 {reason}, provisioned again"), Instant::now(), 2 * SECOND).await;
        assert!(only(&others.send(&world, 100).await, "accepted"));
        outcomes.check(&world);
        others.check(&world);
        world.stop().await;
    }
}
