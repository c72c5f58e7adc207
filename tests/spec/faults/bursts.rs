//! Bursts of 5xx, `Shutdown`, `IdleTimeout`: told as Apple said it, not multiplied, and over soon after they are over.

use crate::support::trial::{Trial, tally};
use crate::support::world::World;
use simulator::{Act, Fault, Script};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn answer(status: u16, reason: &str) -> Act {
    Act::Answer { status, reason: reason.to_owned() }
}

fn with(fault: Fault) -> Script {
    Script { faults: vec![fault], ..Script::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_of_503_is_reported_and_adds_no_traffic() {
    let mut trial = Trial::begin(World::start().await, "?timeout=3").await;
    let before = trial.world.simulator.ledger().totals().requests;
    let burst = Fault { for_ms: Some(1500), ..Fault::new(answer(503, "ServiceUnavailable")) };
    trial.script(with(burst), false).await;
    let told = trial.traffic(3 * SECOND / 2).await;
    let outcomes = tally(&told);
    assert!(outcomes["not_sent ServiceUnavailable"] > 0, "{outcomes:?}");
    assert!(!outcomes.keys().any(|how| how.starts_with("unknown") || how.starts_with("rejected")), "{outcomes:?}");
    let requests = trial.world.simulator.ledger().totals().requests - before;
    // Ten retries are there to begin with, and what the traffic before has saved up.
    assert!(requests as f64 <= 1.1 * told.len() as f64 + 20.0, "{requests} requests for {}", told.len());
    let recovery = trial.recover().await;
    assert!(recovery <= 6 * SECOND, "{recovery:?}");
    trial.end("503 for a time", recovery).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_percent_of_500_are_sent_again_and_accepted() {
    let mut trial = Trial::begin(World::start().await, "?timeout=5").await;
    let some = Fault { percent: Some(4.0), ..Fault::new(answer(500, "InternalServerError")) };
    trial.script(with(some), false).await;
    let told = trial.traffic(3 * SECOND).await;
    assert!(told.iter().all(|told| told.outcome == "accepted"), "{:?}", tally(&told));
    assert!(told.iter().any(|told| told.attempts > 1));
    let recovery = trial.recover().await;
    trial.end("4 % of 500", recovery).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_only_answers_500_is_replaced() {
    let mut trial = Trial::begin(World::start().await, "?timeout=5").await;
    let sick = Fault { connection: Some(1), ..Fault::new(answer(500, "InternalServerError")) };
    trial.script(with(sick), false).await;
    let told = trial.traffic(SECOND).await;
    assert!(!told.iter().any(|told| told.outcome == "unknown" || told.outcome == "rejected"), "{:?}", tally(&told));
    let told = trial.traffic(SECOND).await;
    assert!(told.iter().all(|told| told.outcome == "accepted"), "another one works: {:?}", tally(&told));
    let recovery = trial.recover().await;
    trial.end("500 on one connection", recovery).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_and_idle_timeout_cost_the_connection_and_no_notification() {
    let farewell = Act::AnswerAndGoaway { status: 503, reason: "Shutdown".to_owned() };
    for (name, act) in [("503 Shutdown, then GOAWAY", farewell), ("400 IdleTimeout", answer(400, "IdleTimeout"))] {
        let mut trial = Trial::begin(World::start().await, "?timeout=5").await;
        let connections = trial.world.simulator.ledger().totals().connections;
        trial.script(with(Fault { every: Some(60), ..Fault::new(act) }), false).await;
        let told = trial.traffic(2 * SECOND).await;
        assert!(told.iter().all(|told| told.outcome == "accepted"), "{name}: {:?}", tally(&told));
        assert!(trial.world.simulator.ledger().totals().connections > connections, "{name}: it was replaced");
        let recovery = trial.recover().await;
        trial.end(name, recovery).await;
    }
}
