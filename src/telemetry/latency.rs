//! A histogram of times with doubling buckets. The measuring task counts in plain numbers and adds them in one batch.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, Metric, MetricFamily, MetricType};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The buckets up to 1, 2, 4, … 32,768 ms. Longer times count only in the sum and the count.
const BUCKETS: usize = 16;

type Counts<T> = [T; BUCKETS + 1];

/// The times measured since the last batch was added.
#[derive(Debug, Default)]
pub struct LatencyBatch {
    counts: Counts<u64>,
    milliseconds: u64,
}

impl LatencyBatch {
    pub fn add(&mut self, milliseconds: u32) {
        let bucket = (u32::BITS - milliseconds.leading_zeros()) as usize;
        self.counts[bucket.min(BUCKETS)] += 1;
        self.milliseconds += u64::from(milliseconds);
    }

    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }
}

/// The histogram. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Latency {
    desc: Desc,
    cells: Arc<Cells>,
}

#[derive(Debug, Default)]
struct Cells {
    counts: Counts<AtomicU64>,
    milliseconds: AtomicU64,
}

impl Latency {
    /// `name` is the full name of the metric.
    pub fn new(name: String, help: &str) -> prometheus::Result<Self> {
        let desc = Desc::new(name, help.to_owned(), Vec::new(), HashMap::new())?;
        Ok(Self { desc, cells: Arc::default() })
    }

    /// Adds the batch to the histogram, and empties it.
    pub fn add_batch(&self, batch: &mut LatencyBatch) {
        let LatencyBatch { counts, milliseconds } = std::mem::take(batch);
        for (cell, count) in self.cells.counts.iter().zip(counts).filter(|(_, count)| *count > 0) {
            cell.fetch_add(count, Relaxed);
        }
        self.cells.milliseconds.fetch_add(milliseconds, Relaxed);
    }

    fn histogram(&self) -> Histogram {
        let mut below = 0;
        let mut buckets = Vec::with_capacity(BUCKETS);
        for (power, cell) in self.cells.counts.iter().enumerate() {
            below += cell.load(Relaxed);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound((1_u64 << power) as f64 / 1000.0);
            bucket.set_cumulative_count(below);
            buckets.push(bucket);
        }
        buckets.truncate(BUCKETS);
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(below);
        histogram.set_sample_sum(self.cells.milliseconds.load(Relaxed) as f64 / 1000.0);
        histogram
    }
}

impl Collector for Latency {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut metric = Metric::default();
        metric.set_histogram(self.histogram());
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::Metrics;

    #[test]
    fn each_time_is_in_the_first_bucket_that_holds_it() {
        let metrics = Metrics::new();
        let latency = metrics.latency("answer_seconds", "Answers.");
        let mut batch = super::LatencyBatch::default();
        [0, 1, 1, 3, 32_767, 32_768, u32::MAX].into_iter().for_each(|time| batch.add(time));
        latency.add_batch(&mut batch);
        latency.add_batch(&mut batch);
        let text = metrics.render();
        let bucket = |le: &str, count: u32| format!("pyapns_answer_seconds_bucket{{le=\"{le}\"}} {count}\n");
        for (le, count) in [("0.001", 1), ("0.002", 3), ("0.004", 4), ("16.384", 4), ("32.768", 5), ("+Inf", 7)] {
            assert!(text.contains(&bucket(le, count)), "{le}: {text}");
        }
        assert!(text.contains("pyapns_answer_seconds_count 7\n"), "{text}");
        assert!(text.contains("pyapns_answer_seconds_sum 4295032.835\n"), "{text}");
        assert_eq!(metrics.faults(), Vec::<String>::new());
    }
}
