//! Channel management: its calls, and every reason that it refuses one for.

use http::Method;
use serde_json::json;

use super::support::*;
use crate::{Call, ClientSubject, Environment, Key, Options, Script, Service, Simulator, TokenRate, generate_key};

const REQUEST_ID: &str = "5f1a3c9e-0b7d-4c2a-9e8f-1d2c3b4a5f60";

async fn manage(simulator: &Simulator, auth: Auth) -> Client {
    Client::connect_to_channels(simulator, Environment::Sandbox, auth).await
}

fn read(id: &str) -> Push {
    Push::channels(Method::GET, CHANNELS).with("apns-channel-id", id)
}

fn delete(id: &str) -> Push {
    Push::channels(Method::DELETE, CHANNELS).with("apns-channel-id", id)
}

fn list() -> Push {
    Push::channels(Method::GET, ALL_CHANNELS)
}

/// The id of a new channel with this policy.
async fn created(client: &mut Client, policy: usize) -> String {
    let answer = client.push(Push::create_channel(POLICIES[policy])).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.reason());
    answer.header("apns-channel-id").to_owned()
}

async fn outcome(client: &mut Client, push: Push) -> (u16, String) {
    let answer = client.push(push).await.unwrap();
    (answer.status, answer.reason())
}

fn refusal(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

async fn a_channel_lives_from_creation_to_deletion(auth: Auth) {
    let simulator = start().await;
    let mut client = manage(&simulator, auth).await;
    let mut ids = Vec::new();
    for (policy, body) in POLICIES.iter().enumerate() {
        let answer = client.push(Push::create_channel(body).with("apns-request-id", REQUEST_ID)).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (201, 0));
        assert_eq!((answer.header("apns-request-id"), answer.header("apns-id")), (REQUEST_ID, ""));
        let id = answer.header("apns-channel-id").to_owned();
        assert_eq!(id.len(), 24, "base64 of 16 bytes");
        let answer = client.push(read(&id)).await.unwrap();
        assert_eq!((answer.status, answer.header("apns-request-id").len()), (200, 36));
        assert_eq!(answer.json(), json!({"message-storage-policy": policy, "push-type": "LiveActivity"}));
        ids.push(id);
    }
    let answer = client.push(list()).await.unwrap();
    assert_eq!((answer.status, answer.json()), (200, json!({ "channels": ids })));
    let answer = client.push(delete(&ids[0])).await.unwrap();
    assert_eq!((answer.status, answer.body.len(), answer.header("apns-request-id").len()), (204, 0, 36));
    assert_eq!(client.push(list()).await.unwrap().json(), json!({ "channels": [ids[1]] }));
}

#[tokio::test]
async fn a_channel_is_created_read_listed_and_deleted_with_a_certificate() {
    a_channel_lives_from_creation_to_deletion(Auth::Certificate).await;
}

#[tokio::test]
async fn a_channel_is_created_read_listed_and_deleted_with_a_provider_token() {
    a_channel_lives_from_creation_to_deletion(Auth::Token).await;
}

#[tokio::test]
async fn a_channel_that_is_not_there_is_refused_as_the_sandbox_does() {
    let simulator = start().await;
    let mut client = manage(&simulator, Auth::Certificate).await;
    let id = created(&mut client, 0).await;
    let never = "AAAAAAAAAAAAAAAAAAAAAA==";
    assert_eq!(outcome(&mut client, delete(never)).await, refusal(404, "BadPath"));
    assert_eq!(outcome(&mut client, read(never)).await, refusal(400, "BadChannelId"));
    assert_eq!(outcome(&mut client, delete(&id)).await, refusal(204, ""));
    assert_eq!(outcome(&mut client, delete(&id)).await, refusal(404, "BadPath"));
    assert_eq!(outcome(&mut client, read(&id)).await, refusal(400, "ChannelNotRegistered"));
}

