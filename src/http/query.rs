//! A request's query: every parameter is known, appears once, and has a valid value.

use super::error::RequestError;
use percent_encoding::percent_decode_str;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The parameters of one request, decoded.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query of which every parameter is one of `known`.
    pub fn read(query: Option<&str>, known: &[&'static str]) -> Result<Self, RequestError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name);
            if !known.contains(&name.as_str()) {
                return Err(RequestError::UnknownParameter { name, known: known.into() });
            }
            if pairs.iter().any(|(seen, _)| *seen == name) {
                return Err(RequestError::RepeatedParameter { name });
            }
            pairs.push((name, decode(value)));
        }
        Ok(Self(pairs))
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn number(&self, name: &'static str, range: RangeInclusive<u64>) -> Result<Option<u64>, RequestError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        let expected = || format!("a number from {} to {}", range.start(), range.end());
        number.map(Some).ok_or_else(|| RequestError::BadParameter { name, expected: expected() })
    }

    pub fn truth(&self, name: &'static str) -> Result<Option<bool>, RequestError> {
        match self.text(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(RequestError::BadParameter { name, expected: "true or false".to_owned() }),
        }
    }

    /// A number of seconds, which may have a fraction.
    pub fn seconds(&self, name: &'static str, range: RangeInclusive<f64>) -> Result<Option<Duration>, RequestError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let seconds = text.parse().ok().filter(|seconds| range.contains(seconds));
        let expected = || format!("a number of seconds from {} to {}", range.start(), range.end());
        match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            None => Err(RequestError::BadParameter { name, expected: expected() }),
            some => Ok(some),
        }
    }
}

/// Decodes `application/x-www-form-urlencoded`; an invalid escape stays unchanged.
fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> String {
        let read = Query::read(Some(query), &["limit", "wait", "timeout", "cursor"]).and_then(|query| {
            query.number("limit", 1..=1000)?;
            query.truth("wait")?;
            query.seconds("timeout", 1.0..=300.0)
        });
        read.expect_err("a bad query").to_string()
    }

    #[test]
    fn values_are_decoded() {
        let query = Query::read(Some("cursor=a%2Fb+c%&limit=5&&"), &["cursor", "limit"]).unwrap();
        assert_eq!(query.text("cursor"), Some("a/b c%"));
        assert_eq!(query.number("limit", 1..=10).unwrap(), Some(5));
        assert_eq!(query.truth("wait").unwrap(), None);
        let query = Query::read(Some("timeout=2.5"), &["timeout"]).unwrap();
        assert_eq!(query.seconds("timeout", 1.0..=3.0).unwrap(), Some(Duration::from_millis(2500)));
    }

    #[test]
    fn the_refusal_of_a_parameter_names_it() {
        let table = [
            ("limt=5", "unknown parameter `limt`: the parameters of this call are limit, wait, timeout, cursor"),
            ("limit=5&limit=6", "`limit` appears twice in the query"),
            ("limit=0", "`limit` in the query must be a number from 1 to 1000"),
            ("limit", "`limit` in the query must be a number from 1 to 1000"),
            ("wait=no", "`wait` in the query must be true or false"),
            ("timeout=301", "`timeout` in the query must be a number of seconds from 1 to 300"),
            ("timeout=NaN", "`timeout` in the query must be a number of seconds from 1 to 300"),
        ];
        for (query, sentence) in table {
            assert_eq!(refused(query), sentence);
        }
    }
}
