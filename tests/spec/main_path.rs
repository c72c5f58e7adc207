//! From one POST to one true outcome.

use crate::support::client::Client;
use crate::support::world::{APP, Credential, Running, World, to, token};
use serde_json::{Value, json};
use simulator::{Act, Fault, Script, TokenState};
use std::time::Duration;

fn act(act: Act) -> Script {
    Script { faults: vec![Fault::new(act)], ..Script::default() }
}

#[tokio::test]
async fn a_payload_arrives_byte_for_byte_under_either_kind_of_credential() {
    for credential in [Credential::Certificate, Credential::Token] {
        let world = World::with(credential).await;
        let payload = "{ \"aps\" : {\"alert\":\"\\u00e4 ä\"},\n\"n\":1.50e+3,\"n\":2 }";
        let body = format!("{{\"token\":\"{}\",\"payload\":{payload},\"expiry\":0}}", token(1));
        let answer = world.client().await.post(&format!("{APP}/notifications"), body).await;
        assert_eq!((answer.status, answer.outcomes()), (201, vec!["accepted"]), "{answer:?}");
        let entry = world.simulator.ledger().entries().pop().expect("an entry");
        assert_eq!(entry.body, payload);
        assert_eq!((entry.token, entry.topic.as_deref()), (token(1), Some("com.example.app")));
        assert_eq!((entry.push_type.as_deref(), entry.priority.as_deref()), (Some("alert"), Some("10")));
        assert_eq!((entry.expiration.as_deref(), entry.collapse_id), (Some("0"), None));
        assert_eq!(answer.response()["apns_id"], entry.apns_id);
        world.stop().await;
    }
}

#[tokio::test]
async fn every_option_becomes_its_header() {
    let world = World::start().await;
    let id = "123e4567-e89b-12d3-a456-426655440000";
    let answer = world
        .send(&json!({"token": token(1), "payload": {}, "identifier": id, "expiry": 4_000_000_000_u64, "priority": 5,
            "push_type": "voip", "collapse_id": "news"}))
        .await;
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    assert_eq!(answer.response()["identifier"], id);
    let entry = world.simulator.ledger().entries().pop().expect("an entry");
    assert_eq!((entry.apns_id.as_str(), entry.topic.as_deref()), (id, Some("com.example.app.voip")));
    assert_eq!((entry.push_type.as_deref(), entry.priority.as_deref()), (Some("voip"), Some("5")));
    assert_eq!((entry.expiration.as_deref(), entry.collapse_id.as_deref()), (Some("4000000000"), Some("news")));
    world.stop().await;
}

#[tokio::test]
async fn a_list_gets_its_outcomes_in_its_own_order() {
    let world = World::start().await;
    world.simulator.set_token(&token(2), Some(TokenState::Bad));
    let batch: Vec<Value> = (0..300).map(|at| json!({"token": token(at), "payload": {}, "identifier": at})).collect();
    let answer = world.send(&Value::Array(batch)).await;
    let outcomes = answer.response().as_array().expect("a list");
    for (at, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome["identifier"], at);
        assert_eq!(outcome["token"], token(at));
        assert_eq!(outcome["outcome"], if at == 2 { "rejected" } else { "accepted" });
    }
    assert_eq!(outcomes[2]["reason"], "BadDeviceToken");
    assert_eq!(world.simulator.ledger().totals().accepted, 299);
    world.stop().await;
}

#[tokio::test]
async fn a_dead_token_is_in_the_feedback_once_until_it_is_acknowledged() {
    let world = World::start().await;
    let dead = TokenState::Dead { reason: "Unregistered", timestamp: Some(1_508_249_865_488) };
    world.simulator.set_token(&token(7), Some(dead));
    for _ in 0..2 {
        let answer = world.send(&to(&token(7))).await;
        assert_eq!((answer.outcomes(), &answer.response()["status"]), (vec!["rejected"], &json!(410)));
    }
    let world = world.restart().await;
    let mut client = world.client().await;
    let feedback = client.get(&format!("{APP}/feedback")).await;
    let entries = feedback.response().as_array().expect("a list");
    assert_eq!(entries.len(), 1);
    assert_eq!(
        entries[0],
        json!({"type": "feedback", "timestamp": 1_508_249_865.488, "token": token(7), "reason": "Unregistered",
            "app_id": "com.example.app", "environment": "sandbox"})
    );
    let cursor = feedback.body["cursor"].as_str().expect("a cursor").to_owned();
    assert_eq!(client.call("DELETE", &format!("{APP}/feedback?through={cursor}"), "").await.status, 200);
    assert_eq!(client.get(&format!("{APP}/feedback")).await.response(), &json!([]));
    world.stop().await;
}

