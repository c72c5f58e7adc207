//! Broadcasts and their outcomes.

use super::{broadcast, created, ledger, sentence, to};
use crate::support::world::{APP, Credential, World};
use serde_json::{Value, json};
use simulator::Service;

#[tokio::test]
async fn a_broadcast_arrives_byte_for_byte_with_apples_headers() {
    let world = World::with(Credential::Token).await;
    let id = created(&world, 1).await;
    let payload = "{ \"aps\" : {\"event\":\"\\u00fcpdate\"},\n\"n\":1.50e+3 }";
    let uuid = "123e4567-e89b-12d3-a456-426655440000";
    let body = format!(
        "{{\"channel\":\"{id}\",\"payload\":{payload},\"identifier\":\"{uuid}\",\"expiry\":4000000000,\"priority\":5}}"
    );
    let answer = world.client().await.post(&format!("{APP}/broadcasts"), body).await;
    let outcome = answer.response();
    assert_eq!((answer.status, &outcome["outcome"], &outcome["status"]), (201, &json!("accepted"), &json!(200)));
    assert_eq!((&outcome["channel"], &outcome["identifier"]), (&json!(id), &json!(uuid)));
    assert_eq!(
        (&outcome["apns_id"], &outcome["attempts"], &outcome["reason"]),
        (&json!(uuid), &json!(1), &Value::Null)
    );
    let entry = ledger(&world, Service::Broadcasts).pop().expect("an entry");
    assert_eq!((&entry.body[..], entry.apns_id.as_str()), (payload.as_bytes(), uuid));
    assert_eq!(entry.request.as_deref(), Some("POST /4/broadcasts/apps/com.example.app"));
    assert_eq!((entry.channel_id.as_deref(), entry.topic.as_deref()), (Some(id.as_str()), None));
    assert_eq!((entry.push_type.as_deref(), entry.priority.as_deref()), (Some("liveactivity"), Some("5")));
    assert_eq!(entry.expiration.as_deref(), Some("4000000000"));
    world.stop().await;
}

#[tokio::test]
async fn an_absent_expiry_is_0_and_an_absent_priority_10_on_the_wire() {
    let world = World::start().await;
    let id = created(&world, 0).await;
    assert_eq!(broadcast(&world, &to(&id)).await.outcomes(), ["accepted"]);
    let entry = ledger(&world, Service::Broadcasts).pop().expect("an entry");
    assert_eq!((entry.expiration.as_deref(), entry.priority.as_deref()), (Some("0"), Some("10")));
    world.stop().await;
}

#[tokio::test]
async fn a_list_gets_its_outcomes_in_its_own_order_and_a_bad_item_sends_nothing() {
    let world = World::start().await;
    let (stored, none) = (created(&world, 1).await, created(&world, 0).await);
    let with = |channel: &str, number: usize, expiry: u64| {
        let mut one = to(channel);
        (one["identifier"], one["expiry"]) = (number.into(), expiry.into());
        one
    };
    let list = json!([with(&stored, 0, 4_000_000_000), with(&none, 1, 4_000_000_000), with(&none, 2, 0)]);
    let answer = broadcast(&world, &list).await;
    assert_eq!(answer.outcomes(), ["accepted", "rejected", "accepted"], "{answer:?}");
    for (number, outcome) in answer.response().as_array().expect("a list").iter().enumerate() {
        assert_eq!(outcome["identifier"], number);
    }
    let refused = &answer.response()[1];
    assert_eq!((&refused["status"], &refused["reason"]), (&json!(400), &json!("BadExpirationDate")));
    assert!(refused["error"].as_str().is_some_and(|remedy| remedy.contains("`expiry` must be 0")), "{refused}");
    let sent = ledger(&world, Service::Broadcasts).len();
    let long = "x".repeat(5_120);
    for (bad, reason) in [
        (json!({"channel": none, "payload": {"aps": long}}), "payload_too_large"),
        (json!({"channel": "a b", "payload": {}}), "bad_channel"),
        (json!({"payload": {}}), "channel_missing"),
        (json!({"channel": none, "payload": {}, "token": "00"}), "unknown_field"),
    ] {
        let answer = broadcast(&world, &json!([to(&none), bad])).await;
        assert!(sentence(&answer, 400, reason).starts_with("item 1: "), "{answer:?}");
        assert_eq!(answer.body["args"]["index"], 1);
    }
    assert_eq!(ledger(&world, Service::Broadcasts).len(), sent, "nothing of a bad request is sent");
    world.stop().await;
}

#[tokio::test]
async fn a_thousand_broadcasts_share_one_connection_of_their_own() {
    let world = World::with(Credential::Token).await;
    let id = created(&world, 0).await;
    let list: Vec<Value> = (0..1_000).map(|_| to(&id)).collect();
    let answer = broadcast(&world, &Value::Array(list)).await;
    assert!(answer.outcomes().iter().all(|outcome| *outcome == "accepted"), "{:?}", answer.outcomes());
    let notification = json!({"token": "00fc", "payload": {"aps": {}}});
    assert_eq!(world.send(&notification).await.outcomes(), ["accepted"]);
    let connections = |service| {
        let mut of: Vec<_> = ledger(&world, service).iter().map(|entry| entry.connection).collect();
        of.sort_unstable();
        of.dedup();
        of
    };
    let of_broadcasts = connections(Service::Broadcasts);
    assert_eq!((of_broadcasts.len(), world.simulator.channels()[0].broadcasts), (1, 1_000));
    for other in [Service::Device, Service::Channels] {
        let other = connections(other);
        assert!(other.len() == 1 && other != of_broadcasts, "each service has its connection");
    }
    world.stop().await;
}
