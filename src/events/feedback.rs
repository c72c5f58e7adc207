//! Which outcomes mean a dead token, and since when it is dead.

use crate::model::{AppKey, AppleReason, Feedback, Outcome, Reason};

/// The feedback that an outcome gives rise to, if any. `dead_since` is Apple's timestamp in the answer, in
/// milliseconds since the epoch; without one, the token counts as dead since the answer (apns-protocol.md 12.3).
pub fn from_outcome(app: &AppKey, token: &str, outcome: &Outcome, dead_since: Option<u64>) -> Option<Feedback> {
    use AppleReason::{BadDeviceToken, ExpiredToken, Unregistered};
    let reason = match outcome.reason {
        Some(Reason::Apple(reason @ (Unregistered | ExpiredToken | BadDeviceToken))) => reason,
        _ => return None,
    };
    let timestamp = dead_since.map_or(outcome.timestamp, |millis| millis as f64 / 1_000.0);
    Some(Feedback { app: app.clone(), token: token.to_owned(), reason: reason.as_str().to_owned(), timestamp })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppId, Environment, NodeReason, OutcomeKind};

    fn feedback(reason: Option<Reason>, dead_since: Option<u64>) -> Option<(String, f64)> {
        let app = AppKey::new(AppId::new("shop").unwrap(), Environment::Sandbox);
        let outcome =
            Outcome { kind: OutcomeKind::Rejected, status: Some(410), reason, timestamp: 1_800_000_000.5, attempts: 1 };
        from_outcome(&app, "00fc", &outcome, dead_since).map(|entry| (entry.reason, entry.timestamp))
    }

    #[test]
    fn a_dead_token_is_dead_since_apple_says_so_else_since_the_answer() {
        let unregistered = Some(Reason::Apple(AppleReason::Unregistered));
        assert_eq!(
            feedback(unregistered.clone(), Some(1_700_000_000_250)),
            Some(("Unregistered".into(), 1_700_000_000.25))
        );
        assert_eq!(feedback(unregistered, None), Some(("Unregistered".into(), 1_800_000_000.5)));
    }

    #[test]
    fn three_of_apples_reasons_mean_a_dead_token_and_nothing_else_does() {
        let dead: Vec<_> =
            AppleReason::ALL.iter().filter(|reason| feedback(Some((**reason).into()), None).is_some()).collect();
        assert_eq!(dead, [&AppleReason::BadDeviceToken, &AppleReason::ExpiredToken, &AppleReason::Unregistered]);
        assert_eq!(feedback(Some(Reason::Unlisted("TokenIsOdd".into())), None), None);
        assert_eq!(feedback(Some(NodeReason::ConnectionLost.into()), None), None);
        assert_eq!(feedback(None, None), None);
    }
}
