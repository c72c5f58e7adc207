//! What delivery counts, in the field's terms. Lanes count in a [`Tally`] of their own and hand it over once a turn.

use super::lane::Trouble;
use crate::model::{OutcomeKind, Reason};
use crate::telemetry;
use prometheus::{IntCounter, IntCounterVec, IntGauge};
use std::collections::HashMap;

/// The node's delivery metrics.
#[derive(Clone)]
pub struct Metrics {
    outcomes: [IntCounter; OutcomeKind::ALL.len()],
    reasons: IntCounterVec,
    attempts: IntCounter,
    pub connections: IntGauge,
    pub connects: IntCounter,
    pub connect_failures: IntCounter,
    goaways: IntCounterVec,
    pub in_flight: IntGauge,
    stopped: [IntGauge; 2],
}

impl Metrics {
    /// Makes them in the node's registry.
    pub fn new(node: &telemetry::Metrics) -> Self {
        let outcomes = node.counters("notifications_total", "Notifications that ended, by outcome.", &["outcome"]);
        Self {
            outcomes: OutcomeKind::ALL.map(|kind| outcomes.with_label_values(&[kind.as_str()])),
            reasons: node.counters(
                "failed_notifications_total",
                "Notifications not accepted, by outcome and reason.",
                &["outcome", "reason"],
            ),
            attempts: node.counter("attempts_total", "Requests begun on a connection to Apple, resends included."),
            connections: node.gauge("connections", "Connections to Apple that are open now."),
            connects: node.counter("connects_total", "Connections to Apple that were opened."),
            connect_failures: node.counter("connect_failures_total", "Connections to Apple that failed to open."),
            goaways: node.counters("goaways_total", "GOAWAY frames from Apple, by the reason they gave.", &["reason"]),
            in_flight: node.gauge("in_flight_requests", "Requests to Apple without an answer yet."),
            stopped: [
                node.gauge("credentials_refused", "Apps that are stopped because Apple refuses their credential."),
                node.gauge("breakers_open", "Apps that are stopped because the gateway is in trouble."),
            ],
        }
    }

    /// Apple said GOAWAY; `reason` is its own word for it, if it gave one.
    pub fn goaway(&self, reason: Option<&Reason>) {
        self.goaways.with_label_values(&[reason.map_or("none", Reason::label)]).inc();
    }
}

/// A lane's own counts since the last hand-over: plain numbers, no shared cache line.
pub struct Tally {
    metrics: Metrics,
    outcomes: [u64; OutcomeKind::ALL.len()],
    reasons: HashMap<(OutcomeKind, &'static str), u64>,
    attempts: u64,
    in_flight: i64,
    stopped: Option<Trouble>,
}

impl Tally {
    pub fn new(metrics: Metrics) -> Self {
        let outcomes = [0; OutcomeKind::ALL.len()];
        Self { metrics, outcomes, reasons: HashMap::new(), attempts: 0, in_flight: 0, stopped: None }
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub fn attempt(&mut self) {
        self.attempts += 1;
    }

    pub fn outcome(&mut self, kind: OutcomeKind, reason: Option<&Reason>) {
        self.outcomes[kind as usize] += 1;
        if kind != OutcomeKind::Accepted {
            *self.reasons.entry((kind, reason.map_or("none", Reason::label))).or_default() += 1;
        }
    }

    /// Hands the counts over; `in_flight` is what this lane has without an answer now, `stopped` what stops its app.
    pub fn flush(&mut self, in_flight: usize, stopped: Option<Trouble>) {
        for (kind, count) in self.outcomes.iter_mut().enumerate().filter(|(_, count)| **count > 0) {
            self.metrics.outcomes[kind].inc_by(std::mem::take(count));
        }
        for ((kind, reason), count) in self.reasons.drain() {
            self.metrics.reasons.with_label_values(&[kind.as_str(), reason]).inc_by(count);
        }
        if self.attempts > 0 {
            self.metrics.attempts.inc_by(std::mem::take(&mut self.attempts));
        }
        let in_flight = i64::try_from(in_flight).unwrap_or(i64::MAX);
        if in_flight != self.in_flight {
            self.metrics.in_flight.add(in_flight - self.in_flight);
            self.in_flight = in_flight;
        }
        if stopped != self.stopped {
            let gauge = |trouble: Trouble| &self.metrics.stopped[trouble as usize];
            self.stopped.into_iter().for_each(|trouble| gauge(trouble).dec());
            stopped.into_iter().for_each(|trouble| gauge(trouble).inc());
            self.stopped = stopped;
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.flush(0, None);
    }
}
