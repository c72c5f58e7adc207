//! The REST API.

pub mod body;
pub mod envelope;
pub mod error;
pub mod json;
pub mod limits;
pub mod metrics;
pub mod notifications;
pub mod object;
pub mod observe;
pub mod path;
pub mod query;
pub mod server;
pub mod unbuilt;

pub use limits::Limits;
