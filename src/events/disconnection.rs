//! Entries of the disconnection log: which ends make one, and v0.5's code and text for each (apns-protocol.md 12.2).

use crate::model::{AppKey, AppleReason, Batch, Disconnection, NodeReason, Notification, Outcome, OutcomeKind, Reason};

/// A status of Apple's binary protocol with the text v0.5 gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Status(u8, &'static str);

const PROCESSING_ERROR: Status = Status(1, "Processing error");
const MISSING_DEVICE_TOKEN: Status = Status(2, "Missing device token");
const MISSING_TOPIC: Status = Status(3, "Missing topic");
const MISSING_PAYLOAD: Status = Status(4, "Missing payload");
const INVALID_TOKEN_SIZE: Status = Status(5, "Invalid token size");
const INVALID_TOPIC_SIZE: Status = Status(6, "Invalid topic size");
const INVALID_PAYLOAD_SIZE: Status = Status(7, "Invalid payload size");
const INVALID_TOKEN: Status = Status(8, "Invalid token");
const SHUTDOWN: Status = Status(10, "Shutdown");
const UNKNOWN: Status = Status(255, "None (unknown)");

/// The form in which a reason appears in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// Not at all.
    No,
    /// With the notification that failed.
    Blames(Status),
    /// As something that befell a connection or an app, and notifications only with it: no one of them is to blame.
    Incident(Status),
}

/// Numbers of notifications as v0.5 counted them: per app, from 1.
#[derive(Debug, Clone, Copy)]
pub struct Identifiers {
    /// Of the notification that ended.
    pub own: u32,
    /// Of the one that Apple accepted last; 0 before the first.
    pub last_accepted: u32,
}

impl Identifiers {
    /// Which of them an entry carries: Apple's old protocol said at a shutdown how far it had come.
    fn shown_with(self, status: Status) -> u32 {
        if status == SHUTDOWN { self.last_accepted } else { self.own }
    }
}

/// The entry for a notification that failed for good. `None` if it did not, or if its end shows elsewhere.
pub fn of_notification(
    app: &AppKey,
    identifiers: Identifiers,
    batch: &Batch,
    notification: &Notification,
    outcome: &Outcome,
) -> Option<Disconnection> {
    if matches!(outcome.kind, OutcomeKind::Accepted | OutcomeKind::Expired) {
        return None;
    }
    let (status, blamed) = match outcome.reason.as_ref().map_or(Entry::Blames(UNKNOWN), entry) {
        Entry::No => return None,
        Entry::Blames(status) => (status, true),
        Entry::Incident(status) => (status, false),
    };
    Some(Disconnection {
        app: app.clone(),
        code: status.0,
        internal_identifier: identifiers.shown_with(status),
        offending_notification: blamed.then(|| offending(batch, notification)),
        timestamp: outcome.timestamp,
        verbose_message: status.1.to_owned(),
        reason: outcome.reason.as_ref().map(Reason::to_string).unwrap_or_default(),
        status: outcome.status,
        apns_id: blamed.then(|| notification.apns_id.to_string()),
        affected: u32::from(!blamed),
        node: None,
    })
}

/// True if the entry's notification was never tried, for a reason that is not its own. The incident that stopped its
/// app has an entry already, and this one only adds to what it cost.
pub fn is_of_stopped(entry: &Disconnection, outcome: &Outcome) -> bool {
    entry.offending_notification.is_none() && outcome.attempts == 0
}

/// Adds an incident to others: to the one with its app, reason and status, where there is one.
pub fn join(incidents: &mut Vec<Disconnection>, incident: Disconnection) {
    match incidents.iter_mut().find(|other| is_same(other, &incident)) {
        Some(other) => absorb(other, incident),
        None => incidents.push(incident),
    }
}

/// True if two incidents are the same one.
fn is_same(one: &Disconnection, other: &Disconnection) -> bool {
    (&one.app, &one.reason, one.status) == (&other.app, &other.reason, other.status)
}

/// The later of two entries of an incident stays, and counts all that were affected.
fn absorb(earlier: &mut Disconnection, later: Disconnection) {
    let affected = earlier.affected.saturating_add(later.affected);
    *earlier = Disconnection { affected, ..later };
}

/// True if a notification that this node refused for this reason belongs in the log.
pub fn is_of_refused(reason: &str) -> bool {
    refused(reason).is_some()
}

/// The entry for what we refused ourselves for this reason, so that it never had a number: `offending` is what came, as
/// v0.5 showed notifications. `None` if the log has no place for it.
pub fn of_refused(app: &AppKey, reason: &str, offending: String, timestamp: f64) -> Option<Disconnection> {
    let status = refused(reason)?;
    Some(Disconnection {
        app: app.clone(),
        code: status.0,
        internal_identifier: 0,
        offending_notification: Some(offending),
        timestamp,
        verbose_message: status.1.to_owned(),
        reason: reason.to_owned(),
        status: None,
        apns_id: None,
        affected: 0,
        node: None,
    })
}

/// The old protocol's status for a fault that this node finds before Apple can.
fn refused(reason: &str) -> Option<Status> {
    match reason {
        "token_not_hex" | "token_odd_length" | "token_too_long" => Some(INVALID_TOKEN_SIZE),
        "payload_too_large" => Some(INVALID_PAYLOAD_SIZE),
        _ => None,
    }
}

