//! Requests that the HTTP server refuses for any route: the table of status and reason.

use super::browser::BrowserFault;
use super::envelope;
use super::head::HeadFault;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A request that is answered with an error. Its text is one sentence with the cause and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("unknown path {path}")]
    NoSuchPath { path: String },
    #[error("this path does not support {method}: use {}", allow.join(" or "))]
    MethodNotAllowed { method: String, allow: Vec<&'static str> },
    #[error("the node failed to answer (a bug): its log has the cause under this request's id")]
    Panicked,

    #[error(transparent)]
    Browser(#[from] BrowserFault),
    #[error(transparent)]
    Head(#[from] HeadFault),

    #[error("the header list has more than {limit} bytes")]
    HeadersTooLarge { limit: usize },
    #[error(
        "the body has more than {limit} bytes: send the notifications in several requests; no credential is that long"
    )]
    BodyTooLarge { limit: usize },
    #[error("`Content-Length` is 2^63 or more: a body has at most {limit} bytes")]
    LengthTooLarge { limit: usize },
    #[error("the body arrived too slowly: send at least 1 KiB a second")]
    BodyTooSlow,
    #[error("the connection closed before the body was complete: send the request again")]
    BodyIncomplete,
    #[error("the body is encoded as `{encoding}`: send it without an encoding")]
    ContentEncoding { encoding: String },
    #[error("limit reached: requests being read hold {limit} bytes: send the request again soon")]
    TooManyBytesInFlight { limit: usize },

    #[error("limit reached: slow bodies hold {limit} bytes: send the request faster, or again later")]
    TooManySlowBodies { limit: usize },
    #[error("limit reached: {limit} requests are being answered: send the request again soon")]
    TooManyRequests { limit: usize },

    #[error("unknown parameter `{name}`: {}", parameters(known))]
    UnknownParameter {
        name: String,
        /// The parameters of the call.
        known: Box<[&'static str]>,
    },
    #[error("`{name}` appears twice in the query")]
    RepeatedParameter { name: String },
    #[error("`{name}` in the query must be {expected}")]
    BadParameter { name: &'static str, expected: String },
}

impl RequestError {
    /// The table of statuses and reasons.
    pub fn status_and_reason(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::NoSuchPath { .. } => (S::NOT_FOUND, "no_such_path"),
            Self::MethodNotAllowed { .. } => (S::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Panicked => (S::INTERNAL_SERVER_ERROR, "internal_error"),
            Self::Browser(fault) => fault.status_and_reason(),
            Self::Head(fault) => fault.status_and_reason(),
            Self::HeadersTooLarge { .. } => (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large"),
            Self::BodyTooLarge { .. } | Self::LengthTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyTooSlow => (S::REQUEST_TIMEOUT, "body_too_slow"),
            Self::BodyIncomplete => (S::BAD_REQUEST, "body_broke_off"),
            Self::ContentEncoding { .. } => (S::UNSUPPORTED_MEDIA_TYPE, "content_encoding"),
            Self::TooManyBytesInFlight { .. } => (S::SERVICE_UNAVAILABLE, "overloaded"),
            Self::TooManySlowBodies { .. } => (S::SERVICE_UNAVAILABLE, "too_many_slow_bodies"),
            Self::TooManyRequests { .. } => (S::SERVICE_UNAVAILABLE, "too_many_requests"),
            Self::UnknownParameter { .. } => (S::BAD_REQUEST, "unknown_parameter"),
            Self::RepeatedParameter { .. } => (S::BAD_REQUEST, "repeated_parameter"),
            Self::BadParameter { .. } => (S::BAD_REQUEST, "bad_parameter"),
        }
    }

    /// The `args` of the response: the sentence's numbers and names, for programs.
    pub fn args(&self) -> Value {
        match self {
            Self::NoSuchPath { path } => json!({"path": path}),
            Self::MethodNotAllowed { method, allow } => json!({"method": method, "allow": allow}),
            Self::HeadersTooLarge { limit }
            | Self::BodyTooLarge { limit }
            | Self::LengthTooLarge { limit }
            | Self::TooManyBytesInFlight { limit }
            | Self::TooManySlowBodies { limit }
            | Self::TooManyRequests { limit } => json!({"limit": limit}),
            Self::Browser(BrowserFault::Host { host }) => json!({"host": host, "setting": "hosts"}),
            Self::Browser(BrowserFault::Origin { origin }) => json!({"origin": origin, "setting": "hosts"}),
            Self::Browser(BrowserFault::Site) => json!({"setting": "hosts"}),
            Self::UnknownParameter { name, known } => json!({"parameter": name, "known": known}),
            Self::RepeatedParameter { name } => json!({"parameter": name}),
            Self::BadParameter { name, .. } => json!({"parameter": name}),
            _ => json!({}),
        }
    }

    /// Seconds after which the same request may succeed.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::TooManyBytesInFlight { .. } | Self::TooManySlowBodies { .. } | Self::TooManyRequests { .. } => {
                Some(1)
            }
            _ => None,
        }
    }
}

/// The end of the sentence about an unknown parameter.
fn parameters(known: &[&str]) -> String {
    match known {
        [] => "this call has no parameters".to_owned(),
        known => format!("the parameters of this call are {}", known.join(", ")),
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        let (status, reason) = self.status_and_reason();
        let mut response = envelope::failure(status, reason, &self.to_string(), &self.args());
        if matches!(self, Self::Head(HeadFault::TransferEncoding)) {
            // The end of the body is unknown (RFC 9112, 6.1).
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