#[tokio::test]
async fn a_call_with_a_fault_gets_the_reason_that_apple_documents() {
    let simulator = start().await;
    let mut client = manage(&simulator, Auth::Certificate).await;
    let create = || Push::create_channel(POLICIES[0]);
    let path = |path: &str| Push::channels(Method::GET, path);
    let rows = [
        (path("/nowhere"), 404, "BadPath"),
        (path("/3/device/00ff"), 404, "BadPath"),
        (path("/1/apps//channels"), 404, "BadPath"),
        (path("/1/apps/com.example.app/channels/AAAA"), 404, "BadPath"),
        (path("/1/apps/com.example.app/more"), 404, "BadPath"),
        (path("/2/apps/com.example.app/channels"), 404, "BadPath"),
        (path(BROADCASTS), 404, "BadPath"),
        (path(CHANNELS).by(Method::PUT), 405, "MethodNotAllowed"),
        (path(ALL_CHANNELS).by(Method::POST), 405, "MethodNotAllowed"),
        (list().and("x-trace", "1").and("x-trace", "2"), 400, "DuplicateHeaders"),
        (path("/1/apps/com.example.app.push-type.liveactivity/channels"), 400, "TopicDisallowed"),
        (path("/1/apps/com.example.other/channels"), 403, "TopicMismatch"),
        (list().with("apns-request-id", "1"), 400, "BadMessageId"),
        (path(CHANNELS), 400, "MissingChannelId"),
        (path(CHANNELS).by(Method::DELETE), 400, "MissingChannelId"),
        (read("not base64"), 400, "BadChannelId"),
        (read(""), 400, "BadChannelId"),
        (delete(&"AAAA".repeat(33)), 400, "BadChannelId"),
        (create().of(0), 400, "PayloadEmpty"),
        (create().of(5121), 413, "PayloadTooLarge"),
        (create().carrying("{"), 400, "BadRequestPayload"),
        (create().carrying("[0]"), 400, "BadRequestPayload"),
        (
            create().carrying(r#"{"push-type":"LiveActivity","message-storage-policy":0,"name":"x"}"#),
            400,
            "BadRequestParams",
        ),
        (create().carrying(r#"{"message-storage-policy":0}"#), 400, "MissingPushType"),
        (create().carrying(r#"{"push-type":"alert","message-storage-policy":0}"#), 400, "InvalidPushType"),
        (create().carrying(r#"{"push-type":1,"message-storage-policy":0}"#), 400, "InvalidPushType"),
        (create().carrying(r#"{"push-type":"LiveActivity","message-storage-policy":2}"#), 400, "BadRequestParams"),
        (create().carrying(r#"{"push-type":"LiveActivity"}"#), 400, "BadRequestParams"),
        (create().carrying(r#"{"push-type":"liveactivity","message-storage-policy":1}"#), 201, ""),
    ];
    for (push, status, reason) in rows {
        let described = format!("{push:.300?}");
        let answer = client.push(push).await.unwrap();
        assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{described}");
        assert_eq!((answer.header("apns-id"), answer.header("apns-request-id").len()), ("", 36), "{described}");
    }
    assert_eq!(simulator.channels().len(), 1, "nothing that was refused made a channel");
}

#[tokio::test]
async fn a_call_needs_a_provider_token_that_is_good_here() {
    let simulator = start().await;
    let identity = simulator.identity();
    let now = simulator.clock().now_ms() / 1000;
    let foreign = bearer(&identity.key_pem, &identity.key_id, "OTHERTEAM1", now);
    let address = simulator.channels_address(Environment::Sandbox).unwrap();
    for (authorization, reason) in [
        (None, "MissingProviderToken"),
        (Some(foreign), "InvalidProviderToken"),
        (Some(bearer_aged(&simulator, 3700)), "ExpiredProviderToken"),
    ] {
        let mut client = Client::with_certificate_to(address, &simulator, None).await.unwrap();
        let call = authorization.iter().fold(list(), |call, token| call.with("authorization", token));
        assert_eq!(outcome(&mut client, call).await, refusal(403, reason));
    }
    let mut client = manage(&simulator, Auth::Token).await;
    assert_eq!(client.push(list()).await.unwrap().status, 200);
    let newer = list().with("authorization", &bearer_aged(&simulator, 1));
    assert_eq!(outcome(&mut client, newer).await, refusal(429, "TooManyProviderTokenUpdates"));
}

#[tokio::test]
async fn a_credential_covers_its_apps_and_its_environment_alone() {
    let (key, pem) = generate_key("SCOPEDKEY1", "SCOPEDTEAM").unwrap();
    let key = Key { environment: Environment::Production, topics: Some(vec!["com.example.app".to_owned()]), ..key };
    let simulator = start_with(Options { keys: vec![key], ..Options::default() }).await;
    let token = bearer(&pem, "SCOPEDKEY1", "SCOPEDTEAM", simulator.clock().now_ms() / 1000);
    for (environment, path, status, reason) in [
        (Environment::Production, ALL_CHANNELS, 200, ""),
        (Environment::Production, "/1/apps/com.example.other/all-channels", 403, "TopicMismatch"),
        (Environment::Sandbox, ALL_CHANNELS, 403, "BadEnvironmentKeyInToken"),
    ] {
        let address = simulator.channels_address(environment).unwrap();
        let mut client = Client::with_certificate_to(address, &simulator, None).await.unwrap();
        let call = Push::channels(Method::GET, path).with("authorization", &token);
        let answer = client.push(call).await.unwrap();
        let answered = answer.json()["reason"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, answered.as_str()), (status, reason));
    }
    let sandbox_only = ClientSubject { production: false, ..subject("com.example.app") };
    let sandbox_only = simulator.identity().authority.client_certificate(&sandbox_only).unwrap();
    let address = simulator.channels_address(Environment::Production).unwrap();
    let client = Client::with_certificate_to(address, &simulator, Some(&sandbox_only)).await.unwrap();
    client.until(|frames| frames.iter().any(|frame| frame.kind == GOAWAY)).await;
    assert_eq!(client.goaways(), [(0, 0, r#"{"reason":"BadCertificateEnvironment"}"#.to_owned())]);
}

#[tokio::test]
async fn an_environment_does_not_see_the_channels_of_the_other() {
    let simulator = start().await;
    let mut sandbox = manage(&simulator, Auth::Token).await;
    let mut production = Client::connect_to_channels(&simulator, Environment::Production, Auth::Token).await;
    let id = created(&mut sandbox, 1).await;
    assert_eq!(production.push(list()).await.unwrap().json(), json!({"channels": []}));
    assert_eq!(outcome(&mut production, read(&id)).await, refusal(400, "BadChannelId"));
    let alone = start_with(Options { environment: Environment::Production, ..Options::default() }).await;
    assert_eq!(alone.channels_address(Environment::Sandbox), None);
}

#[tokio::test]
async fn the_limit_of_channels_counts_those_of_one_app_in_one_environment() {
    let script = Script { channel_limit: Some(2), ..Script::default() };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    let mut client = manage(&simulator, Auth::Token).await;
    let first = created(&mut client, 0).await;
    created(&mut client, 1).await;
    let create = || Push::create_channel(POLICIES[0]);
    assert_eq!(outcome(&mut client, create()).await, refusal(400, "CannotCreateChannelConfig"));
    assert_eq!(outcome(&mut client, create().to("/1/apps/com.example.other/channels")).await, refusal(201, ""));
    let mut production = Client::connect_to_channels(&simulator, Environment::Production, Auth::Token).await;
    assert_eq!(outcome(&mut production, create()).await, refusal(201, ""));
    client.push(delete(&first)).await.unwrap();
    assert_eq!(outcome(&mut client, create()).await, refusal(201, ""), "a deleted one gives its place back");
}

#[tokio::test]
async fn switching_broadcasts_off_deletes_the_channels_of_the_app() {
    let simulator = start().await;
    let mut client = manage(&simulator, Auth::Token).await;
    let id = created(&mut client, 0).await;
    simulator.set_broadcast("com.example.app", false);
    for call in [Push::create_channel(POLICIES[0]), read(&id), delete(&id), list()] {
        assert_eq!(outcome(&mut client, call).await, refusal(400, "BroadcastFeatureNotEnabled"));
    }
    let other = Push::create_channel(POLICIES[0]).to("/1/apps/com.example.other/channels");
    assert_eq!(outcome(&mut client, other).await, refusal(201, ""));
    simulator.set_broadcast("com.example.app", true);
    assert_eq!(client.push(list()).await.unwrap().json(), json!({"channels": []}));
    assert_eq!(outcome(&mut client, read(&id)).await, refusal(400, "ChannelNotRegistered"));

    let documented = start_with(Options { documented_spelling: true, ..Options::default() }).await;
    documented.set_broadcast("com.example.app", false);
    let mut client = manage(&documented, Auth::Token).await;
    assert_eq!(outcome(&mut client, list()).await, refusal(400, "FeatureNotEnabled"));
}

#[tokio::test]
async fn an_app_that_calls_too_often_gets_429_until_its_window_has_passed() {
    let script = Script { channel_rate: Some(TokenRate { limit: 2, seconds: 60 }), ..Script::default() };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    let mut client = manage(&simulator, Auth::Token).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.push(list()).await.unwrap().status);
    }
    assert_eq!(statuses, [200, 200, 429]);
    let elsewhere = Push::channels(Method::GET, "/1/apps/com.example.other/all-channels");
    assert_eq!(client.push(elsewhere).await.unwrap().status, 200);
    simulator.clock().advance(60_000);
    assert_eq!(client.push(list()).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_ledger_has_every_call_with_its_channel_and_counts_none_as_delivered() {
    let simulator = start().await;
    let mut client = manage(&simulator, Auth::Token).await;
    let id = created(&mut client, 1).await;
    client.push(read(&id)).await.unwrap();
    client.push(list()).await.unwrap();
    client.push(delete(&id)).await.unwrap();
    client.push(delete(&id).with("apns-request-id", REQUEST_ID)).await.unwrap();
    let entries = simulator.ledger().entries();
    let calls: Vec<_> =
        entries.iter().map(|entry| (entry.call.unwrap(), entry.status.unwrap(), entry.accepted)).collect();
    let expected = [
        (Call::CreateChannel, 201, true),
        (Call::ReadChannel, 200, true),
        (Call::ListChannels, 200, true),
        (Call::DeleteChannel, 204, true),
        (Call::DeleteChannel, 404, false),
    ];
    assert_eq!(calls, expected);
    assert!(entries.iter().all(|entry| entry.service == Service::Channels && entry.answered));
    assert!(entries.iter().all(|entry| entry.environment == Environment::Sandbox));
    let named: Vec<_> = entries.iter().map(|entry| entry.channel_id.as_deref()).collect();
    assert_eq!(named, [Some(id.as_str()), Some(&id), None, Some(&id), Some(&id)]);
    assert_eq!(entries[0].body, POLICIES[1]);
    assert_eq!(entries[4].apns_id, REQUEST_ID);
    assert_eq!(entries[4].request.as_deref(), Some("DELETE /1/apps/com.example.app/channels"));
    let totals = simulator.ledger().totals();
    assert_eq!((totals.channel_calls, totals.accepted, totals.accepted_ids, totals.answered), (5, 0, 0, 5));
    assert_eq!(totals.statuses, [(200, 2), (201, 1), (204, 1), (404, 1)].into());
}
