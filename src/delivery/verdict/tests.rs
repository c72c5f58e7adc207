//! Tests with a row for each of Apple's reasons, and for each end of a stream.

use super::*;

fn response(status: u16, reason: Option<Reason>) -> Response {
    Response { status, reason, dead_since: None, retry_after_seconds: None }
}

const LATER: Disposition = Disposition::Later(Pause::Service);
const DONE: Disposition = Disposition::Done(OutcomeKind::Rejected);

/// (status, reason on the wire, disposition, side effect), from Apple's table.
const ROWS: &[(u16, &str, Disposition, SideEffect)] = &[
    (400, "BadCollapseId", DONE, SideEffect::Nothing),
    (400, "BadDeviceToken", DONE, SideEffect::DeadToken),
    (400, "BadExpirationDate", DONE, SideEffect::Nothing),
    (400, "BadMessageId", DONE, SideEffect::Nothing),
    (400, "BadPriority", DONE, SideEffect::Nothing),
    (400, "BadTopic", DONE, SideEffect::Nothing),
    (400, "DeviceTokenNotForTopic", DONE, SideEffect::Nothing),
    (400, "DuplicateHeaders", DONE, SideEffect::Nothing),
    (400, "IdleTimeout", Disposition::Resend, SideEffect::LeaveConnection),
    (400, "InvalidPushType", DONE, SideEffect::Nothing),
    (400, "MissingDeviceToken", DONE, SideEffect::Nothing),
    (400, "MissingTopic", DONE, SideEffect::Nothing),
    (400, "PayloadEmpty", DONE, SideEffect::Nothing),
    (400, "TopicDisallowed", DONE, SideEffect::Nothing),
    (403, "BadCertificate", Disposition::Done(OutcomeKind::NotSent), SideEffect::CredentialBroken),
    (403, "BadCertificateEnvironment", Disposition::Done(OutcomeKind::NotSent), SideEffect::CredentialBroken),
    (403, "ExpiredProviderToken", Disposition::Resend, SideEffect::LeaveConnection),
    (403, "Forbidden", Disposition::Done(OutcomeKind::NotSent), SideEffect::CredentialBroken),
    (403, "InvalidProviderToken", Disposition::Done(OutcomeKind::NotSent), SideEffect::CredentialBroken),
    (403, "MissingProviderToken", Disposition::Done(OutcomeKind::NotSent), SideEffect::CredentialBroken),
    (403, "UnrelatedKeyIdInToken", Disposition::Resend, SideEffect::LeaveConnection),
    (403, "BadEnvironmentKeyIdInToken", Disposition::Done(OutcomeKind::NotSent), SideEffect::CredentialBroken),
    (403, "BadEnvironmentKeyInToken", Disposition::Done(OutcomeKind::NotSent), SideEffect::CredentialBroken),
    (403, "TopicMismatch", DONE, SideEffect::Nothing),
    (404, "BadPath", DONE, SideEffect::Nothing),
    (405, "MethodNotAllowed", DONE, SideEffect::Nothing),
    (410, "Unregistered", DONE, SideEffect::DeadToken),
    (410, "ExpiredToken", DONE, SideEffect::DeadToken),
    (413, "PayloadTooLarge", DONE, SideEffect::Nothing),
    (429, "TooManyProviderTokenUpdates", LATER, SideEffect::LeaveConnection),
    (429, "TooManyRequests", Disposition::Later(Pause::Token), SideEffect::Nothing),
    (500, "InternalServerError", LATER, SideEffect::Nothing),
    (503, "ServiceUnavailable", LATER, SideEffect::Nothing),
    (503, "Shutdown", Disposition::Resend, SideEffect::LeaveConnection),
    (400, "FeatureNotEnabled", DONE, SideEffect::Nothing),
    (400, "BroadcastFeatureNotEnabled", DONE, SideEffect::Nothing),
    (400, "MissingChannelId", DONE, SideEffect::Nothing),
    (400, "BadChannelId", DONE, SideEffect::Nothing),
    (400, "ChannelNotRegistered", DONE, SideEffect::Nothing),
    (400, "BadRequestParams", DONE, SideEffect::Nothing),
    (400, "BadRequestPayload", DONE, SideEffect::Nothing),
    (400, "MissingPushType", DONE, SideEffect::Nothing),
    (400, "CannotCreateChannelConfig", DONE, SideEffect::Nothing),
];

#[test]
fn every_reason_of_apple_has_its_verdict() {
    for &(status, text, disposition, side_effect) in ROWS {
        let reason = AppleReason::parse(text).unwrap_or_else(|| panic!("{text} is a reason"));
        assert_eq!(answered(&response(status, Some(reason.into())), 1), Verdict { disposition, side_effect }, "{text}");
    }
    for reason in AppleReason::ALL {
        assert!(ROWS.iter().any(|row| row.1 == reason.as_str()), "{} has no row", reason.as_str());
    }
}

