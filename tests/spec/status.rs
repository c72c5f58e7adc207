//! A node's statements about itself and about the apps it sends for.

use crate::support::daemon::Daemon;
use crate::support::world::{APP, World, to, token};
use serde_json::{Value, json};
use simulator::{Identity, TokenState};
use std::process::Stdio;

/// A batch to `count` tokens from number `from` on, of which every `every`-th is bad.
async fn send(world: &World, from: usize, count: usize, every: usize) {
    let batch: Vec<Value> = (from..from + count)
        .map(|at| {
            let state = (at - from).is_multiple_of(every).then_some(TokenState::Bad);
            world.simulator.set_token(&token(at), state);
            to(&token(at))
        })
        .collect();
    let answer = world.send(&Value::Array(batch)).await;
    let bad = answer.outcomes().iter().filter(|outcome| **outcome == "rejected").count();
    assert_eq!(bad, count.div_ceil(every), "sends are never suppressed");
}

async fn feedback(world: &World) -> Vec<Value> {
    world.client().await.get(&format!("{APP}/feedback")).await.response().as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_wave_of_bad_tokens_is_held_back_over_a_restart_until_it_is_settled() {
    let world = World::start().await;
    let dead = TokenState::Dead { reason: "Unregistered", timestamp: None };
    world.simulator.set_token(&token(9_999), Some(dead));
    send(&world, 0, 200, 5).await;
    assert_eq!(feedback(&world).await.len(), 40, "one in five is no wave yet");
    send(&world, 200, 100, 2).await;
    assert_eq!(feedback(&world).await, Vec::<Value>::new(), "a wave: what waits is held, too");
    assert_eq!(world.send(&to(&token(9_999))).await.outcomes(), ["rejected"]);
    assert_eq!(feedback(&world).await.len(), 1, "what is definite goes on");
    assert!(world.metrics().await.contains("\npyapns_feedback_holds 1\n"));

    let world = world.restart().await;
    send(&world, 300, 10, 1).await;
    let mut client = world.client().await;
    let app = client.get(APP).await;
    let why = app.response()["feedback_held"]["why"].as_str().expect("a sentence").to_owned();
    assert!(why.contains("of the last") && why.contains("BadDeviceToken"), "{why}");
    let held = client.get(&format!("{APP}/feedback/held")).await;
    assert_eq!((&held.response()["count"], held.response()["why"].as_str()), (&json!(100), Some(why.as_str())));
    let settled = client.post(&format!("{APP}/feedback/held"), r#"{"action":"release"}"#).await;
    assert_eq!(settled.response()["count"], 100, "{settled:?}");
    assert_eq!(feedback(&world).await.len(), 101);
    assert_eq!(client.get(APP).await.response()["feedback_held"], Value::Null);
    world.stop().await;
}

#[tokio::test]
async fn a_log_that_is_not_read_loses_lines_but_no_traffic() {
    let world = World::start().await;
    let data = world.directory.path().join("unread");
    let mut command = Daemon::command(&world, &data, &[("PYAPNS_LOG_LEVEL", "debug")]);
    command.stderr(Stdio::piped());
    let daemon = Daemon::run(command).await;
    let mut client = daemon.client().await;
    let pem = world.simulator.identity().client_pem.clone();
    assert_eq!(client.post(APP, pem).await.status, 201);
    // The pipe holds 64 KiB, the queue 4,096 lines.
    for _ in 0..6_000 {
        assert_eq!(client.get("/apps").await.status, 200);
    }
    let metrics = client.text("/metrics").await;
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("pyapns_log_lines_dropped_total "));
    assert!(dropped.and_then(|count| count.parse::<u64>().ok()).is_some_and(|count| count > 0), "{metrics}");
    let sent = client.post(&format!("{APP}/notifications"), to(&token(1)).to_string()).await;
    assert_eq!(sent.outcomes(), ["accepted"]);
    world.stop().await;
}

#[tokio::test]
async fn a_certificate_that_apple_refuses_is_one_entry_of_the_disconnection_log() {
    let world = World::start().await;
    let app = "/apps/com.example.stranger/sandbox";
    let mut client = world.client().await;
    let of_another_authority = Identity::generate().expect("an identity").client_pem;
    assert_eq!(client.post(app, of_another_authority).await.status, 201);
    for _ in 0..3 {
        let sent = client.post(&format!("{app}/notifications"), to(&token(1)).to_string()).await;
        assert_eq!(sent.outcomes(), ["not_sent"]);
    }
    let log = client.get(&format!("{app}/disconnections")).await;
    let entries = log.response().as_array().expect("a list");
    let refusals: Vec<_> = entries.iter().filter(|entry| entry["affected"] == 0).collect();
    assert_eq!(refusals.len(), 1, "{entries:?}");
    assert_eq!((&refusals[0]["code"], &refusals[0]["reason"]), (&json!(255), &json!("credential_error")));
    let machine = rustix::system::uname();
    assert_eq!(refusals[0]["node"].as_str(), machine.nodename().to_str().ok(), "as its machine is called");
    world.stop().await;
}
