//! Counters of feedback and disconnections.

use crate::telemetry;
use prometheus::{IntCounter, IntGauge};

#[derive(Clone)]
pub struct Metrics {
    pub feedback_written: IntCounter,
    pub feedback_held: IntCounter,
    pub feedback_acknowledged: IntCounter,
    pub disconnections_written: IntCounter,
    pub holds: IntGauge,
    /// Events that the store did not write, although callers have their outcomes.
    pub lost: IntCounter,
}

impl Metrics {
    pub fn new(node: &telemetry::Metrics) -> Self {
        Self {
            feedback_written: node.counter("feedback_written_total", "Feedback entries that can be read."),
            feedback_held: node.counter("feedback_held_total", "Feedback entries that were held back."),
            feedback_acknowledged: node
                .counter("feedback_acknowledged_total", "Feedback entries acknowledged and cleared."),
            disconnections_written: node
                .counter("disconnections_written_total", "Entries written to the disconnection log."),
            holds: node.gauge("feedback_holds", "Apps whose BadDeviceToken feedback is held back."),
            lost: node.counter("events_lost_total", "Feedback and disconnections that the store could not keep."),
        }
    }
}
