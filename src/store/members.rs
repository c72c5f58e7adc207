//! The contract of the members of a cluster: leases, and what a node has to know of the others.

use super::{Epoch, Pending, Revision};
use crate::model::{AppKey, NodeName, NodeSession};
use std::fmt;
use std::time::Duration;

/// A member without lease is forgotten after this time.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// The clocks of a node and of the store may differ by this much. The store's time is in cursors and leases, and is shown
/// beside the node's.
pub const CLOCKS_APART_MAX: Duration = Duration::from_secs(5);

/// The nodes that share a store. A node is live while its lease lasts.
pub trait Members: Send + Sync {
    /// Makes or renews the node's lease, writes its member record if it is another than the stored one, and returns what
    /// may have changed since the last beat. If the lease is another session's, nothing is written. A member whose lease
    /// ended [`FORGOTTEN_AFTER`] ago is removed.
    ///
    /// A beat that failed may have taken effect. To repeat it is harmless.
    fn beat(&self, beat: Beat) -> Pending<'_, Heard>;

    /// Ends the lease and the membership of a node, if they are this session's: whether they were.
    fn leave(&self, node: NodeName, session: Session) -> Pending<'_, bool>;

    /// Stores a decision, in place of an earlier one about the same lane or node. The next beat of every node has it.
    fn pin(&self, pin: Pin) -> Pending<'_, Pinned>;

    /// Removes the decision about a lane or a node. Returns true if there was one. The node in [`Pin::Lane`] is ignored.
    fn unpin(&self, pin: Pin) -> Pending<'_, bool>;
}

/// Most decisions that a store keeps: every node reads all of them after each change.
pub const PINS_MAX: usize = 10_000;

/// A decision of an operator about the owners of lanes. It stays until it is taken back, or its app is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// This node owns the lane while it is a member.
    Lane { app: AppKey, lane: u16, node: NodeName },
    /// This node owns only the lanes that are pinned to it.
    Cordoned(NodeName),
}

/// The effect of a decision on the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinned {
    Changed,
    /// The store had it already.
    Same,
    /// The store has [`PINS_MAX`] decisions, and did not take this one.
    Full,
    /// The store has no such app.
    NoApp,
}

/// One run of a node, unlike any other run. Two nodes of one name differ in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Session(u128);

impl Session {
    /// One that no other node has.
    pub fn new() -> Self {
        Self(fastrand::u128(..))
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        u128::from_str_radix(text, 16).ok().filter(|_| hex).map(Self)
    }
}

impl From<Session> for NodeSession {
    fn from(session: Session) -> Self {
        Self::from_bits(session.0)
    }
}

impl From<NodeSession> for Session {
    fn from(session: NodeSession) -> Self {
        Self(session.bits())
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// The number of a state of something that nodes share. Only equality has a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version(i64);

impl Version {
    /// Before the first change.
    pub const NONE: Self = Self(0);

    /// A version as a store keeps it.
    pub fn stored(number: i64) -> Self {
        Self(number)
    }

    /// The number that a store keeps.
    pub fn number(self) -> i64 {
        self.0
    }
}

/// A node's sign of life.
#[derive(Debug, Clone)]
pub struct Beat {
    pub node: NodeName,
    pub session: Session,
    /// The lease lasts so long after this beat.
    pub lease: Duration,
    /// The node as the others see it: text that the store does not read.
    pub record: String,
    /// The version of the members that the node knows. [`Version::NONE`] if it knows none, or had a failed beat.
    pub known: Version,
}

/// The state of the cluster after a beat.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    pub lease: Lease,
    /// The store's clock, UNIX microseconds.
    pub time: i64,
    pub epoch: Epoch,
    /// Of the newest change of any app.
    pub revision: Revision,
    /// Changes with each quarantine that begins or ends.
    pub quarantines: Version,
    /// Changes when a member comes, changes its record or is removed, and with each decision of an operator; not when a
    /// lease ends.
    pub members_version: Version,
    /// The members that have a lease.
    pub live: Vec<NodeName>,
    /// All members, live or not, if `members_version` is not the known one.
    pub members: Option<Vec<Member>>,
    /// All decisions of operators, together with `members`; else none.
    pub pins: Vec<Pin>,
}

/// The state of a node's lease after a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// It lasted from the last beat to this one.
    Renewed,
    /// There was none. A node that had one has lost it: others may have done its work meanwhile.
    Made,
    /// Another session has it: a second node of this name runs, or the name's last run has not ended yet.
    Taken,
}

/// A node as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub node: NodeName,
    pub session: Session,
    /// As the node's beats have it.
    pub record: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_reads_back_as_it_was_written_and_nothing_else_does() {
        for session in [Session(0), Session(u128::MAX), Session::new()] {
            assert_eq!(Session::parse(&session.to_string()), Some(session));
        }
        for text in ["", "0", &"g".repeat(32), &"F".repeat(32), &"0".repeat(33), &format!("+{}", "0".repeat(31))] {
            assert_eq!(Session::parse(text), None, "{text}");
        }
    }
}
