//! Broadcasts on the listener of device pushes.

use http::Method;

use super::support::*;
use crate::{Call, ChannelState, Environment, Options, Service, Simulator, StoragePolicy};

const REQUEST_ID: &str = "5f1a3c9e-0b7d-4c2a-9e8f-1d2c3b4a5f60";

/// The ids of two channels, with policies 0 and 1.
async fn channels(simulator: &Simulator) -> [String; 2] {
    let mut client = Client::connect_to_channels(simulator, Environment::Sandbox, Auth::Token).await;
    let mut ids = Vec::new();
    for body in POLICIES {
        let answer = client.push(Push::create_channel(body)).await.unwrap();
        ids.push(answer.header("apns-channel-id").to_owned());
    }
    ids.try_into().unwrap()
}

fn state(simulator: &Simulator, id: &str) -> ChannelState {
    simulator.channels().into_iter().find(|channel| channel.id == id).unwrap()
}

async fn every_row_holds(auth: Auth) {
    let simulator = start().await;
    let [unstored, stored] = channels(&simulator).await;
    let mut client = Client::connect(&simulator, auth).await;
    let send = || Push::broadcast(&unstored);
    let rows = [
        (send().by(Method::GET), 405, "MethodNotAllowed"),
        (send().to("/4/broadcasts"), 404, "BadPath"),
        (send().to("/4/broadcasts/apps/"), 404, "BadPath"),
        (send().to("/4/broadcasts/apps/com.example.app/more"), 404, "BadPath"),
        (send().and("apns-priority", "5"), 400, "DuplicateHeaders"),
        (send().to("/4/broadcasts/apps/com.example.app.push-type.liveactivity"), 400, "TopicDisallowed"),
        (send().with("apns-request-id", "one"), 400, "BadMessageId"),
        (send().without("apns-channel-id"), 400, "MissingChannelId"),
        (send().with("apns-channel-id", "?"), 400, "BadChannelId"),
        (send().with("apns-channel-id", "AAAAAAAAAAAAAAAAAAAAAA=="), 400, "BadChannelId"),
        (send().without("apns-push-type"), 400, "MissingPushType"),
        (send().with("apns-push-type", "alert"), 400, "InvalidPushType"),
        (send().without("apns-expiration"), 400, "BadExpirationDate"),
        (send().with("apns-expiration", "soon"), 400, "BadExpirationDate"),
        (send().with("apns-expiration", "-1"), 400, "BadExpirationDate"),
        (send().with("apns-expiration", "4102444800"), 400, "BadExpirationDate"),
        (send().without("apns-priority"), 400, "BadPriority"),
        (send().with("apns-priority", "7"), 400, "BadPriority"),
        (send().of(0), 400, "PayloadEmpty"),
        (send().of(5121), 413, "PayloadTooLarge"),
        (send().of(60_000), 413, "PayloadTooLarge"),
        (send(), 200, ""),
        (send().of(5120), 200, ""),
        (send().with("apns-priority", "5").with("apns-push-type", "LiveActivity"), 200, ""),
        (Push::broadcast(&stored).with("apns-expiration", "4102444800"), 200, ""),
        (Push::broadcast(&stored), 200, ""),
    ];
    for (push, status, reason) in rows {
        let described = format!("{push:.300?}");
        let answer = client.push(push).await.unwrap();
        assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{described}");
        assert_eq!((answer.header("apns-id"), answer.header("apns-request-id").len()), ("", 36), "{described}");
    }
    assert_eq!((state(&simulator, &unstored).broadcasts, state(&simulator, &stored).broadcasts), (3, 2));
}

#[tokio::test]
async fn every_row_of_the_broadcast_table_holds_with_a_certificate() {
    every_row_holds(Auth::Certificate).await;
}

#[tokio::test]
async fn every_row_of_the_broadcast_table_holds_with_a_provider_token() {
    every_row_holds(Auth::Token).await;
}

#[tokio::test]
async fn a_broadcast_needs_a_credential_an_app_with_broadcasts_and_a_channel_that_still_is() {
    let simulator = start().await;
    let [id, _] = channels(&simulator).await;
    let mut stranger = Client::with_certificate(&simulator, None).await.unwrap();
    assert_eq!(stranger.push(Push::broadcast(&id)).await.unwrap().reason(), "MissingProviderToken");
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let other = client.push(Push::broadcast(&id).to("/4/broadcasts/apps/com.example.other")).await.unwrap();
    assert_eq!((other.status, other.reason().as_str()), (403, "TopicMismatch"));
    let mut token = Client::connect(&simulator, Auth::Token).await;
    let other = Push::broadcast(&id).to("/4/broadcasts/apps/com.example.other");
    assert_eq!(token.push(other).await.unwrap().reason(), "BadChannelId", "a channel belongs to one app");
    let mut manager = Client::connect_to_channels(&simulator, Environment::Sandbox, Auth::Certificate).await;
    manager.push(Push::channels(Method::DELETE, CHANNELS).with("apns-channel-id", &id)).await.unwrap();
    assert_eq!(client.push(Push::broadcast(&id)).await.unwrap().reason(), "ChannelNotRegistered");
    simulator.set_broadcast("com.example.app", false);
    assert_eq!(client.push(Push::broadcast(&id)).await.unwrap().reason(), "BroadcastFeatureNotEnabled");
}

