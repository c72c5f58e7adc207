//! The requests of callers, made before anything is measured.

use crate::shape::{APPS, Apps, Form, Shape};
use bytes::Bytes;
use std::fmt::Write as _;

/// Different requests of each caller; they are sent over and over.
const DIFFERENT: usize = 16;

/// A payload of 160 bytes.
pub fn payload() -> String {
    let (start, end) = (r#"{"aps":{"alert":{"title":"Bench","body":""#, r#""},"sound":"default"}}"#);
    let payload = format!("{start}{}{end}", "x".repeat(160 - start.len() - end.len()));
    assert_eq!(payload.len(), 160);
    payload
}

/// A device token of 64 hex digits.
pub fn token(number: usize) -> String {
    format!("{:064x}", (number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// The path of an app; apps with a certificate come first, then the one with a signing key, and the one of several lanes.
pub fn app_path(number: usize) -> String {
    format!("/apps/bench.{number}/sandbox")
}

/// The number of the app with a signing key.
pub const SIGNING_KEY_APP: usize = APPS;
/// The number of the app of several lanes.
pub const LANES_APP: usize = APPS + 1;

/// A whole POST.
pub fn post(path: &str, body: &str) -> Bytes {
    Bytes::from(format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

/// The head of a stream of lines; its body comes in chunks.
pub fn stream_head() -> Bytes {
    let path = format!("{}/notifications", app_path(0));
    Bytes::from(format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
    ))
}

/// The end of a stream of lines.
pub const STREAM_END: &[u8] = b"0\r\n\r\n";

/// The input of one of a shape's callers: requests, or chunks of a stream.
pub fn of_caller(shape: &Shape, caller: usize) -> Vec<Bytes> {
    let different = if shape.apps == Apps::Many { APPS } else { DIFFERENT };
    let message = |at: usize| {
        let number = caller * different + at;
        let app = match shape.apps {
            Apps::Certificate | Apps::Forwarded => 0,
            Apps::SigningKey => SIGNING_KEY_APP,
            Apps::Lanes => LANES_APP,
            Apps::Many => (at + caller * APPS / shape.callers) % APPS,
        };
        let count = shape.form.notifications();
        let body = body(shape.form, number * count, count);
        match shape.form {
            Form::Lines(_) => Bytes::from(format!("{:x}\r\n{body}\r\n", body.len())),
            _ => post(&format!("{}/notifications", app_path(app)), &body),
        }
    };
    (0..different).map(message).collect()
}

fn body(form: Form, from: usize, count: usize) -> String {
    let payload = payload();
    let numbers = from..from + count;
    let objects =
        numbers.map(|number| format!(r#"{{"token":"{}","payload":{payload},"identifier":"{number}"}}"#, token(number)));
    match form {
        Form::Single => objects.collect(),
        Form::Batch(_) => format!("[{}]", objects.collect::<Vec<_>>().join(",")),
        Form::Lines(_) => objects.fold(String::new(), |mut lines, object| {
            let _ = writeln!(lines, "{object}");
            lines
        }),
        Form::FanOut(_) => {
            let tokens: Vec<_> = (from..from + count).map(|number| format!(r#""{}""#, token(number))).collect();
            format!(r#"{{"tokens":[{}],"payload":{payload},"identifier":"{from}"}}"#, tokens.join(","))
        }
    }
}
