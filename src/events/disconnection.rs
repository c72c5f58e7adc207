//! Entries of the disconnection log, with v0.5's code and text for each end (apns-protocol.md 12.2).

use crate::model::{AppKey, AppleReason, Batch, Disconnection, NodeReason, Notification, Outcome, OutcomeKind, Reason};

/// A status of Apple's binary protocol, with v0.5's text for it.
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
    /// There is no entry.
    No,
    /// The entry has the notification that failed.
    OfNotification(Status),
    /// The entry is about a connection or an app, and names no notification: none of the affected ones is at fault.
    Incident(Status),
}

/// The numbers of notifications as in v0.5: per app, from 1.
#[derive(Debug, Clone, Copy)]
pub struct Identifiers {
    /// The number of the notification that ended.
    pub own: u32,
    /// The number of the last notification that Apple accepted; 0 before the first.
    pub last_accepted: u32,
}

impl Identifiers {
    /// The number in an entry with this status: Apple's old protocol sent the last accepted one at a shutdown.
    fn shown_with(self, status: Status) -> u32 {
        if status == SHUTDOWN { self.last_accepted } else { self.own }
    }
}

/// The entry for a notification that failed permanently. `None` if it did not fail, or if another list has its end.
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
    let (status, at_fault) = match outcome.reason.as_ref().map_or(Entry::OfNotification(UNKNOWN), entry) {
        Entry::No => return None,
        Entry::OfNotification(status) => (status, true),
        Entry::Incident(status) => (status, false),
    };
    Some(Disconnection {
        app: app.clone(),
        code: status.0,
        internal_identifier: identifiers.shown_with(status),
        offending_notification: at_fault.then(|| offending(batch, notification)),
        timestamp: outcome.timestamp,
        verbose_message: status.1.to_owned(),
        reason: outcome.reason.as_ref().map(Reason::to_string).unwrap_or_default(),
        status: outcome.status,
        apns_id: at_fault.then(|| notification.apns_id.to_string()),
        affected: u32::from(!at_fault),
        node: None,
    })
}

/// Returns true if the notification was not tried because its app was stopped. The incident that stopped the app has an
/// entry already, and this one only adds to its affected notifications.
pub fn is_of_stopped(entry: &Disconnection, outcome: &Outcome) -> bool {
    entry.offending_notification.is_none() && outcome.attempts == 0
}

/// Adds an incident to the list, or to the incident in it with the same app, reason and status.
pub fn join(incidents: &mut Vec<Disconnection>, incident: Disconnection) {
    match incidents.iter_mut().find(|other| is_same(other, &incident)) {
        Some(other) => absorb(other, incident),
        None => incidents.push(incident),
    }
}

/// Returns true if two entries are of the same incident.
fn is_same(one: &Disconnection, other: &Disconnection) -> bool {
    (&one.app, &one.reason, one.status) == (&other.app, &other.reason, other.status)
}

/// Keeps the later of two entries of an incident, with the sum of the affected notifications.
fn absorb(earlier: &mut Disconnection, later: Disconnection) {
    let affected = earlier.affected.saturating_add(later.affected);
    *earlier = Disconnection { affected, ..later };
}

/// Returns true if the log has an entry for a notification that this node refused for this reason.
pub fn is_of_refused(reason: &str) -> bool {
    refused(reason).is_some()
}

/// The entry for a notification that this node refused, and that has no number. `offending` is the notification in the
/// form of v0.5. `None` if the log has no entry for this reason.
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

/// The old protocol's status for a fault that this node finds before Apple.
fn refused(reason: &str) -> Option<Status> {
    match reason {
        "token_not_hex" | "token_odd_length" | "token_too_long" => Some(INVALID_TOKEN_SIZE),
        "payload_too_large" => Some(INVALID_PAYLOAD_SIZE),
        _ => None,
    }
}

/// The entry for a connection that ended at `timestamp` (UNIX seconds) with `affected` notifications unanswered;
/// `last_accepted` is the number of the last one that Apple accepted. `None` for a normal end that affected none, which
/// is only logged.
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
        Entry::OfNotification(status) | Entry::Incident(status) => status,
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

/// Joins the incidents with the same app, reason and status: keeps the last one, with the sum of the affected
/// notifications.
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
        Reason::Unlisted(_) => Entry::OfNotification(UNKNOWN),
    }
}

/// No wildcard: the compiler asks for the form of each new reason of Apple.
fn apples(reason: AppleReason) -> Entry {
    match reason {
        // The notification is at fault.
        AppleReason::BadDeviceToken | AppleReason::DeviceTokenNotForTopic => Entry::OfNotification(INVALID_TOKEN),
        AppleReason::MissingDeviceToken => Entry::OfNotification(MISSING_DEVICE_TOKEN),
        AppleReason::MissingTopic => Entry::OfNotification(MISSING_TOPIC),
        AppleReason::PayloadEmpty => Entry::OfNotification(MISSING_PAYLOAD),
        AppleReason::BadTopic | AppleReason::TopicDisallowed => Entry::OfNotification(INVALID_TOPIC_SIZE),
        AppleReason::PayloadTooLarge => Entry::OfNotification(INVALID_PAYLOAD_SIZE),
        AppleReason::BadMessageId
        | AppleReason::BadExpirationDate
        | AppleReason::BadPriority
        | AppleReason::BadCollapseId
        | AppleReason::InvalidPushType
        | AppleReason::DuplicateHeaders
        | AppleReason::BadPath
        | AppleReason::TopicMismatch
        | AppleReason::MethodNotAllowed
        // Apple answers channels and broadcasts with them, which have no entry here.
        | AppleReason::FeatureNotEnabled
        | AppleReason::BroadcastFeatureNotEnabled
        | AppleReason::MissingChannelId
        | AppleReason::BadChannelId
        | AppleReason::ChannelNotRegistered
        | AppleReason::BadRequestParams
        | AppleReason::BadRequestPayload
        | AppleReason::MissingPushType
        | AppleReason::CannotCreateChannelConfig => Entry::OfNotification(UNKNOWN),
        // The device token: the feedback has it.
        AppleReason::Unregistered | AppleReason::ExpiredToken => Entry::No,
        // Apple, after the last retry.
        AppleReason::InternalServerError | AppleReason::ServiceUnavailable | AppleReason::TooManyRequests => {
            Entry::OfNotification(PROCESSING_ERROR)
        }
        AppleReason::Shutdown => Entry::Incident(SHUTDOWN),
        // The credential or the connection.
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

/// No wildcard: the compiler asks for the form of each new reason of ours.
fn ours(reason: NodeReason) -> Entry {
    match reason {
        // As the sender requested.
        NodeReason::Expired => Entry::No,
        // This notification alone.
        NodeReason::DeadlinePassed
        | NodeReason::ConnectionLost
        | NodeReason::PeerLost
        | NodeReason::StreamReset
        | NodeReason::StreamRefused
        | NodeReason::MalformedAnswer
        | NodeReason::HeadersTooLarge => Entry::OfNotification(UNKNOWN),
        // Every notification of the app.
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

/// The notification in the form of v0.5, with payload and identifier byte for byte.
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
