//! The store that the nodes of a cluster share: one Redis server, alone or behind Sentinel.

mod address;
mod dial;
mod error;
mod link;
mod sentinel;
mod settings;
pub mod start;
mod tls;

pub use address::{BadRedisUrl, RedisUrl};
pub use error::Unfit;
pub use link::Link;
pub use settings::{Password, Settings};

#[cfg(test)]
#[path = "../../tests/support/black_hole.rs"]
pub mod black_hole;
#[cfg(test)]
#[path = "../../tests/support/redis_certificates.rs"]
pub mod redis_certificates;
#[cfg(test)]
#[path = "../../tests/support/redis_server.rs"]
pub mod redis_server;
#[cfg(test)]
mod tests;
