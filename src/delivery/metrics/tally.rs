//! The counts of one lane, added to the metrics once a round.

use super::Metrics;
use super::apps::AppSeries;
use crate::delivery::lane::StopReason;
use crate::model::{AppKey, OutcomeKind, Reason};
use crate::telemetry::latency::LatencyBatch;
use std::collections::HashMap;
use std::sync::Arc;

/// A lane's counts since they were last added to the metrics: plain numbers, no shared cache line.
pub struct Tally {
    metrics: Metrics,
    series: Arc<AppSeries>,
    outcomes: [u64; OutcomeKind::ALL.len()],
    reasons: HashMap<(OutcomeKind, &'static str), u64>,
    /// Apple accepted a notification, whoever took it from its caller.
    has_accepted: bool,
    attempts: u64,
    retries: u64,
    answer_times: LatencyBatch,
    outcome_times: LatencyBatch,
    /// The notifications taken from the inbox since then.
    taken: i64,
    queued: i64,
    in_flight: i64,
    stopped: Option<StopReason>,
}

impl Tally {
    /// The counts of a lane of the app.
    pub fn new(metrics: Metrics, app: &AppKey) -> Self {
        Self {
            series: metrics.told.series(app),
            metrics,
            has_accepted: false,
            outcomes: [0; OutcomeKind::ALL.len()],
            reasons: HashMap::new(),
            attempts: 0,
            retries: 0,
            answer_times: LatencyBatch::default(),
            outcome_times: LatencyBatch::default(),
            taken: 0,
            queued: 0,
            in_flight: 0,
            stopped: None,
        }
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Counts notifications that the lane takes; the gauge of queued ones includes them already.
    pub fn took(&mut self, notifications: usize) {
        self.taken += notifications as i64;
    }

    pub fn attempt(&mut self) {
        self.attempts += 1;
    }

    /// Counts an attempt that is not the notification's first.
    pub fn retry(&mut self) {
        self.retries += 1;
    }

    /// Counts an answer and its delay after the request, in milliseconds.
    pub fn answered(&mut self, milliseconds: u32) {
        self.answer_times.add(milliseconds);
    }

    /// Records that Apple accepted a notification.
    pub fn accepted(&mut self) {
        self.has_accepted = true;
    }

    /// Counts an outcome of one of this node's callers, and its delay after the notification was taken, in milliseconds.
    pub fn outcome(&mut self, kind: OutcomeKind, reason: Option<&Reason>, milliseconds: u32) {
        self.outcomes[kind as usize] += 1;
        self.outcome_times.add(milliseconds);
        if kind != OutcomeKind::Accepted {
            *self.reasons.entry((kind, reason.map_or("none", Reason::label))).or_default() += 1;
        }
    }

    /// Adds the counts to the metrics; `in_flight` is the lane's number of requests without an answer, `queued` its
    /// number of waiting items, `stopped` the reason that its app is stopped. Returns true if Apple accepted a
    /// notification.
    pub fn flush(&mut self, in_flight: usize, queued: usize, stopped: Option<StopReason>) -> bool {
        if !self.answer_times.is_empty() {
            self.metrics.answer_times.add_batch(&mut self.answer_times);
        }
        // Every outcome has a time.
        if !self.outcome_times.is_empty() {
            let told = &self.metrics.told;
            told.add_times(&self.series, &mut self.outcome_times);
            for (kind, count) in OutcomeKind::ALL.into_iter().zip(&mut self.outcomes).filter(|(_, count)| **count > 0) {
                told.add(&self.series, kind, std::mem::take(count));
            }
            for ((kind, reason), count) in self.reasons.drain() {
                told.add_reason(&self.series, kind, reason, count);
            }
        }
        for (metric, count) in
            [(&self.metrics.attempts, &mut self.attempts), (&self.metrics.retries, &mut self.retries)]
        {
            if *count > 0 {
                metric.inc_by(std::mem::take(count));
            }
        }
        let (in_flight, queued) = (as_gauge(in_flight), as_gauge(queued));
        let taken = std::mem::take(&mut self.taken);
        for (gauge, change) in [
            (&self.metrics.in_flight, in_flight - self.in_flight),
            (&self.metrics.queued, queued - self.queued - taken),
        ] {
            if change != 0 {
                gauge.add(change);
            }
        }
        (self.in_flight, self.queued) = (in_flight, queued);
        if stopped != self.stopped {
            let gauge = |reason: StopReason| &self.metrics.stopped[reason as usize];
            self.stopped.into_iter().for_each(|reason| gauge(reason).dec());
            stopped.into_iter().for_each(|reason| gauge(reason).inc());
            self.stopped = stopped;
        }
        std::mem::take(&mut self.has_accepted)
    }
}

fn as_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.flush(0, 0, None);
    }
}
