//! Log lines and metrics.

pub mod families;
pub mod latency;
pub mod logging;
pub mod metrics;
mod panics;
pub mod sampled;

pub use logging::Logging;
pub use metrics::Metrics;
