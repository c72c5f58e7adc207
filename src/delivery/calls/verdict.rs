//! The verdict on an answer to a call, where it differs from that of a notification. Pure.

use crate::apns::channels::Call;
use crate::apns::response::Response;
use crate::delivery::verdict::{self, Disposition, Pause, SideEffect, Verdict};
use crate::model::{AppleReason, OutcomeKind, Reason};

/// Judges Apple's answer to the `attempts`-th attempt of a call; `may_be_done`: an earlier attempt had no answer.
pub fn answered(call: &Call, response: &Response, attempts: u16, may_be_done: bool) -> Verdict {
    if is_done(call, response.status) || (may_be_done && is_gone(call, response)) {
        return Verdict { disposition: Disposition::Done(OutcomeKind::Accepted), side_effect: SideEffect::Nothing };
    }
    let Verdict { mut disposition, mut side_effect } = verdict::answered(response, attempts);
    // No call has a device token: a 429 is about the rate of all requests.
    if disposition == Disposition::Later(Pause::Token) {
        disposition = Disposition::Later(Pause::Service);
    }
    if side_effect == SideEffect::DeadToken {
        side_effect = SideEffect::Nothing;
    }
    Verdict { disposition, side_effect }
}

/// Returns true if the status says that Apple did the call. Another 2xx is `unknown`, as for notifications.
fn is_done(call: &Call, status: u16) -> bool {
    match call {
        Call::Create(_) => matches!(status, 200 | 201),
        Call::Delete(_) => matches!(status, 200 | 204),
        Call::Read(_) | Call::List | Call::Broadcast(_) => status == 200,
    }
}

/// Returns true if the channel to be deleted does not exist. Apple answers `BadPath` then, as was observed.
fn is_gone(call: &Call, response: &Response) -> bool {
    use AppleReason as R;
    let gone = [R::BadPath, R::BadChannelId, R::ChannelNotRegistered].map(Reason::Apple);
    matches!(call, Call::Delete(_)) && response.reason.as_ref().is_some_and(|reason| gone.contains(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Broadcast, ChannelId, Priority, StoragePolicy};
    use std::sync::Arc;
    use uuid::Uuid;

    fn response(status: u16, reason: AppleReason) -> Response {
        Response { status, reason: Some(reason.into()), dead_since: None, retry_after_seconds: None }
    }

    const ACCEPTED: Disposition = Disposition::Done(OutcomeKind::Accepted);
    const REJECTED: Disposition = Disposition::Done(OutcomeKind::Rejected);

    #[test]
    fn each_call_has_its_2xx_and_no_other_one_is_accepted() {
        let id = || ChannelId::parse("abcd").unwrap();
        let payload = "{}".into();
        let (identifier, expiry, priority) = (None, 0, Priority::Immediate);
        let broadcast = Broadcast { channel: id(), payload, identifier, id: Uuid::nil(), expiry, priority };
        for (call, done) in [
            (Call::Create(StoragePolicy::NoMessage), &[200, 201][..]),
            (Call::Read(id()), &[200]),
            (Call::List, &[200]),
            (Call::Delete(id()), &[200, 204]),
            (Call::Broadcast(Arc::new(broadcast)), &[200]),
        ] {
            for status in 200..=299 {
                let answer = Response { status, reason: None, dead_since: None, retry_after_seconds: None };
                let expected = if done.contains(&status) { OutcomeKind::Accepted } else { OutcomeKind::Unknown };
                let disposition = answered(&call, &answer, 1, false).disposition;
                assert_eq!(disposition, Disposition::Done(expected), "{status} to {}", call.name());
            }
        }
    }

    #[test]
    fn a_channel_that_is_gone_at_the_second_attempt_was_deleted_by_the_first() {
        let delete = Call::Delete(ChannelId::parse("abcd").unwrap());
        let gone = response(404, AppleReason::BadPath);
        assert_eq!(answered(&delete, &gone, 2, true).disposition, ACCEPTED);
        assert_eq!(answered(&delete, &gone, 1, false).disposition, REJECTED);
        assert_eq!(answered(&Call::List, &gone, 2, true).disposition, REJECTED);
    }

    #[test]
    fn no_answer_makes_feedback_or_rests_a_token() {
        let create = Call::Create(StoragePolicy::NoMessage);
        for reason in [AppleReason::Unregistered, AppleReason::BadDeviceToken] {
            let verdict = answered(&create, &response(410, reason), 1, false);
            assert_eq!((verdict.disposition, verdict.side_effect), (REJECTED, SideEffect::Nothing));
        }
        let busy = answered(&create, &response(429, AppleReason::TooManyRequests), 1, false);
        assert_eq!(busy.disposition, Disposition::Later(Pause::Service));
    }
}
