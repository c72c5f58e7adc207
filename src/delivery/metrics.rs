//! What delivery counts, in the field's terms. Lanes count in a [`Tally`] of their own and hand it over once a turn.

use crate::model::{OutcomeKind, Reason};
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
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
}

impl Metrics {
    /// Registers everything under `pyapns_`.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let outcomes = IntCounterVec::new(
            Opts::new("pyapns_notifications_total", "Notifications that ended, by outcome."),
            &["outcome"],
        )?;
        let reasons = IntCounterVec::new(
            Opts::new("pyapns_failed_notifications_total", "Notifications not accepted, by outcome and reason."),
            &["outcome", "reason"],
        )?;
        let goaways = IntCounterVec::new(
            Opts::new("pyapns_goaways_total", "GOAWAY frames received from Apple, by the reason they gave."),
            &["reason"],
        )?;
        let counter = |name: &str, help: &str| IntCounter::new(name, help);
        let attempts = counter("pyapns_attempts_total", "Requests begun on a connection to Apple, resends included.")?;
        let connects = counter("pyapns_connects_total", "Connections to Apple opened.")?;
        let connect_failures = counter("pyapns_connect_failures_total", "Connections to Apple that failed to open.")?;
        let connections = IntGauge::new("pyapns_connections", "Connections to Apple that are open now.")?;
        let in_flight = IntGauge::new("pyapns_in_flight_requests", "Requests to Apple without an answer yet.")?;
        registry.register(Box::new(outcomes.clone()))?;
        registry.register(Box::new(reasons.clone()))?;
        registry.register(Box::new(goaways.clone()))?;
        for counter in [&attempts, &connects, &connect_failures] {
            registry.register(Box::new(counter.clone()))?;
        }
        for gauge in [&connections, &in_flight] {
            registry.register(Box::new(gauge.clone()))?;
        }
        let outcomes = OutcomeKind::ALL.map(|kind| outcomes.with_label_values(&[kind.as_str()]));
        Ok(Self { outcomes, reasons, attempts, connections, connects, connect_failures, goaways, in_flight })
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
}

impl Tally {
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, outcomes: [0; OutcomeKind::ALL.len()], reasons: HashMap::new(), attempts: 0, in_flight: 0 }
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

    /// Hands the counts over; `in_flight` is what this lane has without an answer now.
    pub fn flush(&mut self, in_flight: usize) {
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
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.flush(0);
    }
}
