//! Guards between the socket and hyper: limits on connections, on slow clients, and on floods of HTTP/2 frames.

pub mod canned_responses;
pub mod connection_limit;
pub mod guarded_body;
pub mod http2_flood;
pub mod lingering_body;
mod request_start;
pub mod timed_socket;
