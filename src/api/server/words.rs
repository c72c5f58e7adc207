//! What a client is told where no route can tell it: answers in HTTP/1, written as they go out.

use super::places::Full;
use crate::api::envelope;
use axum::http::StatusCode;

/// To a client that comes when all connections are taken.
pub fn full(full: Full) -> String {
    let (reason, sentence) = match full {
        Full::Node => ("too_many_connections", "all connections are taken: send it again soon"),
        Full::Address => (
            "too_many_connections_of_address",
            "your address has as many connections as one may have: close or reuse some, or have the address of a load \
             balancer added to limits.shared_addresses",
        ),
    };
    answer(StatusCode::SERVICE_UNAVAILABLE, reason, sentence, "retry-after: 1\r\n")
}

/// An answer that ends its connection.
pub fn answer(status: StatusCode, reason: &str, sentence: &str, more: &str) -> String {
    let body = envelope::failure_json(status, reason, sentence, &serde_json::json!({}));
    let body = String::from_utf8_lossy(&body);
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n{more}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}
