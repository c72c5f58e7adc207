//! The disconnection log's excerpt of an invalid line.

use crate::model::push_type::VOIP_PAYLOAD_BYTES_MAX;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The maximum length of a stored token, in bytes of JSON. A stored payload is at most as long as Apple accepts. A line
/// may be much longer, and 5,000 entries are stored per app.
const TOKEN_BYTES_MAX: usize = 512;

#[derive(Default, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    token: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    expiry: Option<&'a RawValue>,
}

/// The notification in the form of v0.5, with the bytes of the line; `identifier` is JSON. Missing and too long values
/// are null.
pub fn log_excerpt(line: &[u8], identifier: Option<&str>) -> String {
    let line: Line<'_> = serde_json::from_slice(line).unwrap_or_default();
    let kept = |json: Option<&RawValue>, bytes_max: usize| {
        let json = json.map(RawValue::get).filter(|json| json.len() <= bytes_max);
        json.unwrap_or("null").to_owned()
    };
    let (token, expiry) = (kept(line.token, TOKEN_BYTES_MAX), kept(line.expiry, TOKEN_BYTES_MAX));
    let (payload, identifier) = (kept(line.payload, VOIP_PAYLOAD_BYTES_MAX), identifier.unwrap_or("null"));
    format!(
        r#"{{"type":"notification","expiry":{expiry},"identifier":{identifier},"payload":{payload},"token":{token}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_byte_for_byte_and_values_that_are_too_long_are_null() {
        let line = r#"{"token":"x y","expiry":7,"payload":{"aps": {"alert":"h\u00e4"}},"identifier":"a"}"#;
        let shown = r#"{"type":"notification","expiry":7,"identifier":"a","payload":{"aps": {"alert":"h\u00e4"}},"token":"x y"}"#;
        assert_eq!(log_excerpt(line.as_bytes(), Some(r#""a""#)), shown);
        let nothing = r#"{"type":"notification","expiry":null,"identifier":null,"payload":null,"token":null}"#;
        let long = "x".repeat(VOIP_PAYLOAD_BYTES_MAX);
        for line in ["{", "7", "{}", &format!(r#"{{"token":"{long}","payload":["{long}"]}}"#)] {
            assert_eq!(log_excerpt(line.as_bytes(), None), nothing, "{line}");
        }
    }
}