/// The entry for a connection that ended at `timestamp` (UNIX seconds) with `affected` notifications unanswered, when
/// `last_accepted` was the last one that Apple had accepted. `None` for an end in good order that affected none: that
/// is for the log file only.
pub fn of_connection(
    app: &AppKey,
    reason: &Reason,
    last_accepted: u32,
    affected: u32,
    timestamp: f64,
) -> Option<Disconnection> {
    use AppleReason::{IdleTimeout, Shutdown};
    use NodeReason::{GoneAway, ShuttingDown};
    let orderly = matches!(reason, Reason::Apple(IdleTimeout | Shutdown) | Reason::Node(GoneAway | ShuttingDown));
    if orderly && affected == 0 {
        return None;
    }
    let status = match entry(reason) {
        Entry::Blames(status) | Entry::Incident(status) => status,
        Entry::No => UNKNOWN,
    };
    Some(Disconnection {
        app: app.clone(),
        code: status.0,
        internal_identifier: Identifiers { own: 0, last_accepted }.shown_with(status),
        offending_notification: None,
        timestamp,
        verbose_message: status.1.to_owned(),
        reason: reason.to_string(),
        status: None,
        apns_id: None,
        affected,
        node: None,
    })
}

/// Joins the incidents that have app, reason and status in common: the last one stays, and counts all it affected.
pub(super) fn fold_incidents(entries: Vec<Disconnection>) -> Vec<Disconnection> {
    let mut folded: Vec<Disconnection> = Vec::with_capacity(entries.len());
    let mut incidents: Vec<usize> = Vec::new();
    for entry in entries {
        if entry.offending_notification.is_some() {
            folded.push(entry);
            continue;
        }
        match incidents.iter().find(|at| is_same(&folded[**at], &entry)) {
            Some(&at) => absorb(&mut folded[at], entry),
            None => {
                incidents.push(folded.len());
                folded.push(entry);
            }
        }
    }
    folded
}

fn entry(reason: &Reason) -> Entry {
    match reason {
        Reason::Apple(reason) => apples(*reason),
        Reason::Node(reason) => ours(*reason),
        Reason::Unlisted(_) => Entry::Blames(UNKNOWN),
    }
}

/// No wildcard: a new reason of Apple's must be given its place here.
fn apples(reason: AppleReason) -> Entry {
    match reason {
        // The notification.
        AppleReason::BadDeviceToken | AppleReason::DeviceTokenNotForTopic => Entry::Blames(INVALID_TOKEN),
        AppleReason::MissingDeviceToken => Entry::Blames(MISSING_DEVICE_TOKEN),
        AppleReason::MissingTopic => Entry::Blames(MISSING_TOPIC),
        AppleReason::PayloadEmpty => Entry::Blames(MISSING_PAYLOAD),
        AppleReason::BadTopic | AppleReason::TopicDisallowed => Entry::Blames(INVALID_TOPIC_SIZE),
        AppleReason::PayloadTooLarge => Entry::Blames(INVALID_PAYLOAD_SIZE),
        AppleReason::BadMessageId
        | AppleReason::BadExpirationDate
        | AppleReason::BadPriority
        | AppleReason::BadCollapseId
        | AppleReason::InvalidPushType
        | AppleReason::DuplicateHeaders
        | AppleReason::BadPath
        | AppleReason::TopicMismatch
        | AppleReason::MethodNotAllowed => Entry::Blames(UNKNOWN),
        // Its token, which the feedback tells.
        AppleReason::Unregistered | AppleReason::ExpiredToken => Entry::No,
        // Apple, after all retries.
        AppleReason::InternalServerError | AppleReason::ServiceUnavailable | AppleReason::TooManyRequests => {
            Entry::Blames(PROCESSING_ERROR)
        }
        AppleReason::Shutdown => Entry::Incident(SHUTDOWN),
        // The credential, or the connection.
        AppleReason::BadCertificate
        | AppleReason::BadCertificateEnvironment
        | AppleReason::ExpiredProviderToken
        | AppleReason::Forbidden
        | AppleReason::InvalidProviderToken
        | AppleReason::MissingProviderToken
        | AppleReason::UnrelatedKeyIdInToken
        | AppleReason::BadEnvironmentKeyIdInToken
        | AppleReason::BadEnvironmentKeyInToken
        | AppleReason::TooManyProviderTokenUpdates
        | AppleReason::IdleTimeout => Entry::Incident(UNKNOWN),
    }
}

/// No wildcard: a new reason of ours must be given its place here.
fn ours(reason: NodeReason) -> Entry {
    match reason {
        // As its sender asked.
        NodeReason::Expired => Entry::No,
        // This notification's fate.
        NodeReason::DeadlinePassed
        | NodeReason::ConnectionLost
        | NodeReason::PeerLost
        | NodeReason::StreamReset
        | NodeReason::StreamRefused
        | NodeReason::MalformedAnswer
        | NodeReason::HeadersTooLarge => Entry::Blames(UNKNOWN),
        // Whatever was to be sent.
        NodeReason::GoneAway | NodeReason::ShuttingDown => Entry::Incident(SHUTDOWN),
        NodeReason::CannotConnect
        | NodeReason::ConnectionSilent
        | NodeReason::ProtocolError
        | NodeReason::CredentialError
        | NodeReason::BreakerOpen
        | NodeReason::NoDescriptors
        | NodeReason::AppRemoved
        | NodeReason::Overloaded => Entry::Incident(UNKNOWN),
    }
}

/// The notification as v0.5 showed it: payload and identifier byte for byte as they came.
fn offending(batch: &Batch, notification: &Notification) -> String {
    let expiry = notification.expiry.map_or_else(|| "null".to_owned(), |expiry| expiry.to_string());
    let identifier = notification.identifier.map_or("null", |identifier| batch.text(identifier));
    let (payload, token) = (batch.text(notification.payload), batch.text(notification.token));
    format!(
        r#"{{"type":"notification","expiry":{expiry},"identifier":{identifier},"payload":{payload},"token":"{token}"}}"#
    )
}

#[cfg(test)]
mod tests;
