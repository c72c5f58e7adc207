//! `Pyapns-Owner`: the header from which a load balancer learns which node to prefer for an app.

use crate::support::fleet::{Fleet, Plan, app_owned_among};
use crate::support::stream::{self, Protocol};
use crate::support::world::{World, to, token};
use pyapns::cluster::{Pins, View};
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn a_node_that_forwards_an_app_names_its_owner_and_the_owner_itself_names_nobody() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[&app]).await;
    let batch = json!([to(&token(1)), to(&token(2))]);
    let [forwarded, direct] = [fleet.send(0, &app, &batch).await, fleet.send(1, &app, &batch).await];
    assert_eq!((forwarded.outcomes(), forwarded.owner.as_deref()), (vec!["accepted"; 2], Some("node-1")));
    assert_eq!((direct.outcomes(), direct.owner.as_deref()), (vec!["accepted"; 2], None));
    for (index, owner) in [(0, Some("node-1")), (1, None)] {
        let (lines, mut answer) = stream::open_for(&app, fleet.nodes[index].address, Protocol::Http1).await;
        assert_eq!(answer.owner.as_deref(), owner);
        drop(lines);
        assert!(answer.more().await.is_none());
    }
    fleet.stop().await;
}

#[tokio::test]
async fn the_named_owner_follows_the_members_and_of_several_lanes_it_is_any_node() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[&app]).await;
    fleet.peers[0].set_view(&Arc::new(View::of(fleet.members[..1].to_vec(), Pins::default())));
    assert_eq!(fleet.send(0, &app, &to(&token(1))).await.owner, None, "the node sends itself");
    fleet.peers[0].set_view(&Arc::new(View::of(fleet.members.clone(), Pins::default())));
    fleet.wait_link(0, 1, true).await;
    assert_eq!(fleet.send(0, &app, &to(&token(2))).await.owner.as_deref(), Some("node-1"));
    fleet.provision(&app, &json!({"lanes": 4})).await;
    let answer = fleet.send(0, &app, &json!([to(&token(3)), to(&token(4)), to(&token(5)), to(&token(6))])).await;
    assert_eq!((answer.outcomes(), answer.owner.as_deref()), (vec!["accepted"; 4], Some("*")));
    assert!(fleet.attempts(1).await > 1, "some of them were forwarded");
    fleet.peers[0].set_view(&Arc::new(View::of(fleet.members[..1].to_vec(), Pins::default())));
    assert_eq!(fleet.send(0, &app, &to(&token(7))).await.owner, None, "the node sends for all lanes itself");
    fleet.stop().await;
}

#[tokio::test]
async fn a_node_alone_names_no_owner() {
    let world = World::start().await;
    let answer = world.send(&to(&token(1))).await;
    assert_eq!((answer.outcomes(), answer.owner.as_deref()), (vec!["accepted"], None));
    world.stop().await;
}
