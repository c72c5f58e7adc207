//! Faults of a caller's JSON, with their position and the remedy.

use super::form;
use serde_json::error::Category;

/// The reason that a body is not JSON. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the body is empty: send JSON")]
    Empty,
    #[error(
        "this is a form; send JSON, as in `curl -d '{{\"token\": …}}'`, or a file unchanged with `curl --data-binary @file`"
    )]
    Form,
    #[error("the body is not UTF-8 from byte {offset} on, and JSON is UTF-8")]
    NotUtf8 { offset: usize },
    #[error(
        "a string has a raw line break or control character at line {line}, column {column}: write a line break as \\n, or send a file unchanged with `curl --data-binary @file`"
    )]
    RawControl { line: usize, column: usize },
    #[error("the body ends in the middle of its JSON, at line {line}, column {column}")]
    Truncated { line: usize, column: usize },
    #[error("the body is not JSON at line {line}, column {column}: {what}")]
    Syntax { what: String, line: usize, column: usize },
}

impl Malformed {
    /// Describes the syntax error that serde_json found in `text`.
    pub fn new(text: &str, error: &serde_json::Error) -> Self {
        if text.trim().is_empty() {
            return Self::Empty;
        }
        if form::is_form(text.as_bytes()) {
            return Self::Form;
        }
        let bytes = text.as_bytes();
        let end = offset(text, error);
        // serde_json has consumed the offending byte when it reads a string, but not when it skips one.
        let raw_control = [end.saturating_sub(1), end]
            .into_iter()
            .find(|&at| matches!(bytes.get(at), Some(..=0x1f)) && ends_inside_a_string(&bytes[..at]));
        if let Some(at) = raw_control {
            let (line, column) = position(&bytes[..at]);
            return Self::RawControl { line, column };
        }
        let (line, column) = position(&bytes[..end]);
        if error.classify() == Category::Eof {
            return Self::Truncated { line, column };
        }
        let told = error.to_string();
        let what = told.rsplit_once(" at line ").map_or(told.as_str(), |(what, _)| what);
        Self::Syntax { what: what.to_owned(), line, column: column.max(2) - 1 }
    }

    /// The sentence about one line of a stream.
    pub fn of_line(&self) -> String {
        match self {
            Self::Empty => "the line is empty: send JSON".to_owned(),
            Self::Form => "the line is a form; send JSON, one notification a line".to_owned(),
            Self::NotUtf8 { offset } => format!("the line is not UTF-8 from byte {offset} on, and JSON is UTF-8"),
            Self::RawControl { column, .. } => {
                format!("a string has a raw control character at column {column}: write it as \\u and four digits")
            }
            Self::Truncated { column, .. } => {
                format!(
                    "the line ends in the middle of its JSON, at column {column}: write each notification on one line"
                )
            }
            Self::Syntax { what, column, .. } => format!("the line is not JSON at column {column}: {what}"),
        }
    }

    /// The line and column, if known.
    pub fn place(&self) -> Option<(usize, usize)> {
        match *self {
            Self::Empty | Self::Form | Self::NotUtf8 { .. } => None,
            Self::RawControl { line, column } | Self::Truncated { line, column } => Some((line, column)),
            Self::Syntax { line, column, .. } => Some((line, column)),
        }
    }
}

/// Returns the number of bytes that serde_json had read at the error.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    (lines.map(str::len).sum::<usize>() + error.column()).min(text.len())
}

/// The line and column of the byte after `before`.
fn position(before: &[u8]) -> (usize, usize) {
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
    (line, column)
}

/// Returns `true` if `json`, good so far, stops inside a string.
fn ends_inside_a_string(json: &[u8]) -> bool {
    let (mut inside, mut escaped) = (false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            _ => {}
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IgnoredAny;

    fn malformed(text: &str) -> Malformed {
        let error = serde_json::from_str::<IgnoredAny>(text).expect_err("bad JSON");
        Malformed::new(text, &error)
    }

    #[test]
    fn faults_have_their_position() {
        assert_eq!(malformed(" \n"), Malformed::Empty);
        assert_eq!(malformed(r#"{"a":"#), Malformed::Truncated { line: 1, column: 6 });
        let Malformed::Syntax { what, line, column } = malformed("{\n  \"a\": x}") else { panic!("a syntax error") };
        assert_eq!((what.as_str(), line, column), ("expected value", 2, 8));
    }

    #[test]
    fn a_raw_line_break_inside_a_string_is_distinguished_from_bad_syntax() {
        assert_eq!(malformed("{\"a\":\n\"b\nc\"}"), Malformed::RawControl { line: 2, column: 3 });
        assert_eq!(malformed("{\"a\":\"\t\"}"), Malformed::RawControl { line: 1, column: 7 });
        assert!(matches!(malformed("{\"a\":tr\nue}"), Malformed::Syntax { .. }));
        let sentence = malformed("\"\\\"\n\"").to_string();
        assert!(sentence.contains("--data-binary @file"), "{sentence}");
    }
}
