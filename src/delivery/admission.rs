//! The bytes that a batch or a call holds while it is in flight.

use super::send::Refused;
use crate::budget::{Budget, Permit};
use crate::model::AppKey;
use prometheus::IntGauge;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The time after which a refused caller may try again.
pub const RETRY_AFTER_SECONDS: u32 = 1;

/// The limits on requests in flight, in bytes of their bodies.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub node_bytes: usize,
    pub app_bytes: usize,
}

/// The pools of bytes in flight: that of the node, and one for each app.
pub struct Pools {
    limits: Limits,
    node: Arc<Budget>,
    apps: Mutex<HashMap<AppKey, Arc<Budget>>>,
}

impl Pools {
    /// `gauge` shows the bytes in flight of the node.
    pub fn new(limits: Limits, gauge: IntGauge) -> Self {
        Self { limits, node: Budget::shown_by(limits.node_bytes, gauge), apps: Mutex::default() }
    }

    /// Takes bytes of the node's pool and of the app's.
    pub fn hold(&self, key: &AppKey, bytes: usize) -> Result<[Permit; 2], Refused> {
        let retry_after_seconds = RETRY_AFTER_SECONDS;
        let of_node =
            self.node.try_acquire_any_if_unused(bytes).ok_or(Refused::NodeOverloaded { retry_after_seconds })?;
        let of_app =
            self.pool(key).try_acquire_any_if_unused(bytes).ok_or(Refused::AppOverloaded { retry_after_seconds })?;
        Ok([of_node, of_app])
    }

    /// Forgets the pool of an app.
    pub fn remove(&self, key: &AppKey) {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn pool(&self, key: &AppKey) -> Arc<Budget> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        match apps.get(key) {
            Some(pool) => Arc::clone(pool),
            None => Arc::clone(apps.entry(key.clone()).or_insert_with(|| Budget::new(self.limits.app_bytes))),
        }
    }
}

/// The bytes of a batch in the budgets of its node and its app.
#[derive(Debug)]
pub enum Room {
    /// The batch is one job.
    Own([Permit; 2]),
    /// The batch has several parts; the last one to end returns the bytes.
    Shared(Arc<[Permit; 2]>),
}
