//! The REST API.

pub mod envelope;
pub mod error;
pub mod json;
pub mod notifications;
