//! The counts of calls: the management of channels, and broadcasts. They are rare, so that each is counted at once.

use crate::apns::channels::Call;
use crate::model::{OutcomeKind, Reason};
use crate::telemetry;
use crate::telemetry::latency::{Latency, LatencyBatch};
use prometheus::{IntCounter, IntCounterVec};
use std::time::Duration;

/// The counts of calls, and their part in the counts of requests.
#[derive(Clone)]
pub struct CallMetrics {
    calls: IntCounterVec,
    failed: IntCounterVec,
    times: Latency,
    attempts: IntCounter,
    retries: IntCounter,
    answer_times: Latency,
}

impl CallMetrics {
    /// Registers the metrics; `attempts`, `retries` and `answer_times` are those of all requests to Apple.
    pub(super) fn new(
        node: &telemetry::Metrics,
        attempts: IntCounter,
        retries: IntCounter,
        answer_times: Latency,
    ) -> Self {
        let help = "Calls of broadcast channels and broadcasts that ended, by what was asked and by outcome.";
        let calls = node.counters("channel_calls_total", help, &["call", "outcome"]);
        for call in Call::NAMES {
            calls.with_label_values(&[call, OutcomeKind::Accepted.as_str()]);
        }
        let help = "Of these, those not accepted, by outcome and reason.";
        let failed = node.counters("failed_channel_calls_total", help, &["call", "outcome", "reason"]);
        let times =
            node.latency("channel_call_seconds", "From taking a call of channels or a broadcast to its outcome.");
        Self { calls, failed, times, attempts, retries, answer_times }
    }

    /// Counts a request.
    pub fn begun(&self) {
        self.attempts.inc();
    }

    /// Counts a request that is not the first of its call.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// Counts an answer of Apple.
    pub fn answered(&self, after: Duration) {
        self.answer_times.add_batch(&mut batch(after));
    }

    /// Counts a call of one of this node's callers that ended; `call` is one of [`Call::NAMES`].
    pub fn ended(&self, call: &'static str, kind: OutcomeKind, reason: Option<&Reason>, after: Duration) {
        self.calls.with_label_values(&[call, kind.as_str()]).inc();
        if kind != OutcomeKind::Accepted {
            let reason = reason.map_or("none", Reason::label);
            self.failed.with_label_values(&[call, kind.as_str(), reason]).inc();
        }
        self.times.add_batch(&mut batch(after));
    }
}

fn batch(time: Duration) -> LatencyBatch {
    let mut batch = LatencyBatch::default();
    batch.add(u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
    batch
}
