//! Every row of the validation table, under both kinds of credential where the kind does not matter.

use http::Method;

use super::support::*;
use crate::{Check, ClientSubject, Environment, Key, Options, Script, Simulator, TokenRate, TokenState, generate_key};

const OTHER_TOKEN: &str = "0a0b0c0d";

fn expectations() -> Vec<(Push, u16, &'static str)> {
    let push = Push::new;
    let token = |hex: &str| format!("/3/device/{hex}");
    vec![
        (push().by(Method::GET), 405, "MethodNotAllowed"),
        (push().by(Method::PUT).to("/nowhere"), 405, "MethodNotAllowed"),
        (push().to("/nowhere"), 404, "BadPath"),
        (push().to("/4/device/00ff"), 404, "BadPath"),
        (push().to("/3/device/00ff/more"), 404, "BadPath"),
        (push().to("/3/device/00ff?x=1"), 404, "BadPath"),
        (push().to("/3/device/"), 400, "MissingDeviceToken"),
        (push().to("/3/device"), 400, "MissingDeviceToken"),
        (push().and("apns-topic", "com.example.app"), 400, "DuplicateHeaders"),
        (push().and("x-trace", "1").and("x-trace", "2"), 400, "DuplicateHeaders"),
        (push().without("apns-topic"), 400, "MissingTopic"),
        (push().with("apns-topic", ""), 400, "BadTopic"),
        (push().with("apns-topic", "com example"), 400, "BadTopic"),
        (push().with("apns-id", "123e4567e89b12d3a456426655440000"), 400, "BadMessageId"),
        (push().with("apns-id", "123e4567-e89b-12d3-a456-42665544000g"), 400, "BadMessageId"),
        (push().with("apns-expiration", "soon"), 400, "BadExpirationDate"),
        (push().with("apns-expiration", "1.5"), 400, "BadExpirationDate"),
        (push().with("apns-expiration", ""), 400, "BadExpirationDate"),
        (push().with("apns-priority", "7"), 400, "BadPriority"),
        (push().with("apns-collapse-id", &"x".repeat(65)), 400, "BadCollapseId"),
        (push().with("apns-push-type", "postcard"), 400, "InvalidPushType"),
        (push().with("apns-push-type", "voip"), 400, "InvalidPushType"),
        (push().with("apns-topic", "com.example.app.voip"), 400, "InvalidPushType"),
        (
            push().with("apns-topic", "com.example.app.voip").with("apns-push-type", "complication"),
            400,
            "InvalidPushType",
        ),
        (push().of(0), 400, "PayloadEmpty"),
        (push().of(4097), 413, "PayloadTooLarge"),
        (push().of(60_000), 413, "PayloadTooLarge"),
        (
            push().with("apns-topic", "com.example.app.voip").with("apns-push-type", "voip").of(5121),
            413,
            "PayloadTooLarge",
        ),
        (push().to(&token("xyz0")), 400, "BadDeviceToken"),
        (push().to(&token("abc")), 400, "BadDeviceToken"),
        (push().to(&token(&"ab".repeat(257))), 400, "BadDeviceToken"),
        (push(), 200, ""),
        (push().with("apns-priority", "5"), 200, ""),
        (push().with("apns-priority", "1"), 200, ""),
        (push().with("apns-expiration", "1893456000"), 200, ""),
        (push().with("apns-collapse-id", &"x".repeat(64)), 200, ""),
        (push().without("apns-push-type").without("apns-priority").without("apns-expiration"), 200, ""),
        (push().of(4096), 200, ""),
        (push().with("apns-topic", "com.example.app.voip").with("apns-push-type", "voip").of(5120), 200, ""),
        (push().with("apns-topic", "com.example.app.voip").without("apns-push-type").of(5120), 200, ""),
        (push().to(&token(&"AB".repeat(54))), 200, ""),
        (push().to(&token(&"ab".repeat(100))), 200, ""),
        (push().and("x-unknown", "ignored"), 200, ""),
    ]
}

async fn every_expectation_holds(auth: Auth) {
    let simulator = start().await;
    let mut client = Client::connect(&simulator, auth).await;
    for (push, status, reason) in expectations() {
        let described = format!("{push:.300?}");
        let answer = client.push(push).await.unwrap();
        assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{described}");
    }
}

#[tokio::test]
async fn every_row_of_the_table_holds_with_a_certificate() {
    every_expectation_holds(Auth::Certificate).await;
}

#[tokio::test]
async fn every_row_of_the_table_holds_with_a_provider_token() {
    every_expectation_holds(Auth::Token).await;
}

