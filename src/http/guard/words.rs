//! What a client is told where no route can tell it: answers in HTTP/1, written as they go out.

use super::places::Full;
use crate::http::RequestError;
use crate::http::envelope;
use axum::http::StatusCode;
use std::borrow::Cow;
use uuid::Uuid;

/// Where a request's headers are looked for.
const HEAD_BYTES: usize = 4 << 10;

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

/// To a client that has begun a request and does not go on.
pub fn headers_too_slow() -> String {
    let sentence = "the request line and headers came too slowly: send them in one go";
    answer(StatusCode::REQUEST_TIMEOUT, "headers_too_slow", sentence, "")
}

/// Goes out in place of an answer that the protocol gives by itself, which has a status and nothing else.
pub struct Instead {
    text: String,
    written: usize,
}

impl Instead {
    /// What to say in place of `bytes`, if they are such an answer. `limit`: the request's body has an impossible length, and
    /// this is the longest possible.
    pub fn of(bytes: &[u8], limit: Option<usize>) -> Option<Self> {
        let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3).filter(|status| status[0] == b'4')?;
        // Our own always have a body.
        let head = bytes.strip_suffix(b"\r\n\r\n")?;
        head.split(|byte| *byte == b'\n').find(|line| line.trim_ascii() == b"content-length: 0")?;
        if let (Some(limit), b"400" | b"431") = (limit, status) {
            let failure = RequestError::LengthTooLarge { limit };
            let text = {
                let (status, reason) = failure.row();
                envelope_of(status, reason, &failure.to_string(), &failure.args(), "")
            };
            return Some(Self { text, written: 0 });
        }
        let (status, reason, sentence) = match status {
            b"400" => (
                StatusCode::BAD_REQUEST,
                "malformed_http",
                "this is no HTTP request: look at its request line and headers, and at the length it gives for its body",
            ),
            b"414" => (StatusCode::URI_TOO_LONG, "uri_too_long", "the path and query are too long"),
            b"431" => {
                let sentence = "the header list is too long, or has more than 100 headers";
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", sentence)
            }
            _ => return None,
        };
        Some(Self { text: answer(status, reason, sentence, ""), written: 0 })
    }

    pub fn rest(&self) -> &[u8] {
        &self.text.as_bytes()[self.written..]
    }

    pub fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
    }
}

/// Whether these bytes have a `Content-Length` of 20 digits or more: 2^64 has 20, and the protocol's parser refuses it as
/// it refuses nonsense.
pub fn gives_endless_length(bytes: &[u8]) -> bool {
    const DIGITS: usize = 20;
    const NAME: &[u8] = b"content-length:";
    let is_digit = |at: &usize| bytes.get(*at).is_some_and(u8::is_ascii_digit);
    // So many digits in a row cannot pass between two looks.
    (DIGITS - 1..bytes.len().min(HEAD_BYTES)).step_by(DIGITS).filter(is_digit).any(|at| {
        let begin = (0..at).rev().take_while(is_digit).last().unwrap_or(at);
        let digits = (begin..bytes.len()).take_while(is_digit).take(DIGITS).count();
        let before = bytes[..begin].trim_ascii_end();
        let name = before.len().checked_sub(NAME.len()).map(|start| &before[start..]);
        digits == DIGITS && name.is_some_and(|name| name.eq_ignore_ascii_case(NAME))
    })
}

/// An answer that ends its connection.
fn answer(status: StatusCode, reason: &str, sentence: &str, more: &str) -> String {
    envelope_of(status, reason, sentence, &serde_json::json!({}), more)
}

fn envelope_of(status: StatusCode, reason: &str, sentence: &str, args: &serde_json::Value, more: &str) -> String {
    let body = envelope::failure_json(status, reason, sentence, args);
    let (body, length, id) = (String::from_utf8_lossy(&body) as Cow<'_, str>, body.len(), Uuid::new_v4().simple());
    tracing::debug!(request_id = %id, reason, "a client was turned away");
    let kind = "content-type: application/json\r\nconnection: close";
    format!("HTTP/1.1 {status}\r\n{kind}\r\nx-request-id: {id}\r\n{more}content-length: {length}\r\n\r\n{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_no_number_holds_is_seen_wherever_it_stands_and_nothing_else_is() {
        for pad in 0..45 {
            let with = |line: &str| format!("POST / HTTP/1.1\r\na: {}\r\n{line}\r\n\r\n", "x".repeat(pad));
            for line in [
                "content-length: 18446744073709551616",
                "Content-Length:18446744073709551615",
                "CONTENT-LENGTH: \t 99999999999999999999999999999999999999999999999999999999",
            ] {
                assert!(gives_endless_length(with(line).as_bytes()), "{pad} {line}");
            }
            for line in [
                "content-length: 9223372036854775808",
                "x: 18446744073709551616",
                "content-length: 1844674407370955161x6",
                "content-length 18446744073709551616",
                "18446744073709551616",
            ] {
                assert!(!gives_endless_length(with(line).as_bytes()), "{pad} {line}");
            }
        }
        for bytes in [&b""[..], b"1", b"12345678901234567890123456789012345678901234567890"] {
            assert!(!gives_endless_length(bytes));
        }
    }
}
