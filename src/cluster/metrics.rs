//! The metrics of a node's membership.

use super::view::{MemberState, View};
use crate::clock::boot_ms;
use crate::telemetry;
use crate::telemetry::latency::{Latency, LatencyBatch};
use crate::telemetry::sampled::Kind;
use prometheus::{IntCounter, IntGauge, IntGaugeVec};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bits of the ring's hash that are shown: as many as a number in Prometheus has.
const HASH_BITS: u32 = 53;

/// The node's metrics of its membership.
pub struct Metrics {
    members: IntGauge,
    ring: IntGauge,
    state: IntGaugeVec,
    pub beat_failures: IntCounter,
    pub view_changes: IntCounter,
    beat_times: Latency,
    /// The time of the last answer to a beat, in milliseconds of the boot clock; 0 before the first.
    heard: Arc<AtomicU64>,
    /// The end of the lease, in milliseconds of the boot clock.
    valid_until: Arc<AtomicU64>,
    /// The bits of the last offset of the node's clock in seconds; NaN before the first.
    clock_offset: Arc<AtomicU64>,
}

impl Metrics {
    /// Makes them in the node's registry.
    pub fn new(node: &telemetry::Metrics) -> Self {
        let valid_until = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&valid_until);
        let help = "1 while the node surely holds its lease in the shared store, else 0.";
        node.sampled(Kind::Gauge, "cluster_lease_held", help, &[], move || {
            vec![(Vec::new(), f64::from(u8::from(boot_ms() < shown.load(Ordering::Relaxed))))]
        });
        let heard = Arc::new(AtomicU64::new(0));
        let last = Arc::clone(&heard);
        let help = "Time since the shared store last answered a beat.";
        node.sampled(Kind::Gauge, "cluster_beat_age_seconds", help, &[], move || match last.load(Ordering::Relaxed) {
            0 => Vec::new(),
            at => vec![(Vec::new(), boot_ms().saturating_sub(at) as f64 / 1000.0)],
        });
        let clock_offset = Arc::new(AtomicU64::new(f64::NAN.to_bits()));
        let last = Arc::clone(&clock_offset);
        let help = "This node's clock less the shared store's, as of the last beat: negative if this node is behind.";
        node.sampled(Kind::Gauge, "cluster_clock_offset_seconds", help, &[], move || {
            let seconds = f64::from_bits(last.load(Ordering::Relaxed));
            if seconds.is_nan() { Vec::new() } else { vec![(Vec::new(), seconds)] }
        });
        Self {
            members: node.gauge("cluster_members", "Nodes of the cluster that this node knows, itself included."),
            ring: node.gauge(
                "cluster_ring",
                "Hash of what decides which node owns which lane: equal on all nodes that agree.",
            ),
            state: node.gauges("cluster_state", "1 for the state of this node in the cluster, else 0.", &["state"]),
            beat_failures: node.counter("cluster_beat_failures_total", "Beats to the shared store that failed."),
            view_changes: node.counter(
                "cluster_view_changes_total",
                "Times that this node's list of members changed: members, their states, or the owners of lanes.",
            ),
            beat_times: node.latency("cluster_beat_seconds", "From a beat to the shared store's answer."),
            heard,
            valid_until,
            clock_offset,
        }
    }

    /// The shared store answered a beat: both times are in milliseconds of the boot clock.
    pub fn heard(&self, sent: u64, now: u64) {
        let mut times = LatencyBatch::default();
        times.add(u32::try_from(now.saturating_sub(sent)).unwrap_or(u32::MAX));
        self.beat_times.add_batch(&mut times);
        self.heard.store(now, Ordering::Relaxed);
    }

    /// This node's clock less the shared store's, in seconds.
    pub fn show_clock_offset(&self, seconds: f64) {
        self.clock_offset.store(seconds.to_bits(), Ordering::Relaxed);
    }

    pub fn show(&self, view: &View, state: MemberState, valid_until: u64) {
        self.members.set(view.members().len() as i64);
        self.ring.set((view.hash() >> (u64::BITS - HASH_BITS)) as i64);
        for each in MemberState::ALL {
            self.state.with_label_values(&[each.as_str()]).set(i64::from(each == state));
        }
        self.valid_until.store(valid_until, Ordering::Relaxed);
    }
}
