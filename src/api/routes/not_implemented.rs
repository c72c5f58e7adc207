//! Refuses sends that request a feature that is not implemented yet, with 501 and a sentence.

use crate::api::error::ApiError;
use crate::http::query::Query;
use axum::http::HeaderMap;

const DURABLE: ApiError = ApiError::NotImplemented(
    "durable sending is not built yet: leave out `Prefer: respond-async` and `wait=false`, and wait for the answer",
);
const IDEMPOTENCY_KEY: ApiError = ApiError::NotImplemented(
    "`Idempotency-Key` is not built yet: leave it out, and repeat only notifications with the outcome `not_sent` (Apple delivers repeats; a `collapse_id` makes them replace each other)",
);

/// Refuses a send that asks for a feature that is not implemented.
pub fn refuse(headers: &HeaderMap, query: &Query) -> Result<(), ApiError> {
    if headers.contains_key("idempotency-key") {
        return Err(IDEMPOTENCY_KEY);
    }
    let prefers = headers.get_all("prefer").iter().any(|value| has_token(value.as_bytes(), b',', b"respond-async"));
    if prefers || query.truth("wait")? == Some(false) {
        return Err(DURABLE);
    }
    Ok(())
}

/// Returns true if one of the parts of a header is `word`, in any case.
pub fn has_token(value: &[u8], separator: u8, word: &[u8]) -> bool {
    value.split(|&byte| byte == separator).any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn refused(name: &'static str, value: &'static str) -> Option<String> {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
        refuse(&headers, &Query::default()).err().map(|failure| failure.to_string())
    }

    #[test]
    fn a_request_for_a_feature_that_is_not_implemented_is_refused_with_a_sentence() {
        for (name, value, word) in [
            ("prefer", "respond-async", "durable sending is not built"),
            ("prefer", "wait=10, Respond-Async", "durable sending is not built"),
            ("idempotency-key", "17", "`Idempotency-Key` is not built"),
        ] {
            assert!(refused(name, value).expect(value).contains(word), "{value}");
        }
        let query = Query::read(Some("wait=false"), &["wait"]).unwrap();
        assert!(refuse(&HeaderMap::new(), &query).is_err());
    }

    #[test]
    fn a_request_without_special_features_passes() {
        assert_eq!(refused("prefer", "return=minimal"), None);
        assert_eq!(refused("content-type", "application/x-www-form-urlencoded"), None);
        let query = Query::read(Some("wait=true"), &["wait"]).unwrap();
        assert!(refuse(&HeaderMap::new(), &query).is_ok());
    }
}
