//! Delivery: takes a batch and returns exactly one outcome for each of its notifications.

pub mod admission;
pub mod backoff;
pub mod bound;
pub mod calls;
pub mod descriptors;
pub mod errand;
pub mod intake;
pub mod job;
pub mod lane;
pub mod lanes;
pub mod metrics;
pub mod peer;
pub mod refusal;
pub mod route;
pub mod send;
pub mod shard;
pub mod split;
pub mod status;
pub mod verdict;
pub mod warm;

pub use intake::Intake;
pub use send::{Answer, Refused, Sending, Sent};
