//! The entry for a dead token. Which answers mean one is decided in `delivery/verdict`.

use crate::model::{AppKey, Feedback, Outcome, Reason};

/// The reason of a 410 that gave none.
const REASON_DEFAULT: &str = "Unregistered";

/// The feedback for a token that the outcome's answer says is dead. `dead_since` is Apple's timestamp in the answer, in
/// milliseconds since the epoch; without one, the token counts as dead since the answer (apns-protocol.md 12.3).
pub fn of_dead_token(app: &AppKey, token: &str, outcome: &Outcome, dead_since: Option<u64>) -> Feedback {
    let reason = outcome.reason.as_ref().map_or(REASON_DEFAULT, Reason::as_str).to_owned();
    let timestamp = dead_since.map_or(outcome.timestamp, |millis| millis as f64 / 1_000.0);
    Feedback { app: app.clone(), token: token.to_owned(), reason, timestamp }
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
    fn a_dead_token_is_dead_since_apple_says_so_else_since_the_answer() {
        let expired = Some(Reason::Apple(AppleReason::ExpiredToken));
        assert_eq!(feedback(expired, Some(1_700_000_000_250)), ("ExpiredToken".into(), 1_700_000_000.25));
        assert_eq!(feedback(None, None), ("Unregistered".into(), 1_800_000_000.5));
    }
}