/// A connection without a certificate, and the answer to one push with this `authorization`.
async fn answer_to(simulator: &Simulator, authorization: Option<&str>) -> (u16, String) {
    let mut client = Client::with_certificate(simulator, None).await.unwrap();
    answer_on(&mut client, authorization).await
}

async fn answer_on(client: &mut Client, authorization: Option<&str>) -> (u16, String) {
    let push = match authorization {
        Some(value) => Push::new().with("authorization", value),
        None => Push::new(),
    };
    let answer = client.push(push).await.unwrap();
    (answer.status, answer.reason())
}

fn refusal(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

fn accepted() -> (u16, String) {
    (200, String::new())
}

#[tokio::test]
async fn a_push_without_any_credential_misses_its_provider_token() {
    let simulator = start().await;
    assert_eq!(answer_to(&simulator, None).await, refusal(403, "MissingProviderToken"));
}

#[tokio::test]
async fn a_provider_token_must_be_signed_by_a_known_key_of_its_team() {
    let simulator = start().await;
    let identity = simulator.identity();
    let (key, key_id, team_id) = (&identity.key_pem, identity.key_id.as_str(), identity.team_id.as_str());
    let now = simulator.clock().now_ms() / 1000;
    let good = bearer(key, key_id, team_id, now);
    let (_, foreign_key) = generate_key("FOREIGNKEY", "FOREIGNTEA").unwrap();
    let (message, _) = good.rsplit_once('.').unwrap();
    let wrong = [
        "bearer nonsense".to_owned(),
        "Basic abc".to_owned(),
        good.replace("bearer ", ""),
        good.replace("bearer ", "Bearer "),
        format!("{message}.{}", "A".repeat(86)),
        format!("{good}.more"),
        format!("{good}="),
        bearer(&foreign_key, key_id, team_id, now),
        bearer(key, "UNKNOWNKEY", team_id, now),
        bearer(key, key_id, "OTHERTEAM1", now),
    ];
    for token in &wrong {
        assert_eq!(answer_to(&simulator, Some(token)).await, refusal(403, "InvalidProviderToken"), "{token}");
    }
    assert_eq!(answer_to(&simulator, Some(&good)).await, accepted());
}

#[tokio::test]
async fn a_provider_token_signed_in_der_is_taken_as_one_in_joses_form() {
    let simulator = start().await;
    let identity = simulator.identity();
    let now = simulator.clock().now_ms() / 1000;
    let der = |key: &str| bearer_in_der(key, &identity.key_id, &identity.team_id, now);
    let (_, foreign_key) = generate_key("FOREIGNKEY", "FOREIGNTEA").unwrap();
    assert_eq!(answer_to(&simulator, Some(&der(&identity.key_pem))).await, accepted());
    assert_eq!(answer_to(&simulator, Some(&der(&foreign_key))).await, refusal(403, "InvalidProviderToken"));
    let good = der(&identity.key_pem);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let other = bearer_in_der(&identity.key_pem, &identity.key_id, &identity.team_id, now - 1);
    let (other, _) = other.rsplit_once('.').unwrap();
    for token in [format!("{other}.{signature}"), format!("{message}.{}", &signature[..signature.len() - 4])] {
        assert_eq!(answer_to(&simulator, Some(&token)).await, refusal(403, "InvalidProviderToken"), "{token}");
    }
}

#[tokio::test]
async fn a_lenient_simulator_takes_a_capital_bearer_and_padding() {
    let simulator = start_with(Options { lenient: true, ..Options::default() }).await;
    let token = bearer_aged(&simulator, 0).replace("bearer", "Bearer");
    assert_eq!(answer_to(&simulator, Some(&format!("{token}=="))).await, accepted());
}

#[tokio::test]
async fn a_provider_token_is_good_for_an_hour() {
    let simulator = start().await;
    for (age, expected) in [
        (3599, accepted()),
        (3605, refusal(403, "ExpiredProviderToken")),
        (-3590, accepted()),
        (-3700, refusal(403, "InvalidProviderToken")),
    ] {
        let token = bearer_aged(&simulator, age);
        assert_eq!(answer_to(&simulator, Some(&token)).await, expected, "issued {age} s ago");
    }
    let mut client = Client::connect(&simulator, Auth::Token).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    simulator.clock().advance(3_600_000);
    assert_eq!(client.push(Push::new()).await.unwrap().reason(), "ExpiredProviderToken");
}

#[tokio::test]
async fn a_provider_token_may_change_after_twenty_minutes_only() {
    let simulator = start().await;
    let mut client = Client::with_certificate(&simulator, None).await.unwrap();
    let (old, new) = (bearer_aged(&simulator, 100), bearer_aged(&simulator, 50));
    assert_eq!(answer_on(&mut client, Some(&old)).await, accepted());
    assert_eq!(answer_on(&mut client, Some(&new)).await, refusal(429, "TooManyProviderTokenUpdates"));
    assert_eq!(answer_on(&mut client, Some(&old)).await, accepted());
    simulator.clock().advance(20 * 60 * 1000);
    assert_eq!(answer_on(&mut client, Some(&new)).await, accepted());
    assert_eq!(answer_on(&mut client, Some(&old)).await, refusal(429, "TooManyProviderTokenUpdates"));
    assert_eq!(answer_to(&simulator, Some(&old)).await, accepted());
}

#[tokio::test]
async fn a_connection_stays_with_the_team_and_key_it_began_with() {
    let (other_team, other_team_pem) = generate_key("OTHERKEY01", "OTHERTEAM1").unwrap();
    let (first, first_pem) = generate_key("FIRSTKEY01", "SAMETEAM01").unwrap();
    let (related, related_pem) = generate_key("RELATED001", "SAMETEAM01").unwrap();
    let (unrelated, unrelated_pem) = generate_key("UNRELATED1", "SAMETEAM01").unwrap();
    let first = Key { related: Some("RELATED001".to_owned()), ..first };
    let keys = vec![other_team, first, related, unrelated];
    let simulator = start_with(Options { keys, ..Options::default() }).await;
    let now = simulator.clock().now_ms() / 1000;
    let mut client = Client::with_certificate(&simulator, None).await.unwrap();
    let mine = bearer(&first_pem, "FIRSTKEY01", "SAMETEAM01", now);
    assert_eq!(answer_on(&mut client, Some(&mine)).await, accepted());
    let foreign = bearer(&other_team_pem, "OTHERKEY01", "OTHERTEAM1", now);
    assert_eq!(answer_on(&mut client, Some(&foreign)).await, refusal(403, "InvalidProviderToken"));
    assert_eq!(answer_to(&simulator, Some(&foreign)).await, accepted());
    let unrelated = bearer(&unrelated_pem, "UNRELATED1", "SAMETEAM01", now);
    assert_eq!(answer_on(&mut client, Some(&unrelated)).await, refusal(403, "UnrelatedKeyIdInToken"));
    let related = bearer(&related_pem, "RELATED001", "SAMETEAM01", now);
    assert_eq!(answer_on(&mut client, Some(&related)).await, refusal(429, "TooManyProviderTokenUpdates"));
    simulator.clock().advance(21 * 60 * 1000);
    assert_eq!(answer_on(&mut client, Some(&related)).await, accepted());
}

#[tokio::test]
async fn a_key_covers_its_environment_and_its_topics() {
    let (key, pem) = generate_key("SCOPEDKEY1", "SCOPEDTEAM").unwrap();
    let key = Key {
        environment: Environment::Production,
        topics: Some(vec!["com.example.app".to_owned(), "com.example.other".to_owned()]),
        ..key
    };
    let options = |environment, documented_spelling| Options {
        environment,
        documented_spelling,
        keys: vec![key.clone()],
        ..Options::default()
    };
    let token = bearer(&pem, "SCOPEDKEY1", "SCOPEDTEAM", wall_seconds());
    let sandbox = start_with(options(Environment::Sandbox, false)).await;
    assert_eq!(answer_to(&sandbox, Some(&token)).await, refusal(403, "BadEnvironmentKeyInToken"));
    let sandbox = start_with(options(Environment::Sandbox, true)).await;
    assert_eq!(answer_to(&sandbox, Some(&token)).await, refusal(403, "BadEnvironmentKeyIdInToken"));

    let production = start_with(options(Environment::Production, false)).await;
    let mut client = Client::with_certificate(&production, None).await.unwrap();
    for (topic, reason) in [
        ("com.example.app", ""),
        ("com.example.other.voip", ""),
        ("com.example.other.push-type.liveactivity", ""),
        ("com.example.other.more", "TopicDisallowed"),
        ("com.example.third", "TopicDisallowed"),
    ] {
        let push = Push::new().with("authorization", &token).with("apns-topic", topic).without("apns-push-type");
        assert_eq!(client.push(push).await.unwrap().reason(), reason, "{topic}");
    }
}

fn wall_seconds() -> i64 {
    crate::Clock::default().now_ms() / 1000
}

#[tokio::test]
async fn a_certificate_covers_the_topics_it_lists() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    for (topic, reason) in [
        ("com.example.app", ""),
        ("com.example.app.complication", ""),
        ("com.example.app.voip", ""),
        ("com.example.app.voip-ptt", "TopicDisallowed"),
        ("com.example.other", "TopicDisallowed"),
    ] {
        let push = Push::new().with("apns-topic", topic).without("apns-push-type");
        assert_eq!(client.push(push).await.unwrap().reason(), reason, "{topic}");
    }
    let ignored = Push::new().with("authorization", "bearer nonsense");
    assert_eq!(client.push(ignored).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_certificate_of_one_topic_needs_no_topic_header() {
    let simulator = start().await;
    let pem = simulator.identity().authority.client_certificate(&subject("com.example.single")).unwrap();
    let mut client = Client::with_certificate(&simulator, Some(&pem)).await.unwrap();
    assert_eq!(client.push(Push::new().without("apns-topic")).await.unwrap().status, 200);
    assert_eq!(client.push(Push::new()).await.unwrap().reason(), "TopicDisallowed");
}

#[tokio::test]
async fn an_expired_or_foreign_certificate_fails_the_handshake() {
    let simulator = start().await;
    let expired = ClientSubject { not_after_year: 2021, ..subject("com.example.app") };
    let expired = simulator.identity().authority.client_certificate(&expired).unwrap();
    let foreign = crate::Identity::generate().unwrap().client_pem;
    for pem in [expired, foreign] {
        let client = Client::with_certificate(&simulator, Some(&pem)).await;
        // Under TLS 1.3 the alert comes after the client's side of the handshake.
        if let Ok(client) = client {
            assert!(soon(client.driver).await.unwrap().is_err());
        }
    }
    let totals = soon(simulator.ledger().wait_until(|totals| totals.failed_handshakes == 2)).await;
    assert_eq!((totals.connections, totals.goaways), (0, 0));
}

#[tokio::test]
async fn a_certificate_of_the_other_environment_gets_settings_then_goaway() {
    let simulator = start_with(Options { environment: Environment::Production, ..Options::default() }).await;
    let pem = simulator
        .identity()
        .authority
        .client_certificate(&ClientSubject { production: false, ..subject("com.example.app") })
        .unwrap();
    let client = Client::with_certificate(&simulator, Some(&pem)).await.unwrap();
    client.until(|frames| frames.iter().any(|frame| frame.kind == GOAWAY)).await;
    assert_eq!(client.goaways(), [(0, 0, r#"{"reason":"BadCertificateEnvironment"}"#.to_owned())]);
    assert_eq!(client.frames()[0].kind, SETTINGS);
    assert_eq!(client.frames_of(GOAWAY)[0].payload.len(), 46);
}

#[tokio::test]
async fn listed_tokens_are_refused_as_listed() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let push = || Push::new().to(&format!("/3/device/{}", OTHER_TOKEN.to_ascii_uppercase()));
    for (state, status, body) in [
        (TokenState::Bad, 400, r#"{"reason":"BadDeviceToken"}"#),
        (TokenState::WrongTopic, 400, r#"{"reason":"DeviceTokenNotForTopic"}"#),
        (
            TokenState::Dead { reason: "ExpiredToken", timestamp: Some(17) },
            410,
            r#"{"reason":"ExpiredToken","timestamp":17}"#,
        ),
        (TokenState::Dead { reason: "Unregistered", timestamp: None }, 410, r#"{"reason":"Unregistered"}"#),
    ] {
        simulator.set_token(OTHER_TOKEN, Some(state));
        let answer = client.push(push()).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (status, body.as_bytes()));
        assert_eq!(client.push(Push::new()).await.unwrap().status, 200, "other tokens are good");
    }
    simulator.set_token(OTHER_TOKEN, None);
    assert_eq!(client.push(push()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_token_pushed_to_too_often_gets_429_until_its_window_has_passed() {
    let script = Script { token_rate: Some(TokenRate { limit: 2, seconds: 60 }), ..Script::default() };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let mut reasons = Vec::new();
    for _ in 0..3 {
        reasons.push(client.push(Push::new()).await.unwrap().reason());
    }
    assert_eq!(reasons, ["", "", "TooManyRequests"]);
    let elsewhere = Push::new().to("/3/device/00ff");
    assert_eq!(client.push(elsewhere).await.unwrap().status, 200);
    simulator.clock().advance(60_000);
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_order_of_the_checks_is_the_one_configured() {
    let both_wrong = || Push::new().with("apns-priority", "7").of(0);
    let simulator = start().await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    assert_eq!(client.push(both_wrong()).await.unwrap().reason(), "BadPriority");
    let checks = vec![Check::Payload, Check::Headers];
    let simulator = start_with(Options { checks, ..Options::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    assert_eq!(client.push(both_wrong()).await.unwrap().reason(), "PayloadEmpty");
}
