//! Group 4, the error budget: too many rejections end a connection, sooner for bad tokens, never for dead ones.

use super::outcomes::{Outcomes, only};
use crate::support::world::{Credential, World, token};
use simulator::{DebugData, Ending, ErrorBudget, Script, TokenState};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

fn script(budget: ErrorBudget) -> Script {
    Script { error_budget: Some(budget), ..Script::default() }
}

/// One in ten of these numbers gets this state.
fn every_tenth(world: &World, numbers: std::ops::Range<usize>, state: &TokenState) {
    for number in numbers.step_by(10) {
        world.simulator.set_token(&token(number), Some(state.clone()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_end_for_too_many_errors_lose_nothing() {
    for credential in [Credential::Certificate, Credential::Token] {
        let world = World::with(credential).await;
        let mut outcomes = Outcomes::new();
        assert!(only(&outcomes.send(&world, 100).await, "accepted"));
        every_tenth(&world, 100..1000, &TokenState::WrongTopic);
        let budget = ErrorBudget { code: 11, debug: DebugData::Text("too many errors".into()), ..ErrorBudget::new(30) };
        world.simulator.set_script(script(budget)).expect("a script");
        let told = outcomes.send(&world, 900).await;
        assert_eq!((told["accepted"], told["rejected DeviceTokenNotForTopic"]), (810, 90), "{told:?}");
        assert!(world.simulator.ledger().totals().goaways >= 2, "30 errors end a connection");
        outcomes.recover(&world, "4 error budget", Instant::now(), 3 * SECOND).await;
        outcomes.check(&world);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_tokens_end_a_connection_sooner_and_dead_ones_never() {
    let budget = ErrorBudget { bad_device_tokens: Some(10), ..ErrorBudget::new(1000) };
    let world = World::start().await;
    let mut outcomes = Outcomes::new();
    world.simulator.set_script(script(budget)).expect("a script");
    every_tenth(&world, 0..300, &TokenState::Dead { reason: "Unregistered", timestamp: None });
    let told = outcomes.send(&world, 300).await;
    assert_eq!((told["accepted"], told["rejected Unregistered"]), (270, 30), "{told:?}");
    assert_eq!(world.simulator.ledger().totals().goaways, 0, "410 does not count as an error");
    every_tenth(&world, 300..600, &TokenState::Bad);
    let told = outcomes.send(&world, 300).await;
    assert_eq!((told["accepted"], told["rejected BadDeviceToken"]), (270, 30), "{told:?}");
    assert!(world.simulator.ledger().totals().goaways >= 1);
    outcomes.recover(&world, "4 bad tokens", Instant::now(), 3 * SECOND).await;
    outcomes.check(&world);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_off_for_its_errors_leaves_no_false_answer() {
    for kind in [Ending::Abrupt, Ending::Cut] {
        let world = World::start().await;
        let mut outcomes = Outcomes::new();
        assert!(only(&outcomes.send(&world, 100).await, "accepted"));
        every_tenth(&world, 100..400, &TokenState::WrongTopic);
        world.simulator.set_script(script(ErrorBudget { kind, ..ErrorBudget::new(15) })).expect("a script");
        let told = outcomes.send(&world, 300).await;
        let sure = told["accepted"] + told["rejected DeviceTokenNotForTopic"];
        let unknown = told.get("unknown connection_lost").copied().unwrap_or(0);
        assert_eq!(sure + unknown, 300, "nothing is lost: {told:?}");
        outcomes.recover(&world, "4 cut off", Instant::now(), 3 * SECOND).await;
        outcomes.check(&world);
        world.stop().await;
    }
}
