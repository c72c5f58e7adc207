//! The members as the store listed them at the last beat, for operators.

use super::record::{self, About, BadRecord};
use super::view::{Member, MemberState};
use crate::model::NodeName;
use crate::store::members;
use std::sync::Arc;

/// The result of the last beat. Cheap to make: records are read only when somebody asks.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The state of this node; `None` before its first beat.
    pub state: Option<MemberState>,
    pub(super) stored: Arc<[members::Member]>,
    pub(super) live: Vec<NodeName>,
}

/// A member with what its record adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownMember {
    pub node: NodeName,
    /// It has a lease.
    pub is_live: bool,
    /// The error of a record that this node cannot use: it leaves the member out.
    pub record: Result<(Member, About), BadRecord>,
}

impl Standing {
    /// All members that the store lists, live or not, in the order of their names.
    pub fn members(&self) -> Vec<KnownMember> {
        let known = self.stored.iter().map(|stored| KnownMember {
            node: stored.node.clone(),
            is_live: self.live.contains(&stored.node),
            record: record::decode(stored).map(|member| (member, record::about(stored))),
        });
        let mut known: Vec<_> = known.collect();
        known.sort_unstable_by(|one, other| one.node.cmp(&other.node));
        known
    }

    /// Returns `true` if the store lists a member of this name.
    pub fn lists(&self, node: &NodeName) -> bool {
        self.stored.iter().any(|stored| stored.node == *node)
    }
}
