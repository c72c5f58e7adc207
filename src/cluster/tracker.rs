//! The cluster as one node knows it from its beats: its own membership, and the view of all. Pure: time is an argument,
//! in milliseconds of the boot clock.
//!
//! A store that was away comes back without leases, and the first node that beats would see itself alone. So the view is
//! frozen from a failed beat, or a change of the store's epoch, until every node has had the time to beat again.

use super::record::{self, BadRecord};
use super::standing::Standing;
use super::view::{Member, MemberState, Pins, View};
use crate::model::{NodeName, NodeSession};
use crate::store::members::{self, Beat, Heard, Lease, Pin, Version};
use crate::store::{Epoch, Revision};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A node without a beat for this long is no member any more.
const LEASE: Duration = Duration::from_secs(6);
/// A node relies on its own lease for this long after the start of a beat, by its own clock.
const LEASE_TRUSTED_MS: u64 = 5_000;
/// The view stays as it was for this long after the first beat that works again: all nodes have beaten by then.
const FREEZE_MS: u64 = 6_000;
/// A node that joins waits at most this long until it is ready. More than it takes to open links, and then the
/// connections of lanes.
const JOIN_MAX_MS: u64 = 8_000;

/// This node, as its record says.
#[derive(Debug, Clone)]
pub struct Own {
    pub node: NodeName,
    pub session: NodeSession,
    /// The address on which other nodes reach it: `host:port`.
    pub address: String,
    /// 1 to 16.
    pub weight: u8,
}

/// The changes that a beat reports.
#[derive(Default)]
pub struct Changes {
    pub view: Option<Arc<View>>,
    pub epoch: Option<Epoch>,
    /// Apps were changed.
    pub registry: bool,
    /// A quarantine began or ended.
    pub quarantines: bool,
    /// The answer was incomplete: beat again at once.
    pub is_incomplete: bool,
    /// Members that are left out, since their records cannot be used.
    pub left_out: Vec<(NodeName, BadRecord)>,
}

/// The time until which the view stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frozen {
    No,
    /// The last beat failed.
    Away,
    Until(u64),
}

/// The state that beats change.
pub struct Tracker {
    own: Own,
    state: MemberState,
    /// The time of the first beat with a lease.
    joined_at: Option<u64>,
    /// Another session has the lease.
    is_name_taken: bool,
    /// The lease is surely held until then.
    valid_until: u64,
    known: Version,
    stored: Arc<[members::Member]>,
    live: Vec<NodeName>,
    /// The time of the first beat with a lease, by the store's clock, in UNIX seconds.
    since: Option<u64>,
    pins: Pins,
    epoch: Option<Epoch>,
    revision: Option<Revision>,
    quarantines: Option<Version>,
    frozen: Frozen,
    view: Arc<View>,
    left_out: BTreeMap<NodeName, BadRecord>,
}

impl Tracker {
    /// That of a node that has not beaten yet. Its view has no members.
    pub fn new(own: Own) -> Self {
        Self {
            own,
            state: MemberState::Joining,
            joined_at: None,
            is_name_taken: false,
            valid_until: 0,
            known: Version::NONE,
            stored: Arc::default(),
            live: Vec::new(),
            since: None,
            pins: Pins::default(),
            epoch: None,
            revision: None,
            quarantines: None,
            frozen: Frozen::No,
            view: Arc::new(View::of([], Pins::default())),
            left_out: BTreeMap::new(),
        }
    }

    pub fn own(&self) -> &Own {
        &self.own
    }

    pub fn state(&self) -> MemberState {
        self.state
    }

    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    pub fn is_name_taken(&self) -> bool {
        self.is_name_taken
    }

    /// The members as the last answer had them.
    pub fn standing(&self) -> Standing {
        Standing { state: Some(self.state), stored: Arc::clone(&self.stored), live: self.live.clone() }
    }

    /// The time until which the node surely holds its lease, in milliseconds of the boot clock.
    pub fn valid_until(&self) -> u64 {
        self.valid_until
    }

    /// True while the node joins: it beats more often then.
    pub fn is_joining(&self) -> bool {
        self.state == MemberState::Joining && self.joined_at.is_some()
    }

    /// The next beat. A node that joins becomes active with it once it is ready, or after [`JOIN_MAX_MS`].
    pub fn beat(&mut self, now_ms: u64, is_ready: bool) -> Beat {
        let is_late = self.joined_at.is_some_and(|since| now_ms.saturating_sub(since) >= JOIN_MAX_MS);
        if self.is_joining() && (is_ready || is_late) {
            self.state = MemberState::Active;
        }
        let Own { node, session, address, weight } = self.own.clone();
        let member = Member { node: node.clone(), session, address, weight, state: self.state };
        // Named with the change of the state, so that it is no change by itself.
        let since = self.since.filter(|_| self.state != MemberState::Joining);
        let record = record::encode(&member, since);
        Beat { node, session: session.into(), lease: LEASE, record, known: self.known }
    }

