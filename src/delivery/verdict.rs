//! The verdict on an answer, or on the lack of one. Only this file decides it. Pure.

use crate::apns::response::Response;
use crate::model::{AppleReason, NodeReason, OutcomeKind, Reason};
use http2::{Cause, End, Processed};

/// The consequence for the notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It ended so, for good.
    Done(OutcomeKind),
    /// Apple provably did not take it: to be sent again, at once the first time.
    Resend,
    /// Apple's "not now": to be sent again after a pause, within the budget of retries.
    Later(Pause),
}

/// The kind of pause that an answer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// The service has trouble.
    Service,
    /// This device token gets too much: at least a second, doubling.
    Token,
}

/// The consequence beyond the one notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideEffect {
    Nothing,
    /// The token is dead for this app: feedback.
    DeadToken,
    /// This connection is of no more use; others may be.
    LeaveConnection,
    /// The app's credential does not work until it is replaced or Apple changes its mind.
    CredentialBroken,
}

/// A verdict on one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub disposition: Disposition,
    pub side_effect: SideEffect,
}

impl Verdict {
    /// The same answer where the app was given another credential meanwhile: what Apple says of the former one stops
    /// nothing, and the new one may do.
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

/// Judges Apple's answer (`apns-protocol` 9) to the `attempts`-th attempt. Only a 200 is `accepted`; after any answer
/// nothing is `unknown` but what no row of Apple's table covers.
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

/// Each reason of Apple's, grouped by whose fault it is. A new one does not compile until it is placed.
fn refused(reason: AppleReason, attempts: u16) -> Verdict {
    use AppleReason as R;
    match reason {
        // The request's.
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
        | R::MethodNotAllowed => REJECTED,
        // The topic's, or the app's configuration.
        R::BadTopic | R::MissingTopic | R::TopicDisallowed | R::TopicMismatch | R::DeviceTokenNotForTopic => REJECTED,
        // The token's.
        R::BadDeviceToken | R::Unregistered | R::ExpiredToken => DEAD,
        R::TooManyRequests => verdict(Disposition::Later(Pause::Token), SideEffect::Nothing),
        // The credential's.
        R::BadCertificate
        | R::BadCertificateEnvironment
        | R::Forbidden
        | R::InvalidProviderToken
        | R::MissingProviderToken
        | R::BadEnvironmentKeyIdInToken
        | R::BadEnvironmentKeyInToken => BROKEN,
        // This connection's: another one may do; where the credential may be to blame, once.
        R::IdleTimeout | R::Shutdown => ELSEWHERE,
        R::ExpiredProviderToken | R::UnrelatedKeyIdInToken if attempts <= 1 => ELSEWHERE,
        R::ExpiredProviderToken | R::UnrelatedKeyIdInToken => BROKEN,
        R::TooManyProviderTokenUpdates => verdict(Disposition::Later(Pause::Service), SideEffect::LeaveConnection),
        // Apple's own.
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

/// Judges the reason of a GOAWAY (`apns-protocol` 10), where it gives one: whether it blames more than its connection.
/// Only the certificate is the connection's own; all else that may be wrong has been, or will be, said of a
/// notification.
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
