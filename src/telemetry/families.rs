//! The list of metric families. A vector is in it before it has a series, so documentation can be compared with it.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricType;

/// A family of metrics: series with one name, kind and meaning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    /// The full name: `pyapns_api_requests_total`.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of the labels. The `le` of a histogram is left out.
    pub labels: Vec<String>,
    /// The sentence after `# HELP`.
    pub help: String,
}

impl Family {
    /// The families of a collector. Collects once, since a collector has no other way to show the kind of a family.
    pub(super) fn of(collector: &impl Collector) -> Vec<Self> {
        let collected = collector.collect();
        let kind = |desc: &Desc| {
            let family = collected.iter().find(|family| family.name() == desc.fq_name);
            family.map_or("untyped", |family| kind_name(family.get_field_type()))
        };
        let family = |desc: &Desc| Self {
            name: desc.fq_name.clone(),
            kind: kind(desc),
            labels: desc.variable_labels.clone(),
            help: desc.help.clone(),
        };
        collector.desc().into_iter().map(family).collect()
    }
}

fn kind_name(kind: MetricType) -> &'static str {
    match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "untyped",
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::Metrics;

    #[test]
    fn a_family_is_listed_before_it_has_a_series() {
        let metrics = Metrics::new();
        metrics.counters("goaways_total", "GOAWAY frames.", &["reason"]);
        metrics.latency("apple_seconds", "Answers.");
        assert!(!metrics.render().contains("goaways_total"));
        let families = metrics.families();
        let shown = |name: &str| {
            let family = families.iter().find(|family| family.name == name).expect("a family");
            (family.kind, family.labels.join(","), family.help.clone())
        };
        assert_eq!(shown("pyapns_goaways_total"), ("counter", "reason".to_owned(), "GOAWAY frames.".to_owned()));
        assert_eq!(shown("pyapns_apple_seconds").0, "histogram");
        assert_eq!(shown("pyapns_build_info").1, "version");
    }
}
