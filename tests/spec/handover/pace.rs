//! The connections of a hand-over are begun slowly, and only for lanes that exist.

use crate::support::fleet::{Fleet, Plan};
use crate::support::world::{to, token};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const APP: &str = "/apps/com.example.spread/sandbox";

#[tokio::test]
async fn connections_of_a_hand_over_are_begun_at_five_a_second_and_those_used_last_come_first() {
    let fleet = Fleet::start(Plan::of(2)).await;
    fleet.provision(APP, &json!({"lanes": 20})).await;
    fleet.wait_reachable().await;
    let batch = Value::Array((0..400).map(|number| to(&token(number))).collect());
    assert!(fleet.send(0, APP, &batch).await.outcomes().iter().all(|outcome| *outcome == "accepted"));
    let held = fleet.metric(0, "pyapns_connections").await;
    assert!(held >= 6.0, "{held} of 20 lanes are the first node's");
    let before = fleet.metric(1, "pyapns_connections").await;
    let began = Instant::now();
    let (count, ready) = fleet.peers[0].warm_successors(began + Duration::from_secs(4)).await;
    let took = began.elapsed();
    println!("{ready} of {count} lanes in {took:?}");
    assert_eq!(count as f64, held);
    // The first one comes at once; more than three seconds are not taken.
    let fitting = count.min(15);
    assert!(ready >= fitting - 1 && took < Duration::from_millis(3_500), "{ready} of {count} in {took:?}");
    assert!(took >= Duration::from_millis(200) * (ready as u32 - 1), "{ready} in {took:?}");
    assert_eq!(fleet.metric(1, "pyapns_connections").await, before + ready as f64);
    fleet.stop().await;
}

#[tokio::test]
async fn an_app_that_the_next_owner_does_not_know_does_not_hold_up_a_hand_over() {
    let fleet = Fleet::start(Plan::of(2)).await;
    fleet.provision(APP, &json!({"lanes": 4})).await;
    fleet.wait_reachable().await;
    let batch = Value::Array((0..100).map(|number| to(&token(number))).collect());
    assert!(fleet.send(0, APP, &batch).await.outcomes().iter().all(|outcome| *outcome == "accepted"));
    // The next owner does not know the app.
    assert_eq!(fleet.client(1).await.call("DELETE", APP, "").await.status, 200);
    let began = Instant::now();
    let (count, ready) = fleet.peers[0].warm_successors(began + Duration::from_secs(4)).await;
    assert!(count > 0 && ready == 0, "{ready} of {count}");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    fleet.stop().await;
}
