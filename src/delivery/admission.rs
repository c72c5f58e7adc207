//! The bytes that a batch holds while it is in flight.

use crate::budget::Permit;
use std::sync::Arc;

/// The bytes of a batch in the budgets of its node and its app.
#[derive(Debug)]
pub enum Room {
    /// The batch is one job.
    Own([Permit; 2]),
    /// The batch has several parts; the last one to end returns the bytes.
    Shared(Arc<[Permit; 2]>),
}
