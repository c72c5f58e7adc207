//! What a node tells about itself: log lines and metrics.

pub mod logging;
pub mod metrics;

pub use logging::Logging;
pub use metrics::Metrics;
