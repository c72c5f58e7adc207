//! Tests of the routes through the service, over a registry and events in memory.

mod access;
mod channels;
mod cluster;
mod description;
mod panicking;
mod preconditions;
mod shortcut;

#[path = "../../tests/support/api_description.rs"]
mod api_description;

use super::routes::{health, metrics};
use super::*;
use crate::api::auth::Exposure;
use crate::apns::connect::{Connect, ConnectError, Connecting, Resolving, Stage};
use crate::apns::endpoint::Endpoint;
use crate::apns::trust::Trust;
use crate::clock::Clock;
use crate::credentials::{Keyring, testing};
use crate::delivery;
use crate::delivery::Intake;
use crate::delivery::calls::Caller;
use crate::delivery::lane::Parts;
use crate::delivery::lanes::{Apple, Lanes};
use crate::drain::Drain;
use crate::events::Events;
use crate::health::Health;
use crate::http::body::Bodies;
use crate::http::{Limits, Service, observe, server};
use crate::model::{AppId, AppKey, Disconnection, Environment, Feedback, Records};
use crate::registry::Registry;
use crate::telemetry;
use axum::body::Body;
use axum::http::{Method, Request as HttpRequest, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

const APP: &str = "/apps/com.example.app/sandbox";

struct Client {
    service: ApiService,
    api: Arc<Api>,
}

struct Answer {
    status: u16,
    headers: axum::http::HeaderMap,
    body: Value,
    text: String,
}

impl Client {
    async fn new() -> Self {
        Self::with(Limits { body_bytes: 64 << 10, items: 3, ..Limits::default() }).await
    }

    async fn with(limits: Limits) -> Self {
        Self::of(api(limits, telemetry::Metrics::new()).await)
    }

    fn of(api: Api) -> Self {
        let metrics = Arc::new(Metrics::new(&api.telemetry, NOTIFICATIONS));
        let api = Arc::new(api);
        let guard = Guard { keys: None, exposure: Exposure::Whole, browsers: None, clock: api.clock.clone() };
        Self { service: service(Arc::clone(&api), metrics, guard), api }
    }

    async fn provisioned() -> Self {
        let client = Self::new().await;
        assert_eq!(client.post(APP, &pem()).await.status, 201);
        client
    }

    async fn send(&self, mut request: HttpRequest<Body>) -> Answer {
        request.headers_mut().entry(header::HOST).or_insert(header::HeaderValue::from_static("localhost"));
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.service.clone().answer(request).await;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let kind = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
        api_description::hold(method.as_str(), &path, head.status.as_u16(), kind, text.as_bytes());
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: head.status.as_u16(), headers: head.headers, body, text }
    }

    async fn call(&self, method: Method, path: &str, body: &str) -> Answer {
        let request = HttpRequest::builder().method(method).uri(path).body(Body::from(body.to_owned()));
        self.send(request.expect("a request")).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, "").await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.call(Method::POST, path, body).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, "").await
    }
}

async fn api(limits: Limits, telemetry: telemetry::Metrics) -> Api {
    let store = Arc::new(crate::store::Memory::new());
    let clock = Clock::manual(testing::NOW as f64);
    let registry = Registry::load(store.clone(), Keyring::of([[7; 32]]), clock.clone(), Drain::new())
        .await
        .expect("an empty store");
    let events = Events::new(store, &telemetry);
    let health = Health::new(clock.clone(), &telemetry);
    let intake = Arc::new(intake(&events, &telemetry));
    let (mut removals, ending) = (registry.removals(), (Arc::clone(&intake), events.clone()));
    Drain::new().spawn("removals", async move {
        while let Some(removal) = removals.next().await {
            ending.0.remove(&removal.key);
            ending.1.forget(&removal.key);
        }
    });
    let caller = Arc::new(channels::Scripted(channels::done));
    Api {
        registry,
        intake,
        caller,
        cluster: None,
        events,
        clock,
        telemetry,
        bodies: Bodies::new(&limits),
        limits,
        compat: Compat::default(),
        access: crate::http::access_log::Access::default(),
        credentials_dir: None,
        health,
        store_check: health::StoreCheck::default(),
        rendered: metrics::RenderedMetrics::default(),
        drain: Drain::new(),
    }
}

