//! The limits of the HTTP server, each a setting.

use crate::network::Network;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The maximum size of a request's body.
    pub body_bytes: usize,
    /// The maximum number of notifications in one request.
    pub items: usize,
    /// The maximum size of all bodies that are being read or answered.
    pub in_flight_bytes: usize,
    /// The maximum size of one app's notifications in flight.
    pub in_flight_app_bytes: usize,
    /// The maximum size of a request's headers, names and values together.
    pub header_list_bytes: usize,
    /// The maximum number of connections.
    pub connections: usize,
    /// The maximum number of connections from one address.
    pub connections_per_address: usize,
    /// Addresses without that limit, because many callers share them: load balancers, for example.
    pub shared_addresses: Vec<Network>,
    /// The maximum number of requests being answered.
    pub requests: usize,
    /// The maximum number of requests in flight on one HTTP/2 connection.
    pub streams_per_connection: u32,
    /// The time limit from a request's first byte to the end of its headers, and from accepting a connection to its
    /// first request.
    pub header_timeout: Duration,
    /// The time after which an idle connection is closed; longer than a load balancer keeps one (60 s is common).
    pub idle_timeout: Duration,
    /// The time limit for a client to read each 64 KiB of a response, or its rest. After it the connection is closed.
    pub write_timeout: Duration,
    /// The time after the signal to stop in which requests are still accepted, and responses ask callers to close.
    pub drain_notice: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            items: 10_000,
            in_flight_bytes: 256 << 20,
            in_flight_app_bytes: 128 << 20,
            header_list_bytes: 16 << 10,
            connections: 10_000,
            connections_per_address: 256,
            shared_addresses: Network::LOOPBACK.into(),
            requests: 10_000,
            streams_per_connection: 100,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            drain_notice: Duration::from_secs(1),
        }
    }
}
