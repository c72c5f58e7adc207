//! A list of members that changes while nodes run.

use crate::support::fleet::{Fleet, Plan, app_owned_among};
use crate::support::world::{to, token};
use pyapns::cluster::{Member, Pins, View};
use pyapns::model::NodeSession;
use std::sync::Arc;

fn view(members: &[Member]) -> Arc<View> {
    Arc::new(View::of(members.to_vec(), Pins::default()))
}

#[tokio::test]
async fn lanes_follow_the_list_of_members_while_the_node_runs() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[&app]).await;
    let send = async |number: usize, owner: usize| {
        let before = fleet.attempts(owner).await;
        let answer = fleet.send(0, &app, &to(&token(number))).await;
        assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
        assert_eq!(fleet.attempts(owner).await, before + 1, "notification {number}");
    };
    send(1, 1).await;
    // The owner is no member any more.
    fleet.peers[0].set_view(&view(&fleet.members[..1]));
    send(2, 0).await;
    assert_eq!(fleet.metric(0, "pyapns_peer_reachable{node=\"node-1\"}").await, 0.0);
    // It is one again.
    fleet.peers[0].set_view(&view(&fleet.members));
    fleet.wait_link(0, 1, true).await;
    send(3, 1).await;
    // By the list it has been started again, and the one that answers is the old one.
    let mut members = fleet.members.clone();
    members[1].session = NodeSession::from_bits(99);
    fleet.peers[0].set_view(&view(&members));
    fleet.wait_link(0, 1, false).await;
    send(4, 0).await;
    while fleet.metric(0, "pyapns_peer_refused_total{why=\"session\"}").await == 0.0 {
        tokio::task::yield_now().await;
    }
    fleet.stop().await;
}
