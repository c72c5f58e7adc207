//! Connections to Apple: everything between a notification and the gateway's answer.

pub mod channels;
pub mod connect;
pub mod connection;
pub mod endpoint;
pub mod liveness;
pub mod request;
pub mod response;
pub mod trust;
