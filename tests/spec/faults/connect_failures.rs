//! Connections that do not come about: told `not_sent` in time, tried again at a pace, and whole once the fault is over.

use crate::support::hosts::Hosts;
use crate::support::trial::{Trial, tally};
use crate::support::world::{APP, Credential, World};
use serde_json::json;
use simulator::{
    AlertTo, Breakage, ConnectRate, ConnectionAct, ConnectionFault, Ending, Flaw, GoAway, ListenerFault, Options,
    Point, Script, Shut, When,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn every(act: ConnectionAct) -> Script {
    Script { connections: vec![ConnectionFault::new(act)], ..Script::default() }
}

fn shut(state: Shut) -> Script {
    Script { listeners: vec![ListenerFault { listener: None, state, for_ms: None }], ..Script::default() }
}

/// A world whose app gives up a connection that hangs after two seconds.
async fn impatient() -> World {
    let world = World::start().await;
    let body = json!({"certificate": world.simulator.identity().client_pem, "timeout": 2});
    assert_eq!(world.client().await.post(APP, body.to_string()).await.status, 201);
    world
}

/// Each failure to open a connection.
fn failures() -> Vec<(&'static str, Script)> {
    let on_accept = |how| every(ConnectionAct::Break { at: Point::Accept, how });
    let alpn = |names: &[&str]| every(ConnectionAct::Alpn(names.iter().map(|name| (*name).to_owned()).collect()));
    vec![
        ("the port is closed", shut(Shut::Closed)),
        ("SYNs are dropped", shut(Shut::Stalled)),
        ("accepted, then closed", on_accept(Breakage::Close)),
        ("accepted, then reset", on_accept(Breakage::Reset)),
        ("a black hole after accept", on_accept(Breakage::Silence)),
        ("alert 40", every(ConnectionAct::Alert { code: 40, to: AlertTo::Hello })),
        ("an untrusted server", every(ConnectionAct::Certificate(Flaw::Untrusted))),
        ("an expired server certificate", every(ConnectionAct::Certificate(Flaw::Expired))),
        ("another server's certificate", every(ConnectionAct::Certificate(Flaw::WrongName))),
        ("no ALPN", alpn(&[])),
        ("only HTTP/1.1", alpn(&["http/1.1"])),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_cannot_be_connected_to_costs_nothing_but_time() {
    let mut trials = JoinSet::new();
    for (name, script) in failures() {
        trials.spawn(async move {
            let mut trial = Trial::begin(impatient().await, "?timeout=2").await;
            let sockets = trial.world.simulator.ledger().totals().sockets;
            trial.script(script, true).await;
            let began = Instant::now();
            let told = trial.traffic(SECOND).await;
            let outcomes = tally(&told);
            // Notifications in flight when the connection was cut may be unknown; no others can have been sent.
            let unknown = told.iter().filter(|told| told.outcome == "unknown").count();
            assert!(unknown <= 10 && outcomes.keys().any(|how| how.starts_with("not_sent")), "{name}: {outcomes:?}");
            assert!(told.iter().all(|told| told.took < 3 * SECOND), "{name}: nothing hangs past its deadline");
            let (tried, seconds) =
                (trial.world.simulator.ledger().totals().sockets - sockets, began.elapsed().as_secs_f64());
            assert!((tried as f64) <= 4.0 + seconds, "{name}: {tried} connections in {seconds} s");
            let recovery = trial.recover().await;
            trial.end(name, recovery).await;
        });
    }
    while let Some(done) = trials.join_next().await {
        done.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_about_the_certificate_stops_the_app_until_it_is_provisioned_again() {
    let mut trials = JoinSet::new();
    for code in [42, 44, 45] {
        trials.spawn(async move {
            let mut trial = Trial::begin(World::start().await, "?timeout=2").await;
            let before = trial.world.simulator.ledger().totals();
            trial.script(every(ConnectionAct::Alert { code, to: AlertTo::Certificate }), true).await;
            trial.traffic(SECOND / 2).await;
            let told = trial.traffic(SECOND).await;
            assert_eq!(tally(&told).into_keys().collect::<Vec<_>>(), ["not_sent credential_error"], "alert {code}");
            let sockets = trial.world.simulator.ledger().totals().sockets - before.sockets;
            assert!(sockets <= 2, "alert {code}: {sockets} connections with a credential that does not work");
            trial.script(Script::default(), false).await;
            let began = Instant::now();
            assert_eq!(trial.world.provision(APP, Credential::Certificate).await.status, 201);
            trial.recover().await;
            let recovery = began.elapsed();
            assert!(recovery < 5 * SECOND, "alert {code}: {recovery:?}");
            trial.end(&format!("alert {code}, healed by provisioning"), recovery).await;
        });
    }
    while let Some(done) = trials.join_next().await {
        done.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_address_among_three_loses_nothing() {
    let bad = |act| Script {
        connections: vec![ConnectionFault { listener: Some(0), ..ConnectionFault::new(act) }],
        ..Script::default()
    };
    let shut = |state| Script {
        listeners: vec![ListenerFault { listener: Some(0), state, for_ms: None }],
        ..Script::default()
    };
    let faults = [
        ("one port of three closed", shut(Shut::Closed)),
        ("one address of three drops SYNs", shut(Shut::Stalled)),
        ("one server of three untrusted", bad(ConnectionAct::Certificate(Flaw::Untrusted))),
        ("one of three closes immediately", bad(ConnectionAct::Break { at: Point::Tls, how: Breakage::Close })),
    ];
    let mut trials = JoinSet::new();
    for (name, script) in faults {
        trials.spawn(async move {
            let beside = vec!["127.0.0.2:0".to_owned(), "127.0.0.3:0".to_owned()];
            let options = Options { beside, ..Options::default() };
            let connect = |addresses: &[_]| Arc::new(Hosts::new(addresses)) as _;
            let mut trial = Trial::begin(World::through(options, connect).await, "?timeout=6").await;
            // Not sooner, for connections are opened one a second at most.
            let goaway = Some(GoAway::new(When::ConnectionRequests(150), Ending::Single));
            trial.script(Script { goaway, ..script }, false).await;
            let told = trial.traffic(4 * SECOND).await;
            assert!(told.iter().all(|told| told.outcome == "accepted"), "{name}: {:?}", tally(&told));
            assert!(trial.world.simulator.ledger().totals().goaways >= 1, "{name}");
            let recovery = trial.recover().await;
            trial.end(name, recovery).await;
        });
    }
    while let Some(done) = trials.join_next().await {
        done.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pace_of_connections_stays_below_a_guard_against_floods() {
    let mut trial = Trial::begin(World::start().await, "?timeout=2").await;
    // Three immediately and one a second afterwards: five within a second never occur.
    let rate = ConnectRate { limit: 4, seconds: 1, block_ms: 60_000, how: Breakage::Reset };
    let script = every(ConnectionAct::Break { at: Point::Tls, how: Breakage::Close });
    trial.script(Script { connect_rate: Some(rate), ..script }, true).await;
    trial.traffic(3 * SECOND).await;
    assert_eq!(trial.world.simulator.ledger().totals().blocked, 0);
    let recovery = trial.recover().await;
    trial.end("every connection closed after TLS", recovery).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_was_blocked_is_served_again_when_the_block_is_over() {
    let mut trial = Trial::begin(World::start().await, "?timeout=2").await;
    let rate = ConnectRate { limit: 1, seconds: 60, block_ms: 1500, how: Breakage::Close };
    let cut = GoAway { times: Some(1), ..GoAway::new(When::ConnectionRequests(5), Ending::Cut) };
    trial.script(Script { connect_rate: Some(rate), goaway: Some(cut), ..Script::default() }, false).await;
    trial.traffic(SECOND).await;
    trial.script(Script { connect_rate: Some(rate), ..Script::default() }, true).await;
    trial.traffic(SECOND).await;
    let recovery = trial.recover().await;
    trial.end("blocked for a while", recovery).await;
}
