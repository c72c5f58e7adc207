//! Slow answers: who is slow waits alone, answers overtake each other, and their parts may come apart.

use crate::support::trial::{Trial, tally};
use crate::support::world::{World, token};
use simulator::{Act, ConnectionAct, ConnectionFault, Fault, Latency, Script};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_with_a_long_tail_are_all_reported() {
    let mut trial = Trial::begin(World::start().await, "?timeout=8").await;
    let mut measured = vec![20.0; 18];
    measured.extend([300.0, 3000.0]);
    let latency = Some(Latency::EmpiricalMs(measured));
    trial.script(Script { latency, ..Script::default() }, false).await;
    let told = trial.traffic(2 * SECOND).await;
    assert!(told.iter().all(|told| told.outcome == "accepted" && told.attempts == 1), "{:?}", tally(&told));
    let recovery = trial.recover().await;
    trial.end("a long tail", recovery).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_token_delays_no_other() {
    let mut trial = Trial::begin(World::start().await, "?timeout=6").await;
    let slow = token(1_000_000);
    let fault = Fault { token: Some(slow.clone()), ..Fault::new(Act::Delay { ms: 2000 }) };
    trial.script(Script { faults: vec![fault], ..Script::default() }, false).await;
    // Every fourth request of five goes to the slow token.
    let told = trial.traffic_to(SECOND, |number| if number / 5 % 4 == 0 { slow.clone() } else { token(number) }).await;
    assert!(told.iter().all(|told| told.outcome == "accepted"), "{:?}", tally(&told));
    for told in &told {
        assert!((told.token == slow) == (told.took >= 2 * SECOND), "{told:?}");
    }
    let recovery = trial.recover().await;
    trial.end("one slow token", recovery).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_body_is_awaited_and_a_missing_one_only_loses_the_reason() {
    for (after_ms, told_as) in [(300, "rejected BadTopic"), (60_000, "rejected")] {
        let mut trial = Trial::begin(World::start().await, "?timeout=3").await;
        let act = Act::SlowBody { after_ms, status: 400, reason: "BadTopic".to_owned() };
        trial.script(Script { faults: vec![Fault::new(act)], ..Script::default() }, false).await;
        let told = trial.traffic(SECOND / 2).await;
        let outcomes = tally(&told);
        assert!(outcomes.keys().all(|how| how == told_as), "after {after_ms} ms: {outcomes:?}");
        let recovery = trial.recover().await;
        trial.end(&format!("a body after {after_ms} ms"), recovery).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_413_before_the_end_of_the_request_is_reported() {
    let mut trial = Trial::begin(World::start().await, "?timeout=5").await;
    let act = Act::EarlyAnswer { status: 413, reason: "PayloadTooLarge".to_owned() };
    let script = Script {
        faults: vec![Fault { every: Some(2), ..Fault::new(act) }],
        connections: vec![ConnectionFault::new(ConnectionAct::Window { stream: 7, updates: true })],
        ..Script::default()
    };
    trial.script(script, true).await;
    let told = trial.traffic(SECOND).await;
    let mut outcomes = tally(&told);
    // What was in flight when the first connection was cut.
    outcomes.remove("unknown connection_lost");
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["accepted", "rejected PayloadTooLarge"], "{outcomes:?}");
    let recovery = trial.recover().await;
    trial.end("413 before the end of the request", recovery).await;
}
