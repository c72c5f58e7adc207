//! What several specs need.

pub mod connect_proxy;
pub mod foreign;
pub mod tls_server;
