//! The control port: round trips of every call, and what it refuses.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::support::*;
use crate::{Environment, Options, Simulator};

async fn start_controlled() -> Simulator {
    start_with(Options { control: Some("127.0.0.1:0".to_owned()), ..Options::default() }).await
}

async fn call(simulator: &Simulator, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let socket = TcpStream::connect(simulator.control_address().unwrap()).await.unwrap();
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).body(Full::new(Bytes::from(body))).unwrap();
    let response = soon(send.send_request(request)).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn post(simulator: &Simulator, path: &str, body: Value) -> (u16, Value) {
    call(simulator, Method::POST, path, &body).await
}

async fn get(simulator: &Simulator, path: &str) -> (u16, Value) {
    call(simulator, Method::GET, path, &Value::Null).await
}

#[tokio::test]
async fn a_script_posted_is_in_force_for_the_next_request() {
    let simulator = start_controlled().await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let script = json!({
        "seed": 7,
        "latency": {"log_normal_ms": {"median": 1.0, "sigma": 0.5, "max": 3.0}},
        "goaway": {"when": {"connection_requests": 3}, "kind": "single", "debug": {"reason": "Shutdown"}, "times": 1},
        "faults": [
            {"token": "00ff", "times": 1, "act": {"reset": {"code": 7, "processed": false}}},
            {"every": 1, "for_ms": 60000, "act": {"answer": {"status": 500, "reason": "InternalServerError"}}},
        ],
        "token_rate": {"limit": 3, "seconds": 60},
    });
    let (status, answer) = post(&simulator, "/script", script).await;
    assert_eq!((status, &answer["script"]["seed"]), (200, &json!(7)), "{answer}");
    let reset = client.push(Push::new().to("/3/device/00ff")).await.unwrap_err();
    assert_eq!(reset.reason(), Some(h2::Reason::REFUSED_STREAM));
    assert_eq!(client.push(Push::new()).await.unwrap().reason(), "InternalServerError");
    assert_eq!(client.push(Push::new()).await.unwrap().status, 500);
    client.until(|frames| frames.iter().any(|frame| frame.kind == GOAWAY)).await;
    assert_eq!(client.goaways()[0].0, 5);
}

