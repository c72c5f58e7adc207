//! What can go wrong in a request, and the one table that gives each its status and its reason.

use super::apps::provisioning::ProvisioningFault;
use super::auth::AccessFault;
use super::auth::browser::BrowserFault;
use super::envelope;
use super::head::HeadFault;
use super::node::NotReady;
use super::notifications::fault::Fault;
use super::object::ObjectFault;
use crate::credentials::paths::PathError;
use crate::delivery::Refused;
use crate::model::AppKey;
use crate::registry::ProvisionError;
use crate::store::StoreError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// A request that is answered with an error. Its text is one sentence that a person can act on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("there is nothing at {path}")]
    NoSuchPath { path: String },
    #[error("{method} is not possible here: use {}", allow.join(" or "))]
    MethodNotAllowed { method: String, allow: &'static [&'static str] },
    #[error("{0}")]
    NotBuilt(&'static str),
    #[error("the daemon failed while it answered: its log says why, under this request's id")]
    Panicked,

    #[error("the node is not ready: {0}")]
    NotReady(NotReady),
    #[error(transparent)]
    Access(#[from] AccessFault),
    #[error(transparent)]
    Browser(#[from] BrowserFault),
    #[error(transparent)]
    Head(#[from] HeadFault),

    #[error("the header list has more than {limit} bytes")]
    HeadersTooLarge { limit: usize },
    #[error(
        "the body has more than {limit} bytes: send many notifications in several requests; no credential is that long"
    )]
    BodyTooLarge { limit: usize },
    #[error("`Content-Length` is 2^63 or more: a body has at most {limit} bytes")]
    LengthTooLarge { limit: usize },
    #[error("the body came too slowly: less than 1 KiB a second")]
    BodyTooSlow,
    #[error("the body broke off")]
    BodyBrokeOff,
    #[error("the body is encoded as `{encoding}`: send it as it is")]
    ContentEncoding { encoding: String },
    #[error("the requests being read hold {limit} bytes, which is all they may: send it again soon")]
    TooManyBytesInFlight { limit: usize },

    #[error("bodies that come slowly hold {limit} bytes, which is all they may: send it faster, or again later")]
    TooManySlowBodies { limit: usize },
    #[error("{limit} requests are being answered, which is all there may be at a time: send it again soon")]
    TooManyRequests { limit: usize },

    #[error("`{name}` is no parameter of this call")]
    UnknownParameter { name: String },
    #[error("`{name}` stands twice in the query")]
    RepeatedParameter { name: String },
    #[error("`{name}` in the query has to be {expected}")]
    BadParameter { name: &'static str, expected: String },

    #[error(
        "`{name}` is a cursor of another store, since this one has not come that far: read the list from its beginning, without a cursor"
    )]
    ForeignCursor { name: &'static str },

    #[error("`{environment}` is no environment: it is `sandbox` or `production`")]
    UnknownEnvironment { environment: String },
    #[error("{0}")]
    BadAppId(#[from] crate::model::app::BadAppId),
    #[error("no app `{}` is provisioned for {}: POST its credential to /apps/{key}", key.id, key.environment)]
    UnknownApp { key: AppKey },

    #[error(transparent)]
    Notifications(#[from] Fault),
    #[error(transparent)]
    Refused(#[from] Refused),

    #[error(transparent)]
    Object(#[from] ObjectFault),
    #[error(transparent)]
    Provisioning(#[from] ProvisioningFault),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    NotProvisioned(ProvisionError),
    #[error("{}", of_store(.0))]
    Store(#[from] StoreError),
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

            Self::NotReady(why) => (S::SERVICE_UNAVAILABLE, why.reason()),
            Self::Access(fault) => fault.row(),
            Self::Browser(fault) => fault.row(),
            Self::Head(fault) => fault.row(),

            Self::HeadersTooLarge { .. } => (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large"),
            Self::BodyTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::LengthTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyTooSlow => (S::REQUEST_TIMEOUT, "body_too_slow"),
            Self::BodyBrokeOff => (S::BAD_REQUEST, "body_broke_off"),
            Self::ContentEncoding { .. } => (S::UNSUPPORTED_MEDIA_TYPE, "content_encoding"),
            Self::TooManyBytesInFlight { .. } => (S::SERVICE_UNAVAILABLE, "overloaded"),
            Self::TooManySlowBodies { .. } => (S::SERVICE_UNAVAILABLE, "too_many_slow_bodies"),
            Self::TooManyRequests { .. } => (S::SERVICE_UNAVAILABLE, "too_many_requests"),

            Self::UnknownParameter { .. } => (S::BAD_REQUEST, "unknown_parameter"),
            Self::RepeatedParameter { .. } => (S::BAD_REQUEST, "repeated_parameter"),
            Self::BadParameter { .. } => (S::BAD_REQUEST, "bad_parameter"),
            Self::ForeignCursor { .. } => (S::BAD_REQUEST, "foreign_cursor"),

            Self::UnknownEnvironment { .. } => (S::NOT_FOUND, "unknown_environment"),
            Self::BadAppId(_) => (S::BAD_REQUEST, "bad_app_id"),
            Self::UnknownApp { .. } => (S::NOT_FOUND, "unknown_app"),

            Self::Notifications(fault) => Self::notifications_row(fault),
            Self::Refused(Refused::AppOverloaded { .. }) => (S::TOO_MANY_REQUESTS, "app_overloaded"),
            Self::Refused(Refused::NodeOverloaded { .. }) => (S::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Refused(Refused::ShuttingDown) => (S::SERVICE_UNAVAILABLE, "shutting_down"),

            Self::Object(fault) => Self::object_row(fault),
            Self::Provisioning(fault) => Self::provisioning_row(fault),
            Self::Path(error) => (S::BAD_REQUEST, error.reason()),
            Self::NotProvisioned(error) => (S::BAD_REQUEST, error.reason()),
            Self::Store(error @ StoreError::Full) => (S::INSUFFICIENT_STORAGE, error.reason()),
            Self::Store(error) => (S::SERVICE_UNAVAILABLE, error.reason()),
        }
    }

    fn notifications_row(fault: &Fault) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match fault {
            Fault::Malformed(_) | Fault::MalformedLine(_) => (S::BAD_REQUEST, "malformed_json"),
            Fault::LineTooLong { .. } => (S::PAYLOAD_TOO_LARGE, "line_too_long"),
            Fault::NotNotifications => (S::BAD_REQUEST, "not_notifications"),
            Fault::TooManyItems { .. } => (S::PAYLOAD_TOO_LARGE, "too_many_items"),
            Fault::Item { why, .. } => (S::BAD_REQUEST, why.reason()),
        }
    }

    fn object_row(fault: &ObjectFault) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match fault {
            ObjectFault::Malformed(_) => (S::BAD_REQUEST, "malformed_json"),
            ObjectFault::NotAnObject => (S::BAD_REQUEST, "not_an_object"),
            ObjectFault::Repeated { .. } => (S::BAD_REQUEST, "repeated_field"),
            ObjectFault::Unknown { .. } => (S::BAD_REQUEST, "unknown_field"),
            ObjectFault::WrongType { .. } => (S::BAD_REQUEST, "wrong_type"),
        }
    }

    fn provisioning_row(fault: &ProvisioningFault) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match fault {
            ProvisioningFault::Object(fault) => Self::object_row(fault),
            ProvisioningFault::NoCredential | ProvisioningFault::KeyIncomplete { .. } => {
                (S::BAD_REQUEST, "credential_missing")
            }
            ProvisioningFault::TwoCredentials { .. } | ProvisioningFault::NotOfCertificate { .. } => {
                (S::BAD_REQUEST, "credential_ambiguous")
            }
            ProvisioningFault::LineBreaksLost => (S::BAD_REQUEST, "line_breaks_lost"),
            ProvisioningFault::CertificateNotPem => (S::BAD_REQUEST, "certificate_not_pem"),
            ProvisioningFault::KeyNotPem => (S::BAD_REQUEST, "key_not_pem"),
            ProvisioningFault::NotBase64 => (S::BAD_REQUEST, "pkcs12_not_base64"),
            ProvisioningFault::TwoPassphrases => (S::BAD_REQUEST, "passphrase_ambiguous"),
            ProvisioningFault::TooLong { .. } => (S::BAD_REQUEST, "credential_too_long"),
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
            Self::MethodNotAllowed { method, allow } => json!({"method": method, "allow": allow}),
            Self::HeadersTooLarge { limit }
            | Self::BodyTooLarge { limit }
            | Self::LengthTooLarge { limit }
            | Self::TooManyBytesInFlight { limit }
            | Self::TooManySlowBodies { limit }
            | Self::TooManyRequests { limit } => json!({"limit": limit}),
            Self::Access(AccessFault::ScopeMissing { scope }) => json!({"scope": scope.as_str()}),
            Self::Browser(BrowserFault::Host { host }) => json!({"host": host, "setting": "hosts"}),
            Self::Browser(BrowserFault::Origin { origin }) => json!({"origin": origin, "setting": "hosts"}),
            Self::Browser(BrowserFault::Site) => json!({"setting": "hosts"}),
            Self::UnknownParameter { name } | Self::RepeatedParameter { name } => json!({"parameter": name}),
            Self::BadParameter { name, .. } | Self::ForeignCursor { name } => json!({"parameter": name}),
            Self::UnknownEnvironment { environment } => json!({"environment": environment}),
            Self::UnknownApp { key } => json!({"app_id": key.id.as_str(), "environment": key.environment.as_str()}),
            Self::Notifications(Fault::Malformed(malformed))
            | Self::Object(ObjectFault::Malformed(malformed))
            | Self::Provisioning(ProvisioningFault::Object(ObjectFault::Malformed(malformed))) => {
                match malformed.place() {
                    Some((line, column)) => json!({"line": line, "column": column}),
                    None => json!({}),
                }
            }
            Self::Notifications(Fault::TooManyItems { limit }) => json!({"limit": limit}),
            Self::Notifications(Fault::Item { index, why }) => said([
                ("index", index.map(Value::from)),
                ("field", why.field().map(Value::from)),
                ("limit", why.limit().map(Value::from)),
                ("token_index", why.token_index().map(Value::from)),
            ]),
            Self::Object(fault) => said([("field", fault.field().map(Value::from))]),
            Self::Provisioning(fault) => {
                said([("field", fault.field().map(Value::from)), ("limit", fault.limit().map(Value::from))])
            }
            Self::NotProvisioned(error) => said([("field", error.field().map(Value::from))]),
            _ => json!({}),
        }
    }

    /// Seconds after which the same request may do better.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::TooManyBytesInFlight { .. }
            | Self::TooManySlowBodies { .. }
            | Self::TooManyRequests { .. }
            | Self::Refused(Refused::ShuttingDown) => Some(1),
            Self::Refused(
                Refused::AppOverloaded { retry_after_seconds } | Refused::NodeOverloaded { retry_after_seconds },
            ) => Some(*retry_after_seconds),
            _ => None,
        }
    }
}

/// An object of what there is to say.
fn said<const N: usize>(args: [(&str, Option<Value>); N]) -> Value {
    args.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>().into()
}

/// What a caller has to know of it; the rest is for the log.
fn of_store(error: &StoreError) -> &'static str {
    match error {
        StoreError::Full => {
            "the node's disk is full: nothing was changed; send it again when there is room (sending goes on)"
        }
        _ => "the node's store failed: its log says why, at this time",
    }
}

impl From<ProvisionError> for Failure {
    /// What the caller can mend, and what only the operator can.
    fn from(error: ProvisionError) -> Self {
        match error {
            ProvisionError::Store(error) => Self::Store(error),
            error => Self::NotProvisioned(error),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, reason) = self.row();
        if let Self::Store(error) = &self {
            tracing::error!(%error, "the store failed a request");
        }
        let mut response = envelope::failure(status, reason, &self.to_string(), &self.args());
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"pyapns\""));
        }
        if matches!(self, Self::Head(HeadFault::TransferEncoding)) {
            // Where the next request begins is as doubtful as where this body ends.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_says_when_to_come_back() {
        let table = [
            (Refused::AppOverloaded { retry_after_seconds: 3 }, 429, "app_overloaded", "3"),
            (Refused::NodeOverloaded { retry_after_seconds: 2 }, 503, "overloaded", "2"),
            (Refused::ShuttingDown, 503, "shutting_down", "1"),
        ];
        for (refused, status, reason, seconds) in table {
            let failure = Failure::from(refused);
            assert_eq!((failure.status().as_u16(), failure.reason()), (status, reason));
            assert_eq!(failure.into_response().headers()[header::RETRY_AFTER], seconds);
        }
    }

    #[test]
    fn the_inside_of_a_failing_store_stays_inside() {
        let failure = Failure::from(StoreError::from(rusqlite::Error::InvalidPath("/secret/path".into())));
        assert_eq!((failure.status().as_u16(), failure.reason()), (503, "store_failed"));
        assert!(!failure.to_string().contains("secret"));
        let full = Failure::from(StoreError::Full);
        assert_eq!((full.status().as_u16(), full.reason()), (507, "disk_full"));
        assert!(full.to_string().contains("disk is full"));
    }
}
