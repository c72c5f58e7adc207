//! Common mistakes in requests: the response names the cause.

use crate::support::bare_node::curl;
use crate::support::forms::openssl;
use crate::support::world::{APP, World, to, token};
use serde_json::{Value, json};

/// Returns the response to `curl` with these arguments at a path of the node.
async fn called(world: &World, path: &str, arguments: &[&str]) -> (u16, String) {
    let url = format!("http://{}{path}", world.node.address);
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).chain([url]).collect();
    let answer = tokio::task::spawn_blocking(move || curl(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    let answer = answer.await.expect("no panic");
    (answer.status, answer.body["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_refusal_of_a_form_in_place_of_json_says_that_it_is_a_form() {
    let world = World::start().await;
    let notifications = format!("{APP}/notifications");
    let json = to(&token(1)).to_string();
    assert_eq!(
        called(&world, &notifications, &["-d", &json]).await.0,
        201,
        "JSON under the type that `curl -d` gives it"
    );
    let pem = world.simulator.identity().client_pem.clone();
    let p12 = world.directory.path().join("app.p12");
    std::fs::write(world.directory.path().join("app.pem"), &pem).expect("a file");
    let made = openssl(world.directory.path(), "pkcs12 -export -in app.pem -passout env:PASS", &[], "secret");
    std::fs::write(&p12, made).expect("a file");
    let (file, certificate) = (format!("file=@{}", p12.display()), format!("certificate={pem}"));
    let token = format!("token={}", token(1));
    for (path, arguments) in [
        (notifications.as_str(), &["-d", &token, "-d", r#"payload={"aps":{"alert":"x"}}"#][..]),
        (&notifications, &["--data-urlencode", &token, "--data-urlencode", r#"payload={"aps":{"alert":"x"}}"#]),
        (&notifications, &["-F", &token, "-F", r#"payload={"aps":{"alert":"x"}}"#]),
        (APP, &["-F", &file, "-H", "X-Passphrase: secret"]),
        (APP, &["-d", &certificate]),
        (APP, &["--data-urlencode", &certificate]),
        (APP, &["-d", "key_id=ABCDE12345", "-d", "team_id=FGHIJ67890"]),
    ] {
        let (status, error) = called(&world, path, arguments).await;
        assert_eq!(status, 400, "{arguments:?}: {error}");
        assert!(error.starts_with("this is a form; send JSON"), "{arguments:?}: {error}");
        assert!(!error.contains("PRIVATE"), "{error}");
    }
    world.stop().await;
}

/// A notification with one part that is another than it should be.
fn with(field: &str, value: Value) -> Value {
    let mut notification = to(&token(1));
    notification[field] = value;
    notification
}

#[tokio::test]
async fn each_fault_of_a_notification_is_reported_with_its_cause() {
    let world = World::start().await;
    let base64 = "AMwTrf94URK0rSiAmjQgmCNBJBQhNICXh45Xf5kd6PA=";
    let text = "é".repeat(1500);
    let payload = json!({"aps": {"alert": text}}).to_string();
    let escaped = format!(r#"{{"token":"{}","payload":{}}}"#, token(1), payload.replace('é', r"\u00e9"));
    let sentences = [
        (with("token", json!("(null)")).to_string(), "token_not_hex", "`token` is not hex: character 1 is `(`"),
        (with("token", json!(base64)).to_string(), "token_not_hex", "`token` is base64 and not hex: decode it"),
        (with("expiry", json!(1_895_934_818_000_u64)).to_string(), "expiry_not_seconds", "looks like milliseconds"),
        (with("expiry", json!(1_895_934_818_000_123_u64)).to_string(), "expiry_not_seconds", "looks like microseconds"),
        (
            with("payload", json!(payload)).to_string(),
            "payload_not_object",
            "`payload` is a string that looks like JSON",
        ),
        (escaped, "payload_too_large", &format!("spaces between its parts, and it has {}", payload.len())),
    ];
    let mut client = world.client().await;
    for (body, reason, sentence) in &sentences {
        let refused = client.post(&format!("{APP}/notifications"), body.clone()).await;
        assert_eq!((refused.status, refused.reason()), (400, *reason), "{body}");
        assert!(refused.body["error"].as_str().is_some_and(|told| told.contains(sentence)), "{refused:?}");
    }
    assert_eq!(world.simulator.ledger().totals().requests, 0);
    world.stop().await;
}

#[tokio::test]
async fn all_bad_tokens_are_listed_and_white_space_at_the_ends_of_a_token_is_dropped() {
    let world = World::start().await;
    let newline = format!("{}\n", token(2));
    let tokens = json!({"tokens": [token(1), "(null)", token(1), "zz", token(1), newline], "payload": {"aps": {}}});
    let refused = world.send(&tokens).await;
    assert_eq!((refused.status, refused.reason()), (400, "token_not_hex"));
    assert_eq!(refused.body["args"], json!({"field": "tokens", "token_index": 1, "indexes": [1, 3]}));
    let refused = world.send(&json!([to("zz"), to(&newline), to("(null)")])).await;
    assert_eq!(refused.body["args"], json!({"index": 0, "field": "token", "indexes": [0, 2]}));
    assert_eq!(world.send(&to(&newline)).await.response()["token"], json!(token(2)));
    let arrived: Vec<_> = world.simulator.ledger().entries().into_iter().map(|entry| entry.token).collect();
    assert_eq!(arrived, [token(2)]);
    world.stop().await;
}

#[tokio::test]
async fn integers_are_accepted_in_every_notation_of_json() {
    let world = World::start().await;
    let sent = format!(r#"{{"token":"{}","payload":{{}},"expiry":4e9,"priority":5.0,"identifier":455.0}}"#, token(1));
    let mut client = world.client().await;
    let answer = client.post(&format!("{APP}/notifications"), sent).await;
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    let entry = world.simulator.ledger().entries().pop().expect("an entry");
    assert_eq!((entry.expiration.as_deref(), entry.priority.as_deref()), (Some("4000000000"), Some("5")));
    let pem = &world.simulator.identity().client_pem;
    let body = format!(r#"{{"type":"app","certificate":{},"timeout":30.0,"lanes":1e0}}"#, json!(pem));
    let made = client.post("/apps/other/sandbox", body).await;
    assert_eq!((made.status, &made.response()["timeout"], &made.response()["lanes"]), (201, &json!(30), &json!(1)));
    world.stop().await;
}

#[tokio::test]
async fn an_identifier_is_measured_by_its_decoded_value() {
    let world = World::start().await;
    let uuid = "123e4567-e89b-12d3-a456-426655440000";
    let body = |identifier: &str| format!(r#"{{"token":"{}","payload":{{}},"identifier":"{identifier}"}}"#, token(1));
    let mut client = world.client().await;
    let notifications = format!("{APP}/notifications");
    let escaped = client.post(&notifications, body(&uuid.replace('-', r"\u002d"))).await;
    assert_eq!((&escaped.response()["apns_id"], &escaped.response()["identifier"]), (&json!(uuid), &json!(uuid)));
    for (identifier, status) in
        [("é".repeat(128), 201), (r"\u00e9".repeat(128), 201), ("é".repeat(129), 400), (r"\u00e9".repeat(129), 400)]
    {
        let answer = client.post(&notifications, body(&identifier)).await;
        assert_eq!(answer.status, status, "{identifier}: {answer:?}");
    }
    world.stop().await;
}
