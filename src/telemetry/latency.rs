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
        self.counts[bucket_of(milliseconds)] += 1;
        self.milliseconds += u64::from(milliseconds);
    }

    /// Adds one time for each of `count` measurements.
    pub fn add_many(&mut self, milliseconds: u32, count: usize) {
        self.counts[bucket_of(milliseconds)] += count as u64;
        self.milliseconds += u64::from(milliseconds) * count as u64;
    }

    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }
}

fn bucket_of(milliseconds: u32) -> usize {
    ((u32::BITS - milliseconds.leading_zeros()) as usize).min(BUCKETS)
}

/// The histogram. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Latency {
    desc: Desc,
    cells: Arc<LatencyCells>,
}

/// The counts of one histogram, shared by those who measure.
#[derive(Debug, Default)]
pub struct LatencyCells {
    counts: Counts<AtomicU64>,
    milliseconds: AtomicU64,
}

impl LatencyCells {
    /// Adds the times of a batch.
    pub fn add(&self, batch: &LatencyBatch) {
        for (cell, count) in self.counts.iter().zip(batch.counts).filter(|(_, count)| *count > 0) {
            cell.fetch_add(count, Relaxed);
        }
        self.milliseconds.fetch_add(batch.milliseconds, Relaxed);
    }

    /// The histogram as Prometheus's library has it.
    pub fn histogram(&self) -> Histogram {
        let mut below = 0;
        let mut buckets = Vec::with_capacity(BUCKETS);
        for (power, cell) in self.counts.iter().enumerate() {
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
        histogram.set_sample_sum(self.milliseconds.load(Relaxed) as f64 / 1000.0);
        histogram
    }
}

impl Latency {
    /// `name` is the full name of the metric.
    pub fn new(name: String, help: &str) -> prometheus::Result<Self> {
        let desc = Desc::new(name, help.to_owned(), Vec::new(), HashMap::new())?;
        Ok(Self { desc, cells: Arc::default() })
    }

    /// Adds the batch to the histogram, and empties it.
    pub fn add_batch(&self, batch: &mut LatencyBatch) {
        self.cells.add(&std::mem::take(batch));
    }
}

impl Collector for Latency {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut metric = Metric::default();
        metric.set_histogram(self.cells.histogram());
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
