//! Connections that fall silent, are cut, or have no window: replaced in time, and nothing told wrong.

use crate::support::full;
use crate::support::hosts::Piped;
use crate::support::sender::{DEADLINE, Sender, all, app, body, is_accepted, tally as tally_of};
use crate::support::trial::{Trial, tally};
use crate::support::world::{Credential, World};
use pyapns::model::OutcomeKind;
use simulator::{Act, Breakage, ConnectionAct, ConnectionFault, Fault, Point, Script};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const NO_UPDATES: &str = "no WINDOW_UPDATE";

/// The first connection is faulty so.
fn first(act: ConnectionAct) -> Script {
    let fault = ConnectionFault { times: Some(1), ..ConnectionFault::new(act) };
    Script { connections: vec![fault], ..Script::default() }
}

fn broken(at: Point, how: Breakage) -> Script {
    first(ConnectionAct::Break { at, how })
}

/// Everything on the first connection goes unanswered, but for PINGs.
fn only_pongs() -> Script {
    let act = Act::Silence { processed: false };
    Script { faults: vec![Fault { connection: Some(1), ..Fault::new(act) }], ..Script::default() }
}

/// Every stall of a connection without an end.
fn stalls() -> Vec<(&'static str, Script)> {
    let window = |stream, updates| first(ConnectionAct::Window { stream, updates });
    vec![
        ("a black hole after accept", broken(Point::Accept, Breakage::Silence)),
        ("a black hole after TLS", broken(Point::Tls, Breakage::Silence)),
        ("a black hole after SETTINGS", broken(Point::Settings, Breakage::Silence)),
        ("a black hole after 5 answers", broken(Point::Answers(5), Breakage::Silence)),
        ("nothing read after 5 answers", broken(Point::Answers(5), Breakage::Deaf)),
        ("an idle connection dropped without a word", broken(Point::IdleMs(100), Breakage::Silence)),
        ("PINGs answered, requests never", only_pongs()),
        ("no window for a stream", window(0, true)),
        ("a window of 10 bytes for a stream", window(10, false)),
        (NO_UPDATES, window(65_535, false)),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_stalled_connection_is_replaced_within_twelve_seconds_and_nothing_hangs() {
    for (name, script) in stalls() {
        let apple = Piped::start().await;
        apple.script(script);
        let (sender, app) = (Sender::new(&apple), app("any"));
        let (start, mut begun) = (Instant::now(), Vec::new());
        // A window of 65,535 bytes takes some to fill.
        let batch = if name == NO_UPDATES { 60 } else { 2 };
        for round in 0..100 {
            let each = (round * batch..(round + 1) * batch).map(|number| (number, number));
            begun.push(sender.begin(&app, each.collect(), DEADLINE));
            sleep(SECOND / 5).await;
        }
        let outcomes = all(begun).await;
        let replaced = *apple.dials().get(1).unwrap_or_else(|| panic!("{name}: never replaced")) - start;
        println!("{name}: replaced after {:.1} s, {:?}", replaced.as_secs_f64(), tally_of(&outcomes));
        assert!(replaced <= 12 * SECOND, "{name}: {replaced:?}");
        let late: Vec<_> = outcomes[65 * batch..].iter().filter(|outcome| !is_accepted(outcome)).collect();
        assert!(late.is_empty(), "{name}: {:?}", tally_of(late));
        let mut arrived: HashMap<String, usize> = HashMap::new();
        for entry in apple.simulator.ledger().entries().iter().filter(|entry| entry.accepted) {
            *arrived.entry(String::from_utf8_lossy(&entry.body).into_owned()).or_default() += 1;
        }
        for (number, outcome) in outcomes.iter().enumerate() {
            let times = arrived.get(&body(number, number)).copied().unwrap_or(0);
            match outcome.kind {
                OutcomeKind::Accepted => assert_eq!(times, 1, "{name}: {outcome:?}"),
                OutcomeKind::Unknown => assert!(times <= 1, "{name}: {outcome:?}"),
                _ => assert_eq!(times, 0, "{name}: {outcome:?}"),
            }
        }
    }
}

/// In real time, over sockets and TLS, all together. It has its own limit: a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_survives_every_stall_in_real_time() {
    if !full() {
        return println!("SKIPPED: takes half a minute; set PYAPNS_TEST_FULL=1");
    }
    let mut trials = JoinSet::new();
    for (name, script) in stalls() {
        trials.spawn(async move {
            let world = World::start().await;
            let mut trial = Trial::begin(world, "?timeout=8").await;
            // Connections are counted over the simulator's life: the first of this script is the second of all.
            let faults = script.faults.into_iter().map(|fault| Fault { connection: Some(2), ..fault }).collect();
            trial.script(Script { faults, ..script }, true).await;
            let began = Instant::now();
            let told = trial.traffic(SECOND / 2).await;
            assert!(told.iter().all(|told| told.took < 9 * SECOND), "{name}: nothing hangs past its deadline");
            while trial.traffic(SECOND / 10).await.iter().any(|told| told.outcome != "accepted") {
                assert!(began.elapsed() < 20 * SECOND, "{name}");
            }
            println!("{name}: in order again after {:.1} s", began.elapsed().as_secs_f64());
            let recovery = trial.recover().await;
            trial.end(name, recovery).await;
        });
    }
    while let Some(done) = trials.join_next().await {
        done.expect("no panic");
    }
}

/// Ends that the node notices immediately.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_cut_anywhere_loses_nothing_and_doubles_nothing() {
    let ends = [
        ("half-closed after 7 answers", Point::Answers(7), Breakage::HalfClose),
        ("closed after 7 answers", Point::Answers(7), Breakage::Close),
        ("reset after 7 answers", Point::Answers(7), Breakage::Reset),
        ("reset in the middle of an answer", Point::BytesOut(301), Breakage::Reset),
        ("reset in the middle of a request", Point::BytesIn(601), Breakage::Reset),
        ("closed in the middle of a request", Point::BytesIn(601), Breakage::Close),
        ("closed after SETTINGS", Point::Settings, Breakage::Close),
    ];
    let mut trials = JoinSet::new();
    for (name, at, how) in ends {
        trials.spawn(async move {
            let mut trial = Trial::begin(World::with(Credential::Token).await, "?timeout=5").await;
            let fault = ConnectionFault { times: Some(3), ..ConnectionFault::new(ConnectionAct::Break { at, how }) };
            trial.script(Script { connections: vec![fault], ..Script::default() }, true).await;
            let told = trial.traffic(2 * SECOND).await;
            let kinds: HashSet<&str> = told.iter().map(|told| told.outcome.as_str()).collect();
            assert!(kinds.iter().all(|kind| ["accepted", "unknown"].contains(kind)), "{name}: {:?}", tally(&told));
            let recovery = trial.recover().await;
            trial.end(name, recovery).await;
        });
    }
    while let Some(done) = trials.join_next().await {
        done.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_notifications_are_resent_if_the_caller_requests_it() {
    let mut trial = Trial::begin(World::start().await, "?timeout=5&retry_unknown=true").await;
    let cut = ConnectionAct::Break { at: Point::Answers(7), how: Breakage::HalfClose };
    let fault = ConnectionFault { times: Some(3), ..ConnectionFault::new(cut) };
    trial.script(Script { connections: vec![fault], ..Script::default() }, true).await;
    let told = trial.traffic(2 * SECOND).await;
    assert!(told.iter().all(|told| told.outcome == "accepted"), "{:?}", tally(&told));
    let recovery = trial.recover().await;
    trial.end("half-closed, resent on request", recovery).await;
}
