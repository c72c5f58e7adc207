//! What the door counts.

use crate::telemetry;
use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge};

/// Seconds. From a parse error to the longest `?timeout=`.
const BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

#[derive(Debug)]
pub struct Metrics {
    pub requests: IntCounterVec,
    pub seconds: HistogramVec,
    pub connections: IntGauge,
    pub connections_refused: IntCounter,
}

impl Metrics {
    pub fn new(metrics: &telemetry::Metrics) -> Self {
        Self {
            requests: metrics.counters("api_requests_total", "Requests answered.", &["route", "method", "status"]),
            seconds: metrics.histograms(
                "api_request_seconds",
                "From a request's headers to its answer.",
                &BUCKETS,
                &["route"],
            ),
            connections: metrics.gauge("api_connections", "Connections of clients that are open."),
            connections_refused: metrics
                .counter("api_connections_refused_total", "Connections turned away because all places were taken."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_help_is_in_order() {
        let all = telemetry::Metrics::new();
        let metrics = Metrics::new(&all);
        metrics.requests.with_label_values(&["/apps", "GET", "200"]).inc();
        metrics.seconds.with_label_values(&["/apps"]).observe(0.1);
        assert_eq!(all.faults(), Vec::<String>::new());
        assert!(all.render().contains("pyapns_api_requests_total{method=\"GET\",route=\"/apps\",status=\"200\"} 1"));
    }
}