#[tokio::test]
async fn a_notification_that_apple_refuses_permanently_is_in_the_disconnection_log() {
    let world = World::start().await;
    world.simulator.set_token(&token(3), Some(TokenState::WrongTopic));
    let answer = world.send(&json!({"token": token(3), "payload": {}, "identifier": "mine"})).await;
    assert_eq!(answer.response()["reason"], "DeviceTokenNotForTopic");
    let log = world.client().await.get(&format!("{APP}/disconnections")).await;
    let event = &log.response()[0];
    assert_eq!((&event["code"], &event["verbose_message"]), (&json!(8), &json!("Invalid token")));
    assert_eq!(event["offending_notification"]["identifier"], "mine");
    assert_eq!((&event["reason"], &event["status"]), (&json!("DeviceTokenNotForTopic"), &json!(400)));
    world.stop().await;
}

#[tokio::test]
async fn a_shutdown_in_the_disconnection_log_names_the_last_notification_that_apple_accepted() {
    let world = World::start().await;
    assert_eq!(world.send(&json!([to(&token(1)), to(&token(2))])).await.outcomes(), ["accepted", "accepted"]);
    let shutdown = Act::Answer { status: 503, reason: "Shutdown".to_owned() };
    world.simulator.set_script(act(shutdown)).expect("a good script");
    let answer = world.send_with("?timeout=1", &to(&token(3))).await;
    assert_eq!((answer.outcomes(), &answer.response()["reason"]), (vec!["not_sent"], &json!("Shutdown")), "{answer:?}");
    let log = world.client().await.get(&format!("{APP}/disconnections")).await;
    let shutdowns: Vec<_> =
        log.response().as_array().expect("a list").iter().filter(|event| event["code"] == 10).collect();
    assert!(!shutdowns.is_empty(), "{log:?}");
    for event in shutdowns {
        let told = (&event["verbose_message"], &event["internal_identifier"], &event["offending_notification"]);
        assert_eq!(told, (&json!("Shutdown"), &json!(2), &Value::Null), "{event}");
    }
    world.stop().await;
}

#[tokio::test]
async fn an_expiry_that_has_passed_is_expired_and_nothing_is_written() {
    let world = World::start().await;
    let answer = world.send(&json!({"token": token(1), "payload": {}, "expiry": 1_000_000_000})).await;
    assert_eq!(answer.outcomes(), ["expired"]);
    assert_eq!(world.simulator.ledger().totals().requests, 0);
    world.stop().await;
}

#[tokio::test]
async fn written_notifications_without_an_answer_are_unknown_at_the_deadline_and_unwritten_ones_not_sent() {
    let world = World::with(Credential::Token).await;
    world.simulator.set_script(act(Act::Silence { processed: false })).expect("a good script");
    // A token connection has one stream until its first good answer: the second notification must wait.
    let answer = world.send_with("?timeout=1", &json!([to(&token(1)), to(&token(2))])).await;
    assert_eq!(answer.outcomes(), ["unknown", "not_sent"], "{answer:?}");
    assert_eq!(answer.response()[1]["reason"], "deadline_passed");
    assert_eq!(answer.response()[1]["attempts"], 0);
    world.simulator.set_script(Script::default()).expect("a good script");
    let answer = world.send(&to(&token(3))).await;
    assert_eq!(answer.outcomes(), ["accepted"], "the slot is free again: {answer:?}");
    let tokens: Vec<_> = world.simulator.ledger().entries().into_iter().map(|entry| entry.token).collect();
    assert_eq!(tokens, [token(1), token(3)], "nothing is written after its caller's deadline");
    world.stop().await;
}

#[tokio::test]
async fn a_gateway_that_cannot_be_reached_leaves_everything_not_sent() {
    let world = World::start().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    world.node.stop().await;
    let node = Running::start(world.directory.path(), nobody).await;
    let path = format!("{APP}/notifications?timeout=1");
    let answer = Client::connect(node.address).await.post(&path, to(&token(1)).to_string()).await;
    assert_eq!(answer.outcomes(), ["not_sent"], "{answer:?}");
    node.stop().await;
}

#[tokio::test]
async fn a_5xx_of_apple_is_retried_and_reported_if_it_persists() {
    let world = World::start().await;
    let answer = |status, reason: &str| Act::Answer { status, reason: reason.to_owned() };
    let twice = Fault { times: Some(2), ..Fault::new(answer(503, "ServiceUnavailable")) };
    world.simulator.set_script(Script { faults: vec![twice], ..Script::default() }).expect("a good script");
    let sent = world.send(&to(&token(1))).await;
    assert_eq!((sent.outcomes(), &sent.response()["attempts"]), (vec!["accepted"], &json!(3)), "{sent:?}");
    world.simulator.set_script(act(answer(503, "ServiceUnavailable"))).expect("a good script");
    let sent = world.send_with("?timeout=1", &to(&token(2))).await;
    assert_eq!(sent.outcomes(), ["not_sent"], "{sent:?}");
    assert_eq!((&sent.response()["status"], &sent.response()["reason"]), (&json!(503), &json!("ServiceUnavailable")));
    world.stop().await;
}