#[test]
fn a_token_that_stays_expired_on_a_new_connection_is_the_credentials_fault() {
    for reason in [AppleReason::ExpiredProviderToken, AppleReason::UnrelatedKeyIdInToken] {
        let second = answered(&response(403, Some(reason.into())), 2);
        assert_eq!(
            second,
            Verdict { disposition: Disposition::Done(OutcomeKind::NotSent), side_effect: SideEffect::CredentialBroken }
        );
    }
}

#[test]
fn only_a_200_is_accepted() {
    for status in 100..=999 {
        let accepted = answered(&response(status, None), 1).disposition == Disposition::Done(OutcomeKind::Accepted);
        assert_eq!(accepted, status == 200, "{status}");
    }
}

#[test]
fn a_reason_that_apple_does_not_document_is_judged_by_its_status() {
    let novel = || Some(Reason::Unlisted("Novelty".into()));
    let rows = [
        (400, DONE, SideEffect::Nothing),
        (403, DONE, SideEffect::Nothing),
        (410, DONE, SideEffect::DeadToken),
        (429, Disposition::Later(Pause::Token), SideEffect::Nothing),
        (500, LATER, SideEffect::Nothing),
        (503, LATER, SideEffect::Nothing),
        (302, Disposition::Done(OutcomeKind::Unknown), SideEffect::Nothing),
        (201, Disposition::Done(OutcomeKind::Unknown), SideEffect::Nothing),
    ];
    for (status, disposition, side_effect) in rows {
        assert_eq!(answered(&response(status, novel()), 1), Verdict { disposition, side_effect }, "{status}");
        assert_eq!(
            answered(&response(status, None), 1),
            Verdict { disposition, side_effect },
            "{status} without a reason"
        );
    }
}

#[test]
fn every_end_of_a_stream_has_its_verdict() {
    let unknown = Disposition::Done(OutcomeKind::Unknown);
    let rows = [
        (Processed::No, Cause::Refused, NodeReason::StreamRefused, Disposition::Resend),
        (Processed::No, Cause::AboveLastId, NodeReason::GoneAway, Disposition::Resend),
        (Processed::No, Cause::Cancelled, NodeReason::DeadlinePassed, Disposition::Resend),
        (Processed::No, Cause::Closed, NodeReason::ConnectionLost, Disposition::Resend),
        (Processed::Maybe, Cause::Reset(8), NodeReason::StreamReset, unknown),
        (Processed::Maybe, Cause::Malformed, NodeReason::MalformedAnswer, unknown),
        (Processed::Maybe, Cause::HeadersTooLarge, NodeReason::MalformedAnswer, unknown),
        (Processed::Maybe, Cause::WindowTooSmall, NodeReason::StreamReset, unknown),
        (Processed::Maybe, Cause::Cancelled, NodeReason::DeadlinePassed, unknown),
        (Processed::Maybe, Cause::Closed, NodeReason::ConnectionLost, unknown),
    ];
    for (processed, cause, reason, disposition) in rows {
        let end = End { processed, cause };
        assert_eq!(unanswered(&end, false), (Verdict { disposition, side_effect: SideEffect::Nothing }, reason));
        let (asked, _) = unanswered(&end, true);
        assert_eq!(asked.disposition, Disposition::Resend, "a caller who prefers a duplicate gets a resend");
    }
}

#[test]
fn every_reason_of_a_goaway_has_its_verdict() {
    let blaming = [AppleReason::BadCertificate, AppleReason::BadCertificateEnvironment];
    for reason in AppleReason::ALL {
        let expected =
            if blaming.contains(reason) { SideEffect::CredentialBroken } else { SideEffect::LeaveConnection };
        assert_eq!(gone_away(Some(&(*reason).into())), expected, "{}", reason.as_str());
    }
    assert_eq!(gone_away(Some(&Reason::Unlisted("Novelty".into()))), SideEffect::LeaveConnection);
    assert_eq!(gone_away(None), SideEffect::LeaveConnection, "without debug data, or with invalid JSON");
}

/// Does not compile until a new kind of end is listed here, as a reminder of its row above.
#[test]
fn no_end_of_a_stream_is_forgotten() {
    let is_known = |cause: Cause| match cause {
        Cause::Refused | Cause::AboveLastId | Cause::Cancelled | Cause::Closed => true,
        Cause::Reset(_) | Cause::Malformed | Cause::HeadersTooLarge | Cause::WindowTooSmall => true,
    };
    // All codes of RFC 9113 7 except the one that proves no processing, and an undefined one.
    for code in (0..=13).filter(|code| *code != 7).chain([0xffff]) {
        assert!(is_known(Cause::Reset(code)));
        let (verdict, reason) = unanswered(&End { processed: Processed::Maybe, cause: Cause::Reset(code) }, false);
        assert_eq!(
            (verdict.disposition, reason),
            (Disposition::Done(OutcomeKind::Unknown), NodeReason::StreamReset),
            "{code}"
        );
    }
}
