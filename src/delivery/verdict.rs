//! The verdict on an answer, or on the lack of one, decided only in this file. Pure.

use crate::apns::response::Response;
use crate::model::{AppleReason, NodeReason, OutcomeKind, Reason};
use http2::{Cause, End, Processed};

/// The consequence for the notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It ends with this outcome.
    Done(OutcomeKind),
    /// Apple provably did not process it: resend it, immediately the first time.
    Resend,
    /// Apple answered "not now": retry after a pause, within the retry budget.
    Later(Pause),
}

/// The kind of pause that an answer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// The service fails.
    Service,
    /// This device token gets too many notifications: at least a second, doubling.
    Token,
}

/// The consequence beyond the one notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideEffect {
    Nothing,
    /// The token is dead for this app, and becomes feedback.
    DeadToken,
    /// This connection must be left; others may work.
    LeaveConnection,
    /// The app's credential does not work until it is replaced or Apple accepts it again.
    CredentialBroken,
}

/// A verdict on one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub disposition: Disposition,
    pub side_effect: SideEffect,
}

impl Verdict {
    /// The verdict if the app got a new credential meanwhile: a refusal of the former credential does not stop the app,
    /// and the item is resent with the new one.
    pub fn of_former_credential(self) -> Self {
        if self.side_effect == SideEffect::CredentialBroken { ELSEWHERE } else { self }
    }
}

const fn verdict(disposition: Disposition, side_effect: SideEffect) -> Verdict {
    Verdict { disposition, side_effect }
}

const ACCEPTED: Verdict = verdict(Disposition::Done(OutcomeKind::Accepted), SideEffect::Nothing);
const REJECTED: Verdict = verdict(Disposition::Done(OutcomeKind::Rejected), SideEffect::Nothing);
const UNKNOWN: Verdict = verdict(Disposition::Done(OutcomeKind::Unknown), SideEffect::Nothing);
const DEAD: Verdict = verdict(Disposition::Done(OutcomeKind::Rejected), SideEffect::DeadToken);
const BROKEN: Verdict = verdict(Disposition::Done(OutcomeKind::NotSent), SideEffect::CredentialBroken);
const ELSEWHERE: Verdict = verdict(Disposition::Resend, SideEffect::LeaveConnection);

/// Judges Apple's answer (`apns-protocol` 9) to the `attempts`-th attempt. Only a 200 is `accepted`. An answer is
/// `unknown` only if Apple's table has no row for it.
pub fn answered(response: &Response, attempts: u16) -> Verdict {
    match (response.status, &response.reason) {
        (200, _) => ACCEPTED,
        (400..=599, Some(Reason::Apple(reason))) => refused(*reason, attempts),
        (410, _) => DEAD,
        (429, _) => verdict(Disposition::Later(Pause::Token), SideEffect::Nothing),
        (400..=499, _) => REJECTED,
        (500..=599, _) => verdict(Disposition::Later(Pause::Service), SideEffect::Nothing),
        _ => UNKNOWN,
    }
}

/// The verdict of each of Apple's reasons, grouped by cause. A new reason does not compile until it is listed.
fn refused(reason: AppleReason, attempts: u16) -> Verdict {
    use AppleReason as R;
    match reason {
        // The request is at fault.
        R::BadCollapseId
        | R::BadExpirationDate
        | R::BadMessageId
        | R::BadPriority
        | R::DuplicateHeaders
        | R::InvalidPushType
        | R::MissingDeviceToken
        | R::PayloadEmpty
        | R::PayloadTooLarge
        | R::BadPath
        | R::MethodNotAllowed
        | R::MissingChannelId
        | R::BadChannelId
        | R::BadRequestParams
        | R::BadRequestPayload
        | R::MissingPushType => REJECTED,
        // The topic or the app's configuration is at fault.
        R::BadTopic | R::MissingTopic | R::TopicDisallowed | R::TopicMismatch | R::DeviceTokenNotForTopic => REJECTED,
        // The app's channels at Apple are at fault.
        R::FeatureNotEnabled
        | R::BroadcastFeatureNotEnabled
        | R::ChannelNotRegistered
        | R::CannotCreateChannelConfig => REJECTED,
        // The device token is at fault.
        R::BadDeviceToken | R::Unregistered | R::ExpiredToken => DEAD,
        R::TooManyRequests => verdict(Disposition::Later(Pause::Token), SideEffect::Nothing),
        // The credential is at fault.
        R::BadCertificate
        | R::BadCertificateEnvironment
        | R::Forbidden
        | R::InvalidProviderToken
        | R::MissingProviderToken
        | R::BadEnvironmentKeyIdInToken
        | R::BadEnvironmentKeyInToken => BROKEN,
        // This connection is at fault: another one may work. If the credential may be at fault, only once.
        R::IdleTimeout | R::Shutdown => ELSEWHERE,
        R::ExpiredProviderToken | R::UnrelatedKeyIdInToken if attempts <= 1 => ELSEWHERE,
        R::ExpiredProviderToken | R::UnrelatedKeyIdInToken => BROKEN,
        R::TooManyProviderTokenUpdates => verdict(Disposition::Later(Pause::Service), SideEffect::LeaveConnection),
        // Apple is at fault.
        R::InternalServerError | R::ServiceUnavailable => {
            verdict(Disposition::Later(Pause::Service), SideEffect::Nothing)
        }
    }
}

/// Judges an attempt that ended without an answer. `retry_unknown`: the caller prefers a duplicate to a loss.
pub fn unanswered(end: &End, retry_unknown: bool) -> (Verdict, NodeReason) {
    let reason = match end.cause {
        Cause::Refused => NodeReason::StreamRefused,
        Cause::AboveLastId => NodeReason::GoneAway,
        Cause::Reset(_) | Cause::WindowTooSmall => NodeReason::StreamReset,
        Cause::Malformed | Cause::HeadersTooLarge => NodeReason::MalformedAnswer,
        Cause::Cancelled => NodeReason::DeadlinePassed,
        Cause::Closed => NodeReason::ConnectionLost,
    };
    let disposition = match end.processed {
        Processed::No => Disposition::Resend,
        Processed::Maybe if retry_unknown => Disposition::Resend,
        Processed::Maybe => Disposition::Done(OutcomeKind::Unknown),
    };
    (verdict(disposition, SideEffect::Nothing), reason)
}

/// The side effect of a GOAWAY, by its reason (`apns-protocol` 10). A broken certificate concerns every connection of
/// the app. Answers to notifications report all other faults of more than one connection.
pub fn gone_away(reason: Option<&Reason>) -> SideEffect {
    match reason {
        Some(Reason::Apple(AppleReason::BadCertificate | AppleReason::BadCertificateEnvironment)) => {
            SideEffect::CredentialBroken
        }
        _ => SideEffect::LeaveConnection,
    }
}

#[cfg(test)]
mod tests;
