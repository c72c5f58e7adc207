//! Limits the bytes of requests in flight, for the node and for each app.

use prometheus::IntGauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes in flight, and their maximum.
#[derive(Debug)]
pub struct Pool {
    held: AtomicUsize,
    max: usize,
    /// The gauge of the bytes held.
    gauge: Option<IntGauge>,
}

impl Pool {
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), max, gauge: None })
    }

    /// A pool with a gauge that shows the bytes held.
    pub fn shown_by(max: usize, gauge: IntGauge) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), max, gauge: Some(gauge) })
    }

    /// Takes `bytes` unless the pool would overflow. An empty pool accepts any amount, so that no valid request is
    /// always refused.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Option<Held> {
        let fits = |held: usize| (held == 0 || held.saturating_add(bytes) <= self.max).then_some(held + bytes);
        self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).ok()?;
        self.gauge.iter().for_each(|gauge| gauge.add(bytes as i64));
        Some(Held { pool: Arc::clone(self), bytes })
    }

    /// Bytes in flight now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }
}

/// Bytes taken from a pool; returned on drop.
#[derive(Debug)]
pub struct Held {
    pool: Arc<Pool>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.held.fetch_sub(self.bytes, Ordering::AcqRel);
        self.pool.gauge.iter().for_each(|gauge| gauge.sub(self.bytes as i64));
    }
}

/// The bytes of a batch in the pools of its node and its app.
#[derive(Debug)]
pub enum Room {
    /// The batch is one job.
    Own([Held; 2]),
    /// The batch has several parts; the last one to end returns the bytes.
    Shared(Arc<[Held; 2]>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pool_accepts_no_more_until_bytes_are_returned() {
        let pool = Pool::new(100);
        let first = pool.take(60).expect("room");
        assert!(pool.take(41).is_none());
        let _second = pool.take(40).expect("room");
        drop(first);
        assert_eq!(pool.held(), 40);
    }

    #[test]
    fn an_empty_pool_accepts_even_more_than_its_size() {
        let pool = Pool::new(100);
        let _large = pool.take(1000).expect("an empty pool takes anything");
        assert!(pool.take(1).is_none());
    }
}
