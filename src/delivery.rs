//! Delivery: from a batch at the door to exactly one outcome for each of its notifications.

pub mod admission;
pub mod answer;
pub mod backoff;
pub mod bound;
pub mod cut;
pub mod intake;
pub mod job;
pub mod lane;
pub mod lanes;
pub mod metrics;
pub mod refusal;
pub mod shard;
pub mod status;
pub mod verdict;

pub use answer::{Answer, Sent};
pub use intake::{Intake, Refused, Sending};
