//! Broadcast channels and broadcasts through REST, against the simulator of Apple's gateways.

mod access;
mod broadcasts;
mod faults;
mod gateways;
mod lasting;
mod managing;
mod reasons;

use crate::support::client::Answer;
use crate::support::world::{APP, World};
use serde_json::{Value, json};
use simulator::{Call, Entry, Fault, Script, Service};

/// Creates a channel with this storage policy. Returns its id.
async fn created(world: &World, policy: u8) -> String {
    let answer = create(world, policy).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.response()["id"].as_str().expect("an id").to_owned()
}

async fn create(world: &World, policy: u8) -> Answer {
    let body = json!({"message_storage_policy": policy}).to_string();
    world.client().await.post(&format!("{APP}/channels"), body).await
}

/// The ids of the list, in its order.
async fn listed(world: &World) -> Vec<String> {
    let answer = world.client().await.get(&format!("{APP}/channels")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let list = answer.response().as_array().expect("a list");
    list.iter().map(|channel| channel["id"].as_str().expect("an id").to_owned()).collect()
}

async fn broadcast(world: &World, broadcasts: &Value) -> Answer {
    world.client().await.post(&format!("{APP}/broadcasts"), broadcasts.to_string()).await
}

/// A broadcast to this channel.
fn to(channel: &str) -> Value {
    json!({"channel": channel, "payload": {"aps": {"event": "update", "timestamp": 1_900_000_000, "content-state": {}}}})
}

/// The path of a channel: the id percent-encoded.
fn path(id: &str) -> String {
    let encoded = id.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("{APP}/channels/{encoded}")
}

/// The faults of one call.
fn of(call: Call, fault: Fault) -> Script {
    Script { faults: vec![Fault { call: Some(call), ..fault }], ..Script::default() }
}

/// Apple's ledger of this service.
fn ledger(world: &World, service: Service) -> Vec<Entry> {
    world.simulator.ledger().entries().into_iter().filter(|entry| entry.service == service).collect()
}

/// The sentence of a refusal, which must have its reason.
#[track_caller]
fn sentence<'a>(answer: &'a Answer, status: u16, reason: &str) -> &'a str {
    assert_eq!((answer.status, answer.reason()), (status, reason), "{answer:?}");
    answer.body["error"].as_str().expect("a sentence")
}
