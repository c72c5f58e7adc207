//! Each family of Apple's faults against a node: what callers are told agrees with what Apple's stand-in saw.

mod bursts;
mod connect_failures;
mod slow;
mod stalls;
