//! The gateways of channels and broadcasts: settings, proxy, connections, metrics.

use super::{broadcast, create, created, sentence, to};
use crate::support::client::Client;
use crate::support::connect_proxy::{ConnectProxy, Manner};
use crate::support::world::{APP, Credential, Running, World};
use simulator::Environment;

#[tokio::test]
async fn calls_go_through_the_proxy_to_the_gateways_of_the_settings() {
    let world = World::with(Credential::Certificate).await;
    let simulator = &world.simulator;
    let management = simulator.channels_address(Environment::Sandbox).expect("an address");
    let proxy = ConnectProxy::start(Manner::Tunnel, &[]).await;
    let settings = format!(
        "sandbox = 'https://127.0.0.1:1'\nsandbox_channels = 'https://{management}'\n\
         sandbox_broadcasts = 'https://{}'\nproxy = 'http://{}'",
        simulator.address(),
        proxy.address,
    );
    let (folder, data) = (world.directory.path(), tempfile::tempdir().expect("a folder"));
    std::os::unix::fs::symlink(folder.join("simulator"), data.path().join("simulator")).expect("a link");
    let node = Running::with(data.path(), &settings).await;
    let mut client = Client::connect(node.address).await;
    assert_eq!(client.post(APP, simulator.identity().client_pem.clone()).await.status, 201);
    let made = client.post(&format!("{APP}/channels"), r#"{"message_storage_policy":0}"#).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.response()["id"].as_str().expect("an id");
    let sent = client.post(&format!("{APP}/broadcasts"), to(id).to_string()).await;
    assert_eq!(sent.outcomes(), ["accepted"]);
    let asked = [management, simulator.address()].map(|address| address.to_string());
    assert_eq!(proxy.targets(), asked, "each call has a tunnel to its gateway");
    node.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn a_gateway_in_place_of_apples_has_no_channels_until_a_setting_names_them() {
    let world = World::start().await;
    let data = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(world.directory.path().join("simulator"), data.path().join("simulator"))
        .expect("a link");
    let node = Running::start(data.path(), world.simulator.address()).await;
    let mut client = Client::connect(node.address).await;
    assert_eq!(client.post(APP, world.simulator.identity().client_pem.clone()).await.status, 201);
    let refused = client.post(&format!("{APP}/channels"), r#"{"message_storage_policy":0}"#).await;
    assert!(sentence(&refused, 409, "no_channel_gateway").contains("set apple.sandbox_channels"), "{refused:?}");
    let id = created(&world, 0).await;
    let sent = client.post(&format!("{APP}/broadcasts"), to(&id).to_string()).await;
    assert_eq!(sent.outcomes(), ["accepted"], "broadcasts go where notifications go");
    node.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn calls_are_counted_by_what_was_asked_and_how_it_ended() {
    let world = World::start().await;
    let id = created(&world, 0).await;
    broadcast(&world, &to(&id)).await;
    let mut late = to(&id);
    late["expiry"] = 4_000_000_000_u64.into();
    broadcast(&world, &late).await;
    world.simulator.set_broadcast("com.example.app", false);
    create(&world, 0).await;
    let metrics = world.metrics().await;
    for line in [
        "pyapns_channel_calls_total{call=\"create\",outcome=\"accepted\"} 1",
        "pyapns_channel_calls_total{call=\"create\",outcome=\"rejected\"} 1",
        "pyapns_channel_calls_total{call=\"delete\",outcome=\"accepted\"} 0",
        "pyapns_channel_calls_total{call=\"broadcast\",outcome=\"accepted\"} 1",
        "pyapns_failed_channel_calls_total{call=\"broadcast\",outcome=\"rejected\",reason=\"BadExpirationDate\"} 1",
        "pyapns_failed_channel_calls_total{call=\"create\",outcome=\"rejected\",reason=\"BroadcastFeatureNotEnabled\"} 1",
        "pyapns_channel_call_seconds_count 4",
        "pyapns_attempts_total 4",
        "pyapns_connections 2",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line}: {metrics}");
    }
    assert!(metrics.contains("pyapns_notifications_total{outcome=\"accepted\"} 0"), "{metrics}");
    world.stop().await;
}

#[tokio::test]
async fn calls_of_a_removed_app_finish_and_their_connections_close() {
    let world = World::start().await;
    let id = created(&world, 0).await;
    assert_eq!(broadcast(&world, &to(&id)).await.outcomes(), ["accepted"]);
    let mut client = world.client().await;
    assert_eq!(client.call("DELETE", APP, "").await.status, 200);
    sentence(&create(&world, 0).await, 404, "unknown_app");
    while !client.text("/metrics").await.lines().any(|line| line == "pyapns_connections 0") {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world.stop().await;
}
