//! A row for each reason of Apple's, and for each way a stream can end.

use super::*;

fn response(status: u16, reason: Option<Reason>) -> Response {
    Response { status, reason, dead_since: None, retry_after_seconds: None }
}

const LATER: Fate = Fate::Later(Pause::Service);
const DONE: Fate = Fate::Done(OutcomeKind::Rejected);

/// (status, reason as on the wire, fate, what it says beyond), from Apple's table.
const ROWS: &[(u16, &str, Fate, Beyond)] = &[
    (400, "BadCollapseId", DONE, Beyond::Nothing),
    (400, "BadDeviceToken", DONE, Beyond::DeadToken),
    (400, "BadExpirationDate", DONE, Beyond::Nothing),
    (400, "BadMessageId", DONE, Beyond::Nothing),
    (400, "BadPriority", DONE, Beyond::Nothing),
    (400, "BadTopic", DONE, Beyond::Nothing),
    (400, "DeviceTokenNotForTopic", DONE, Beyond::Nothing),
    (400, "DuplicateHeaders", DONE, Beyond::Nothing),
    (400, "IdleTimeout", Fate::Resend, Beyond::LeaveConnection),
    (400, "InvalidPushType", DONE, Beyond::Nothing),
    (400, "MissingDeviceToken", DONE, Beyond::Nothing),
    (400, "MissingTopic", DONE, Beyond::Nothing),
    (400, "PayloadEmpty", DONE, Beyond::Nothing),
    (400, "TopicDisallowed", DONE, Beyond::Nothing),
    (403, "BadCertificate", Fate::Done(OutcomeKind::NotSent), Beyond::CredentialBroken),
    (403, "BadCertificateEnvironment", Fate::Done(OutcomeKind::NotSent), Beyond::CredentialBroken),
    (403, "ExpiredProviderToken", Fate::Resend, Beyond::LeaveConnection),
    (403, "Forbidden", Fate::Done(OutcomeKind::NotSent), Beyond::CredentialBroken),
    (403, "InvalidProviderToken", Fate::Done(OutcomeKind::NotSent), Beyond::CredentialBroken),
    (403, "MissingProviderToken", Fate::Done(OutcomeKind::NotSent), Beyond::CredentialBroken),
    (403, "UnrelatedKeyIdInToken", Fate::Resend, Beyond::LeaveConnection),
    (403, "BadEnvironmentKeyIdInToken", Fate::Done(OutcomeKind::NotSent), Beyond::CredentialBroken),
    (403, "BadEnvironmentKeyInToken", Fate::Done(OutcomeKind::NotSent), Beyond::CredentialBroken),
    (403, "TopicMismatch", DONE, Beyond::Nothing),
    (404, "BadPath", DONE, Beyond::Nothing),
    (405, "MethodNotAllowed", DONE, Beyond::Nothing),
    (410, "Unregistered", DONE, Beyond::DeadToken),
    (410, "ExpiredToken", DONE, Beyond::DeadToken),
    (413, "PayloadTooLarge", DONE, Beyond::Nothing),
    (429, "TooManyProviderTokenUpdates", LATER, Beyond::LeaveConnection),
    (429, "TooManyRequests", Fate::Later(Pause::Token), Beyond::Nothing),
    (500, "InternalServerError", LATER, Beyond::Nothing),
    (503, "ServiceUnavailable", LATER, Beyond::Nothing),
    (503, "Shutdown", Fate::Resend, Beyond::LeaveConnection),
];

#[test]
fn every_reason_of_apples_has_its_verdict() {
    for &(status, text, fate, beyond) in ROWS {
        let reason = AppleReason::parse(text).unwrap_or_else(|| panic!("{text} is a reason"));
        assert_eq!(answered(&response(status, Some(reason.into())), 1), Verdict { fate, beyond }, "{text}");
    }
    for reason in AppleReason::ALL {
        assert!(ROWS.iter().any(|row| row.1 == reason.as_str()), "{} has no row", reason.as_str());
    }
}

#[test]
fn a_token_that_stays_expired_on_a_new_connection_is_the_credentials_fault() {
    for reason in [AppleReason::ExpiredProviderToken, AppleReason::UnrelatedKeyIdInToken] {
        let second = answered(&response(403, Some(reason.into())), 2);
        assert_eq!(second, Verdict { fate: Fate::Done(OutcomeKind::NotSent), beyond: Beyond::CredentialBroken });
    }
}

