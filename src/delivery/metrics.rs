//! The metrics of delivery. Each lane counts in its [`Tally`] and adds it to the metrics once a turn.

use super::bound::Bound;
use super::descriptors::{Counts, Descriptors};
use super::lane::StopReason;
use super::status::StatusBoard;
use crate::model::{OutcomeKind, Reason};
use crate::telemetry;
use crate::telemetry::latency::{Latency, LatencyBatch};
use crate::telemetry::sampled::Kind;
use prometheus::{IntCounter, IntCounterVec, IntGauge};
use std::collections::HashMap;
use std::sync::Arc;

/// The node's delivery metrics.
#[derive(Clone)]
pub struct Metrics {
    /// The status of each lane.
    pub board: Arc<StatusBoard>,
    pub taken: IntCounter,
    pub queued: IntGauge,
    pub queue_bytes: IntGauge,
    outcomes: [IntCounter; OutcomeKind::ALL.len()],
    reasons: IntCounterVec,
    attempts: IntCounter,
    retries: IntCounter,
    answer_times: Latency,
    outcome_times: Latency,
    pub connections: IntGauge,
    pub connects: IntCounter,
    pub connect_failures: IntCounter,
    lost: IntCounterVec,
    pub pings: IntCounter,
    goaways: IntCounterVec,
    pub in_flight: IntGauge,
    stopped: [IntGauge; 2],
}

impl Metrics {
    /// Registers the metrics with the node.
    pub fn new(node: &telemetry::Metrics) -> Self {
        let outcomes = node.counters("notifications_total", "Notifications that ended, by outcome.", &["outcome"]);
        Self {
            board: watched(node),
            taken: node.counter("taken_notifications_total", "Notifications taken to be sent; each of them ends."),
            queued: node.gauge("queued_notifications", "Notifications taken that are neither in flight nor ended."),
            queue_bytes: node.gauge("queue_bytes", "Bytes held by notifications taken whose batch has not ended."),
            outcomes: OutcomeKind::ALL.map(|kind| outcomes.with_label_values(&[kind.as_str()])),
            reasons: node.counters(
                "failed_notifications_total",
                "Notifications not accepted, by outcome and reason.",
                &["outcome", "reason"],
            ),
            attempts: node.counter("attempts_total", "Requests begun on a connection to Apple, resends included."),
            retries: node.counter("retries_total", "Requests begun for a notification that had one before."),
            answer_times: node.latency("apple_seconds", "From a request's beginning to Apple's answer."),
            outcome_times: node.latency("notification_seconds", "From taking a notification to its outcome."),
            connections: node.gauge("connections", "Connections to Apple that are open now."),
            connects: node.counter("connects_total", "Connections to Apple that were opened."),
            connect_failures: node.counter("connect_failures_total", "Connections to Apple that failed to open."),
            lost: node.counters(
                "connections_lost_total",
                "Connections to Apple that ended without being drained; silent ones had become black holes.",
                &["why"],
            ),
            pings: node.counter("pings_total", "PINGs sent to ask whether Apple is there."),
            goaways: node.counters("goaways_total", "GOAWAY frames from Apple, by the reason they gave.", &["reason"]),
            in_flight: node.gauge("in_flight_requests", "Requests to Apple without an answer yet."),
            stopped: [
                node.gauge(
                    "credentials_refused",
                    "Lanes that are stopped because Apple refuses their app's credential.",
                ),
                node.gauge("breakers_open", "Lanes that are stopped because the gateway is in trouble."),
            ],
        }
    }

    /// Counts a GOAWAY of Apple; `reason` is Apple's string, if there is one.
    pub fn goaway(&self, reason: Option<&Reason>) {
        self.goaways.with_label_values(&[reason.map_or("none", Reason::label)]).inc();
    }

    /// Counts a connection that ended without being drained.
    pub fn lost(&self, why: &'static str) {
        self.lost.with_label_values(&[why]).inc();
    }
}

/// Creates the board of lane statuses, with its metrics.
fn watched(node: &telemetry::Metrics) -> Arc<StatusBoard> {
    let board = Arc::new(StatusBoard::default());
    let by = |bound: Bound, value: f64| (vec![bound.as_str().to_owned()], value);
    let lanes = Arc::clone(&board);
    node.sampled(
        Kind::Gauge,
        "bound_by",
        "Lanes by what bounds their throughput now; most apps have one.",
        &["by"],
        move || {
            let (lanes, _) = lanes.bounds();
            Bound::ALL.into_iter().zip(lanes).map(|(bound, count)| by(bound, count as f64)).collect()
        },
    );
    let lanes = Arc::clone(&board);
    let help = "Time of all lanes with traffic, by what bounded their throughput.";
    node.sampled(Kind::Counter, "bound_by_seconds_total", help, &["by"], move || {
        let (_, times) = lanes.bounds();
        Bound::ALL.into_iter().zip(times).map(|(bound, time)| by(bound, time.as_secs_f64())).collect()
    });
    let lanes = Arc::clone(&board);
    let help = "Concurrent requests that Apple allows on the connections that accept work.";
    node.sampled(Kind::Gauge, "streams_granted", help, &[], move || vec![(Vec::new(), lanes.streams() as f64)]);
    board
}

/// Registers the metrics of the budget of connections to Apple.
pub fn watch_descriptors(node: &telemetry::Metrics, descriptors: &Descriptors) {
    let probe = |kind, name: &str, help: &str, value: fn(Counts) -> f64| {
        let descriptors = descriptors.clone();
        node.sampled(kind, name, help, &[], move || vec![(Vec::new(), value(descriptors.counts()))]);
    };
    probe(Kind::Gauge, "apple_descriptors", "File descriptors that connections to Apple may take.", |counts| {
        counts.max.map_or(f64::INFINITY, |max| max as f64)
    });
    let help = "Of these, those taken by connections that are open or being opened.";
    probe(Kind::Gauge, "apple_descriptors_used", help, |counts| counts.used as f64);
    let help = "Lanes that wait for a file descriptor: raise the limit on open files.";
    probe(Kind::Gauge, "apple_descriptors_waiting", help, |counts| counts.waiting as f64);
    let help = "Connections to Apple closed since another lane needed their file descriptor.";
    probe(Kind::Counter, "apple_descriptors_reclaimed_total", help, |counts| counts.reclaimed as f64);
}

/// A lane's counts since they were last added to the metrics: plain numbers, no shared cache line.
pub struct Tally {
    metrics: Metrics,
    outcomes: [u64; OutcomeKind::ALL.len()],
    reasons: HashMap<(OutcomeKind, &'static str), u64>,
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
    pub fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
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

    /// Counts an outcome and its delay after the notification was taken, in milliseconds.
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
        let accepted = self.outcomes[OutcomeKind::Accepted as usize] > 0;
        for (metric, measured) in [
            (&self.metrics.answer_times, &mut self.answer_times),
            (&self.metrics.outcome_times, &mut self.outcome_times),
        ] {
            if !measured.is_empty() {
                metric.add_batch(measured);
            }
        }
        for (kind, count) in self.outcomes.iter_mut().enumerate().filter(|(_, count)| **count > 0) {
            self.metrics.outcomes[kind].inc_by(std::mem::take(count));
        }
        for ((kind, reason), count) in self.reasons.drain() {
            self.metrics.reasons.with_label_values(&[kind.as_str(), reason]).inc_by(count);
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
        accepted
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
