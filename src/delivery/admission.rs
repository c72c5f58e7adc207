//! The bytes that a batch holds while it is in flight.

use crate::budget::Permit;
use std::sync::Arc;

/// The bytes that a batch holds of its node's budget and of its app's.
#[derive(Debug)]
pub enum Room {
    /// Its only job's.
    Own([Permit; 2]),
    /// Its parts'; the last one that ends gives it back.
    Shared(Arc<[Permit; 2]>),
}
