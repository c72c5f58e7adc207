//! Links follow the list of members.

use super::super::wire::Limits;
use super::*;
use crate::apns::connect::TlsConnect;
use crate::apns::endpoint::Endpoint;
use crate::apns::trust::Trust;
use crate::cluster::{Identity, MemberState, identity};
use crate::delivery::lane;
use crate::delivery::lanes::Apple;
use crate::delivery::metrics as delivery_metrics;
use crate::events::Events;
use crate::store::{Epoch, Memory};
use crate::telemetry;
use std::time::Duration;

/// The peers of a node `a`, without a member so far. The links are tasks of `drain`.
pub fn peers(drain: &Drain) -> Arc<Peers> {
    peers_over(lanes(drain), drain)
}

/// The same over these lanes.
pub fn peers_over(lanes: Arc<Lanes>, drain: &Drain) -> Arc<Peers> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cluster.pem");
    std::fs::write(&file, identity::generate().expect("an identity").expose()).expect("a file");
    let identity = Identity::load(&[file]).expect("an identity");
    let membership = Membership {
        node: "a".parse().expect("a name"),
        session: NodeSession::from_bits(1),
        epoch: Epoch::stored(7),
        client_tls: Arc::new(identity.client().expect("settings")),
        server_tls: Arc::new(identity.server().expect("settings")),
        allow: Arc::new(|address| address.is_loopback()),
        limits: Limits::of_requests(1 << 20, 100),
    };
    let metrics = Metrics::new(&telemetry::Metrics::new());
    Peers::new(membership, lanes, Clock::system(), metrics, drain.clone())
}

/// Lanes of an unreachable gateway.
pub fn lanes(drain: &Drain) -> Arc<Lanes> {
    let node = telemetry::Metrics::new();
    let parts = lane::Parts {
        clock: Clock::system(),
        events: Events::new(Arc::new(Memory::new()), &node),
        metrics: delivery_metrics::Metrics::new(&node),
        drain: drain.clone(),
    };
    let nowhere = vec!["https://localhost:1".parse::<Endpoint>().expect("an address")];
    let (connect, trust) = (Arc::new(TlsConnect::new(None)), Arc::new(Trust::load(None).expect("no file to read")));
    let apple = Apple { connect, trust, sandbox: nowhere.clone(), production: nowhere };
    Arc::new(Lanes::new(apple, parts))
}

/// A view of `a` and the start of `b` with that number.
fn view(session_of_b: Option<u128>) -> Arc<View> {
    let member = |node: &str, session: u128| Member {
        node: node.parse().expect("a name"),
        session: NodeSession::from_bits(session),
        address: "127.0.0.1:1".to_owned(),
        weight: 1,
        state: MemberState::Active,
    };
    let members = [Some(member("a", 1)), session_of_b.map(|session| member("b", session))];
    Arc::new(View::of(members.into_iter().flatten(), Pins::default()))
}

#[tokio::test]
async fn links_to_a_member_end_when_it_has_gone_or_started_again() {
    let drain = Drain::new();
    let peers = peers(&drain);
    let is_member = |session| peers.is_member(&"b".parse().expect("a name"), NodeSession::from_bits(session));
    peers.set_view(&view(Some(2)));
    assert!(is_member(2) && !is_member(3));
    peers.set_view(&view(Some(3)));
    assert!(is_member(3) && !is_member(2), "the start before is no member any more");
    peers.set_view(&view(None));
    assert!(!is_member(3));
    assert!(drain.finish(Duration::from_secs(5)).await, "six links, and none of them is left");
}
