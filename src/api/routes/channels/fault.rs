//! The failures of calls of channels, with the cause and the remedy.

use super::{advice, outcome_of};
use crate::apns::channels::Call;
use crate::delivery::calls::CallResult;
use crate::model::{AppleReason, NodeReason, OutcomeKind, Reason};
use crate::registry::App;
use axum::http::StatusCode;
use serde_json::Value;

/// A call that Apple did not do, or of which nobody knows it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{sentence}")]
pub struct ChannelFault {
    pub kind: OutcomeKind,
    status: StatusCode,
    reason: &'static str,
    sentence: String,
    args: Vec<(&'static str, Value)>,
}

/// `Retry-After` of a failure of Apple's service, in seconds.
const RETRY_AFTER_SECONDS: u32 = 5;

impl ChannelFault {
    /// The failure of a call that is not accepted.
    pub fn of(call: &Call, app: &App, result: &CallResult) -> Self {
        let (kind, cause) = (result.outcome.kind, result.outcome.reason.as_ref());
        let (status, reason) = status_and_reason(call, result);
        let named = cause.map_or_else(String::new, |cause| format!(" ({cause})"));
        let detail = result.detail.as_deref().map_or_else(String::new, |detail| format!("; {detail}"));
        let sentence = match (kind, call, reason) {
            (OutcomeKind::Unknown, Call::Create(_), _) => format!(
                "Apple got the request and no answer came{named}: the channel may exist; GET …/channels lists the \
                 channels, look there before you create another{detail}"
            ),
            (OutcomeKind::Unknown, _, "unknown") => format!(
                "Apple got the request and no answer came{named}: the channel may still exist; send the DELETE \
                 again{detail}"
            ),
            (OutcomeKind::Unknown, _, _) => format!(
                "Apple's answer{named} is not what its interface promises: a proxy on the way may have changed it, or \
                 Apple may have changed its interface; look for a newer version of pyapns, or report it with the \
                 request's id"
            ),
            (_, _, "unknown_channel") => with_reason(cause, advice::advice(&AppleReason::BadChannelId.into(), app)),
            _ => match cause.and_then(|cause| advice::advice(cause, app)) {
                Some(advice) => with_reason(cause, Some(advice)),
                None if reason == "credential_error" => format!(
                    "nothing was sent{named}: {}",
                    result.detail.as_deref().unwrap_or("Apple refuses the app's credential: provision the app again")
                ),
                None if kind == OutcomeKind::NotSent => {
                    format!("Apple did not do it{named}, and nothing was changed: send the request again{detail}")
                }
                None => with_reason(cause, None),
            },
        };
        let channel = match call {
            Call::Read(id) | Call::Delete(id) => Some(Value::from(id.as_str())),
            _ => None,
        };
        let said = outcome_of(result).into_iter().chain([("channel", channel)]);
        let args = said.filter_map(|(name, value)| Some((name, value?))).collect();
        Self { kind, status, reason, sentence, args }
    }

    pub fn status_and_reason(&self) -> (StatusCode, &'static str) {
        (self.status, self.reason)
    }

    /// The call's outcome, with Apple's status and reason; the channel, if the call names one.
    pub fn args(&self) -> Value {
        self.args
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// Seconds after which the same request may succeed.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        matches!(self.reason, "apple_rate_limit" | "apple_unavailable").then_some(RETRY_AFTER_SECONDS)
    }
}

fn with_reason(cause: Option<&Reason>, advice: Option<String>) -> String {
    let cause = cause.map_or("no reason", Reason::as_str);
    match advice {
        Some(advice) => format!("Apple refuses it ({cause}): {advice}"),
        None => format!("Apple refuses it ({cause}): pyapns does not know this reason; see Apple's documentation"),
    }
}

/// The table of statuses and reasons.
fn status_and_reason(call: &Call, result: &CallResult) -> (StatusCode, &'static str) {
    use AppleReason as R;
    use StatusCode as S;
    const UNAVAILABLE: (S, &str) = (S::SERVICE_UNAVAILABLE, "apple_unavailable");
    if result.outcome.kind == OutcomeKind::Unknown {
        return if call.is_reading() { (S::BAD_GATEWAY, "malformed_answer") } else { (S::GATEWAY_TIMEOUT, "unknown") };
    }
    let of_one = matches!(call, Call::Read(_) | Call::Delete(_));
    match result.outcome.reason {
        Some(Reason::Apple(reason)) => match reason {
            R::FeatureNotEnabled | R::BroadcastFeatureNotEnabled => (S::CONFLICT, "broadcast_not_enabled"),
            R::BadChannelId | R::ChannelNotRegistered => (S::NOT_FOUND, "unknown_channel"),
            R::BadPath if of_one => (S::NOT_FOUND, "unknown_channel"),
            R::CannotCreateChannelConfig => (S::CONFLICT, "channel_limit"),
            R::TopicDisallowed | R::TopicMismatch | R::BadTopic | R::MissingTopic => (S::CONFLICT, "topic_not_allowed"),
            R::TooManyRequests => (S::TOO_MANY_REQUESTS, "apple_rate_limit"),
            R::TooManyProviderTokenUpdates
            | R::InternalServerError
            | R::ServiceUnavailable
            | R::Shutdown
            | R::IdleTimeout => UNAVAILABLE,
            _ if result.outcome.status == Some(403) => (S::CONFLICT, "credential_error"),
            _ => (S::BAD_GATEWAY, "refused_by_apple"),
        },
        Some(Reason::Node(NodeReason::CredentialError)) => (S::CONFLICT, "credential_error"),
        _ if result.outcome.kind == OutcomeKind::NotSent => UNAVAILABLE,
        _ => (S::BAD_GATEWAY, "refused_by_apple"),
    }
}