    /// The node leaves: its further beats say so.
    pub fn leave(&mut self) {
        self.state = MemberState::Leaving;
    }

    /// The node has handed its lanes over: its further beats say so.
    pub fn go(&mut self) {
        self.state = MemberState::Gone;
    }

    /// A beat failed.
    pub fn failed(&mut self) {
        self.known = Version::NONE;
        self.frozen = Frozen::Away;
    }

    /// The process stood still, or a beat came back only after it did: nothing is known about the store by that.
    pub fn stood_still(&mut self) {
        self.known = Version::NONE;
    }

    /// The answer to a beat that was sent at `sent_ms`.
    pub fn heard(&mut self, sent_ms: u64, now_ms: u64, heard: Heard) -> Changes {
        let mut changes = Changes::default();
        self.follow_counters(now_ms, &heard, &mut changes);
        match heard.members {
            Some(members) => {
                (self.stored, self.known) = (members.into(), heard.members_version);
                self.pins = pins_of(heard.pins);
            }
            // Another history may have come to the same number.
            None if changes.epoch.is_some() => {
                self.known = Version::NONE;
                changes.is_incomplete = true;
                return changes;
            }
            None => {}
        }
        self.live.clone_from(&heard.live);
        if heard.lease == Lease::Taken {
            self.lose_name(&mut changes);
            return changes;
        }
        self.is_name_taken = false;
        self.valid_until = sent_ms + LEASE_TRUSTED_MS;
        self.joined_at.get_or_insert(now_ms);
        self.since.get_or_insert(u64::try_from(heard.time / 1_000_000).unwrap_or_default());
        if self.frozen == Frozen::Away {
            self.frozen = Frozen::Until(now_ms + FREEZE_MS);
        }
        let is_frozen = matches!(self.frozen, Frozen::Until(until) if now_ms < until);
        // A node that knows no members has nothing to keep.
        if !is_frozen || self.view.members().is_empty() {
            if !is_frozen {
                self.frozen = Frozen::No;
            }
            self.renew_view(&heard.live, &mut changes);
        }
        changes
    }

    fn follow_counters(&mut self, now_ms: u64, heard: &Heard, changes: &mut Changes) {
        if self.epoch != Some(heard.epoch) {
            if self.epoch.is_some() {
                self.frozen = Frozen::Until(now_ms + FREEZE_MS);
            }
            (self.epoch, changes.epoch) = (Some(heard.epoch), Some(heard.epoch));
        }
        let is_other_history = changes.epoch.is_some();
        changes.registry = self.revision.replace(heard.revision) != Some(heard.revision) || is_other_history;
        changes.quarantines =
            self.quarantines.replace(heard.quarantines) != Some(heard.quarantines) || is_other_history;
    }

    /// A node without its name is no member: it knows none, and sends everything itself.
    fn lose_name(&mut self, changes: &mut Changes) {
        self.is_name_taken = true;
        (self.valid_until, self.joined_at, self.since) = (0, None, None);
        if self.state == MemberState::Active {
            self.state = MemberState::Joining;
        }
        self.set_view(View::of([], Pins::default()), changes);
    }

    fn renew_view(&mut self, live: &[NodeName], changes: &mut Changes) {
        let mut left_out = BTreeMap::new();
        let mut members = Vec::new();
        for stored in self.stored.iter().filter(|stored| live.contains(&stored.node)) {
            match record::decode(stored) {
                Ok(member) => members.push(member),
                Err(why) => drop(left_out.insert(stored.node.clone(), why)),
            }
        }
        let is_new = |(node, why): &(&NodeName, &BadRecord)| self.left_out.get(*node) != Some(*why);
        changes.left_out = left_out.iter().filter(is_new).map(|(node, why)| (node.clone(), *why)).collect();
        self.left_out = left_out;
        self.set_view(View::of(members, self.pins.clone()), changes);
    }

    fn set_view(&mut self, view: View, changes: &mut Changes) {
        if view.members() != self.view.members() || view.pins() != self.view.pins() {
            self.view = Arc::new(view);
            changes.view = Some(Arc::clone(&self.view));
        }
    }
}

/// The decisions of operators, as a view has them.
fn pins_of(stored: Vec<Pin>) -> Pins {
    let mut pins = Pins::default();
    for pin in stored {
        match pin {
            Pin::Lane { app, lane, node } => drop(pins.lanes.entry(app).or_default().insert(lane, node)),
            Pin::Cordoned(node) => drop(pins.cordoned.insert(node)),
        }
    }
    pins
}

#[cfg(test)]
mod tests;
