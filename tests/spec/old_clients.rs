//! Requests and responses of callers that were written for pyapns 0.5.

use crate::support::client::{Answer, Client};
use crate::support::process::{Home, start};
use crate::support::world::{APP, World, to, token};
use serde_json::{Value, json};
use simulator::{Act, Fault, Script, TokenState};

const SHOP: &str = "/apps/shop/sandbox";

async fn stream(client: &mut Client, lines: &[Value]) -> Answer {
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let kind = ("content-type", "application/x-ndjson");
    client.post_with(&format!("{APP}/notifications"), kind, lines).await
}

fn typed(kind: &str, number: usize) -> Value {
    let mut notification = to(&token(number));
    notification["type"] = json!(kind);
    notification
}

#[tokio::test]
async fn a_notification_may_say_that_it_is_one_in_every_form_and_nothing_else() {
    let world = World::start().await;
    let mut client = world.client().await;
    let tokens = json!({"type": "notification", "tokens": [token(3), token(4)], "payload": {"aps": {"badge": 1}}});
    for body in [typed("notification", 0), json!([typed("notification", 1), typed("notification", 2)]), tokens] {
        let sent = world.send(&body).await;
        assert!(sent.status == 201 && sent.outcomes().iter().all(|outcome| *outcome == "accepted"), "{sent:?}");
    }
    let lines = [typed("notification", 5), typed("notification", 6), typed("outcome", 7)];
    assert_eq!(stream(&mut client, &lines).await.status, 201);
    assert_eq!(world.simulator.ledger().totals().accepted, 7, "all but the line that says it is an outcome");
    for body in [typed("outcome", 8), json!([typed("notification", 8), typed("", 9)])] {
        let refused = world.send(&body).await;
        assert_eq!((refused.status, refused.reason()), (400, "wrong_type"), "{refused:?}");
        assert_eq!(refused.body["args"]["field"], "type");
    }
    assert_eq!(world.simulator.ledger().totals().requests, 7);
    world.stop().await;
}

/// The entries of an app's disconnection log.
async fn disconnections(client: &mut Client) -> Vec<Value> {
    let read = client.get(&format!("{SHOP}/disconnections")).await;
    assert_eq!(read.status, 200, "{read:?}");
    read.response().as_array().expect("a list").clone()
}

/// The log lines for a notification that Apple refused, and for an end that no notification caused.
async fn one_refused_and_one_incident(world: &World, client: &mut Client, sent: &Value) -> [Value; 2] {
    let notifications = format!("{SHOP}/notifications?timeout=1");
    world.simulator.set_token(sent["token"].as_str().expect("a token"), Some(TokenState::Bad));
    assert_eq!(client.post(&notifications, sent.to_string()).await.outcomes(), ["rejected"]);
    let refusal = Act::Answer { status: 403, reason: "BadCertificate".to_owned() };
    world.simulator.set_script(Script { faults: vec![Fault::new(refusal)], ..Script::default() }).expect("a script");
    assert_eq!(client.post(&notifications, to(&token(9)).to_string()).await.outcomes(), ["not_sent"]);
    let events = disconnections(client).await;
    let of = |reason: &str| events.iter().find(|event| event["reason"] == reason).expect(reason).clone();
    [of("BadDeviceToken"), of("BadCertificate")]
}

#[tokio::test]
async fn the_disconnections_have_no_null_that_a_client_of_0_5_stumbles_over_under_its_configuration() {
    let world = World::start().await;
    let old = Home::of_0_5(&world, "old").start().await;
    let bare = json!({"token": token(1), "payload": {"aps": {"alert": "é"}}});
    let [refused, incident] = one_refused_and_one_incident(&world, &mut old.client().await, &bare).await;
    let shown =
        json!({"type": "notification", "expiry": 0, "identifier": "", "payload": bare["payload"], "token": token(1)});
    assert_eq!((&refused["offending_notification"], &refused["code"]), (&shown, &json!(8)));
    assert!(incident.get("offending_notification").is_none() && incident["code"] == 255, "{incident}");
    old.stop().await;
    world.simulator.set_script(Script::default()).expect("a script");

    let today = start(&world, "today", "").await;
    let [refused, incident] = one_refused_and_one_incident(&world, &mut today.client().await, &bare).await;
    let shown = json!({"type": "notification", "expiry": null, "identifier": null, "payload": bare["payload"], "token": token(1)});
    assert_eq!(refused["offending_notification"], shown);
    assert_eq!(incident.get("offending_notification"), Some(&Value::Null), "{incident}");
    today.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn an_offending_notification_can_be_posted_as_it_is() {
    let world = World::start().await;
    let whole =
        json!({"token": token(1), "payload": {"aps": {"alert": "é"}}, "identifier": 7, "expiry": 4_000_000_000_u64});
    let bare = json!({"token": token(1), "payload": {"aps": {"badge": 1}}});
    for (name, sent) in [("whole", whole), ("bare", bare)] {
        for process in [Home::of_0_5(&world, &format!("old-{name}")).start().await, start(&world, name, "").await] {
            let mut client = process.client().await;
            let [refused, _] = one_refused_and_one_incident(&world, &mut client, &sent).await;
            world.simulator.set_script(Script::default()).expect("a script");
            world.simulator.set_token(&token(1), None);
            // The app is sent to again once it is provisioned again.
            let pem = world.simulator.identity().client_pem.clone();
            assert_eq!(client.post(SHOP, pem).await.status, 201);
            let offending = refused["offending_notification"].to_string();
            let again = client.post(&format!("{SHOP}/notifications"), offending).await;
            assert_eq!(again.outcomes(), ["accepted"], "{again:?}");
            let arrived = world.simulator.ledger().entries().pop().expect("an entry");
            assert_eq!((arrived.token, arrived.body), (token(1), sent["payload"].to_string().into()));
            process.stop().await;
        }
    }
    world.stop().await;
}
