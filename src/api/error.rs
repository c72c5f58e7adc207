//! What can go wrong in a request, and the one table that gives each its status and its reason.

use super::envelope;
use super::json::Malformed;
use super::notifications::fault::{Fault, ItemFault};
use crate::model::{AppId, Environment};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A request that is answered with an error. Its text is one sentence that a person can act on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("there is nothing at {path}")]
    NoSuchPath { path: String },
    #[error("{method} is not possible here: the `Allow` header lists what is")]
    MethodNotAllowed { method: String },
    #[error("{0}")]
    NotBuilt(&'static str),
    #[error("the daemon failed while it answered: its log has the cause under this request's id")]
    Panicked,

    #[error("the header list has more than {limit} bytes")]
    HeadersTooLarge { limit: usize },
    #[error("the body has more than {limit} bytes: send several requests")]
    BodyTooLarge { limit: usize },
    #[error("the body came too slowly: less than 1 KiB a second")]
    BodyTooSlow,
    #[error("the body broke off")]
    BodyBrokeOff,
    #[error("the body is encoded as `{encoding}`: send it as it is")]
    ContentEncoding { encoding: String },
    #[error("the requests being read hold {limit} bytes, which is all they may: send it again soon")]
    TooManyBytesInFlight { limit: usize },

    #[error("`{name}` is no parameter of this call")]
    UnknownParameter { name: String },
    #[error("`{name}` stands twice in the query")]
    RepeatedParameter { name: String },
    #[error("`{name}` in the query has to be {expected}")]
    BadParameter { name: &'static str, expected: String },

    #[error("`{environment}` is no environment: it is `sandbox` or `production`")]
    UnknownEnvironment { environment: String },
    #[error("{0}")]
    BadAppId(#[from] crate::model::app::BadAppId),
    #[error("no app `{id}` is provisioned for {environment}: POST its credential to /apps/{id}/{environment}")]
    UnknownApp { id: AppId, environment: Environment },

    #[error(transparent)]
    Notifications(#[from] Fault),
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Failure {
    /// The table.
    fn row(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::NoSuchPath { .. } => (S::NOT_FOUND, "no_such_path"),
            Self::MethodNotAllowed { .. } => (S::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::NotBuilt(_) => (S::NOT_IMPLEMENTED, "not_built"),
            Self::Panicked => (S::INTERNAL_SERVER_ERROR, "internal_error"),

            Self::HeadersTooLarge { .. } => (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large"),
            Self::BodyTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyTooSlow => (S::REQUEST_TIMEOUT, "body_too_slow"),
            Self::BodyBrokeOff => (S::BAD_REQUEST, "body_broke_off"),
            Self::ContentEncoding { .. } => (S::UNSUPPORTED_MEDIA_TYPE, "content_encoding"),
            Self::TooManyBytesInFlight { .. } => (S::SERVICE_UNAVAILABLE, "overloaded"),

            Self::UnknownParameter { .. } => (S::BAD_REQUEST, "unknown_parameter"),
            Self::RepeatedParameter { .. } => (S::BAD_REQUEST, "repeated_parameter"),
            Self::BadParameter { .. } => (S::BAD_REQUEST, "bad_parameter"),

            Self::UnknownEnvironment { .. } => (S::NOT_FOUND, "unknown_environment"),
            Self::BadAppId(_) => (S::BAD_REQUEST, "bad_app_id"),
            Self::UnknownApp { .. } => (S::NOT_FOUND, "unknown_app"),

            Self::Notifications(fault) => Self::notifications_row(fault),
            Self::Malformed(_) => (S::BAD_REQUEST, "malformed_json"),
        }
    }

    fn notifications_row(fault: &Fault) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match fault {
            Fault::Malformed(_) => (S::BAD_REQUEST, "malformed_json"),
            Fault::NotNotifications => (S::BAD_REQUEST, "not_notifications"),
            Fault::TooManyItems { .. } => (S::PAYLOAD_TOO_LARGE, "too_many_items"),
            Fault::Item { why, .. } => match why {
                ItemFault::NotAnObject => (S::BAD_REQUEST, "not_an_object"),
                ItemFault::Missing(field) => (S::BAD_REQUEST, field.missing_reason()),
                ItemFault::Repeated(_) => (S::BAD_REQUEST, "repeated_field"),
                ItemFault::WrongType(_) => (S::BAD_REQUEST, "wrong_type"),
                ItemFault::Unknown(_) => (S::BAD_REQUEST, "unknown_field"),
                ItemFault::TokensUnbuilt => (S::NOT_IMPLEMENTED, "not_built"),
                ItemFault::Invalid(invalid) => (S::BAD_REQUEST, invalid.reason()),
            },
        }
    }

    pub fn status(&self) -> StatusCode {
        self.row().0
    }

    /// A stable word for programs.
    pub fn reason(&self) -> &'static str {
        self.row().1
    }

    /// What the sentence says, for programs.
    pub fn args(&self) -> Value {
        match self {
            Self::NoSuchPath { path } => json!({"path": path}),
            Self::MethodNotAllowed { method } => json!({"method": method}),
            Self::HeadersTooLarge { limit } | Self::BodyTooLarge { limit } | Self::TooManyBytesInFlight { limit } => {
                json!({"limit": limit})
            }
            Self::UnknownParameter { name } | Self::RepeatedParameter { name } => json!({"parameter": name}),
            Self::BadParameter { name, .. } => json!({"parameter": name}),
            Self::UnknownEnvironment { environment } => json!({"environment": environment}),
            Self::UnknownApp { id, environment } => {
                json!({"app_id": id.as_str(), "environment": environment.as_str()})
            }
            Self::Notifications(Fault::Malformed(malformed)) | Self::Malformed(malformed) => match malformed.place() {
                Some((line, column)) => json!({"line": line, "column": column}),
                None => json!({}),
            },
            Self::Notifications(Fault::TooManyItems { limit }) => json!({"limit": limit}),
            Self::Notifications(Fault::Item { index, why }) => {
                let mut args = json!({});
                if let Some(index) = index {
                    args["index"] = json!(index);
                }
                if let Some(field) = why.field() {
                    args["field"] = json!(field);
                }
                args
            }
            _ => json!({}),
        }
    }

    /// Seconds after which the same request may do better.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::TooManyBytesInFlight { .. } => Some(1),
            _ => None,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, reason) = self.row();
        let mut response = envelope::failure(status, reason, &self.to_string(), &self.args());
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
