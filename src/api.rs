//! The REST API.

pub mod envelope;
pub mod error;
pub mod json;
pub mod limits;
pub mod notifications;

pub use limits::Limits;
