//! The outcome of a notification: exactly one of five kinds.

use super::reason::Reason;

/// The five ways a notification can end; each notification ends in exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeKind {
    /// Apple answered 200: it accepted the notification. It may not be delivered.
    Accepted,
    /// Apple refused it permanently.
    Rejected,
    /// Its `expiry` passed before Apple accepted it.
    Expired,
    /// Apple provably did not process it; sending it again is safe.
    NotSent,
    /// Some of it was written and no answer arrived: Apple may have processed it.
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

/// The outcome of one notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub kind: OutcomeKind,
    /// Apple's HTTP status, if Apple answered.
    pub status: Option<u16>,
    pub reason: Option<Reason>,
    /// The time of the end, in UNIX seconds.
    pub timestamp: f64,
    /// The number of attempts of which any byte was written to Apple's connection.
    pub attempts: u16,
}
