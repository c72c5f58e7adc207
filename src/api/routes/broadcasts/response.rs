//! Writes the outcomes of broadcasts.

use crate::api::routes::channels::advice;
use crate::delivery::calls::CallResult;
use crate::json;
use crate::model::{Broadcast, Reason};
use crate::registry::App;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// The outcome of a broadcast, as that of a notification with `channel` in place of `token`.
#[derive(Serialize)]
struct BroadcastOutcome<'a> {
    r#type: &'static str,
    identifier: Option<&'a RawValue>,
    channel: &'a str,
    /// The `apns-request-id` of every attempt.
    apns_id: String,
    outcome: &'static str,
    status: Option<u16>,
    reason: Option<&'a str>,
    /// UNIX seconds, to the millisecond.
    timestamp: f64,
    attempts: u16,
    /// The cause and the remedy, if there is advice.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Body<T> {
    response: T,
    code: u16,
}

/// The body of a 201: one outcome per broadcast, in order; a list, or the only outcome.
pub fn write(app: &App, broadcasts: &[Arc<Broadcast>], results: &[CallResult], list: bool) -> Vec<u8> {
    let outcomes: Vec<_> = broadcasts.iter().zip(results).map(|(sent, result)| outcome(app, sent, result)).collect();
    let mut out = Vec::new();
    match &outcomes[..] {
        [one] if !list => json::write(&mut out, &Body { response: one, code: 201 }),
        all => json::write(&mut out, &Body { response: all, code: 201 }),
    }
    out
}

fn outcome<'a>(app: &App, sent: &'a Broadcast, result: &'a CallResult) -> BroadcastOutcome<'a> {
    let outcome = &result.outcome;
    let advice = outcome.reason.as_ref().and_then(|reason| advice::advice(reason, app));
    BroadcastOutcome {
        r#type: "outcome",
        identifier: sent.identifier.as_deref().and_then(|json| serde_json::from_str(json).ok()),
        channel: sent.channel.as_str(),
        apns_id: sent.id.hyphenated().to_string(),
        outcome: outcome.kind.as_str(),
        status: outcome.status,
        reason: outcome.reason.as_ref().map(Reason::as_str),
        timestamp: (outcome.timestamp * 1000.0).round() / 1000.0,
        attempts: outcome.attempts,
        error: advice.or_else(|| result.detail.as_deref().map(str::to_owned)),
    }
}