#[tokio::test]
async fn a_refused_credential_stops_only_its_app_and_heals_on_provisioning() {
    let world = World::start().await;
    let (_, foreign) = simulator::generate_key("ABCDE12345", "FGHIJ67890").expect("a key");
    let body = json!({"key": foreign, "key_id": "ABCDE12345", "team_id": "FGHIJ67890", "topic": "com.example.app"});
    let other = "/apps/other/sandbox";
    let mut client = world.client().await;
    assert_eq!(client.post(other, body.to_string()).await.status, 201);
    for reason in ["InvalidProviderToken", "credential_error"] {
        let answer = client.post(&format!("{other}/notifications"), to(&token(1)).to_string()).await;
        assert_eq!(answer.outcomes(), ["not_sent"], "{answer:?}");
        assert_eq!(answer.response()["reason"], reason);
    }
    assert_eq!(world.send(&to(&token(2))).await.outcomes(), ["accepted"]);
    assert_eq!(world.provision(other, Credential::Token).await.status, 201);
    let answer = client.post(&format!("{other}/notifications"), to(&token(3)).to_string()).await;
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    world.stop().await;
}

#[tokio::test]
async fn provisioning_again_moves_live_traffic_without_an_error() {
    let world = World::start().await;
    let address = world.node.address;
    let traffic = tokio::spawn(async move {
        let mut client = Client::connect(address).await;
        let batch = Value::Array((0..50).map(|at| to(&token(at))).collect()).to_string();
        for _ in 0..40 {
            let answer = client.post(&format!("{APP}/notifications"), batch.clone()).await;
            assert!(answer.outcomes().iter().all(|outcome| *outcome == "accepted"), "{answer:?}");
        }
    });
    for credential in [Credential::Token, Credential::Certificate, Credential::Token] {
        world.simulator.ledger().wait_until(|totals| totals.connections > 0).await;
        assert_eq!(world.provision(APP, credential).await.status, 201);
    }
    traffic.await.expect("traffic without an error");
    assert_eq!(world.simulator.ledger().totals().accepted, 2000);
    world.stop().await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_stops_nothing() {
    let world = World::start().await;
    let latency = simulator::Latency::FixedMs(200.0);
    world.simulator.set_script(Script { latency: Some(latency), ..Script::default() }).expect("a good script");
    world.simulator.set_token(&token(9), Some(TokenState::Dead { reason: "ExpiredToken", timestamp: None }));
    let batch = json!([to(&token(8)), to(&token(9))]);
    let hurried = tokio::time::timeout(Duration::from_millis(100), world.send(&batch)).await;
    assert!(hurried.is_err(), "the caller has left before the answer");
    world.simulator.ledger().wait_until(|totals| totals.answered == 2).await;
    let mut client = world.client().await;
    while client.get(&format!("{APP}/feedback")).await.response() == &json!([]) {
        tokio::task::yield_now().await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_refused_request_changes_nothing() {
    let world = World::start().await;
    let mut client = world.client().await;
    let long = json!({"token": token(1), "payload": {"aps": "x".repeat(4090)}}).to_string();
    let good = to(&token(1)).to_string();
    let cases = [
        ("{".to_owned(), 400, "malformed_json"),
        ("{\"token\":\"00fc\",\"payload\":{\"a\":\"b\nc\"}}".to_owned(), 400, "malformed_json"),
        ("7".to_owned(), 400, ""),
        (good.replace("\"token\"", "\"tokem\""), 400, ""),
        (format!("[{good},{}]", to("xyz")), 400, "token_not_hex"),
        (format!("[{good},{}]", to("abc")), 400, "token_odd_length"),
        (long, 400, "payload_too_large"),
        (
            good.replace(
                "{\"aps\"",
                "{\"deep\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],\"aps\"",
            ),
            400,
            "payload_too_deep",
        ),
        (good.replace("\"token\"", "\"expiry\":\"soon\",\"token\""), 400, ""),
        ("x".repeat(5 << 20), 413, ""),
    ];
    for (body, status, reason) in cases {
        let shown: String = body.chars().take(80).collect();
        let answer = client.post(&format!("{APP}/notifications"), body).await;
        assert_eq!(answer.status, status, "{shown}: {answer:?}");
        assert!(reason.is_empty() || answer.reason() == reason, "{shown}: {answer:?}");
        assert_eq!((&answer.body["type"], &answer.body["message"]), (&json!("error"), &answer.body["error"]));
        client = world.client().await;
    }
    let unknown = client.post("/apps/nobody/sandbox/notifications", good.clone()).await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    let elsewhere = client.post("/apps/com.example.app/staging/notifications", good).await;
    assert_eq!(elsewhere.status, 404, "{elsewhere:?}");
    assert_eq!(world.simulator.ledger().totals().requests, 0, "nothing of a bad request is sent");
    world.stop().await;
}

#[tokio::test]
async fn a_removed_app_is_not_found_and_its_connection_is_closed() {
    let world = World::start().await;
    assert_eq!(world.send(&to(&token(1))).await.outcomes(), ["accepted"]);
    let mut client = world.client().await;
    assert_eq!(client.call("DELETE", APP, "").await.status, 200);
    assert_eq!(client.get(APP).await.status, 404);
    let none = "pyapns_connections 0";
    loop {
        let metrics = world.metrics().await;
        if metrics.lines().any(|line| line == none) {
            break;
        }
        tokio::task::yield_now().await;
    }
    world.stop().await;
}