/// Delivery to an unreachable gateway.
fn intake(events: &Events, telemetry: &telemetry::Metrics) -> Intake {
    intake_over(Arc::new(Unreachable), events, telemetry)
}

fn nowhere() -> Vec<Endpoint> {
    vec!["https://localhost:1".parse().expect("an address")]
}

fn intake_over(connect: Arc<dyn Connect>, events: &Events, telemetry: &telemetry::Metrics) -> Intake {
    let parts = Parts {
        clock: Clock::manual(testing::NOW as f64),
        events: events.clone(),
        metrics: delivery::metrics::Metrics::new(telemetry),
        drain: Drain::new(),
    };
    let trust = Arc::new(Trust::load(None).expect("no file to read"));
    let apple = Apple { connect, trust, sandbox: nowhere(), production: nowhere() };
    let limits = delivery::intake::Limits { node_bytes: 1 << 20, app_bytes: 1 << 20 };
    Intake::new(Lanes::new(apple, parts), limits)
}

struct Unreachable;

impl Connect for Unreachable {
    fn resolve(&self, endpoint: &Endpoint) -> Resolving {
        let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port()));
        Box::pin(async move { Ok(vec![address]) })
    }

    fn connect(&self, endpoint: &Endpoint, _: SocketAddr, _: Arc<rustls::ClientConfig>, _: Duration) -> Connecting {
        let error = ConnectError::Timeout { endpoint: endpoint.clone(), stage: Stage::Tcp, seconds: 1 };
        Box::pin(async { Err(error) })
    }
}

fn pem() -> String {
    testing::Recipe::default().pem()
}

/// Status and reason of an answer that is a whole and consistent error envelope.
fn error(answer: &Answer) -> (u16, &str) {
    let body = &answer.body;
    assert_eq!(body["type"], "error", "{}", answer.text);
    assert_eq!(body["code"], answer.status);
    assert_eq!(body["message"], body["error"]);
    assert!(body["error"].as_str().is_some_and(|sentence| !sentence.is_empty()));
    assert!(body["args"].is_object());
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
    assert!(answer.headers.contains_key("x-request-id"));
    (answer.status, body["reason"].as_str().expect("a reason"))
}

fn records(feedback: Vec<Feedback>, disconnections: Vec<Disconnection>) -> Records {
    Records { feedback, disconnections }
}

#[tokio::test]
async fn an_app_is_provisioned_shown_listed_and_removed() {
    let client = Client::new().await;
    let body = json!({"certificate": pem(), "timeout": 20, "lanes": 2}).to_string();
    let answer = client.post(APP, &body).await;
    assert_eq!((answer.status, &answer.body["code"]), (201, &json!(201)));
    let app = &answer.body["response"];
    let fingerprint = &app["credential"]["fingerprint"];
    let expected = json!({
        "type": "app", "app_id": "com.example.app", "name": "com.example.app", "environment": "sandbox",
        "certificate": fingerprint, "timeout": 20, "topic": "com.example.app", "lanes": 2, "revision": "1", "state": "ok", "last_error": null,
        "feedback_held": null,
        "nodes_missing": [],
        "last_error_at": null, "last_success_at": null, "connections": 0, "streams": 0, "in_flight": 0, "queued": 0,
        "bound_by": "caller",
        "credential": {
            "kind": "certificate", "fingerprint": fingerprint, "topics": ["com.example.app"], "team_id": "TEAM123456",
            "key_id": null, "expires_at": testing::EXPIRES_AT, "days_left": 1081,
        },
    });
    assert_eq!(*app, expected);
    assert_eq!(client.get(APP).await.body, json!({"response": expected, "code": 200}));
    let listed = client.get("/apps").await.body;
    assert_eq!(listed, json!({"response": [expected], "cursor": "com.example.app/sandbox", "code": 200}));

    assert_eq!(client.delete(APP).await.status, 200);
    assert_eq!(error(&client.get(APP).await), (404, "unknown_app"));
    assert_eq!(error(&client.delete(APP).await), (404, "unknown_app"));
    assert_eq!(client.get("/apps").await.body, json!({"response": [], "cursor": null, "code": 200}));
}

