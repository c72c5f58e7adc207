//! The limits of the HTTP server, each a setting.

use crate::network::Network;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest body of a request.
    pub body_bytes: usize,
    /// Most notifications in one request.
    pub items: usize,
    /// Bytes of all bodies that are read or answered at one time.
    pub in_flight_bytes: usize,
    /// The same for the notifications of one app.
    pub in_flight_app_bytes: usize,
    /// Names and values of a request's headers.
    pub header_list_bytes: usize,
    /// Connections open at one time.
    pub connections: usize,
    /// The same for one address.
    pub connections_per_address: usize,
    /// Addresses that many callers share, load balancers for example: they may take every connection.
    pub shared_addresses: Vec<Network>,
    /// Requests being answered at one time.
    pub requests: usize,
    /// Requests in flight on one HTTP/2 connection.
    pub streams_per_connection: u32,
    /// From the first byte of a request to the last of its headers; and from accepting a connection to its first
    /// request.
    pub header_timeout: Duration,
    /// A connection without a request is closed after this; longer than a load balancer keeps one (60 s is common).
    pub idle_timeout: Duration,
    /// For each 64 KiB of an answer, or its rest: the connection of a client that takes less is closed.
    pub write_timeout: Duration,
    /// Time after the signal to stop in which requests are still accepted, and responses ask callers to close.
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
