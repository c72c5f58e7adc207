//! The entry for a dead token. `delivery/verdict` decides which answers mean a dead token.

use crate::model::{AppKey, Feedback, Outcome, Reason};

/// The reason of a 410 without one.
const REASON_DEFAULT: &str = "Unregistered";

/// A timestamp below this is in seconds: as milliseconds it would be before 1973-03-03, and seconds reach it in the
/// year 5138.
const MILLISECONDS_FROM: u64 = 100_000_000_000;
/// 2008-01-01, in UNIX seconds. APNs is younger (2009), so that no token can have died before.
const EARLIEST: f64 = 1_199_145_600.0;

/// The feedback for a token that Apple's answer reports as dead. `dead_since` is the timestamp in the answer, in
/// milliseconds since the epoch (seconds below 10^11); without a plausible one, the time of the answer is used
/// (apns-protocol.md 12.3).
pub fn of_dead_token(app: &AppKey, token: &str, outcome: &Outcome, dead_since: Option<u64>) -> Feedback {
    let reason = outcome.reason.as_ref().map_or(REASON_DEFAULT, Reason::as_str).to_owned();
    let timestamp = dead_since.map_or(outcome.timestamp, |since| possible(since, outcome.timestamp));
    Feedback { app: app.clone(), token: token.to_owned(), reason, timestamp }
}

/// Apple's timestamp in UNIX seconds, or `answered` if the timestamp is implausible. The store keeps the entry with the
/// newest timestamp, so that the year 60,000 would never be replaced. Callers compare it with the token's last
/// registration, so that 1970 would never remove a token.
fn possible(since: u64, answered: f64) -> f64 {
    let seconds = if since < MILLISECONDS_FROM { since as f64 } else { since as f64 / 1_000.0 };
    if (EARLIEST..=answered).contains(&seconds) { seconds } else { answered }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppId, AppleReason, Environment, OutcomeKind};

    fn feedback(reason: Option<Reason>, dead_since: Option<u64>) -> (String, f64) {
        let app = AppKey::new(AppId::new("shop").unwrap(), Environment::Sandbox);
        let outcome =
            Outcome { kind: OutcomeKind::Rejected, status: Some(410), reason, timestamp: 1_800_000_000.5, attempts: 1 };
        let entry = of_dead_token(&app, "00fc", &outcome, dead_since);
        (entry.reason, entry.timestamp)
    }

    #[test]
    fn a_dead_token_has_apples_timestamp_or_else_the_time_of_the_answer() {
        let expired = Some(Reason::Apple(AppleReason::ExpiredToken));
        assert_eq!(feedback(expired, Some(1_700_000_000_250)), ("ExpiredToken".into(), 1_700_000_000.25));
        assert_eq!(feedback(None, None), ("Unregistered".into(), 1_800_000_000.5));
    }

    #[test]
    fn a_timestamp_in_seconds_is_read_as_seconds() {
        assert_eq!(feedback(None, Some(1_700_000_000)).1, 1_700_000_000.0);
        assert_eq!(feedback(None, Some(1_200_000_000_000)).1, 1_200_000_000.0);
    }

    #[test]
    fn an_implausible_timestamp_is_replaced_by_the_time_of_the_answer() {
        let answered = 1_800_000_000.5;
        let (future, microseconds, nanoseconds) = (1_800_000_001_000, 1_700_000_000_000_000, 1_700_000_000_000_000_000);
        let before_apns = [0, 17, 1_100_000_000, 100_000_000_000];
        for odd in [future, 1_800_000_001, microseconds, nanoseconds, u64::MAX].into_iter().chain(before_apns) {
            assert_eq!(feedback(None, Some(odd)).1, answered, "{odd}");
        }
        assert_eq!(feedback(None, Some(1_800_000_000_500)).1, answered, "just now is possible");
    }
}