#[tokio::test]
async fn the_certificate_file_may_be_the_whole_body_and_no_response_has_the_key() {
    let client = Client::new().await;
    let pem = pem();
    let posted = client.post(APP, &pem).await;
    assert_eq!(posted.status, 201);
    let secret = pem.rsplit("-----BEGIN").next().and_then(|key| key.lines().nth(1)).expect("a line of the key");
    for answer in [posted, client.get(APP).await, client.get("/apps").await, client.get("/metrics").await] {
        assert!(!answer.text.contains("PRIVATE") && !answer.text.contains(secret));
    }
}

#[tokio::test]
async fn apps_are_listed_page_by_page_in_order() {
    let client = Client::new().await;
    for app in ["b/sandbox", "a/sandbox", "a/production", "c/sandbox"] {
        assert_eq!(client.post(&format!("/apps/{app}"), &pem()).await.status, 201);
    }
    let names = |answer: &Answer| -> Vec<String> {
        let list = answer.body["response"].as_array().expect("a list");
        list.iter().map(|app| format!("{}/{}", app["name"], app["environment"]).replace('"', "")).collect()
    };
    let first = client.get("/apps?limit=3").await;
    assert_eq!(names(&first), ["a/sandbox", "a/production", "b/sandbox"]);
    assert_eq!(first.body["cursor"], "b/sandbox");
    let second = client.get("/apps?limit=3&cursor=b/sandbox").await;
    assert_eq!(names(&second), ["c/sandbox"]);
    let third = client.get("/apps?cursor=c%2Fsandbox").await;
    assert_eq!((names(&third).len(), &third.body["cursor"]), (0, &json!("c/sandbox")));
    assert_eq!(error(&client.get("/apps?cursor=nonsense").await), (400, "bad_parameter"));
}

