//! The metrics of links and of the listener for peers.

use crate::telemetry;
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// The node's metrics of forwarding. The label `node` is a member's name.
#[derive(Clone)]
pub struct Metrics {
    reachable: IntGaugeVec,
    errands: IntGaugeVec,
    round_trip: GaugeVec,
    forwarded: IntCounterVec,
    surrogate: IntCounterVec,
    refused: IntCounterVec,
    /// Batches that peers forwarded to this node.
    pub received: IntCounter,
}

impl Metrics {
    /// Makes them in the node's registry.
    pub fn new(node: &telemetry::Metrics) -> Self {
        Self {
            reachable: node.gauges("peer_reachable", "1 for each peer that takes batches, else 0.", &["node"]),
            errands: node.gauges(
                "forwarded_in_flight",
                "Batches given to a link to a peer that have not ended there.",
                &["node"],
            ),
            round_trip: node.seconds(
                "peer_round_trip_seconds",
                "From the last answered PING to a peer to its PONG, on one of the links to it.",
                &["node"],
            ),
            forwarded: node.counters(
                "forwarded_total",
                "Batches that left a link to a peer, by the peer and the end they had there.",
                &["node", "end"],
            ),
            surrogate: node.counters(
                "surrogate_total",
                "Batches that another node sent since their owner could not be reached, by the owner.",
                &["node"],
            ),
            refused: node.counters(
                "peer_refused_total",
                "Connections between nodes that were refused or closed for a fault, by the fault.",
                &["why"],
            ),
            received: node.counter("forwarded_received_total", "Batches that peers forwarded to this node."),
        }
    }

    /// A connection was refused, or closed for a fault.
    pub fn refuse(&self, why: &str) {
        self.refused.with_label_values(&[why]).inc();
    }

    /// The metrics of one peer.
    pub fn of_peer(&self, node: &str) -> PeerMetrics {
        let node = [node];
        PeerMetrics {
            reachable: self.reachable.with_label_values(&node),
            errands: self.errands.with_label_values(&node),
            round_trip: self.round_trip.with_label_values(&node),
            surrogate: self.surrogate.with_label_values(&node),
            ends: Ends::ALL.map(|end| self.forwarded.with_label_values(&[node[0], end])),
        }
    }

    /// Removes the metrics of a peer that is no member any more.
    pub fn forget(&self, node: &str) {
        // Fails if the series does not exist any more.
        let _ = self.reachable.remove_label_values(&[node]);
        let _ = self.errands.remove_label_values(&[node]);
        let _ = self.round_trip.remove_label_values(&[node]);
        let _ = self.surrogate.remove_label_values(&[node]);
        for end in Ends::ALL {
            let _ = self.forwarded.remove_label_values(&[node, end]);
        }
    }
}

/// The metrics of one peer.
#[derive(Clone)]
pub struct PeerMetrics {
    pub reachable: IntGauge,
    /// Errands in flight.
    pub errands: IntGauge,
    /// Seconds.
    pub round_trip: Gauge,
    pub surrogate: IntCounter,
    ends: [IntCounter; Ends::ALL.len()],
}

impl PeerMetrics {
    pub fn ended(&self, end: Ends) {
        self.ends[end as usize].inc();
    }
}

/// The ends that a batch can have on a link.
#[derive(Debug, Clone, Copy)]
pub enum Ends {
    Answered,
    Refused,
    Rerouted,
    NotSent,
    Unknown,
}

impl Ends {
    const ALL: [&str; 5] = ["answered", "refused", "rerouted", "not_sent", "unknown"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_gone_leaves_no_series_behind() {
        let node = telemetry::Metrics::new();
        let metrics = Metrics::new(&node);
        let peer = metrics.of_peer("node-with-a-name-of-its-own");
        peer.ended(Ends::Answered);
        assert!(node.render().contains("node-with-a-name-of-its-own"));
        metrics.forget("node-with-a-name-of-its-own");
        assert!(!node.render().contains("node-with-a-name-of-its-own"), "{}", node.render());
    }
}
