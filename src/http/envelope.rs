//! The envelopes around every JSON response.

use super::access_log::Refusal;
use crate::json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize)]
struct Success<'a, T: ?Sized> {
    response: &'a T,
    code: u16,
}

#[derive(Serialize)]
struct List<'a, T, C> {
    response: &'a [T],
    cursor: C,
    code: u16,
}

/// `message`, `type` and `args` are what clients of v0.5 read; `message` repeats `error`.
#[derive(Serialize)]
struct Failed<'a> {
    error: &'a str,
    code: u16,
    r#type: &'static str,
    message: &'a str,
    reason: &'a str,
    args: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a Value>,
}

/// One object, or `{}`.
pub fn success(status: StatusCode, response: &(impl Serialize + ?Sized)) -> Response {
    respond(status, &Success { response, code: status.as_u16() })
}

/// A page of a list; `cursor` is the parameter of the next page.
pub fn list<T: Serialize>(entries: &[T], cursor: impl Serialize) -> Response {
    respond(StatusCode::OK, &List { response: entries, cursor, code: 200 })
}

pub fn failure(status: StatusCode, reason: &'static str, sentence: &str, args: &Value) -> Response {
    refused(status, reason, failure_json(status, reason, sentence, args))
}

/// A failure that also has a `response`, in the same field as a success.
pub fn failure_with(
    status: StatusCode,
    reason: &'static str,
    sentence: &str,
    args: &Value,
    response: &Value,
) -> Response {
    refused(status, reason, failed(status, reason, sentence, args, Some(response)))
}

/// Adds the reason for the access log.
fn refused(status: StatusCode, reason: &'static str, json: Vec<u8>) -> Response {
    let mut response = raw(status, json);
    response.extensions_mut().insert(Refusal(reason));
    response
}

/// The JSON of a failure.
pub fn failure_json(status: StatusCode, reason: &str, sentence: &str, args: &Value) -> Vec<u8> {
    failed(status, reason, sentence, args, None)
}

fn failed(status: StatusCode, reason: &str, sentence: &str, args: &Value, response: Option<&Value>) -> Vec<u8> {
    let code = status.as_u16();
    body(&Failed { error: sentence, code, r#type: "error", message: sentence, reason, args, response })
}

/// A response with a body that is JSON already.
pub fn raw(status: StatusCode, json: impl Into<Body>) -> Response {
    let kind = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, kind)], json.into()).into_response()
}

fn respond(status: StatusCode, envelope: &impl Serialize) -> Response {
    raw(status, body(envelope))
}

fn body(envelope: &impl Serialize) -> Vec<u8> {
    let mut body = Vec::with_capacity(512);
    json::write(&mut body, envelope);
    body
}
