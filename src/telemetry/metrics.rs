//! The metrics of one node: a registry of its own, so that two nodes can live in one process.

use super::latency::Latency;
use super::probe::{Kind, Probe, Sample};
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// Comes before every name of ours; the process's own metrics keep the names that dashboards know.
const PREFIX: &str = "pyapns_";

/// Makes metrics and renders them. Names begin with the module's: `api_requests_total`.
///
/// Making one twice, or under a name that is none, is a mistake in the program and panics when the node is built.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let metrics = Self { registry: Registry::new() };
        #[cfg(target_os = "linux")]
        metrics.add(prometheus::process_collector::ProcessCollector::for_self());
        let build = metrics.gauges("build_info", "Always 1; the label is the version that runs.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics
    }

    /// Adds what was made elsewhere, under the name it has: sharded cells that are summed when they are read, or a
    /// counter older than the node.
    pub fn add(&self, collector: impl Collector + 'static) {
        self.registry.register(Box::new(collector)).expect("each name is used once");
    }

    /// For modules that make their own metrics: their names begin with `pyapns_` already.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.made(IntCounter::new(ours(name), help))
    }

    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.made(IntCounterVec::new(Opts::new(ours(name), help), labels))
    }

    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.made(IntGauge::new(ours(name), help))
    }

    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.made(IntGaugeVec::new(Opts::new(ours(name), help), labels))
    }

    /// At most 20 buckets: they are searched one by one.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.made(Histogram::with_opts(HistogramOpts::new(ours(name), help).buckets(buckets.to_vec())))
    }

    /// At most 20 buckets: they are searched one by one.
    pub fn histograms(&self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
        self.made(HistogramVec::new(HistogramOpts::new(ours(name), help).buckets(buckets.to_vec()), labels))
    }

    /// Milliseconds up to half a minute, counted elsewhere and handed over.
    pub fn latency(&self, name: &str, help: &str) -> Latency {
        self.made(Latency::new(ours(name), help))
    }

    /// What `read` finds whenever the metrics are read: it is to be quick, and to return few samples.
    pub fn probe(
        &self,
        kind: Kind,
        name: &str,
        help: &str,
        labels: &[&str],
        read: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) {
        self.add(
            Probe::new(kind, ours(name), help, labels, read).expect("names and labels are constants of the program"),
        );
    }

    /// Everything, in Prometheus's text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text).expect("text into memory cannot fail");
        text
    }

    /// What is wrong with the names and helps of what was made so far. A vector is only seen once it has a value.
    #[cfg(test)]
    pub fn faults(&self) -> Vec<String> {
        let ours = |family: &&prometheus::proto::MetricFamily| !family.name().starts_with("process_");
        self.registry.gather().iter().filter(ours).filter_map(lint).collect()
    }

    fn made<C: Collector + Clone + 'static>(&self, collector: prometheus::Result<C>) -> C {
        let collector = collector.expect("names and labels are constants of the program");
        self.add(collector.clone());
        collector
    }
}

fn ours(name: &str) -> String {
    format!("{PREFIX}{name}")
}

#[cfg(test)]
fn lint(family: &prometheus::proto::MetricFamily) -> Option<String> {
    use prometheus::proto::MetricType;
    let name = family.name();
    let legal = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
    let unit = name.ends_with("_seconds") || name.ends_with("_bytes") || name.ends_with("_items");
    let fault = if !legal || !name.starts_with("pyapns_") {
        "is not pyapns_ and lower case"
    } else if !family.help().ends_with('.') {
        "has no help that is a sentence"
    } else if (family.get_field_type() == MetricType::COUNTER) != name.ends_with("_total") {
        "ends in _total, or does not, against its kind"
    } else if family.get_field_type() == MetricType::HISTOGRAM && !unit {
        "does not end in its unit"
    } else {
        return None;
    };
    Some(format!("{name} {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_in_one_process_share_nothing() {
        let (one, two) = (Metrics::new(), Metrics::new());
        one.counter("api_requests_total", "Requests.").inc();
        two.counter("api_requests_total", "Requests.");
        assert!(one.render().contains("\npyapns_api_requests_total 1\n"));
        assert!(two.render().contains("\npyapns_api_requests_total 0\n"));
    }

    #[test]
    fn the_process_keeps_the_names_that_dashboards_know() {
        let text = Metrics::new().render();
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
        assert!(text.contains(concat!("pyapns_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")), "{text}");
    }

    #[test]
    fn bad_names_are_found() {
        let metrics = Metrics::new();
        assert_eq!(metrics.faults(), Vec::<String>::new());
        metrics.counter("requests", "Requests.").inc();
        metrics.gauge("Up", "Up.");
        metrics.gauge("depth", "no sentence");
        metrics.histogram("latency", "Latency.", &[1.0]);
        assert_eq!(metrics.faults().len(), 4);
    }
}
