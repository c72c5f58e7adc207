//! The metrics of delivery. Each lane counts in its [`Tally`] and adds it to the metrics once a turn.

mod app_families;
pub mod apps;
pub mod calls;
mod tally;
mod told;

pub use tally::Tally;
pub use told::Told;

use super::bound::Bound;
use super::descriptors::{Counts, Descriptors};
use super::status::StatusBoard;
use crate::model::Reason;
use crate::telemetry;
use crate::telemetry::latency::Latency;
use crate::telemetry::sampled::Kind;
use app_families::AppFamilies;
use apps::AppTable;
pub use calls::CallMetrics;
use prometheus::{IntCounter, IntCounterVec, IntGauge};
use std::sync::Arc;

/// The node's delivery metrics.
#[derive(Clone)]
pub struct Metrics {
    /// The status of each lane.
    pub board: Arc<StatusBoard>,
    /// The outcomes of this node's callers.
    pub told: Arc<Told>,
    pub calls: CallMetrics,
    pub queued: IntGauge,
    pub queue_bytes: IntGauge,
    /// The maximum of `queue_bytes`.
    pub queue_limit_bytes: IntGauge,
    attempts: IntCounter,
    retries: IntCounter,
    answer_times: Latency,
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
    /// Registers the metrics with the node, with the default settings of the series of apps.
    pub fn new(node: &telemetry::Metrics) -> Self {
        Self::with(node, AppTable::default())
    }

    /// Registers the metrics with the node.
    pub fn with(node: &telemetry::Metrics, apps: AppTable) -> Self {
        let apps = Arc::new(apps);
        let board = watched(node);
        node.add(AppFamilies::new(Arc::clone(&apps), Arc::clone(&board)));
        let attempts = node.counter("attempts_total", "Requests begun on a connection to Apple, resends included.");
        let retries = node.counter("retries_total", "Requests begun for a notification that had one before.");
        let answer_times = node.latency("apple_seconds", "From a request's beginning to Apple's answer.");
        Self {
            board,
            told: Arc::new(Told::new(node, apps)),
            calls: CallMetrics::new(node, attempts.clone(), retries.clone(), answer_times.clone()),
            queued: node.gauge("queued_notifications", "Notifications taken that are neither in flight nor ended."),
            queue_bytes: node.gauge("queue_bytes", "Bytes held by notifications taken whose batch has not ended."),
            queue_limit_bytes: node.gauge(
                "queue_limit_bytes",
                "Limit of pyapns_queue_bytes: more is refused with 503 (setting limits.in_flight_bytes).",
            ),
            attempts,
            retries,
            answer_times,
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