#[tokio::test]
async fn the_example_of_the_readme_is_accepted() {
    let simulator = start_controlled().await;
    let page = include_str!("../../README.md");
    let (_, after) = page.split_once("```json\n").unwrap();
    let (example, _) = after.split_once("```").unwrap();
    let example: Value = serde_json::from_str(example).unwrap();
    let (status, answer) = post(&simulator, "/script", example).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn tokens_posted_are_refused_as_asked_and_can_be_made_good_again() {
    let simulator = start_controlled().await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let listed = json!([
        {"token": "01", "state": "dead"},
        {"token": "02", "state": "dead", "reason": "ExpiredToken", "timestamp": 1_508_249_865_488_i64},
        {"token": "03", "state": "dead", "reason": "Unregistered", "timestamp": null},
        {"token": "04", "state": "bad"},
        {"token": "05", "state": "wrong_topic"},
    ]);
    let before = simulator.clock().now_ms();
    let (status, answer) = post(&simulator, "/tokens", listed).await;
    assert_eq!((status, &answer["tokens"]), (200, &json!(5)));
    let mut bodies = Vec::new();
    for token in 1..=6 {
        let answer = client.push(Push::new().to(&format!("/3/device/0{token}"))).await.unwrap();
        bodies.push(if answer.body.is_empty() { Value::Null } else { answer.json() });
    }
    assert_eq!(bodies[0]["reason"], "Unregistered");
    assert!(bodies[0]["timestamp"].as_i64().unwrap() >= before);
    assert_eq!(bodies[1], json!({"reason": "ExpiredToken", "timestamp": 1_508_249_865_488_i64}));
    assert_eq!(bodies[2], json!({"reason": "Unregistered"}));
    assert_eq!(bodies[3], json!({"reason": "BadDeviceToken"}));
    assert_eq!(bodies[4], json!({"reason": "DeviceTokenNotForTopic"}));
    assert_eq!(bodies[5], Value::Null);
    post(&simulator, "/tokens", json!([{"token": "01", "state": "good"}])).await;
    assert_eq!(client.push(Push::new().to("/3/device/01")).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_ledger_is_read_page_by_page() {
    let simulator = start_controlled().await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    for _ in 0..4 {
        client.push(Push::new()).await.unwrap();
    }
    let mut binary = Push::new();
    binary.body = vec![0xff, 0xfe];
    client.push(binary).await.unwrap();
    let (_, first) = get(&simulator, "/ledger?limit=3").await;
    assert_eq!((first["entries"].as_array().unwrap().len(), &first["cursor"]), (3, &json!(3)));
    let (_, second) = get(&simulator, "/ledger?cursor=3&limit=3").await;
    let entries = second["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &second["cursor"]), (2, &json!(5)));
    assert_eq!(entries[0]["body"], r#"{"aps":{"alert":"Hello"}}"#);
    assert_eq!(entries[1]["body"], json!({"base64": "//4="}));
    assert_eq!(second["totals"]["accepted"], 5);
    let (_, last) = get(&simulator, "/ledger?cursor=5").await;
    assert_eq!((last["entries"].as_array().unwrap().len(), &last["cursor"]), (0, &json!(5)));
}

#[tokio::test]
async fn a_reset_forgets_script_tokens_and_ledger_but_not_the_sequence() {
    let simulator = start_controlled().await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    post(&simulator, "/tokens", json!([{"token": TOKEN, "state": "bad"}])).await;
    post(&simulator, "/clock", json!({"advance_ms": 1000})).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 400);
    let (status, summary) = post(&simulator, "/reset", Value::Null).await;
    assert_eq!((status, &summary["totals"]["requests"], &summary["tokens"]), (200, &json!(0), &json!(0)));
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    let (_, page) = get(&simulator, "/ledger").await;
    assert_eq!(page["entries"].as_array().unwrap().len(), 1);
    assert_eq!(page["entries"][0]["sequence"], 1);
}

#[tokio::test]
async fn the_clock_posted_ages_provider_tokens() {
    let simulator = start_controlled().await;
    let mut client = Client::connect(&simulator, Auth::Token).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    post(&simulator, "/clock", json!({"advance_ms": 3_600_000})).await;
    assert_eq!(client.push(Push::new()).await.unwrap().reason(), "ExpiredProviderToken");
}

fn connection(act: Value) -> Value {
    json!({"connections": [{"act": act}]})
}

fn broken(at: Value, how: &str) -> Value {
    connection(json!({"break": {"at": at, "how": how}}))
}

#[tokio::test]
async fn what_the_control_port_does_not_know_is_refused_by_name() {
    let simulator = start_controlled().await;
    for (path, body, named) in [
        ("/script", json!({"latncy": {}}), "latncy"),
        ("/script", json!({"goaway": {"when": "now", "kind": "single", "colour": 1}}), "colour"),
        ("/script", json!({"goaway": {"when": "sometimes", "kind": "single"}}), "sometimes"),
        ("/script", json!({"goaway": {"when": {"requests": 0}, "kind": "single"}}), "goaway.when"),
        ("/script", json!({"goaway": {"when": "now", "kind": "single", "last_stream_id": 3}}), "last_stream_id"),
        ("/script", json!({"goaway": {"when": {"requests": 9}, "kind": "cut", "unanswered": 2}}), "unanswered"),
        ("/script", json!({"faults": [{"act": {"explode": {}}}]}), "explode"),
        ("/script", json!({"faults": [{"act": {"reset": {"code": 1, "processed": true, "x": 1}}}]}), "x"),
        ("/script", json!({"faults": [{"percent": 101.0, "act": {"silence": {"processed": true}}}]}), "percent"),
        ("/script", json!({"faults": [{"act": {"answer": {"status": 200, "reason": "x"}}}]}), "status"),
        ("/script", json!({"latency": {"uniform_ms": [5.0, 1.0]}}), "latency"),
        ("/script", json!({"latency": {"empirical_ms": []}}), "latency"),
        ("/script", json!({"faults": [{"act": {"early_answer": {"status": 200, "reason": "x"}}}]}), "status"),
        ("/script", json!({"faults": [{"after_ms": 5, "for_ms": 5, "act": {"delay": {"ms": 1}}}]}), "after_ms"),
        ("/script", broken(json!({"answers": 0}), "silence"), "break.at"),
        ("/script", broken(json!("tls"), "half_close"), "half_close"),
        ("/script", broken(json!("never"), "silence"), "never"),
        ("/script", connection(json!({"alert": {"code": 40, "to": "certificate"}})), "42"),
        ("/script", connection(json!({"alpn": ["h2", "http/1.1"]})), "h2"),
        ("/script", connection(json!({"alpn": [""]})), "alpn"),
        ("/script", connection(json!({"window": {"stream": 1_u32 << 31, "updates": true}})), "window.stream"),
        ("/script", connection(json!({"certificate": "ugly"})), "ugly"),
        ("/script", json!({"connections": [{"every": 0, "act": {"certificate": "expired"}}]}), "connections.every"),
        ("/script", json!({"listeners": [{"state": "ajar"}]}), "ajar"),
        ("/script", json!({"connect_rate": {"limit": 1, "seconds": 0, "block_ms": 1, "how": "close"}}), "seconds"),
        (
            "/script",
            json!({"connect_rate": {"limit": 1, "seconds": 1, "block_ms": 1, "how": "half_close"}}),
            "half_close",
        ),
        ("/script", json!({"settings": {"first": {"max_streams": 1}}}), "max_streams"),
        ("/script", json!({"settings": {"first": {"max_frame_size": 10}}}), "max_frame_size"),
        ("/script", json!({"settings": {"changes": [{"at": {"requests": 0}, "set": {}}]}}), "settings.changes.at"),
        ("/script", json!({"settings": {"changes": [{"at": {"ms": 1}, "set": {}}]}}), "settings.changes.set"),
        ("/script", json!({"error_budget": {"errors": 0}}), "error_budget.errors"),
        ("/script", json!({"error_budget": {"errors": 9, "bad_device_tokens": 0}}), "bad_device_tokens"),
        ("/script", json!({"goaway": {"when": "now", "kind": "cut", "close": "never"}}), "goaway.close"),
        ("/script", json!({"goaway": {"when": "now", "kind": "graceful", "second_empty": true}}), "second_empty"),
        ("/script", json!({"faults": [{"act": {"poison": {"status": 200, "reason": "x"}}}]}), "status"),
        ("/script", json!({"faults": [{"act": {"odd": {"status": 200}}}]}), "odd.status"),
        ("/script", json!({"faults": [{"act": {"odd": {"informational": [200]}}}]}), "odd.informational"),
        ("/script", json!({"faults": [{"act": {"odd": {"table_size": 5000}}}]}), "odd.table_size"),
        (
            "/script",
            json!({"latency": {"fixed_ms": 1}, "faults": [{"act": {"odd": {"table_size": 0}}}]}),
            "odd.table_size",
        ),
        ("/script", json!({"faults": [{"act": {"odd": {"colour": 1}}}]}), "colour"),
        ("/tokens", json!([{"token": "00", "state": "bad", "after": 3}]), "after"),
        ("/tokens", json!([{"token": "00", "state": "undead"}]), "undead"),
        ("/tokens", json!([{"token": "00", "state": "bad", "reason": "Unregistered"}]), "reason"),
        ("/clock", json!({"advance_ms": 1, "retreat_ms": 1}), "retreat_ms"),
    ] {
        let (status, answer) = post(&simulator, path, body.clone()).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(named), "{body} -> {status} {answer}");
    }
    assert_eq!(get(&simulator, "/ledger?page=2").await.0, 400);
    assert_eq!(get(&simulator, "/ledger?limit=many").await.0, 400);
    assert_eq!(get(&simulator, "/nowhere").await.0, 404);
    assert_eq!(get(&simulator, "/reset").await.0, 405);
}

#[tokio::test]
async fn channels_are_shown_and_apps_lose_them_with_their_broadcast_capability() {
    let simulator = start_controlled().await;
    let mut client = Client::connect_to_channels(&simulator, Environment::Production, Auth::Token).await;
    let id = client.push(Push::create_channel(POLICIES[1])).await.unwrap().header("apns-channel-id").to_owned();
    let (status, shown) = get(&simulator, "/channels").await;
    let channel = json!({"environment": "production", "bundle": "com.example.app", "id": id, "policy": 1,
        "broadcasts": 0, "stored": null, "stored_until_ms": null});
    assert_eq!((status, shown), (200, json!({ "channels": [channel] })));
    let (_, ledger) = get(&simulator, "/ledger").await;
    let entry = &ledger["entries"][0];
    assert_eq!((&entry["service"], &entry["call"]), (&json!("channels"), &json!("create_channel")));
    assert_eq!((&entry["channel_id"], &entry["environment"]), (&json!(id), &json!("production")));

    let (status, refused) = post(&simulator, "/apps", json!([{"bundle": "com.example.app"}])).await;
    assert_eq!(status, 400);
    assert!(refused["error"].as_str().unwrap().contains("broadcast"), "{refused}");
    let off = json!([{"bundle": "com.example.app", "broadcast": false}]);
    let (status, answer) = post(&simulator, "/apps", off).await;
    assert_eq!((status, &answer["channels"]), (200, &json!(0)));
    let create = || Push::create_channel(POLICIES[0]);
    assert_eq!(client.push(create()).await.unwrap().reason(), "BroadcastFeatureNotEnabled");
    post(&simulator, "/reset", Value::Null).await;
    assert_eq!(client.push(create()).await.unwrap().status, 201);
    let (_, answer) = post(&simulator, "/script", json!({"channel_limit": 1, "channel_rate": null})).await;
    assert_eq!(answer["script"]["channel_limit"], 1);
    assert_eq!(client.push(create()).await.unwrap().reason(), "CannotCreateChannelConfig");
}
