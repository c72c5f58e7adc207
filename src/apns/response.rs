//! The contents of Apple's answer, which `delivery/verdict` judges.

use crate::model::{AppleReason, Reason};
use http2::Answer;
use serde::Deserialize;
use std::borrow::Cow;

/// The maximum length of an undocumented reason, in bytes.
const REASON_BYTES_MAX: usize = 128;

/// Apple's answer to one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    pub status: u16,
    pub reason: Option<Reason>,
    /// 410: the time of the token's end as Apple wrote it: milliseconds since the epoch, or seconds (below 10^11).
    pub dead_since: Option<u64>,
    /// The value of the undocumented `retry-after`, in whole seconds.
    pub retry_after_seconds: Option<u32>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    /// A whole number, also written as a float; anything else is ignored.
    #[serde(default)]
    timestamp: serde_json::Value,
}

/// Reads an answer; a missing, truncated or malformed body only loses the reason.
pub fn of_answer(answer: &Answer<'_>) -> Response {
    let mut response = Response { status: answer.status, reason: None, dead_since: None, retry_after_seconds: None };
    if answer.status == 200 {
        return response;
    }
    if let Some(body) = parse(answer.body) {
        response.reason = body.reason.as_deref().map(reason);
        let as_float = || body.timestamp.as_f64().filter(|float| *float >= 0.0).map(|float| float as u64);
        response.dead_since = body.timestamp.as_u64().or_else(as_float);
    }
    let seconds = answer.retry_after.and_then(|text| std::str::from_utf8(text).ok());
    response.retry_after_seconds = seconds.and_then(|text| text.parse().ok());
    response
}

/// The reason in the debug data of a GOAWAY, if it has the form of a body.
pub fn reason_of_goaway(debug: &[u8]) -> Option<Reason> {
    parse(debug)?.reason.as_deref().map(reason)
}

/// Requires an object; serde would also accept a list.
fn parse(json: &[u8]) -> Option<Body<'_>> {
    let is_object = json.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(json).ok()).flatten()
}

/// The listed reason of that name, or the name unchanged.
pub fn reason(text: &str) -> Reason {
    match AppleReason::parse(text) {
        Some(reason) => Reason::Apple(reason),
        None => {
            let kept = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= REASON_BYTES_MAX);
            Reason::Unlisted(text[..kept.last().unwrap_or(0)].into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &[u8]) -> Answer<'_> {
        Answer {
            status,
            apns_id: None,
            unique_id: None,
            channel_id: None,
            request_id: None,
            retry_after: None,
            body,
            complete: true,
        }
    }

    #[test]
    fn a_410_has_the_time_of_the_tokens_end() {
        let response = of_answer(&answer(410, br#"{"reason":"Unregistered","timestamp":1508249865488}"#));
        assert_eq!(response.reason, Some(AppleReason::Unregistered.into()));
        assert_eq!(response.dead_since, Some(1_508_249_865_488));
        for (written, read_as) in
            [("1508249865488.0", Some(1_508_249_865_488)), ("1e300", Some(u64::MAX)), ("-1", None), ("\"soon\"", None)]
        {
            let body = format!(r#"{{"reason":"Unregistered","timestamp":{written}}}"#);
            assert_eq!(of_answer(&answer(410, body.as_bytes())).dead_since, read_as, "{written}");
        }
    }

    #[test]
    fn a_malformed_body_only_loses_the_reason() {
        for body in [&b""[..], b"{\"reason\":", b"[]", b"[\"Unregistered\",7]", b"{\"reason\":7}", b"\xff\xff"] {
            assert_eq!((of_answer(&answer(400, body)).reason, reason_of_goaway(body)), (None, None), "{body:?}");
        }
        assert_eq!(reason_of_goaway(br#" {"reason":"Shutdown"}"#), Some(AppleReason::Shutdown.into()));
        let body = r#"{"reason":"Novelty","extra":{},"timestamp":"soon"}"#;
        assert_eq!(of_answer(&answer(400, body.as_bytes())).reason, Some(Reason::Unlisted("Novelty".into())));
    }

    #[test]
    fn an_unlisted_reason_is_truncated_at_a_character() {
        let Reason::Unlisted(kept) = reason(&"ä".repeat(100)) else { panic!("unlisted") };
        assert_eq!(kept.len(), 128);
    }

    #[test]
    fn retry_after_is_read_if_it_is_in_seconds() {
        let mut odd = answer(429, b"");
        odd.retry_after = Some(b"7");
        assert_eq!(of_answer(&odd).retry_after_seconds, Some(7));
        odd.retry_after = Some(b"Wed, 21 Oct");
        assert_eq!(of_answer(&odd).retry_after_seconds, None);
    }
}
