//! The metrics of one node, in a separate registry, so that two nodes can run in one process.

use super::families::Family;
use super::latency::Latency;
use super::sampled::{Kind, Sample, SampledMetric};
use prometheus::core::Collector;
use prometheus::proto::{Metric, MetricFamily};
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::sync::{Arc, Mutex, PoisonError};

/// The prefix of every pyapns metric. Process metrics keep the names that dashboards know.
const PREFIX: &str = "pyapns_";

/// The only label that names an app, by its id. Callers that may not use the app do not see its series.
pub const APP_LABEL: &str = "app_id";

/// Makes metrics and renders them. Names begin with the module's: `api_requests_total`.
///
/// Creating a metric twice, or with an invalid name, is a bug and panics when the node is built.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    families: Arc<Mutex<Vec<Family>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let metrics = Self { registry: Registry::new(), families: Arc::default() };
        #[cfg(target_os = "linux")]
        metrics.add(prometheus::process_collector::ProcessCollector::for_self());
        let build = metrics.gauges("build_info", "Always 1; the label is the version that runs.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics
    }

    /// Registers a collector under its own name: for sharded cells that are summed at each read, or a counter older
    /// than the node.
    pub fn add(&self, collector: impl Collector + 'static) {
        self.families.lock().unwrap_or_else(PoisonError::into_inner).extend(Family::of(&collector));
        self.registry.register(Box::new(collector)).expect("each name is used once");
    }

    /// The families created so far, also those without a series, sorted by name.
    pub fn families(&self) -> Vec<Family> {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner).clone();
        families.sort();
        families
    }

    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(prefixed(name), help))
    }

    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(prefixed(name), help), labels))
    }

    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(prefixed(name), help))
    }

    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(prefixed(name), help), labels))
    }

    /// Gauges of times in seconds, with fractions.
    pub fn seconds(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(GaugeVec::new(Opts::new(prefixed(name), help), labels))
    }

    /// At most 20 buckets, as the search is linear.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(HistogramOpts::new(prefixed(name), help).buckets(buckets.to_vec())))
    }

    /// At most 20 buckets, as the search is linear.
    pub fn histograms(&self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
        self.register(HistogramVec::new(HistogramOpts::new(prefixed(name), help).buckets(buckets.to_vec()), labels))
    }

    /// A histogram of milliseconds up to half a minute, filled in batches.
    pub fn latency(&self, name: &str, help: &str) -> Latency {
        self.register(Latency::new(prefixed(name), help))
    }

    /// A metric whose samples `read` returns at each collection. `read` must be quick and return few samples.
    pub fn sampled(
        &self,
        kind: Kind,
        name: &str,
        help: &str,
        labels: &[&str],
        read: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) {
        self.add(
            SampledMetric::new(kind, prefixed(name), help, labels, read)
                .expect("names and labels are constants of the program"),
        );
    }

    /// All metrics, in Prometheus's text format.
    pub fn render(&self) -> String {
        encode(&self.registry.gather())
    }

    /// All metrics except the series of apps for which `is_visible` is false.
    pub fn render_for(&self, is_visible: impl Fn(&str) -> bool) -> String {
        let mut families = self.registry.gather();
        for family in &mut families {
            let has_visible_app = |metric: &Metric| {
                metric.get_label().iter().filter(|pair| pair.name() == APP_LABEL).all(|pair| is_visible(pair.value()))
            };
            let mut metrics = family.take_metric();
            metrics.retain(has_visible_app);
            family.set_metric(metrics);
        }
        families.retain(|family| !family.get_metric().is_empty());
        encode(&families)
    }

    /// The faults in the names and help texts of the metrics created so far. A vector is included once it has a value.
    #[cfg(test)]
    pub fn faults(&self) -> Vec<String> {
        let ours = |family: &&prometheus::proto::MetricFamily| !family.name().starts_with("process_");
        self.registry.gather().iter().filter(ours).filter_map(lint).collect()
    }

    fn register<C: Collector + Clone + 'static>(&self, collector: prometheus::Result<C>) -> C {
        let collector = collector.expect("names and labels are constants of the program");
        self.add(collector.clone());
        collector
    }
}

fn encode(families: &[MetricFamily]) -> String {
    let mut text = String::new();
    TextEncoder::new().encode_utf8(families, &mut text).expect("text into memory cannot fail");
    text
}

fn prefixed(name: &str) -> String {
    format!("{PREFIX}{name}")
}

#[cfg(test)]
fn lint(family: &prometheus::proto::MetricFamily) -> Option<String> {
    use prometheus::proto::{LabelPair, MetricType};
    let name = family.name();
    let legal = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
    let label = |label: &&str| *label != APP_LABEL && (*label == "app" || label.starts_with("app_"));
    let names_app =
        family.get_metric().iter().flat_map(Metric::get_label).map(LabelPair::name).any(|name| label(&name));
    let unit = name.ends_with("_seconds") || name.ends_with("_bytes") || name.ends_with("_items");
    let fault = if !legal || !name.starts_with("pyapns_") {
        "is not pyapns_ and lower case"
    } else if names_app {
        "names an app in a label that every caller sees"
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
        metrics.gauges("depths", "Depths.", &["app"]).with_label_values(&["com.example.app"]).set(1);
        assert_eq!(metrics.faults().len(), 5);
    }

    #[test]
    fn hidden_series_are_left_out_and_so_are_families_without_other_series() {
        let metrics = Metrics::new();
        let ends = metrics.gauges("ends_seconds", "Ends.", &[APP_LABEL, "environment"]);
        metrics.gauges("depths", "Depths.", &[APP_LABEL]).with_label_values(&["foreign"]).set(1);
        ["own", "foreign"].iter().for_each(|app| ends.with_label_values(&[*app, "sandbox"]).set(7));
        let text = metrics.render_for(|app| app == "own");
        assert!(text.contains("pyapns_ends_seconds{app_id=\"own\",environment=\"sandbox\"} 7"), "{text}");
        assert!(text.contains("pyapns_build_info") && !text.contains("foreign") && !text.contains("depths"), "{text}");
    }
}
