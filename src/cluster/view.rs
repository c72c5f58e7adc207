//! The members of a cluster at one time, and the owner of each lane among them. Pure.

use super::ring::{RING_FORMAT, Ring};
use crate::hash::Fnv;
use crate::model::{AppKey, NodeName, NodeSession};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most members of a view. More are left out, the last by name first.
const MEMBERS_MAX: usize = 1024;

/// The phases of a node's membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// It opens connections to Apple, and owns no lane yet.
    Joining,
    Active,
    /// It hands its lanes over, and owns them until then.
    Leaving,
    /// It has left.
    Gone,
}

impl MemberState {
    pub const ALL: [Self; 4] = [Self::Joining, Self::Active, Self::Leaving, Self::Gone];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Active => "active",
            Self::Leaving => "leaving",
            Self::Gone => "gone",
        }
    }

    /// The state of that name, `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// True if a member in this state owns lanes.
    pub fn owns(self) -> bool {
        matches!(self, Self::Active | Self::Leaving)
    }
}

/// A node of the cluster, as its record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub node: NodeName,
    pub session: NodeSession,
    /// The address on which it accepts links: `host:port`.
    pub address: String,
    /// Its share of the lanes in proportion to the others', 1 to [`super::ring::WEIGHT_MAX`].
    pub weight: u8,
    pub state: MemberState,
}

/// Decisions of operators that come before the ring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// Lanes with an owner that was chosen by hand.
    pub lanes: BTreeMap<AppKey, BTreeMap<u16, NodeName>>,
    /// Nodes that own only the lanes that are pinned to them.
    pub cordoned: BTreeSet<NodeName>,
}

/// A snapshot of the members with the ring that follows from it. It never changes.
#[derive(Clone)]
pub struct View {
    /// In the order of their names.
    members: Vec<Member>,
    pins: Pins,
    ring: Ring,
    hash: u64,
}

impl View {
    /// The view of these members, in any order. Of two members with one name the later one counts.
    pub fn of(members: impl IntoIterator<Item = Member>, pins: Pins) -> Self {
        let members: BTreeMap<NodeName, Member> =
            members.into_iter().map(|member| (member.node.clone(), member)).collect();
        let members: Vec<Member> = members.into_values().take(MEMBERS_MAX).collect();
        let ring = ring_of(&members, &pins, |_| true);
        let hash = hash(&members, &pins);
        Self { members, pins, ring, hash }
    }

    /// All members, in the order of their names.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with that name.
    pub fn member(&self, node: &NodeName) -> Option<&Member> {
        self.members.binary_search_by(|member| member.node.cmp(node)).ok().map(|at| &self.members[at])
    }

    /// The members that own lanes by the ring.
    pub fn ring_members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| is_in_ring(member, &self.pins))
    }

    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The hash of all that decides who owns which lane. It is equal on two nodes if they agree on that.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The owner of a lane; `None` if no member owns lanes.
    pub fn owner(&self, app: &AppKey, lane: u16) -> Option<&Member> {
        self.owner_in(&self.ring, app, lane, |_| true)
    }

    fn owner_in(&self, ring: &Ring, app: &AppKey, lane: u16, usable: impl Fn(&Member) -> bool) -> Option<&Member> {
        let pinned = self.pins.lanes.get(app).and_then(|lanes| lanes.get(&lane)).and_then(|node| self.member(node));
        let pinned = pinned.filter(|member| member.state.owns() && usable(member));
        pinned.or_else(|| ring.owner(app, lane).and_then(|index| self.members.get(usize::from(index))))
    }
}

/// A view as one node can use it: lanes of members that it cannot reach go to the members that would own them if the
/// unreachable ones were gone. All nodes that miss the same members choose the same substitute.
#[derive(Clone)]
pub struct Route {
    view: Arc<View>,
    unreachable: BTreeSet<NodeName>,
    /// The ring without the unreachable members; `None` if there are none in it.
    reachable: Option<Ring>,
}

impl Route {
    /// Builds a second ring if members of the first one cannot be reached. That takes up to
    /// milliseconds: build a route when the view or the reachable members change, and not for each notification.
    pub fn of(view: &Arc<View>, unreachable: impl IntoIterator<Item = NodeName>) -> Self {
        let unreachable: BTreeSet<NodeName> = unreachable.into_iter().collect();
        let is_reachable = |member: &Member| !unreachable.contains(&member.node);
        let all = view.ring_members().all(is_reachable);
        let reachable = (!all).then(|| ring_of(&view.members, &view.pins, is_reachable));
        Self { view: Arc::clone(view), unreachable, reachable }
    }

    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The nodes that cannot be reached.
    pub fn unreachable(&self) -> &BTreeSet<NodeName> {
        &self.unreachable
    }

    /// The member that a lane's notifications go to: its owner, or the substitute for one that cannot be reached. `None`
    /// if no member that owns lanes can be reached.
    pub fn target(&self, app: &AppKey, lane: u16) -> Option<&Member> {
        let ring = self.reachable.as_ref().unwrap_or(&self.view.ring);
        self.view.owner_in(ring, app, lane, |member| !self.unreachable.contains(&member.node))
    }

    /// True if the owner of a lane cannot be reached.
    pub fn is_substituted(&self, app: &AppKey, lane: u16) -> bool {
        self.view.owner(app, lane).is_some_and(|owner| self.unreachable.contains(&owner.node))
    }
}

fn is_in_ring(member: &Member, pins: &Pins) -> bool {
    member.state.owns() && !pins.cordoned.contains(&member.node)
}

fn ring_of(members: &[Member], pins: &Pins, usable: impl Fn(&Member) -> bool) -> Ring {
    let indexed = (0..).zip(members).filter(|(_, member)| is_in_ring(member, pins) && usable(member));
    Ring::of(indexed.map(|(index, member)| (index, &member.node, member.weight)))
}

/// Over the members in the ring with their weights, and the pins. Each name ends with a byte that no name contains.
fn hash(members: &[Member], pins: &Pins) -> u64 {
    let mut hash = Fnv::new().and(&RING_FORMAT.to_le_bytes());
    for member in members.iter().filter(|member| is_in_ring(member, pins)) {
        hash = hash.and(member.node.as_str().as_bytes()).and(&[0, member.weight]);
    }
    for (app, lanes) in &pins.lanes {
        for (lane, node) in lanes {
            hash = hash.and(app.id.as_str().as_bytes()).and(b"/").and(app.environment.as_str().as_bytes());
            hash = hash.and(&[0]).and(&lane.to_le_bytes()).and(node.as_str().as_bytes()).and(&[0]);
        }
    }
    hash.hash()
}

#[cfg(test)]
mod tests;
