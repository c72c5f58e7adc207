//! The records for callers and operators: dead tokens (feedback) and the disconnection log.

use super::app::AppKey;
use super::node_name::NodeName;
use std::collections::BTreeSet;

/// A device token that Apple reports as dead for this app. Only the newest per token is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback {
    pub app: AppKey,
    /// Lower-case hex.
    pub token: String,
    /// Apple's reason: `Unregistered`, `ExpiredToken` or `BadDeviceToken`.
    pub reason: String,
    /// The time of the token's end in UNIX seconds: Apple's timestamp, else the time of the answer.
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

    /// The apps that have records, each once.
    pub fn apps(&self) -> BTreeSet<&AppKey> {
        let failures = self.disconnections.iter().map(|entry| &entry.app);
        self.feedback.iter().map(|entry| &entry.app).chain(failures).collect()
    }
}

/// The quarantine of an app: its `BadDeviceToken` entries are held back until an operator decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Quarantine {
    /// UNIX seconds.
    pub since: f64,
    /// The reason, as a sentence.
    pub why: String,
}

/// The operator's decision on held feedback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// The entries become feedback.
    Release,
    /// The entries are deleted.
    Drop,
}

/// An entry of the disconnection log: a notification that failed permanently, or a connection that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Disconnection {
    pub app: AppKey,
    /// The nearest status code of Apple's binary protocol (0 to 255).
    pub code: u8,
    /// The notification's number as in v0.5, counted in each lane; 0 if there is none.
    pub internal_identifier: u32,
    /// The notification at fault as a JSON object, if there is one.
    pub offending_notification: Option<String>,
    /// UNIX seconds.
    pub timestamp: f64,
    /// v0.5's text for `code`.
    pub verbose_message: String,
    /// Apple's reason, or ours.
    pub reason: String,
    /// Apple's HTTP status, if Apple answered.
    pub status: Option<u16>,
    pub apns_id: Option<String>,
    /// The number of notifications without an answer at a connection's end.
    pub affected: u32,
    /// The name of the node; `None` in entries of versions without node names.
    pub node: Option<NodeName>,
}
