//! The outcome of a notification: exactly one of five kinds.

use super::reason::Reason;

/// The five ways a notification can end; each notification ends in exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeKind {
    /// Apple answered 200: it took the notification. Not "delivered".
    Accepted,
    /// Apple refused it for good.
    Rejected,
    /// Its `expiry` passed before Apple took it.
    Expired,
    /// Apple provably did not take it; sending it again is safe.
    NotSent,
    /// Some of it was handed to TLS and no answer came: Apple may have it.
    Unknown,
}

impl OutcomeKind {
    pub const ALL: [Self; 5] = [Self::Accepted, Self::Rejected, Self::Expired, Self::NotSent, Self::Unknown];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }
}

/// The end of one notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub kind: OutcomeKind,
    /// Apple's HTTP status, where Apple answered.
    pub status: Option<u16>,
    pub reason: Option<Reason>,
    /// When it ended, UNIX seconds.
    pub timestamp: f64,
    /// Number of times that any of it was handed to Apple's connection.
    pub attempts: u16,
}
