//! Sending: from a batch of notifications to their outcomes.

pub mod intake;

pub use intake::{Intake, Refused, Sending, Sent};
