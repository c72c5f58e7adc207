//! HTTP/1 responses written as bytes, for refusals before a request reaches hyper or a route.

use super::connection_limit::LimitReached;
use crate::http::RequestError;
use crate::http::envelope;
use axum::http::StatusCode;
use std::borrow::Cow;
use uuid::Uuid;

/// The response to a connection over the limit.
pub fn limit_reached(reached: LimitReached) -> String {
    let (status, reason, sentence) = match reached {
        LimitReached::Node => (
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_connections",
            "limit reached: the node has its maximum number of connections: connect again soon",
        ),
        LimitReached::Address => (
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_connections_of_address",
            "limit reached: your address has its maximum number of connections: close or reuse some, or have the address of a load \
             balancer added to limits.shared_addresses",
        ),
    };
    response(status, reason, sentence, "retry-after: 1\r\n")
}

/// The response to a client that does not complete a request's headers in time.
pub fn headers_too_slow() -> String {
    let sentence = "the request line and headers arrived too slowly: send them in one write";
    response(StatusCode::REQUEST_TIMEOUT, "headers_too_slow", sentence, "")
}

/// A response with an envelope, in place of hyper's response, which has only a status.
pub struct Replacement {
    text: String,
    written: usize,
}

impl Replacement {
    /// Returns the replacement of `bytes`, if they are a bare response of hyper. `body_bytes_max` returns the limit of
    /// a body, if the request declared an impossible length.
    pub fn for_bare_response(bytes: &[u8], body_bytes_max: impl FnOnce() -> Option<usize>) -> Option<Self> {
        let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3).filter(|status| status[0] == b'4')?;
        // The API's responses always have a body.
        let head = bytes.strip_suffix(b"\r\n\r\n")?;
        head.split(|byte| *byte == b'\n').find(|line| line.trim_ascii() == b"content-length: 0")?;
        if matches!(status, b"400" | b"431")
            && let Some(limit) = body_bytes_max()
        {
            let error = RequestError::LengthTooLarge { limit };
            let (status, reason) = error.status_and_reason();
            let text = envelope_of(status, reason, &error.to_string(), &error.args(), "");
            return Some(Self { text, written: 0 });
        }
        let (status, reason, sentence) = match status {
            b"400" => (
                StatusCode::BAD_REQUEST,
                "malformed_http",
                "this is not a valid HTTP request: check its request line, its headers and its `Content-Length`",
            ),
            b"414" => (StatusCode::URI_TOO_LONG, "uri_too_long", "the path and query are too long"),
            b"431" => {
                let sentence = "the header list is too long, or has more than 100 headers";
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", sentence)
            }
            _ => return None,
        };
        Some(Self { text: response(status, reason, sentence, ""), written: 0 })
    }

    pub fn rest(&self) -> &[u8] {
        &self.text.as_bytes()[self.written..]
    }

    pub fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
    }
}

/// A response that ends its connection.
fn response(status: StatusCode, reason: &str, sentence: &str, more: &str) -> String {
    envelope_of(status, reason, sentence, &serde_json::json!({}), more)
}

fn envelope_of(status: StatusCode, reason: &str, sentence: &str, args: &serde_json::Value, more: &str) -> String {
    let body = envelope::failure_json(status, reason, sentence, args);
    let (body, length, id) = (String::from_utf8_lossy(&body) as Cow<'_, str>, body.len(), Uuid::new_v4().simple());
    tracing::debug!(request_id = %id, reason, "a client was refused");
    let kind = "content-type: application/json\r\nconnection: close";
    format!("HTTP/1.1 {status}\r\n{kind}\r\nx-request-id: {id}\r\n{more}content-length: {length}\r\n\r\n{body}")
}
