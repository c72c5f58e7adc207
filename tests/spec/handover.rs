//! Lanes change their owner: nodes join and leave, and callers do not notice.
//!
//! The nodes are processes with a real Redis. Each test takes at most 40 s.

mod joining;
mod lanes;
mod leaving;
mod owner_header;
mod pace;
mod pinned;
mod provider_token;
mod rolling;

const NAMES: [&str; 3] = ["a", "b", "c"];
