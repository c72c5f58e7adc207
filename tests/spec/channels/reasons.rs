//! Each reason of Apple as callers get it: a status, a reason of pyapns, Apple's own, and what to do.

use super::{broadcast, create, created, of, path, sentence, to};
use crate::support::client::Answer;
use crate::support::world::{APP, Credential, World};
use serde_json::json;
use simulator::{Act, Call, Fault, Options, Script, TokenRate};

fn answered(status: u16, reason: &str) -> Fault {
    Fault::new(Act::Answer { status, reason: reason.to_owned() })
}

#[tokio::test]
async fn every_reason_of_apple_says_what_to_do() {
    let world = World::with(Credential::Token).await;
    let id = created(&world, 0).await;
    let table = [
        (400, "FeatureNotEnabled", 409, "broadcast_not_enabled", "enable the broadcast capability"),
        (400, "BroadcastFeatureNotEnabled", 409, "broadcast_not_enabled", "enable the broadcast capability"),
        (400, "MissingChannelId", 502, "refused_by_apple", "newer version of pyapns"),
        (400, "BadChannelId", 404, "unknown_channel", "GET …/channels lists"),
        (400, "ChannelNotRegistered", 404, "unknown_channel", "GET …/channels lists"),
        (400, "BadRequestParams", 502, "refused_by_apple", "newer version of pyapns"),
        (400, "BadRequestPayload", 502, "refused_by_apple", "newer version of pyapns"),
        (400, "MissingPushType", 502, "refused_by_apple", "newer version of pyapns"),
        (400, "CannotCreateChannelConfig", 409, "channel_limit", "delete channels"),
        (400, "PayloadEmpty", 502, "refused_by_apple", "Apple got no payload"),
        (400, "BadMessageId", 502, "refused_by_apple", "newer version of pyapns"),
        (400, "InvalidPushType", 502, "refused_by_apple", "newer version of pyapns"),
        (400, "BadExpirationDate", 502, "refused_by_apple", "`expiry` must be 0"),
        (400, "TopicDisallowed", 409, "topic_not_allowed", "without a suffix"),
        (400, "BadPriority", 502, "refused_by_apple", "`priority` must be"),
        (403, "TopicMismatch", 409, "topic_not_allowed", "provision the app"),
        (404, "BadPath", 404, "unknown_channel", "GET …/channels lists"),
        (405, "MethodNotAllowed", 502, "refused_by_apple", "newer version of pyapns"),
        (413, "PayloadTooLarge", 502, "refused_by_apple", "at most 5120 bytes"),
        (418, "SomethingNew", 502, "refused_by_apple", "does not know this reason"),
    ];
    for (status, apples, ours, reason, remedy) in table {
        world.simulator.set_script(of(Call::ReadChannel, answered(status, apples))).expect("a good script");
        let answer = world.client().await.get(&path(&id)).await;
        let told = sentence(&answer, ours, reason);
        assert!(told.contains(apples) && told.contains(remedy), "{apples}: {told}");
        let args = &answer.body["args"];
        assert_eq!((&args["apple_status"], &args["apple_reason"]), (&json!(status), &json!(apples)));
        world.simulator.set_script(of(Call::Broadcast, answered(status, apples))).expect("a good script");
        let answer = broadcast(&world, &to(&id)).await;
        let outcome = answer.response();
        assert_eq!((answer.outcomes(), &outcome["reason"]), (vec!["rejected"], &json!(apples)), "{outcome}");
        assert_eq!(outcome["error"].is_string(), apples != "SomethingNew", "{outcome}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_refused_credential_stops_the_calls_of_channels_alone_until_the_app_is_provisioned_again() {
    for reason in [
        "InvalidProviderToken",
        "MissingProviderToken",
        "BadEnvironmentKeyInToken",
        "BadEnvironmentKeyIdInToken",
        "Forbidden",
        "BadCertificate",
        "BadCertificateEnvironment",
    ] {
        let world = World::with(Credential::Token).await;
        let fault = Fault { times: Some(1), ..answered(403, reason) };
        world.simulator.set_script(of(Call::CreateChannel, fault)).expect("a good script");
        let first = create(&world, 0).await;
        assert!(sentence(&first, 409, "credential_error").contains(reason), "{first:?}");
        let next = create(&world, 0).await;
        sentence(&next, 409, "credential_error");
        assert_eq!(next.body["args"]["attempts"], 0, "only probes are sent");
        assert!(next.body["error"].as_str().is_some_and(|told| told.contains("credential")), "{next:?}");
        let notification = json!({"token": "00fc", "payload": {"aps": {}}});
        assert_eq!(world.send(&notification).await.outcomes(), ["accepted"]);
        assert_eq!(world.provision(APP, Credential::Token).await.status, 201);
        created(&world, 0).await;
        world.stop().await;
    }
}

/// Creates a channel with a time limit of a second. On a slow machine an attempt may be in flight when the time is over:
/// then it is unknown, and another call is made.
async fn create_in_a_second(world: &World) -> Answer {
    let path = format!("{APP}/channels?timeout=1");
    loop {
        let answer = world.client().await.post(&path, r#"{"message_storage_policy":0}"#).await;
        if answer.status != 504 {
            return answer;
        }
        assert_eq!(answer.body["args"]["cause"], "deadline_passed", "{answer:?}");
    }
}

#[tokio::test]
async fn what_apple_may_do_later_is_repeated_and_then_told_with_a_time_to_retry() {
    let world = World::with(Credential::Token).await;
    for (status, apples, ours, reason) in [
        (429, "TooManyRequests", 429, "apple_rate_limit"),
        (429, "TooManyProviderTokenUpdates", 503, "apple_unavailable"),
        (500, "InternalServerError", 503, "apple_unavailable"),
        (503, "ServiceUnavailable", 503, "apple_unavailable"),
        (503, "Shutdown", 503, "apple_unavailable"),
    ] {
        let twice = Fault { times: Some(2), ..answered(status, apples) };
        world.simulator.set_script(of(Call::CreateChannel, twice)).expect("a good script");
        created(&world, 0).await;
        world.simulator.set_script(of(Call::CreateChannel, answered(status, apples))).expect("a good script");
        let answer = create_in_a_second(&world).await;
        assert!(sentence(&answer, ours, reason).contains(apples), "{answer:?}");
        assert!(answer.body["args"]["attempts"].as_u64().is_some_and(|attempts| attempts > 1), "{answer:?}");
        // The retry budget of a new provisioning is full again.
        assert_eq!(world.provision(APP, Credential::Token).await.status, 201);
    }
    assert_eq!(world.simulator.channels().len(), 5, "no call was done twice");
    world.stop().await;
}

#[tokio::test]
async fn bad_input_gets_an_envelope_with_what_to_do() {
    let script = Script { channel_limit: Some(1), ..Script::default() };
    let world = World::beside_with(Options { script, ..Options::default() }, Credential::Token).await;
    let mut client = world.client().await;
    let refused = client.post(&format!("{APP}/channels"), r#"{"message_storage_policy":2}"#).await;
    assert!(sentence(&refused, 400, "wrong_type").contains("`message_storage_policy` must be 0"), "{refused:?}");
    let id = created(&world, 0).await;
    let refused = create(&world, 0).await;
    assert!(sentence(&refused, 409, "channel_limit").contains("delete channels"), "{refused:?}");
    assert_eq!(refused.body["args"]["apple_reason"], "CannotCreateChannelConfig");
    assert_eq!(client.call("DELETE", &path(&id), "").await.status, 200);
    for (channel, reason) in [(id.as_str(), "ChannelNotRegistered"), ("bmV2ZXIgZXhpc3RlZA==", "BadChannelId")] {
        let answer = broadcast(&world, &to(channel)).await;
        assert_eq!((answer.outcomes(), &answer.response()["reason"]), (vec!["rejected"], &json!(reason)));
        assert!(answer.response()["error"].as_str().is_some_and(|told| told.contains("no such channel")));
    }
    world.simulator.set_broadcast("com.example.app", false);
    let refused = create(&world, 0).await;
    assert!(sentence(&refused, 409, "broadcast_not_enabled").contains("developer portal"), "{refused:?}");
    world.stop().await;
}

#[tokio::test]
async fn apples_rate_limit_and_documented_spelling_are_understood() {
    let script = Script { channel_rate: Some(TokenRate { limit: 1, seconds: 60 }), ..Script::default() };
    let options = Options { script, documented_spelling: true, ..Options::default() };
    let world = World::beside_with(options, Credential::Token).await;
    created(&world, 0).await;
    let busy = create_in_a_second(&world).await;
    assert!(sentence(&busy, 429, "apple_rate_limit").contains("send fewer"), "{busy:?}");
    world.simulator.set_broadcast("com.example.app", false);
    let off = create(&world, 0).await;
    assert_eq!(off.body["args"]["apple_reason"], "FeatureNotEnabled", "{off:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_topic_with_the_suffix_of_a_push_type_is_used_without_it_and_a_foreign_one_is_refused() {
    let world = World::with(Credential::Token).await;
    let identity = world.simulator.identity();
    let provision = |topic: &str| {
        json!({"key": identity.key_pem, "key_id": identity.key_id, "team_id": identity.team_id, "topic": topic})
            .to_string()
    };
    let app = APP.replace("app/", "other/");
    let mut client = world.client().await;
    let topic = "com.example.app.push-type.liveactivity";
    assert_eq!(client.post(&app, provision(topic)).await.status, 201);
    let created = client.post(&format!("{app}/channels"), r#"{"message_storage_policy":0}"#).await;
    assert_eq!((created.status, world.simulator.channels()[0].bundle.as_str()), (201, "com.example.app"));
    let script = of(Call::CreateChannel, answered(400, "TopicDisallowed"));
    world.simulator.set_script(script).expect("a good script");
    assert_eq!(client.post(&app, provision("com.example.app.unknown")).await.status, 201);
    let refused = client.post(&format!("{app}/channels"), r#"{"message_storage_policy":0}"#).await;
    let told = sentence(&refused, 409, "topic_not_allowed");
    assert!(told.contains("com.example.app.unknown") && told.contains("bundle id, without a suffix"), "{told}");
    world.stop().await;
}