#[tokio::test]
async fn a_bad_credential_is_a_400_with_its_own_reason() {
    let client = Client::new().await;
    let certificate_alone = testing::Recipe::default().certificate_pem();
    let signing_key = testing::Recipe::default().key.serialize_pem();
    let table = [
        (certificate_alone.as_str(), "key_missing"),
        (r#"{"certificate":"-----BEGIN nonsense"}"#, "certificate_not_pem"),
        (r#"{"certificate":"/etc/passwd"}"#, "credential_paths_off"),
        (r#"{"key":"-----BEGIN x","key_id":"short","team_id":"TEAM123456"}"#, "bad_key_id"),
        ("{}", "credential_missing"),
        (r#"{"key":"-----BEGIN x","key_id":"KEY1234567","team_id":"TEAM123456"}"#, "signing_key_unreadable"),
        (signing_key.as_str(), "signing_key_as_certificate"),
        (r#"{"certificate":"not a pem at all\nreally"}"#, "certificate_not_pem"),
        (r#"{"key":"","key_id":"KEY1234567","team_id":"TEAM123456"}"#, "key_not_pem"),
        (r#"{"cert":"x"}"#, "unknown_field"),
        (r#"{"certificat":"x","certificate":"y"}"#, "unknown_field"),
        ("{", "malformed_json"),
        ("", "malformed_json"),
    ];
    for (body, reason) in table {
        assert_eq!(error(&client.post(APP, body).await), (400, reason), "{body}");
    }
    for (field, value) in [("timeout", json!(0)), ("lanes", json!(65)), ("topic", json!("a b"))] {
        let body = json!({"certificate": pem(), field: value}).to_string();
        let answer = client.post(APP, &body).await;
        assert_eq!(error(&answer), (400, format!("bad_{field}").as_str()));
        assert_eq!(answer.body["args"], json!({"field": field}));
    }
    let key = json!({"key": signing_key, "key_id": "KEY1234567", "team_id": "TEAM123456"}).to_string();
    let answer = client.post("/apps/p1/sandbox", &key).await;
    assert_eq!(error(&answer), (400, "topic_missing"));
    assert!(answer.body["error"].as_str().is_some_and(|told| told.contains("`p1`") && told.contains("give `topic`")));
    assert_eq!(client.post(APP, &key).await.body["response"]["topic"], "com.example.app", "its id is a bundle id");
    let foreign = json!({"certificate": pem(), "topic": "com.example.other"}).to_string();
    assert_eq!(error(&client.post(APP, &foreign).await), (400, "topic_not_of_certificate"));
    let other = testing::Recipe { sandbox: false, ..testing::Recipe::default() }.pem();
    assert_eq!(error(&client.post(APP, &other).await), (400, "wrong_environment"));
    let stripped = pem().replace('\n', "");
    let answer = client.post(APP, &stripped[stripped.find("-----").expect("PEM")..]).await;
    assert_eq!(answer.status, 201, "what `curl -d @file` makes of a file is as clear: {}", answer.body);
}

#[tokio::test]
async fn a_path_without_an_app_is_a_404_with_the_cause() {
    let client = Client::new().await;
    let answer = client.get("/apps/com.example.app/staging").await;
    assert_eq!(error(&answer), (404, "unknown_environment"));
    assert_eq!(answer.body["error"], "unknown environment `staging`: it must be `sandbox` or `production`");
    assert_eq!(answer.body["args"], json!({"environment": "staging"}));

    for path in ["", "/notifications", "/feedback", "/disconnections"] {
        let path = format!("{APP}{path}");
        let answer =
            if path.ends_with("notifications") { client.post(&path, "[]").await } else { client.get(&path).await };
        assert_eq!(error(&answer), (404, "unknown_app"), "{path}");
        let sentence =
            "no app `com.example.app` is provisioned for sandbox: POST its credential to /apps/com.example.app/sandbox";
        assert_eq!(answer.body["error"], sentence);
        assert_eq!(answer.body["args"], json!({"app_id": "com.example.app", "environment": "sandbox"}));
    }
    for no_app in ["no%20app", ".", "..", "%2E%2e", "_shop"] {
        let answer = client.post(&format!("/apps/{no_app}/sandbox"), &pem()).await;
        assert_eq!(error(&answer), (400, "bad_app_id"), "{no_app}");
        assert!(answer.body["error"].as_str().is_some_and(|told| told.contains("begin with a letter or digit")));
    }
    assert_eq!(error(&client.get("/apps/%ff/sandbox").await), (404, "no_such_path"));
    assert_eq!(error(&client.get("/nowhere").await), (404, "no_such_path"));
    assert_eq!(error(&client.post("/apps/a/sandbox/nowhere", "x").await), (404, "no_such_path"));
}

#[tokio::test]
async fn an_app_of_an_earlier_version_with_an_id_refused_today_is_listed_used_and_removed() {
    let client = Client::new().await;
    for id in ["..", "_shop"] {
        let key = AppKey::new(AppId::stored(id).expect("an old id"), Environment::Sandbox);
        let old = crate::registry::Provision::new(key, testing::Recipe::default().material());
        client.api.registry.provision(old).await.expect("an app");
    }
    let first = client.get("/apps?limit=1").await;
    let cursor = first.body["cursor"].as_str().expect("a cursor");
    assert_eq!(client.get(&format!("/apps?cursor={cursor}")).await.body["response"][0]["app_id"], "_shop");
    for id in ["..", "_shop"] {
        let path = format!("/apps/{id}/sandbox");
        assert_eq!(client.post(&format!("{path}/notifications"), "[]").await.status, 201, "{id}");
        assert_eq!(client.delete(&path).await.status, 200, "{id}");
        assert_eq!(error(&client.get(&path).await), (400, "bad_app_id"), "{id}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_a_405_that_lists_the_allowed_ones() {
    let client = Client::new().await;
    for path in ROUTES.iter().map(|route| route.path) {
        let path = path.replace("{app_id}", "a").replace("{environment}", "sandbox");
        for path in [format!("{}/", path.trim_end_matches('/')), path] {
            let answer = client.call(Method::PATCH, &path, "").await;
            if answer.status == 501 {
                continue;
            }
            assert_eq!(error(&answer), (405, "method_not_allowed"), "{path}");
            let allow: Vec<String> = serde_json::from_value(answer.body["args"]["allow"].clone()).expect("a list");
            assert_eq!(answer.headers[header::ALLOW], allow.join(","), "{path}");
        }
    }
    let answer = client.call(Method::PUT, APP, "{}").await;
    assert_eq!(answer.body["error"], "this path does not support PUT: use GET or HEAD or POST or DELETE");
    assert_eq!(error(&answer), (405, "method_not_allowed"));
    assert_eq!(answer.headers[header::ALLOW], "GET,HEAD,POST,DELETE");
    let answer = client.get(&format!("{APP}/notifications")).await;
    assert_eq!(
        (error(&answer), &answer.headers[header::ALLOW]),
        ((405, "method_not_allowed"), &"POST".parse().unwrap())
    );
}

#[tokio::test]
async fn a_trailing_slash_changes_nothing() {
    let client = Client::provisioned().await;
    for path in ["/apps", APP, "/apps/com.example.app/sandbox/feedback", "/healthz", "/readyz", "/metrics"] {
        assert_eq!(client.get(&format!("{path}/")).await.status, 200, "{path}");
    }
    assert_eq!(client.post(&format!("{APP}/notifications/"), "[]").await.status, 201);
    assert_eq!(error(&client.get("/cluster/").await), (409, "not_clustered"));
}

#[tokio::test]
async fn every_response_has_the_callers_request_id_or_a_generated_one() {
    let client = Client::new().await;
    for path in ["/healthz", "/nowhere", "/apps/x/y"] {
        let request = HttpRequest::builder().uri(path).header("x-request-id", "mine-1").body(Body::empty()).unwrap();
        assert_eq!(client.send(request).await.headers["x-request-id"], "mine-1", "{path}");
        assert_eq!(client.get(path).await.headers["x-request-id"].len(), 32, "{path}");
    }
}

#[tokio::test]
async fn headers_over_their_limit_are_a_431() {
    let client = Client::with(Limits { header_list_bytes: 1024, ..Limits::default() }).await;
    let request = HttpRequest::builder().uri("/apps").header("x-long", "x".repeat(1024)).body(Body::empty()).unwrap();
    assert_eq!(error(&client.send(request).await), (431, "headers_too_large"));
}

#[tokio::test]
async fn notifications_are_parsed_whole_before_anything_is_done() {
    let client = Client::provisioned().await;
    let path = format!("{APP}/notifications");
    let good = r#"{"token":"00fc","payload":{}}"#;
    let answer = client.post(&path, &format!(r#"[{good},{{"token":"xy","payload":{{}}}}]"#)).await;
    assert_eq!(error(&answer), (400, "token_not_hex"));
    assert_eq!(answer.body["args"], json!({"index": 1, "field": "token"}));
    assert_eq!(error(&client.post(&path, &format!("[{good},{good},{good},{good}]")).await), (413, "too_many_items"));
    assert_eq!(error(&client.post(&path, &"x".repeat(65 << 10)).await), (413, "body_too_large"));
    assert_eq!(error(&client.post(&path, "text").await), (400, "malformed_json"));

    let answer = client.post(&path, " [ ] ").await;
    assert_eq!((answer.status, answer.text.as_str()), (201, r#"{"response":[],"code":201}"#));
}

#[tokio::test]
async fn the_refusal_of_a_notification_names_its_field_and_its_limit_if_any() {
    let client = Client::provisioned().await;
    let long = "x".repeat(300);
    for (field, value, reason, limit) in [
        ("token", json!("xy"), "token_not_hex", None),
        ("token", json!("abc"), "token_odd_length", None),
        ("token", json!(""), "token_missing", None),
        ("token", json!("0".repeat(514)), "token_too_long", Some(512)),
        ("priority", json!(7), "bad_priority", None),
        ("push_type", json!("Alert"), "bad_push_type", None),
        ("collapse_id", json!(long), "bad_collapse_id", Some(64)),
        ("topic", json!(long), "bad_topic", Some(255)),
        ("topic", json!("ä"), "not_header_text", None),
        ("identifier", json!(long), "identifier_too_long", Some(256)),
        ("payload", json!({"aps": "x".repeat(4096)}), "payload_too_large", Some(4096)),
        ("payload", json!([]), "payload_not_object", None),
        ("payload", json!(null), "payload_not_object", None),
    ] {
        let mut item = json!({"token": "00fc", "payload": {}});
        item[field] = value;
        let answer = client.post(&format!("{APP}/notifications"), &item.to_string()).await;
        assert_eq!(error(&answer), (400, reason));
        let mut args = json!({"field": field});
        if let Some(limit) = limit {
            args["limit"] = json!(limit);
        }
        assert_eq!(answer.body["args"], args, "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_object_gets_one_outcome_and_a_list_a_list_by_the_deadline() {
    let client = Client::provisioned().await;
    let path = format!("{APP}/notifications?timeout=2");
    let item = r#"{"token":"<00FC>","payload":{"aps":{}},"identifier":7,"expiry":0}"#;
    let began = tokio::time::Instant::now();
    let one = client.post(&path, item).await;
    assert_eq!((one.status, began.elapsed().as_secs()), (201, 2), "{}", one.text);
    let outcome = &one.body["response"];
    assert_eq!(outcome["type"], "outcome");
    assert_eq!((&outcome["identifier"], &outcome["token"]), (&json!(7), &json!("00fc")));
    assert_eq!((&outcome["outcome"], &outcome["status"]), (&json!("not_sent"), &Value::Null));

    let list = client.post(&path, &format!("[{item},{item}]")).await;
    let outcomes = list.body["response"].as_array().expect("a list");
    assert_eq!((list.status, outcomes.len()), (201, 2));
    assert_ne!(outcomes[0]["apns_id"], outcomes[1]["apns_id"]);
}

#[tokio::test]
async fn a_feature_that_is_not_built_is_a_501_and_an_unknown_parameter_a_400() {
    let client = Client::provisioned().await;
    let path = format!("{APP}/notifications");
    for (name, value) in [("prefer", "respond-async"), ("idempotency-key", "1")] {
        let request = HttpRequest::post(&path).header(name, value).body(Body::from("[]")).unwrap();
        assert_eq!(error(&client.send(request).await), (501, "not_built"), "{name}");
    }
    assert_eq!(error(&client.post(&format!("{path}?wait=false"), "[]").await), (501, "not_built"));
    assert_eq!(error(&client.get(&format!("{APP}/notifications/17")).await), (501, "not_built"));
    for query in ["timeot=5", "timeout=0", "timeout=301", "timeout=5&timeout=6", "retry_unknown=1", "wait=1"] {
        assert_eq!(error(&client.post(&format!("{path}?{query}"), "[]").await).0, 400, "{query}");
    }
    assert_eq!(client.post(&format!("{path}?timeout=5&retry_unknown=true&wait=true"), "[]").await.status, 201);
    let gzip = HttpRequest::post(&path).header("content-encoding", "gzip").body(Body::from("[]")).unwrap();
    assert_eq!(error(&client.send(gzip).await), (415, "content_encoding"));
    let form =
        HttpRequest::post(&path).header("content-type", "application/x-www-form-urlencoded").body(Body::from("[]"));
    assert_eq!(client.send(form.unwrap()).await.status, 201);
}

#[tokio::test]
async fn reading_feedback_deletes_nothing_and_acknowledging_deletes_up_to_the_cursor() {
    let client = Client::provisioned().await;
    let key = AppKey::new(AppId::new("com.example.app").unwrap(), Environment::Sandbox);
    let feedback = |token: &str| Feedback {
        app: key.clone(),
        token: token.to_owned(),
        reason: "Unregistered".to_owned(),
        timestamp: 1_508_249_865.488,
    };
    client.api.events.record(records(vec![feedback("aa"), feedback("bb"), feedback("cc")], Vec::new())).await.unwrap();
    let path = format!("{APP}/feedback");
    let first = client.get(&format!("{path}?limit=2")).await.body;
    let entry = |token: &str| {
        json!({"type": "feedback", "timestamp": 1_508_249_865.488, "token": token, "reason": "Unregistered",
            "app_id": "com.example.app", "environment": "sandbox"})
    };
    assert_eq!(first["response"], json!([entry("aa"), entry("bb")]));
    let cursor = first["cursor"].as_str().expect("a cursor");
    assert_eq!(client.get(&format!("{path}?cursor={cursor}")).await.body["response"], json!([entry("cc")]));

    assert_eq!(error(&client.delete(&path).await), (400, "bad_parameter"));
    let cleared = client.delete(&format!("{path}?through={cursor}")).await;
    assert_eq!(cleared.body, json!({"response": {"type": "acknowledgement", "removed": 2}, "code": 200}));
    assert_eq!(client.get(&path).await.body["response"], json!([entry("cc")]));
}

fn bad(token: &str) -> Feedback {
    let app = AppKey::new(AppId::new("com.example.app").unwrap(), Environment::Sandbox);
    Feedback { app, token: token.to_owned(), reason: "BadDeviceToken".to_owned(), timestamp: 1.5 }
}

#[tokio::test]
async fn held_feedback_is_shown_and_settled() {
    let client = Client::provisioned().await;
    let path = format!("{APP}/feedback/held");
    let nothing = json!({"type": "held_feedback", "count": 0, "since": null, "why": null});
    assert_eq!(client.get(&path).await.body["response"], nothing);
    let events = &client.api.events;
    for (action, left) in [("release", 2), ("drop", 0)] {
        let spike = crate::events::guard::BadTokenSpike { suspects: 60, answers: 100 };
        events.record(records(vec![bad("aa")], vec![])).await.unwrap();
        events.guard_of(&bad("").app);
        events.quarantine(&bad("").app, spike, 7.5).await.unwrap();
        events.record(records(vec![bad("bb")], vec![])).await.unwrap();
        assert_eq!(client.get(&format!("{APP}/feedback")).await.body["response"], json!([]), "{action}");
        let shown = client.get(&path).await.body["response"].clone();
        assert_eq!((&shown["count"], &shown["since"]), (&json!(2), &json!(7.5)));
        assert_eq!(client.get(APP).await.body["response"]["feedback_held"], json!({"since": 7.5, "why": shown["why"]}));
        let settled = client.post(&path, &json!({"action": action}).to_string()).await.body["response"].clone();
        assert_eq!(settled, json!({"type": "settlement", "action": action, "count": 2}));
        assert_eq!(client.get(&path).await.body["response"], nothing);
        assert_eq!(client.get(APP).await.body["response"]["feedback_held"], Value::Null);
        let feedback = client.get(&format!("{APP}/feedback")).await;
        assert_eq!(feedback.body["response"].as_array().map(Vec::len), Some(left), "{action}");
        let through = feedback.body["cursor"].as_str().expect("a cursor");
        assert_eq!(client.delete(&format!("{APP}/feedback?through={through}")).await.status, 200);
    }
    for (body, reason) in [
        ("", "malformed_json"),
        ("{}", "wrong_type"),
        (r#"{"action":"keep"}"#, "wrong_type"),
        (r#"{"do":1}"#, "unknown_field"),
    ] {
        assert_eq!(error(&client.post(&path, body).await), (400, reason), "{body}");
    }
    assert_eq!(
        error(&client.post("/apps/x/sandbox/feedback/held", r#"{"action":"drop"}"#).await),
        (404, "unknown_app")
    );
}

#[tokio::test]
async fn with_clear_on_read_a_get_deletes_exactly_the_entries_that_it_returned() {
    let api = api(Limits::default(), telemetry::Metrics::new()).await;
    let client = Client::of(Api { compat: Compat { clear_on_read: true, ..Compat::default() }, ..api });
    assert_eq!(client.post(APP, &pem()).await.status, 201);
    let failed = |number| Disconnection { internal_identifier: number, ..disconnection() };
    let events = &client.api.events;
    events.record(records(vec![bad("aa"), bad("bb"), bad("cc")], vec![failed(1), failed(2), failed(3)])).await.unwrap();
    for (list, field, expected) in
        [("feedback", "token", json!(["aa", "bb", "cc"])), ("disconnections", "internal_identifier", json!([1, 2, 3]))]
    {
        let read = async |query: &str| -> Vec<Value> {
            let answer = client.get(&format!("{APP}/{list}{query}")).await;
            answer.body["response"].as_array().expect("a list").iter().map(|entry| entry[field].clone()).collect()
        };
        assert_eq!(client.call(Method::HEAD, &format!("{APP}/{list}"), "").await.status, 200);
        assert_eq!(json!(read("?limit=2").await), json!(expected.as_array().expect("a list")[..2]), "{list}");
        assert_eq!(json!(read("").await), json!(expected.as_array().expect("a list")[2..]), "{list}");
        assert!(read("").await.is_empty(), "{list}");
    }
}

fn disconnection() -> Disconnection {
    Disconnection {
        app: bad("").app,
        code: 8,
        internal_identifier: 7,
        offending_notification: Some(r#"{"type":"notification","identifier":"x"}"#.to_owned()),
        timestamp: 1.5,
        verbose_message: "Invalid token".to_owned(),
        reason: "BadDeviceToken".to_owned(),
        status: Some(400),
        apns_id: None,
        affected: 1,
        node: None,
    }
}

#[tokio::test]
async fn disconnections_carry_the_offending_notification_as_an_object() {
    let client = Client::provisioned().await;
    client.api.events.record(records(Vec::new(), vec![disconnection()])).await.unwrap();
    let path = format!("{APP}/disconnections");
    let listed = client.get(&path).await.body;
    let expected = json!({
        "type": "disconnection", "code": 8, "internal_identifier": 7, "timestamp": 1.5, "status": 400,
        "offending_notification": {"type": "notification", "identifier": "x"}, "verbose_message": "Invalid token",
        "reason": "BadDeviceToken", "apns_id": null, "affected": 1, "node": null,
    });
    assert_eq!(listed["response"], json!([expected]));
    let through = listed["cursor"].as_str().expect("a cursor");
    assert_eq!(client.delete(&format!("{path}?through={through}")).await.body["response"]["removed"], 1);
    assert_eq!(client.get(&path).await.body["response"], json!([]));
}

#[tokio::test]
async fn a_cursor_of_another_store_is_refused_and_deletes_nothing() {
    let client = Client::provisioned().await;
    client.api.events.record(records(vec![bad("00fc")], vec![disconnection()])).await.unwrap();
    for list in ["feedback", "disconnections"] {
        let path = format!("{APP}/{list}");
        let own = client.get(&path).await.body["cursor"].as_str().expect("a cursor").to_owned();
        let (epoch, _) = own.split_once('-').expect("an epoch and a position");
        for foreign in ["1".to_owned(), "5000".to_owned(), format!("{epoch}-5000"), "5-1".to_owned(), "0-1".to_owned()]
        {
            let refused = [
                client.get(&format!("{path}?cursor={foreign}")).await,
                client.delete(&format!("{path}?through={foreign}")).await,
            ];
            for answer in refused {
                assert_eq!((answer.status, &answer.body["reason"]), (400, &json!("foreign_cursor")), "{foreign}");
                assert!(answer.text.contains("without a cursor"), "{}", answer.text);
            }
        }
        assert_eq!(client.get(&path).await.body["response"].as_array().map(Vec::len), Some(1), "{path}");
    }
}

#[tokio::test]
async fn health_and_metrics_answer_machines() {
    let client = Client::provisioned().await;
    assert_eq!(client.get("/healthz").await.body["response"]["status"], "ok");
    client.get("/apps/x/y/").await;
    client.get("/nowhere").await;
    let answer = client.get("/metrics").await;
    assert_eq!(answer.headers[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "pyapns_api_requests_total{method=\"POST\",route=\"/apps/{app_id}/{environment}\",status=\"201\"} 1",
        "pyapns_api_requests_total{method=\"GET\",route=\"/apps/{app_id}/{environment}\",status=\"404\"} 1",
        "pyapns_api_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
        "pyapns_api_request_seconds_count{route=\"/healthz\"} 1",
    ] {
        assert!(answer.text.contains(line), "{line} in {}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_is_ready_until_it_drains_and_healthy_also_after_that() {
    let client = Client::new().await;
    let answer = client.get("/readyz").await;
    let readiness = |status: &str| json!({"type": "readiness", "status": status, "degraded": []});
    assert_eq!((answer.status, &answer.body["response"]), (200, &readiness("ready")));
    client.api.drain.begin();
    let answer = client.get("/readyz").await;
    assert_eq!(error(&answer), (503, "shutting_down"));
    assert_eq!(answer.body["response"], readiness("not_ready"));
    assert_eq!(client.get("/healthz").await.status, 200);
}
