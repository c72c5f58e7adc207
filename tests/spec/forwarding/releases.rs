//! Nodes of different releases forward to each other. The other node's HELLO is made by hand, byte by byte.

use super::false_peers::outcomes;
use super::faults::send;
use super::hostile_members::{batch, join_with};
use crate::support::false_peer::FalsePeer;
use crate::support::fleet::{Fleet, Plan, app_owned_among};
use crate::support::world::token;
use pyapns::delivery::peer::wire::Frame;
use pyapns::model::OutcomeKind;
use tokio::io::AsyncWriteExt;

/// HELLO of the member of that index as the first release with frames sends it, but for versions and features.
pub fn by_hand(index: u8, versions: (u8, u8), features: [u8; 4], behind: &[u8]) -> Vec<u8> {
    let name = [b'n', b'o', b'd', b'e', b'-', b'0' + index];
    #[rustfmt::skip]
    let body = [
        &[versions.0, 0, versions.1, 0][..],
        &features,
        &[0, 0, 0x90, 0], &[0x10, 0x27, 0, 0],
        &[0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 1],
        &[index + 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[7, 0, 0, 0, 0, 0, 0, 0],
        &[6], &name, behind,
    ]
    .concat();
    let header = [body.len() as u8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    [&header[..], &body].concat()
}

/// The release before this one, and the one after it: it speaks another version, too, has features that nobody knows yet,
/// and fields behind the known ones.
pub fn releases(index: u8) -> [Vec<u8>; 2] {
    [by_hand(index, (1, 1), [0; 4], &[]), by_hand(index, (1, 2), [0xff; 4], &[7; 30])]
}

#[tokio::test]
async fn an_owner_of_an_older_or_a_newer_release_sends_what_this_node_takes() {
    let app = app_owned_among(2, 1);
    for greeting in releases(1) {
        let mut fleet = Fleet::ready(Plan::of(2).played(), &[&app]).await;
        let listener = fleet.played.take().expect("a listener");
        let peer = FalsePeer::new(1, Box::new(|id, _, batch| Some(outcomes(id, batch.len()))));
        let peer = FalsePeer { greeting: Box::new(move |_| greeting.clone()), ..peer };
        let peer = peer.start(listener, &fleet.identity);
        fleet.wait_link(0, 1, true).await;
        let (answer, _) = send(&fleet, &app, "", 1).await.expect("an answer");
        assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
        assert_eq!((peer.batches(), fleet.attempts(0).await), (1, 0));
        fleet.stop().await;
    }
}

#[tokio::test]
async fn an_owner_sends_what_nodes_of_an_older_and_a_newer_release_take() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[&app]).await;
    for (number, greeting) in releases(0).into_iter().enumerate() {
        let (mut mouth, mut ear) = join_with(&fleet, &greeting).await;
        mouth.write_all(&batch(&app, 7, number, 0, u64::MAX)).await.expect("written");
        let Some((7, Frame::Outcomes(outcomes))) = ear.next().await else { panic!("OUTCOMES") };
        assert_eq!(outcomes[0].kind, OutcomeKind::Accepted, "{outcomes:?}");
    }
    let tokens: Vec<_> = fleet.simulator.ledger().entries().into_iter().map(|entry| entry.token).collect();
    assert_eq!(tokens, [token(0), token(1)]);
    fleet.stop().await;
}
