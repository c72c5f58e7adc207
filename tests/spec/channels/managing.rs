//! Channels are created, read, listed and deleted.

use super::{broadcast, create, created, ledger, listed, path, sentence, to};
use crate::support::world::{APP, Credential, World};
use serde_json::json;
use simulator::{Call, Environment, Service, StoragePolicy};

#[tokio::test]
async fn channels_of_both_policies_are_created_read_used_and_deleted_under_either_kind_of_credential() {
    for credential in [Credential::Certificate, Credential::Token] {
        let world = World::with(credential).await;
        let mut client = world.client().await;
        for policy in [0, 1] {
            let id = created(&world, policy).await;
            let shown = client.get(&path(&id)).await;
            let channel =
                json!({"type": "channel", "id": id, "message_storage_policy": policy, "push_type": "liveactivity"});
            assert_eq!((shown.status, shown.response()), (200, &channel));
            assert_eq!(listed(&world).await, [id.as_str()]);
            let three = broadcast(&world, &json!([to(&id), to(&id), to(&id)])).await;
            assert_eq!(three.outcomes(), ["accepted"; 3], "{three:?}");
            assert_eq!(world.simulator.channels()[0].broadcasts, 3);
            let deleted = client.call("DELETE", &path(&id), "").await;
            assert_eq!((deleted.status, deleted.response()), (200, &json!({"type": "channel", "id": id})));
            assert_eq!(world.simulator.channels(), []);
            sentence(&client.get(&path(&id)).await, 404, "unknown_channel");
            sentence(&client.call("DELETE", &path(&id), "").await, 404, "unknown_channel");
        }
        let calls: Vec<_> = ledger(&world, Service::Channels).iter().filter_map(|entry| entry.call).collect();
        let once = [Call::CreateChannel, Call::ReadChannel, Call::ListChannels, Call::DeleteChannel, Call::ReadChannel];
        let once = [&once[..], &[Call::DeleteChannel]].concat();
        assert_eq!(calls, once.repeat(2));
        world.stop().await;
    }
}

#[tokio::test]
async fn the_environments_of_an_app_have_separate_channels() {
    let world = World::with(Credential::Token).await;
    let production = APP.replace("sandbox", "production");
    assert_eq!(world.provision(&production, Credential::Token).await.status, 201);
    let id = created(&world, 1).await;
    let list = world.client().await.get(&format!("{production}/channels")).await;
    assert_eq!(list.body, json!({"response": [], "cursor": null, "code": 200}));
    let elsewhere = path(&id).replace("sandbox", "production");
    let missing = world.client().await.get(&elsewhere).await;
    assert!(sentence(&missing, 404, "unknown_channel").contains("the other environment"), "{missing:?}");
    assert!(ledger(&world, Service::Channels).iter().any(|entry| entry.environment == Environment::Production));
    world.stop().await;
}

#[tokio::test]
async fn ten_thousand_channels_are_listed_in_one_page_or_in_many() {
    let world = World::with(Credential::Token).await;
    let mut made =
        world.simulator.add_channels(Environment::Sandbox, "com.example.app", StoragePolicy::Nothing, 10_000);
    made.sort_unstable();
    let mut client = world.client().await;
    let all = client.get(&format!("{APP}/channels?limit=10000")).await;
    let ids: Vec<_> = all.response().as_array().expect("a list").iter().map(|one| one["id"].clone()).collect();
    assert!(ids == made, "all of them, sorted");
    let first = client.get(&format!("{APP}/channels?limit=3")).await;
    assert_eq!((first.response().as_array().map(Vec::len), &first.body["cursor"]), (Some(3), &json!(made[2])));
    sentence(&create(&world, 0).await, 409, "channel_limit");
    world.stop().await;
}
