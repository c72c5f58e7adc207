//! Sending: from a batch of notifications to their outcomes.

pub mod intake;