#[test]
fn only_a_200_is_accepted() {
    for status in 100..=999 {
        let accepted = answered(&response(status, None), 1).fate == Fate::Done(OutcomeKind::Accepted);
        assert_eq!(accepted, status == 200, "{status}");
    }
}

#[test]
fn a_reason_that_apple_does_not_document_is_judged_by_its_status() {
    let novel = || Some(Reason::Unlisted("Novelty".into()));
    let rows = [
        (400, DONE, Beyond::Nothing),
        (403, DONE, Beyond::Nothing),
        (410, DONE, Beyond::DeadToken),
        (429, Fate::Later(Pause::Token), Beyond::Nothing),
        (500, LATER, Beyond::Nothing),
        (503, LATER, Beyond::Nothing),
        (302, Fate::Done(OutcomeKind::Unknown), Beyond::Nothing),
        (201, Fate::Done(OutcomeKind::Unknown), Beyond::Nothing),
    ];
    for (status, fate, beyond) in rows {
        assert_eq!(answered(&response(status, novel()), 1), Verdict { fate, beyond }, "{status}");
        assert_eq!(answered(&response(status, None), 1), Verdict { fate, beyond }, "{status} without a reason");
    }
}

#[test]
fn every_way_a_stream_can_end_has_its_verdict() {
    let unknown = Fate::Done(OutcomeKind::Unknown);
    let rows = [
        (Processed::No, Cause::Refused, NodeReason::StreamRefused, Fate::Resend),
        (Processed::No, Cause::AboveLastId, NodeReason::GoneAway, Fate::Resend),
        (Processed::No, Cause::Cancelled, NodeReason::DeadlinePassed, Fate::Resend),
        (Processed::No, Cause::Closed, NodeReason::ConnectionLost, Fate::Resend),
        (Processed::Maybe, Cause::Reset(8), NodeReason::StreamReset, unknown),
        (Processed::Maybe, Cause::Malformed, NodeReason::MalformedAnswer, unknown),
        (Processed::Maybe, Cause::HeadersTooLarge, NodeReason::MalformedAnswer, unknown),
        (Processed::Maybe, Cause::WindowTooSmall, NodeReason::StreamReset, unknown),
        (Processed::Maybe, Cause::Cancelled, NodeReason::DeadlinePassed, unknown),
        (Processed::Maybe, Cause::Closed, NodeReason::ConnectionLost, unknown),
    ];
    for (processed, cause, reason, fate) in rows {
        let end = End { processed, cause };
        assert_eq!(unanswered(&end, false), (Verdict { fate, beyond: Beyond::Nothing }, reason));
        let (asked, _) = unanswered(&end, true);
        assert_eq!(asked.fate, Fate::Resend, "a caller who prefers a duplicate gets a resend");
    }
}

#[test]
fn every_reason_of_a_goaway_has_its_verdict() {
    let blaming = [AppleReason::BadCertificate, AppleReason::BadCertificateEnvironment];
    for reason in AppleReason::ALL {
        let expected = if blaming.contains(reason) { Beyond::CredentialBroken } else { Beyond::LeaveConnection };
        assert_eq!(gone_away(Some(&(*reason).into())), expected, "{}", reason.as_str());
    }
    assert_eq!(gone_away(Some(&Reason::Unlisted("Novelty".into()))), Beyond::LeaveConnection);
    assert_eq!(gone_away(None), Beyond::LeaveConnection, "without debug data, or with what is no JSON");
}

/// Does not compile until a new way to end has its place here, and so its row above.
#[test]
fn no_way_to_end_is_forgotten() {
    let is_known = |cause: Cause| match cause {
        Cause::Refused | Cause::AboveLastId | Cause::Cancelled | Cause::Closed => true,
        Cause::Reset(_) | Cause::Malformed | Cause::HeadersTooLarge | Cause::WindowTooSmall => true,
    };
    // All codes of RFC 9113 7 but the one that is a proof, and one that nobody has defined.
    for code in (0..=13).filter(|code| *code != 7).chain([0xffff]) {
        assert!(is_known(Cause::Reset(code)));
        let (verdict, reason) = unanswered(&End { processed: Processed::Maybe, cause: Cause::Reset(code) }, false);
        assert_eq!((verdict.fate, reason), (Fate::Done(OutcomeKind::Unknown), NodeReason::StreamReset), "{code}");
    }
}
