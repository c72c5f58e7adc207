//! Group 2, dead tokens: of every length, with any timestamp, dying in the middle of the traffic.

use super::outcomes::{Outcomes, only};
use crate::support::world::{APP, World, token};
use serde_json::Value;
use simulator::TokenState;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A device token of so many bytes.
fn of(bytes: usize, number: usize) -> String {
    token(number).repeat(4)[..2 * bytes].to_owned()
}

async fn feedback(world: &World) -> HashMap<String, Value> {
    let page = world.client().await.get(&format!("{APP}/feedback?limit=500")).await;
    let list = page.response().as_array().unwrap_or_else(|| panic!("{page:?}"));
    let entries: HashMap<String, Value> =
        list.iter().map(|entry| (entry["token"].as_str().expect("a token").to_owned(), entry.clone())).collect();
    assert_eq!(entries.len(), list.len(), "one entry for each token");
    entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_every_length_die_with_any_timestamp_and_hurt_no_other() {
    let (past, future) = (1_508_249_865_488_i64, 4_000_000_000_123_i64);
    let world = World::start().await;
    let mut outcomes = Outcomes::new();
    let mut all = Vec::new();
    let mut dead = HashMap::new();
    for bytes in [32, 54, 80, 100] {
        for (at, (reason, timestamp)) in
            [("Unregistered", Some(past)), ("ExpiredToken", Some(future)), ("Unregistered", None)]
                .into_iter()
                .enumerate()
        {
            let token = of(bytes, at);
            world.simulator.set_token(&token, Some(TokenState::Dead { reason, timestamp }));
            dead.insert(token, (reason, timestamp));
        }
        world.simulator.set_token(&of(bytes, 3), Some(TokenState::Bad));
        world.simulator.set_token(&of(bytes, 4), Some(TokenState::WrongTopic));
        all.extend((0..10).map(|number| of(bytes, number)));
    }
    outcomes.to(all);
    let began = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let told = outcomes.send(&world, 40 * 3).await;
    assert_eq!(told["accepted"], 4 * 5 * 3, "{told:?}");
    assert_eq!((told["rejected Unregistered"], told["rejected ExpiredToken"]), (4 * 2 * 3, 4 * 3), "{told:?}");
    assert_eq!((told["rejected BadDeviceToken"], told["rejected DeviceTokenNotForTopic"]), (12, 12), "{told:?}");
    let entries = feedback(&world).await;
    for (token, (reason, timestamp)) in &dead {
        let entry = entries.get(token).unwrap_or_else(|| panic!("{token} is not in the feedback"));
        assert_eq!(entry["reason"], *reason);
        let since = entry["timestamp"].as_f64().expect("a number");
        match timestamp {
            Some(at) if *at == past => assert_eq!(since, past as f64 / 1000.0),
            // A date in the future would keep the token dead forever: the time of the answer replaces it.
            _ => assert!((began - 1.0..began + 60.0).contains(&since), "{since} is not about {began}"),
        }
    }
    assert!(
        entries.values().all(|entry| entry["reason"] != "DeviceTokenNotForTopic"),
        "the token may be good elsewhere"
    );
    assert_eq!(entries.len(), 4 * 4, "dead and bad ones only");
    outcomes.check(&world);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_dies_after_some_sends_is_reported_dead_from_then_on() {
    const AFTER: u64 = 5;
    let world = World::start().await;
    let mut outcomes = Outcomes::new();
    let tokens: Vec<String> = (0..20).map(token).collect();
    for token in &tokens[..8] {
        let dying = TokenState::Dying { after: AFTER, reason: "Unregistered", timestamp: Some(1_700_000_000_000) };
        world.simulator.set_token(token, Some(dying));
    }
    outcomes.to(tokens);
    let told = outcomes.send(&world, 20 * 10).await;
    assert_eq!(told["accepted"], 12 * 10 + 8 * AFTER as usize, "{told:?}");
    assert_eq!(told["rejected Unregistered"], 8 * (10 - AFTER as usize), "{told:?}");
    assert_eq!(feedback(&world).await.len(), 8);
    for number in 0..8 {
        world.simulator.set_token(&token(number), None);
    }
    outcomes.recover(&world, "2 tokens good again", Instant::now(), Duration::from_secs(1)).await;
    outcomes.check(&world);
    assert!(only(&outcomes.send(&world, 20).await, "accepted"));
    world.stop().await;
}
