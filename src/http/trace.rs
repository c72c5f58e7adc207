//! The trace that a request belongs to, from the header `traceparent` (W3C Trace Context, section 3.2).

use super::head::HeaderLines;

pub const TRACEPARENT: &str = "traceparent";
const TRACE_ID_BYTES: usize = 32;
/// Version, trace id, parent id and flags, with a hyphen between each.
const LENGTH: usize = 2 + 1 + TRACE_ID_BYTES + 1 + 16 + 1 + 2;

/// The id of a trace: 32 lower-case hexadecimal digits, not all of them 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; TRACE_ID_BYTES]);

impl TraceId {
    /// The id in a `traceparent`; `None` if it is not valid, and if there is more than one.
    pub fn of(traceparent: HeaderLines<'_>) -> Option<Self> {
        if traceparent.count == 1 { Self::parse(traceparent.first?) } else { None }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let [version, trace, parent, flags] = fields(known)?;
        // A later version may add fields; `ff` is forbidden.
        let may_continue = version != b"00" && rest.first() == Some(&b'-');
        let is_valid = version != b"ff"
            && (rest.is_empty() || may_continue)
            && [version, trace, parent, flags].into_iter().all(is_hex)
            && [trace, parent].into_iter().all(|id| id.iter().any(|digit| *digit != b'0'));
        if is_valid { trace.try_into().ok().map(Self) } else { None }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The four fields, by their length.
fn fields(text: &[u8]) -> Option<[&[u8]; 4]> {
    let mut fields = text.split(|byte| *byte == b'-');
    let four = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    let lengths = four.map(<[u8]>::len);
    (fields.next().is_none() && lengths == [2, TRACE_ID_BYTES, 16, 2]).then_some(four)
}

fn is_hex(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::Head;
    use axum::http::{HeaderMap, HeaderValue};

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn id(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).expect("a value"));
        }
        TraceId::of(Head::read(&headers).traceparent).map(|id| id.as_str().to_owned())
    }

    #[test]
    fn a_valid_header_has_the_trace_id_and_a_later_version_may_have_more_fields() {
        for valid in [
            format!("00-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-00"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01-what-is-new"),
        ] {
            assert_eq!(id(&[&valid]).as_deref(), Some(TRACE), "{valid}");
        }
    }

    #[test]
    fn an_invalid_header_is_ignored() {
        let zeros = "0".repeat(32);
        let valid = format!("00-{TRACE}-00f067aa0ba902b7-01");
        for invalid in [
            "".to_owned(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{zeros}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-0"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01more"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00_{TRACE}_00f067aa0ba902b7_01"),
            format!("0-{TRACE}0-00f067aa0ba902b7-01"),
            "-".repeat(LENGTH),
        ] {
            assert_eq!(id(&[&invalid]), None, "{invalid}");
        }
        assert_eq!(id(&[&valid, &valid]), None, "two of them");
    }
}
