//! The peers and the owners of lanes, as operators see them.

use super::{Peers, Table};
use crate::cluster::{Member, Pins, View};
use crate::model::{AppKey, NodeName};
use std::sync::Arc;

/// The links to one peer.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkState {
    pub node: NodeName,
    /// All of them take batches.
    pub is_reachable: bool,
    /// From the last answered PING to its PONG, in seconds; `None` before the first.
    pub round_trip: Option<f64>,
    /// Batches on their way.
    pub in_flight: i64,
}

/// The node that sends for a lane, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// `None` if no member owns lanes.
    pub owner: Option<NodeName>,
    pub why: Why,
    /// The node that sends in place of the owner, as long as this node cannot reach the owner.
    pub substitute: Option<NodeName>,
}

/// The rule that gave a lane its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Pin,
    Ring,
    /// The ring's owner is cordoned.
    Cordon,
    /// No member owns lanes.
    NoOwner,
}

impl Why {
    pub const ALL: [Self; 4] = [Self::Pin, Self::Ring, Self::Cordon, Self::NoOwner];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Ring => "ring",
            Self::Cordon => "cordon",
            Self::NoOwner => "no_owner",
        }
    }
}

impl Peers {
    /// The members and their ring.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(self.table().route.view())
    }

    /// The links to each peer, in the order of their names.
    pub fn links(&self) -> Vec<LinkState> {
        let table = self.table();
        let links = table.peers.iter().map(|(node, peer)| LinkState {
            node: node.clone(),
            is_reachable: peer.is_reachable(),
            round_trip: Some(peer.metrics.round_trip.get()).filter(|seconds| *seconds > 0.0),
            in_flight: peer.metrics.errands.get(),
        });
        let mut links: Vec<_> = links.collect();
        links.sort_unstable_by(|one, other| one.node.cmp(&other.node));
        links
    }

    /// The placement of each of these lanes. It builds a ring if a node is cordoned, which takes up to milliseconds.
    pub fn placements(&self, app: &AppKey, lanes: impl Iterator<Item = u16>) -> Vec<Placement> {
        let table = self.table();
        let view = table.route.view();
        let uncordoned =
            (!view.pins().cordoned.is_empty()).then(|| View::of(view.members().iter().cloned(), Pins::default()));
        lanes.map(|lane| self.placement(&table, uncordoned.as_ref(), app, lane)).collect()
    }

    fn placement(&self, table: &Table, uncordoned: Option<&View>, app: &AppKey, lane: u16) -> Placement {
        let view = table.route.view();
        let Some(owner) = view.owner(app, lane) else {
            return Placement { owner: None, why: Why::NoOwner, substitute: None };
        };
        let is_cordoned = |member: &Member| view.pins().cordoned.contains(&member.node);
        let pinned = view.pins().lanes.get(app).and_then(|lanes| lanes.get(&lane));
        let why = if pinned == Some(&owner.node) {
            Why::Pin
        } else if uncordoned.and_then(|ring| ring.owner(app, lane)).is_some_and(is_cordoned) {
            Why::Cordon
        } else {
            Why::Ring
        };
        let sender = table.peer(app, lane).and(table.route.target(app, lane)).map(|target| &target.node);
        let sender = sender.unwrap_or(&self.membership.node);
        let substitute = (*sender != owner.node).then(|| sender.clone());
        Placement { owner: Some(owner.node.clone()), why, substitute }
    }

    /// Every lane that this node holds connections for, the last used ones first.
    pub fn all_held(&self) -> Vec<(AppKey, u16)> {
        self.lanes.metrics().board.held()
    }
}
