//! The records that operators read afterwards: dead tokens (feedback) and the disconnection log.

use super::app::AppKey;
use super::node_name::NodeName;

/// A device token that Apple says is dead for this app. One is kept per token, the newest wins.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback {
    pub app: AppKey,
    /// Lower-case hex.
    pub token: String,
    /// Apple's reason: `Unregistered`, `ExpiredToken` or `BadDeviceToken`.
    pub reason: String,
    /// Since when it is dead, UNIX seconds: Apple's timestamp, else when the answer came.
    pub timestamp: f64,
}

/// The records of one cause.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Records {
    pub feedback: Vec<Feedback>,
    pub disconnections: Vec<Disconnection>,
}

impl Records {
    pub fn len(&self) -> usize {
        self.feedback.len() + self.disconnections.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// That an app's entries for `BadDeviceToken` are held back, until somebody says what is to become of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Quarantine {
    /// UNIX seconds.
    pub since: f64,
    /// A sentence.
    pub why: String,
}

/// The operator's decision on feedback that was held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// It is feedback like any other from now on.
    Release,
    /// It is forgotten.
    Drop,
}

/// An entry of the disconnection log: a notification that failed for good, or a connection that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Disconnection {
    pub app: AppKey,
    /// Status code of Apple's binary protocol that comes nearest (0 to 255).
    pub code: u8,
    /// Counts notifications as v0.5 did, those of each lane by themselves; 0 where none is meant.
    pub internal_identifier: u32,
    /// The notification to blame as a JSON object, if one is.
    pub offending_notification: Option<String>,
    /// UNIX seconds.
    pub timestamp: f64,
    /// v0.5's text for `code`.
    pub verbose_message: String,
    /// Apple's reason, or ours.
    pub reason: String,
    /// Apple's HTTP status, where Apple answered.
    pub status: Option<u16>,
    pub apns_id: Option<String>,
    /// Number of notifications that a connection's end left without an answer.
    pub affected: u32,
    /// The node it happened on; `None` of what was kept before nodes had names.
    pub node: Option<NodeName>,
}
