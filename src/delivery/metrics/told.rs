//! The outcomes that this node's callers got. The node that took a notification from its caller counts the outcome,
//! whichever node sent the notification: the sum over the nodes of a cluster is what all callers got.

use super::apps::{AppSeries, AppTable};
use crate::model::{AppKey, Outcome, OutcomeKind, Reason};
use crate::telemetry;
use crate::telemetry::latency::{Latency, LatencyBatch};
use prometheus::{IntCounter, IntCounterVec};
use std::sync::Arc;

/// The counts of outcomes, and the series of each app.
pub struct Told {
    apps: Arc<AppTable>,
    taken: IntCounter,
    outcomes: [IntCounter; OutcomeKind::ALL.len()],
    reasons: IntCounterVec,
    times: Latency,
}

impl Told {
    pub(super) fn new(node: &telemetry::Metrics, apps: Arc<AppTable>) -> Self {
        let help = "Notifications that ended, by outcome; counted by the node that took them from their caller.";
        let outcomes = node.counters("notifications_total", help, &["outcome"]);
        Self {
            apps,
            taken: node.counter(
                "taken_notifications_total",
                "Notifications taken from callers; each of them ends. Forwarded ones are counted when they end.",
            ),
            outcomes: OutcomeKind::ALL.map(|kind| outcomes.with_label_values(&[kind.as_str()])),
            reasons: node.counters(
                "failed_notifications_total",
                "Notifications not accepted, by outcome and reason.",
                &["outcome", "reason"],
            ),
            times: node.latency("notification_seconds", "From taking a notification to its outcome."),
        }
    }

    /// The series of an app, to be kept by who counts often.
    pub fn series(&self, app: &AppKey) -> Arc<AppSeries> {
        self.apps.series(app)
    }

    /// Counts notifications that a lane of this node takes from a caller.
    pub fn took(&self, count: usize) {
        self.taken.inc_by(count as u64);
    }

    /// Counts outcomes that no lane of this node counts, as [`Self::took`] and [`super::Tally`] count the others: those
    /// of another node, and those of notifications that no lane took. `milliseconds`: from taking them to now.
    pub fn end(&self, app: &AppKey, outcomes: &[Outcome], milliseconds: u32) {
        self.took(outcomes.len());
        self.end_taken(app, outcomes, milliseconds);
    }

    /// The same for outcomes of notifications that are counted as taken already.
    pub fn end_taken(&self, app: &AppKey, outcomes: &[Outcome], milliseconds: u32) {
        let series = self.series(app);
        // Neighbours mostly have the same outcome.
        for run in outcomes.chunk_by(|one, other| one.kind == other.kind && one.reason == other.reason) {
            let reason = run[0].reason.as_ref().map_or("none", Reason::label);
            self.add_run(&series, run[0].kind, reason, run.len());
        }
        self.add_times(&series, &mut times(milliseconds, outcomes.len()));
    }

    /// Counts lines of a stream that are no valid notification: they are rejected at once, for one of our reasons.
    pub fn reject(&self, app: &AppKey, reasons: impl Iterator<Item = &'static str>) {
        let mut series = None;
        for reason in reasons {
            let series = series.get_or_insert_with(|| self.series(app));
            self.took(1);
            self.add_run(series, OutcomeKind::Rejected, reason, 1);
            self.add_times(series, &mut times(0, 1));
        }
    }

    fn add_run(&self, series: &AppSeries, kind: OutcomeKind, reason: &'static str, count: usize) {
        self.add(series, kind, count as u64);
        if kind != OutcomeKind::Accepted {
            self.add_reason(series, kind, reason, count as u64);
        }
    }

    pub(super) fn add(&self, series: &AppSeries, kind: OutcomeKind, count: u64) {
        self.outcomes[kind as usize].inc_by(count);
        series.add(kind, count);
    }

    pub(super) fn add_reason(&self, series: &AppSeries, kind: OutcomeKind, reason: &'static str, count: u64) {
        self.reasons.with_label_values(&[kind.as_str(), reason]).inc_by(count);
        series.add_reason(reason, count);
    }

    pub(super) fn add_times(&self, series: &AppSeries, times: &mut LatencyBatch) {
        series.add_times(times);
        self.times.add_batch(times);
    }
}

fn times(milliseconds: u32, count: usize) -> LatencyBatch {
    let mut times = LatencyBatch::default();
    times.add_many(milliseconds, count);
    times
}
