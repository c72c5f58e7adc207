//! The counts of requests and connections.

use crate::telemetry;
use axum::http::StatusCode;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};

/// The buckets in seconds, from a parse error to the maximum `?timeout=`.
const BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

#[derive(Debug)]
pub struct Metrics {
    /// The route that is called most.
    hot: &'static str,
    requests: IntCounterVec,
    seconds: HistogramVec,
    /// The two series above of the hot route's POST and 201, looked up once.
    sent: IntCounter,
    sent_seconds: Histogram,
    pub connections: IntGauge,
    pub connections_refused: IntCounter,
}

impl Metrics {
    pub fn new(metrics: &telemetry::Metrics, hot: &'static str) -> Self {
        let requests = metrics.counters("api_requests_total", "Requests answered.", &["route", "method", "status"]);
        let help = "From a request's headers to its answer.";
        let seconds = metrics.histograms("api_request_seconds", help, &BUCKETS, &["route"]);
        Self {
            hot,
            sent: requests.with_label_values(&[hot, "POST", "201"]),
            sent_seconds: seconds.with_label_values(&[hot]),
            requests,
            seconds,
            connections: metrics.gauge("api_connections", "Connections of clients that are open."),
            connections_refused: metrics
                .counter("api_connections_refused_total", "Connections refused because a limit was reached."),
        }
    }

    /// Counts a request and the seconds until its response.
    pub fn answered(&self, route: &str, method: &str, status: StatusCode, seconds: f64) {
        if (route, method, status) == (self.hot, "POST", StatusCode::CREATED) {
            self.sent.inc();
            self.sent_seconds.observe(seconds);
        } else {
            self.requests.with_label_values(&[route, method, status.as_str()]).inc();
            self.seconds.with_label_values(&[route]).observe(seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOT: &str = "/apps/{app_id}";

    #[test]
    fn every_name_and_help_is_in_order() {
        let all = telemetry::Metrics::new();
        let metrics = Metrics::new(&all, HOT);
        metrics.answered("/apps", "GET", StatusCode::OK, 0.1);
        metrics.answered(HOT, "POST", StatusCode::CREATED, 0.1);
        assert_eq!(all.faults(), Vec::<String>::new());
        assert!(all.render().contains("pyapns_api_requests_total{method=\"GET\",route=\"/apps\",status=\"200\"} 1"));
        let sent = format!("pyapns_api_requests_total{{method=\"POST\",route=\"{HOT}\",status=\"201\"}} 1");
        assert!(all.render().contains(&sent));
    }
}
