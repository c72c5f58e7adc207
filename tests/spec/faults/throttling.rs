//! Group 3, throttling: one device token, and connections on which the provider token has worn out.

use super::outcomes::{Outcomes, only};
use crate::support::world::{Credential, World, token};
use simulator::{Act, Fault, Options, Script, TokenRate};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// The connection that carries the 100th request from now on answers so to all that follows, for so long.
fn poison(status: u16, reason: &str, for_ms: Option<u64>) -> Script {
    let act = Act::Poison { status, reason: reason.to_owned(), for_ms };
    Script { faults: vec![Fault { every: Some(100), times: Some(1), ..Fault::new(act) }], ..Script::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wedged_connection_is_left_and_every_notification_resent_once_elsewhere() {
    let world = World::with_one_connection(Options::default(), Credential::Token).await;
    let mut outcomes = Outcomes::new();
    assert!(only(&outcomes.send(&world, 100).await, "accepted"));
    world.simulator.set_script(poison(403, "ExpiredProviderToken", None)).expect("a script");
    let began = Instant::now();
    let told = outcomes.send(&world, 1000).await;
    assert!(only(&told, "accepted"), "{told:?}");
    let resent = outcomes.told().filter(|told| told.attempts > 1).count();
    assert!(resent >= 1 && outcomes.told().all(|told| told.attempts <= 2), "{resent} were resent");
    outcomes.recover(&world, "3 ExpiredProviderToken", began, 5 * SECOND).await;
    outcomes.check(&world);
    let totals = world.simulator.ledger().totals();
    assert_eq!(totals.connections, 2, "{totals:?}");
    assert_eq!(totals.statuses[&403], resent as u64, "nothing new went to the wedged connection after its answers");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_poisoned_by_token_updates_is_left() {
    let world = World::with_one_connection(Options::default(), Credential::Token).await;
    let mut outcomes = Outcomes::new();
    assert!(only(&outcomes.send(&world, 100).await, "accepted"));
    world.simulator.set_script(poison(429, "TooManyProviderTokenUpdates", Some(60_000))).expect("a script");
    let began = Instant::now();
    let told = outcomes.send(&world, 1000).await;
    // Apple answered "not now" to those in flight: those beyond the retry budget end with that reason.
    let not_now = told.get("not_sent TooManyProviderTokenUpdates").copied().unwrap_or(0);
    assert!(told["accepted"] + not_now == 1000 && not_now < 200, "{told:?}");
    outcomes.recover(&world, "3 TooManyProviderTokenUpdates", began, 5 * SECOND).await;
    assert!(only(&outcomes.send(&world, 500).await, "accepted"));
    outcomes.check(&world);
    assert_eq!(world.simulator.ledger().totals().connections, 2, "one other connection is enough");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_token_that_gets_too_much_rests_and_no_other_waits() {
    let world = World::start().await;
    let mut outcomes = Outcomes::new();
    let tokens: Vec<String> = (0..50).map(|number| token(if number % 5 == 0 { 0 } else { number })).collect();
    outcomes.to(tokens);
    assert!(only(&outcomes.send(&world, 50).await, "accepted"));
    let rate = TokenRate { limit: 3, seconds: 60 };
    world.simulator.set_script(Script { token_rate: Some(rate), ..Script::default() }).expect("a script");
    let began = Instant::now();
    let told = outcomes.send_with(&world, "?timeout=2", 100).await;
    assert_eq!((told["accepted"], told["not_sent TooManyRequests"]), (80 + 3, 17), "{told:?}");
    let asked = world.simulator.ledger().totals().statuses[&429];
    assert!(asked <= 20, "{asked} times for a token that must rest");
    println!("3 TooManyRequests: {} ms for the rest of the traffic and the refusals", began.elapsed().as_millis());
    world.simulator.set_script(Script::default()).expect("a script");
    outcomes.recover(&world, "3 TooManyRequests", Instant::now(), 8 * SECOND).await;
    outcomes.check(&world);
    world.stop().await;
}
