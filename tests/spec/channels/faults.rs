//! Faults of the connection while a channel or a broadcast is on its way: each is told as it is, and what Apple has
//! afterwards agrees.

use super::{broadcast, create, created, ledger, listed, of, path, sentence, to};
use crate::support::world::{APP, Credential, World};
use serde_json::json;
use simulator::{Act, Call, Ending, Fault, GoAway, Options, Script, Service, When};

fn once(act: Act) -> Fault {
    Fault { times: Some(1), ..Fault::new(act) }
}

/// A reset without an answer.
fn reset(processed: bool) -> Act {
    // REFUSED_STREAM promises that nothing was done, INTERNAL_ERROR promises nothing.
    Act::Reset { code: if processed { 2 } else { 7 }, processed }
}

fn set(world: &World, script: Script) {
    world.simulator.set_script(script).expect("a good script");
}

/// A world whose gateways end one connection so.
async fn ending(goaway: GoAway) -> World {
    let script = Script { goaway: Some(GoAway { times: Some(1), ..goaway }), ..Script::default() };
    World::beside_with(Options { script, ..Options::default() }, Credential::Token).await
}

#[tokio::test]
async fn a_creation_without_an_answer_is_unknown_and_the_list_shows_the_channel() {
    let world = World::with(Credential::Token).await;
    for (number, (query, act)) in
        [("", reset(true)), ("?timeout=1", Act::Silence { processed: true })].into_iter().enumerate()
    {
        set(&world, of(Call::CreateChannel, once(act)));
        let channels = format!("{APP}/channels{query}");
        let lost = world.client().await.post(&channels, r#"{"message_storage_policy":0}"#).await;
        let told = sentence(&lost, 504, "unknown");
        assert!(told.contains("the channel may exist") && told.contains("GET …/channels"), "{told}");
        assert_eq!((&lost.body["args"]["outcome"], &lost.body["args"]["attempts"]), (&json!("unknown"), &json!(1)));
        assert_eq!((listed(&world).await.len(), world.simulator.channels().len()), (number + 1, number + 1));
    }
    world.stop().await;
}

#[tokio::test]
async fn a_connection_cut_after_a_creation_leaves_a_channel_that_is_told_as_unknown() {
    let world = ending(GoAway::new(When::ConnectionRequests(2), Ending::Cut)).await;
    assert_eq!(listed(&world).await, [""; 0]);
    let lost = create(&world, 1).await;
    sentence(&lost, 504, "unknown");
    assert_eq!(lost.body["args"]["cause"], "connection_lost");
    assert_eq!(listed(&world).await, [world.simulator.channels()[0].id.as_str()]);
    world.stop().await;
}

#[tokio::test]
async fn a_creation_that_apple_provably_did_not_process_is_repeated() {
    let world = World::with(Credential::Token).await;
    set(&world, of(Call::CreateChannel, once(reset(false))));
    created(&world, 0).await;
    assert_eq!(world.simulator.channels().len(), 1);
    world.stop().await;
    let goaway = GoAway { last_stream_id: Some(1), ..GoAway::new(When::ConnectionRequests(2), Ending::Single) };
    let world = ending(goaway).await;
    assert_eq!(listed(&world).await, [""; 0]);
    created(&world, 0).await;
    assert_eq!(world.simulator.channels().len(), 1, "it is created once");
    world.stop().await;
}

#[tokio::test]
async fn a_deletion_without_an_answer_is_repeated_and_a_channel_that_is_gone_then_was_deleted() {
    let world = World::with(Credential::Token).await;
    for processed in [true, false] {
        let id = created(&world, 0).await;
        set(&world, of(Call::DeleteChannel, once(reset(processed))));
        let deleted = world.client().await.call("DELETE", &path(&id), "").await;
        assert_eq!((deleted.status, &deleted.response()["id"]), (200, &json!(id)), "{deleted:?}");
        assert_eq!(world.simulator.channels(), []);
    }
    let id = created(&world, 0).await;
    set(&world, of(Call::DeleteChannel, Fault::new(Act::Silence { processed: true })));
    let lost = world.client().await.call("DELETE", &format!("{}?timeout=1", path(&id)), "").await;
    assert!(sentence(&lost, 504, "unknown").contains("send the DELETE again"), "{lost:?}");
    world.stop().await;
}

#[tokio::test]
async fn reading_and_listing_are_repeated_and_lose_nothing() {
    let world = World::with(Credential::Token).await;
    let id = created(&world, 0).await;
    for processed in [true, false] {
        set(&world, of(Call::ReadChannel, once(reset(processed))));
        assert_eq!(world.client().await.get(&path(&id)).await.status, 200);
        set(&world, of(Call::ListChannels, once(reset(processed))));
        assert_eq!(listed(&world).await, [id.as_str()]);
    }
    set(&world, of(Call::ListChannels, Fault::new(Act::Silence { processed: true })));
    let late = world.client().await.get(&format!("{APP}/channels?timeout=1")).await;
    assert!(sentence(&late, 503, "apple_unavailable").contains("nothing was changed"), "{late:?}");
    assert_eq!(late.body["args"]["cause"], "deadline_passed");
    world.stop().await;
}

#[tokio::test]
async fn a_broadcast_without_an_answer_is_unknown_and_sent_again_only_on_request() {
    let world = World::with(Credential::Token).await;
    let id = created(&world, 0).await;
    set(&world, of(Call::Broadcast, once(reset(true))));
    let lost = broadcast(&world, &to(&id)).await;
    assert_eq!((lost.outcomes(), &lost.response()["reason"]), (vec!["unknown"], &json!("stream_reset")), "{lost:?}");
    assert_eq!(world.simulator.channels()[0].broadcasts, 1);
    set(&world, of(Call::Broadcast, once(reset(true))));
    let broadcasts = format!("{APP}/broadcasts?retry_unknown=true");
    let again = world.client().await.post(&broadcasts, to(&id).to_string()).await;
    assert_eq!((again.outcomes(), &again.response()["attempts"]), (vec!["accepted"], &json!(2)), "{again:?}");
    set(&world, of(Call::Broadcast, once(reset(false))));
    let refused = broadcast(&world, &to(&id)).await;
    assert_eq!((refused.outcomes(), &refused.response()["attempts"]), (vec!["accepted"], &json!(2)), "{refused:?}");
    let ids: Vec<_> = ledger(&world, Service::Broadcasts).iter().map(|entry| entry.apns_id.clone()).collect();
    assert!(ids[1] == ids[2] && ids[3] == ids[4], "each attempt has the same id: {ids:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_gateway_that_cannot_be_reached_is_named_and_nothing_is_changed() {
    let world = World::with(Credential::Token).await;
    let id = created(&world, 0).await;
    let World { simulator, node, directory: _directory } = world;
    simulator.stop().await;
    let mut client = crate::support::client::Client::connect(node.address).await;
    let away = client.get(&format!("{}?timeout=1", path(&id))).await;
    let told = sentence(&away, 503, "apple_unavailable");
    assert!(told.contains("nothing was changed") && told.contains("to Apple"), "{told}");
    let sent = client.post(&format!("{APP}/broadcasts?timeout=1"), to(&id).to_string()).await;
    assert_eq!((sent.status, sent.outcomes()), (201, vec!["not_sent"]), "{sent:?}");
    assert!(sent.response()["error"].as_str().is_some_and(|told| told.contains("cannot connect to Apple")), "{sent:?}");
    node.stop().await;
}

#[tokio::test]
async fn most_answers_5xx_stop_the_calls_until_a_probe_succeeds() {
    let world = World::with(Credential::Token).await;
    let id = created(&world, 0).await;
    let away = Act::Answer { status: 503, reason: "ServiceUnavailable".to_owned() };
    set(&world, of(Call::Broadcast, Fault::new(away)));
    let list = serde_json::Value::Array((0..25).map(|_| to(&id)).collect());
    let failed = broadcast(&world, &list).await;
    assert_eq!(failed.outcomes(), ["not_sent"; 25], "{failed:?}");
    let (stopped, sent) = (broadcast(&world, &to(&id)).await, ledger(&world, Service::Broadcasts).len());
    assert_eq!((stopped.outcomes(), &stopped.response()["reason"]), (vec!["not_sent"], &json!("breaker_open")));
    assert_eq!(stopped.response()["attempts"], 0);
    assert_eq!(listed(&world).await, [id.as_str()], "the management of channels goes on");
    assert_eq!(ledger(&world, Service::Broadcasts).len(), sent);
    world.stop().await;
}