#[tokio::test]
async fn a_channel_keeps_its_most_recent_message_for_eight_hours_at_most() {
    let simulator = start().await;
    let [_, id] = channels(&simulator).await;
    let mut client = Client::connect(&simulator, Auth::Token).await;
    let now_ms = simulator.clock().now_ms();
    let send = |body: &str, expiration: i64| {
        Push::broadcast(&id).carrying(body).with("apns-expiration", &expiration.to_string())
    };
    client.push(send("{\"n\":1}", now_ms / 1000 + 3600)).await.unwrap();
    client.push(send("{\"n\":2}", now_ms / 1000 + 86_400)).await.unwrap();
    client.push(send("{\"n\":3}", 0)).await.unwrap();
    let kept = state(&simulator, &id);
    assert_eq!((kept.policy, kept.broadcasts), (StoragePolicy::MostRecent, 3));
    assert_eq!(kept.stored.as_deref(), Some("{\"n\":2}"));
    let until = kept.stored_until_ms.unwrap() - now_ms;
    assert!((8 * 3_600_000..8 * 3_600_000 + 60_000).contains(&until), "{until}");
    simulator.clock().advance(8 * 3_600_000 + 60_000);
    assert_eq!(state(&simulator, &id).stored, None);
}

#[tokio::test]
async fn the_ledger_tells_broadcasts_from_device_pushes() {
    let simulator = start().await;
    let [_, id] = channels(&simulator).await;
    simulator.ledger().reset();
    let mut client = Client::connect(&simulator, Auth::Token).await;
    client.push(Push::broadcast(&id).with("apns-request-id", REQUEST_ID)).await.unwrap();
    client.push(Push::new()).await.unwrap();
    let entries = simulator.ledger().entries();
    let told: Vec<_> = entries.iter().map(|entry| (entry.service, entry.call, entry.accepted)).collect();
    assert_eq!(told, [(Service::Broadcasts, Some(Call::Broadcast), true), (Service::Device, Some(Call::Push), true)]);
    assert_eq!((entries[0].channel_id.as_deref(), entries[0].apns_id.as_str()), (Some(id.as_str()), REQUEST_ID));
    assert_eq!(entries[0].request.as_deref(), Some("POST /4/broadcasts/apps/com.example.app"));
    assert_eq!((entries[0].expiration.as_deref(), entries[0].priority.as_deref()), (Some("0"), Some("10")));
    assert_eq!((&entries[1].channel_id, &entries[1].request), (&None, &None));
    assert_eq!(simulator.ledger().accepted(REQUEST_ID), 1);
    assert_eq!(simulator.ledger().totals().accepted, 2);
}

#[tokio::test]
async fn a_listener_of_broadcasts_reaches_the_channels_of_its_environment_and_takes_nothing_else() {
    let free = || Some("127.0.0.1:0".to_owned());
    let options = Options { sandbox_broadcasts: free(), production_broadcasts: free(), ..Options::default() };
    let simulator = start_with(options).await;
    let [id, _] = channels(&simulator).await;
    for (environment, status, reason) in
        [(Environment::Sandbox, 200, ""), (Environment::Production, 400, "BadChannelId")]
    {
        let address = simulator.broadcasts_address(environment).unwrap();
        let mut client = Client::connect_to(address, &simulator, Auth::Token).await;
        let answer = client.push(Push::broadcast(&id)).await.unwrap();
        assert_eq!((answer.status, answer.reason().as_str()), (status, reason));
        assert_eq!(client.push(Push::new()).await.unwrap().reason(), "BadPath");
    }
    assert!(simulator.announcement()["broadcasts"]["sandbox"].is_string());
}

#[tokio::test]
async fn a_simulator_of_one_environment_has_broadcasts_to_its_channels_alone() {
    let simulator = start_with(Options { environment: Environment::Sandbox, ..Options::default() }).await;
    let [id, _] = channels(&simulator).await;
    let mut client = Client::connect(&simulator, Auth::Token).await;
    let answer = client.push(Push::broadcast(&id)).await.unwrap();
    assert_eq!((answer.status, answer.header("apns-unique-id")), (200, ""));
    let answer = client.push(Push::new()).await.unwrap();
    assert_eq!(answer.header("apns-unique-id").len(), 36, "device pushes have one");
}
