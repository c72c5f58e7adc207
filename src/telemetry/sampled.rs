//! Metrics whose samples are read at each collection, instead of counted when something happens.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::HashMap;

/// The values of the labels, and the sample's value.
pub type Sample = (Vec<String>, f64);

/// The kind of a metric: a gauge may fall, a counter may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Counter,
}

/// A metric whose samples are read at each collection.
pub struct SampledMetric {
    desc: Desc,
    kind: Kind,
    read: Box<dyn Fn() -> Vec<Sample> + Send + Sync>,
}

impl SampledMetric {
    /// `name` is the full name of the metric. `read` returns its samples.
    pub fn new(
        kind: Kind,
        name: String,
        help: &str,
        labels: &[&str],
        read: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) -> prometheus::Result<Self> {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(name, help.to_owned(), labels, HashMap::new())?;
        Ok(Self { desc, kind, read: Box::new(read) })
    }

    fn metric(&self, (values, value): Sample) -> Metric {
        let pair = |(name, value): (&String, String)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value);
            pair
        };
        let mut metric = Metric::default();
        metric.set_label(self.desc.variable_labels.iter().zip(values).map(pair).collect());
        match self.kind {
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
        }
        metric
    }
}

impl Collector for SampledMetric {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(match self.kind {
            Kind::Gauge => MetricType::GAUGE,
            Kind::Counter => MetricType::COUNTER,
        });
        family.set_metric((self.read)().into_iter().map(|sample| self.metric(sample)).collect());
        vec![family]
    }
}
