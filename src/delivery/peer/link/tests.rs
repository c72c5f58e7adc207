//! The room of a link, and a link whose task dies.

use super::*;
use crate::delivery::lanes::NotTaken;
use crate::delivery::peer::metrics::Metrics;
use crate::delivery::peer::peers::tests::peers;
use crate::drain::Drain;
use crate::model::{Batch, Draft, NodeSession};
use crate::telemetry;

#[test]
fn a_place_that_is_given_up_makes_room_for_another_errand() {
    let (inbox, _outlet) = Inbox::new();
    let mut batch = Batch::default();
    batch.push(Draft { token: "00fc", payload: "{}", ..Draft::default() }, uuid::Uuid::new_v4).expect("a good one");
    for _ in 0..3 {
        let places: Vec<_> = (0..ERRANDS_MAX).map(|_| inbox.reserve(&batch).expect("room")).collect();
        assert_eq!(inbox.reserve(&batch).err(), Some(NotTaken::Full));
        drop(places);
    }
    let large = Batch::over(vec![b' '; ERRAND_BYTES_MAX].into());
    for _ in 0..3 {
        let place = inbox.reserve(&large).expect("room");
        assert_eq!(inbox.reserve(&large).err(), Some(NotTaken::Full));
        drop(place);
    }
}

#[tokio::test]
async fn a_link_that_dies_of_a_bug_gets_no_more_errands() {
    let drain = Drain::new();
    let (peers, (inbox, outlet)) = (peers(&drain), Inbox::new());
    let (node, now): (NodeName, _) = ("b".parse().expect("a name"), Instant::now());
    let member = exchange::Member { node: node.clone(), session: NodeSession::from_bits(2) };
    let link = Link::new(Parts {
        metrics: Metrics::new(&telemetry::Metrics::new()).of_peer("b"),
        node,
        inbox: outlet,
        exchange: Exchange::new(member, now),
        dial: Box::new(|| panic!("a bug")),
        peers,
        forced: drain.finish_forced(),
    });
    inbox.sign.0.store(true, Ordering::Release);
    assert!(drain.spawn("link", link.run()).await.is_err_and(|error| error.is_panic()));
    assert!(!inbox.is_reachable(), "its peer would be refused everything for ever");
}
