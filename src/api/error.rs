//! The errors of a request, and the table of their statuses and reasons.

use super::auth::AccessFault;
use super::routes::apps::provisioning::ProvisioningFault;
use super::routes::health::NotReady;
use super::routes::notifications::fault::NotificationsFault;
use crate::credentials::paths::PathError;
use crate::delivery::Refused;
use crate::http::{RequestError, envelope};
use crate::json::ObjectFault;
use crate::model::AppKey;
use crate::model::device_token::BadToken;
use crate::registry::ProvisionError;
use crate::store::StoreError;
use crate::store::members::PINS_MAX;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// `Retry-After` of an answer that needs the shared store: the node reconnects within this time.
const STORE_AWAY_RETRY_SECONDS: u32 = 2;

/// A request that is answered with an error. Its text is one sentence with the cause and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("{0}")]
    NotImplemented(&'static str),

    #[error(transparent)]
    NotReady(NotReady),
    #[error(transparent)]
    Access(#[from] AccessFault),

    #[error(
        "`{name}` is a cursor of another store, or of this one before it was restored or copied: read the list again from its beginning, without a cursor"
    )]
    ForeignCursor { name: &'static str },

    #[error("unknown environment `{environment}`: it must be `sandbox` or `production`")]
    UnknownEnvironment { environment: String },
    #[error("{0}")]
    BadAppId(#[from] crate::model::app::BadAppId),
    #[error("no app `{}` is provisioned for {}: POST its credential to /apps/{key}", key.id, key.environment)]
    UnknownApp { key: AppKey },

    #[error(
        "this node is no member of a cluster: it sends for every app itself; docs/cluster.md says how nodes become one"
    )]
    NotClustered,
    #[error("no member of the cluster has the name `{node}`: GET /cluster lists the members")]
    UnknownNode { node: String },
    #[error("the app {key} has no such lane: its lanes are 0 to {}", lanes - 1)]
    UnknownLane { key: AppKey, lanes: u16 },
    #[error("the shared store has {PINS_MAX} pins and cordons, and takes no more: delete some of them")]
    PinsFull,
    #[error("`token` {0}")]
    BadToken(#[from] BadToken),

    #[error(transparent)]
    Notifications(#[from] NotificationsFault),
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
    #[error("send `If-Match` with the `ETag` that you read, or `If-None-Match: *` to create an app, and not both")]
    BadPrecondition,
    #[error("{}", of_store(.0))]
    Store(#[from] StoreError),
}

impl ApiError {
    /// The table of statuses and reasons.
    fn status_and_reason(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::Request(error) => error.status_and_reason(),
            Self::NotImplemented(_) => (S::NOT_IMPLEMENTED, "not_built"),

            Self::NotReady(why) => (S::SERVICE_UNAVAILABLE, why.cause.reason),
            Self::Access(fault) => fault.status_and_reason(),

            Self::ForeignCursor { .. } => (S::BAD_REQUEST, "foreign_cursor"),

            Self::UnknownEnvironment { .. } => (S::NOT_FOUND, "unknown_environment"),
            Self::BadAppId(_) => (S::BAD_REQUEST, "bad_app_id"),
            Self::UnknownApp { .. } => (S::NOT_FOUND, "unknown_app"),

            Self::NotClustered => (S::CONFLICT, "not_clustered"),
            Self::UnknownNode { .. } => (S::NOT_FOUND, "unknown_node"),
            Self::UnknownLane { .. } => (S::NOT_FOUND, "unknown_lane"),
            Self::PinsFull => (S::INSUFFICIENT_STORAGE, "pins_full"),
            Self::BadToken(bad) => (S::BAD_REQUEST, bad.reason()),

            Self::Notifications(fault) => Self::notifications_error(fault),
            Self::Refused(Refused::AppOverloaded { .. }) => (S::TOO_MANY_REQUESTS, "app_overloaded"),
            Self::Refused(Refused::NodeOverloaded { .. }) => (S::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Refused(Refused::ShuttingDown) => (S::SERVICE_UNAVAILABLE, "shutting_down"),

            Self::Object(fault) => Self::object_error(fault),
            Self::Provisioning(fault) => Self::provisioning_error(fault),
            Self::Path(error) => (S::BAD_REQUEST, error.reason()),
            Self::NotProvisioned(error) => (S::BAD_REQUEST, error.reason()),
            Self::BadPrecondition => (S::BAD_REQUEST, "bad_precondition"),
            Self::Store(error @ StoreError::Conflict { .. }) => (S::PRECONDITION_FAILED, error.reason()),
            Self::Store(error @ StoreError::NotShared) => (S::CONFLICT, error.reason()),
            Self::Store(error @ (StoreError::Full | StoreError::RedisFull)) => {
                (S::INSUFFICIENT_STORAGE, error.reason())
            }
            Self::Store(error) => (S::SERVICE_UNAVAILABLE, error.reason()),
        }
    }

    fn notifications_error(fault: &NotificationsFault) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match fault {
            NotificationsFault::Malformed(_) | NotificationsFault::MalformedLine(_) => {
                (S::BAD_REQUEST, "malformed_json")
            }
            NotificationsFault::LineTooLong { .. } => (S::PAYLOAD_TOO_LARGE, "line_too_long"),
            NotificationsFault::NotNotifications => (S::BAD_REQUEST, "not_notifications"),
            NotificationsFault::TooManyItems { .. } => (S::PAYLOAD_TOO_LARGE, "too_many_items"),
            NotificationsFault::Item { why, .. } => (S::BAD_REQUEST, why.reason()),
        }
    }

    fn object_error(fault: &ObjectFault) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match fault {
            ObjectFault::Malformed(_) => (S::BAD_REQUEST, "malformed_json"),
            ObjectFault::NotAnObject => (S::BAD_REQUEST, "not_an_object"),
            ObjectFault::Repeated { .. } => (S::BAD_REQUEST, "repeated_field"),
            ObjectFault::Unknown { .. } => (S::BAD_REQUEST, "unknown_field"),
            ObjectFault::WrongType { .. } => (S::BAD_REQUEST, "wrong_type"),
        }
    }

    fn provisioning_error(fault: &ProvisioningFault) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match fault {
            ProvisioningFault::Object(fault) => Self::object_error(fault),
            ProvisioningFault::NoCredential | ProvisioningFault::KeyIncomplete { .. } => {
                (S::BAD_REQUEST, "credential_missing")
            }
            ProvisioningFault::TwoCredentials { .. } | ProvisioningFault::NotOfCertificate { .. } => {
                (S::BAD_REQUEST, "credential_ambiguous")
            }
            ProvisioningFault::Form => (S::BAD_REQUEST, "malformed_json"),
            ProvisioningFault::Utf16 => (S::BAD_REQUEST, "credential_utf16"),
            ProvisioningFault::CertificateNotPem => (S::BAD_REQUEST, "certificate_not_pem"),
            ProvisioningFault::KeyNotPem => (S::BAD_REQUEST, "key_not_pem"),
            ProvisioningFault::NotBase64 => (S::BAD_REQUEST, "pkcs12_not_base64"),
            ProvisioningFault::TwoPassphrases => (S::BAD_REQUEST, "passphrase_ambiguous"),
            ProvisioningFault::TooLong { .. } => (S::BAD_REQUEST, "credential_too_long"),
        }
    }

    pub fn status(&self) -> StatusCode {
        self.status_and_reason().0
    }

    /// The `reason` of the response, for programs.
    pub fn reason(&self) -> &'static str {
        self.status_and_reason().1
    }

    /// The `args` of the response: the sentence's numbers and names, for programs.
    pub fn args(&self) -> Value {
        match self {
            Self::Request(error) => error.args(),
            Self::Access(AccessFault::ScopeMissing { scope }) => json!({"scope": scope.as_str()}),
            Self::ForeignCursor { name } => json!({"parameter": name}),
            Self::UnknownEnvironment { environment } => json!({"environment": environment}),
            Self::UnknownNode { node } => json!({"node": node}),
            Self::UnknownApp { key } | Self::UnknownLane { key, .. } => {
                json!({"app_id": key.id.as_str(), "environment": key.environment.as_str()})
            }
            Self::Notifications(NotificationsFault::Malformed(malformed))
            | Self::Object(ObjectFault::Malformed(malformed))
            | Self::Provisioning(ProvisioningFault::Object(ObjectFault::Malformed(malformed))) => {
                match malformed.place() {
                    Some((line, column)) => json!({"line": line, "column": column}),
                    None => json!({}),
                }
            }
            Self::Notifications(NotificationsFault::TooManyItems { limit }) => json!({"limit": limit}),
            Self::Notifications(NotificationsFault::Item { index, why, faulty }) => said([
                ("index", index.map(Value::from)),
                ("field", why.field().map(Value::from)),
                ("limit", why.limit().map(Value::from)),
                ("known", why.known().map(Value::from)),
                ("token_index", why.token_index().map(Value::from)),
                // The indexes of tokens if tokens are bad, else the indexes of items.
                (
                    "indexes",
                    if why.token_index().is_some() { why.token_indexes() } else { faulty.several() }.map(Value::from),
                ),
            ]),
            Self::Object(fault) | Self::Provisioning(ProvisioningFault::Object(fault)) => {
                said([("field", fault.field().map(Value::from)), ("known", fault.known().map(Value::from))])
            }
            Self::Provisioning(fault) => {
                said([("field", fault.field().map(Value::from)), ("limit", fault.limit().map(Value::from))])
            }
            Self::Store(StoreError::Conflict { revision }) => json!({"revision": revision.map(|it| it.to_string())}),
            Self::NotProvisioned(error) => said([
                ("field", error.field().map(Value::from)),
                ("topics", error.topics().map(Value::from)),
                ("certificates", error.certificates().map(Value::from)),
            ]),
            _ => json!({}),
        }
    }

    /// Seconds after which the same request may succeed.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::Request(error) => error.retry_after_seconds(),
            Self::Refused(Refused::ShuttingDown) => Some(1),
            Self::Refused(
                Refused::AppOverloaded { retry_after_seconds } | Refused::NodeOverloaded { retry_after_seconds },
            ) => Some(*retry_after_seconds),
            Self::Store(StoreError::Away { .. }) => Some(STORE_AWAY_RETRY_SECONDS),
            _ => None,
        }
    }
}

/// An object of the arguments with a value.
fn said<const N: usize>(args: [(&str, Option<Value>); N]) -> Value {
    args.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>().into()
}

/// The sentence for the caller; the log has the details.
fn of_store(error: &StoreError) -> &'static str {
    match error {
        StoreError::Full => {
            "the node's disk is full: nothing was changed; send the request again when there is room (deliveries continue)"
        }
        StoreError::Moved { .. } => {
            "the node's data directory was moved or deleted: nothing was changed; its log has the details (deliveries continue)"
        }
        StoreError::Away { .. } => {
            "the shared store does not answer: send the request again after Retry-After seconds; a change may or may not have been made (deliveries to Apple continue)"
        }
        StoreError::RedisFull => {
            "the shared store is full: nothing was changed; give Redis more memory, and send it again (deliveries to Apple continue)"
        }
        StoreError::Conflict { revision: Some(_) } => {
            "the app is not in the state that the request expects: it was changed or created meanwhile; nothing was changed; read the app again, and repeat the request if it still applies"
        }
        StoreError::Conflict { revision: None } => {
            "the app does not exist: nothing was changed; leave out `If-Match` to create it"
        }
        StoreError::ForeignRegistry => {
            "the shared store has lost changes, or another store is in its place: nothing was changed; an operator decides with `pyapns cluster restore-registry` if the store gets the apps of this node, or if the nodes take those of the store (deliveries to Apple continue)"
        }
        StoreError::NotShared => {
            "this node has no shared store: its apps are in its data directory, and there is nothing to recover"
        }
        StoreError::KeyMissing => {
            "this node lacks the key of the credentials in the shared store: nothing was changed; ask another node, or add the key to this one's credentials.key_files and start it again"
        }
        _ => "the node's store failed: its log has the cause, at this time",
    }
}

impl From<ProvisionError> for ApiError {
    /// Separates errors that the caller can fix from those of the store.
    fn from(error: ProvisionError) -> Self {
        match error {
            ProvisionError::Store(error) => Self::Store(error),
            error => Self::NotProvisioned(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Request(error) = self {
            return error.into_response();
        }
        let (status, reason) = self.status_and_reason();
        if let Self::Store(error) = &self
            && status.is_server_error()
        {
            tracing::error!(%error, "the store failed a request");
        }
        let (sentence, args) = (self.to_string(), self.args());
        let mut response = match &self {
            Self::NotReady(why) => envelope::failure_with(status, reason, &sentence, &args, &why.response()),
            _ => envelope::failure(status, reason, &sentence, &args),
        };
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"pyapns\""));
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
    fn temporary_errors_say_when_to_retry() {
        let table = [
            (Refused::AppOverloaded { retry_after_seconds: 3 }, 429, "app_overloaded", "3"),
            (Refused::NodeOverloaded { retry_after_seconds: 2 }, 503, "overloaded", "2"),
            (Refused::ShuttingDown, 503, "shutting_down", "1"),
        ];
        for (refused, status, reason, seconds) in table {
            let failure = ApiError::from(refused);
            assert_eq!((failure.status().as_u16(), failure.reason()), (status, reason));
            assert_eq!(failure.into_response().headers()[header::RETRY_AFTER], seconds);
        }
    }

    #[test]
    fn the_response_does_not_reveal_the_error_of_a_failing_store() {
        let failure = ApiError::from(StoreError::from(rusqlite::Error::InvalidPath("/secret/path".into())));
        assert_eq!((failure.status().as_u16(), failure.reason()), (503, "store_failed"));
        assert!(!failure.to_string().contains("secret"));
        let full = ApiError::from(StoreError::Full);
        assert_eq!((full.status().as_u16(), full.reason()), (507, "disk_full"));
        assert!(full.to_string().contains("disk is full"));
        let redis = || "10.9.8.7:6379".to_owned();
        let away = ApiError::from(StoreError::Away { address: redis(), cause: redis() });
        assert_eq!((away.status().as_u16(), away.reason()), (503, "store_away"));
        assert!(!away.to_string().contains("10.9.8.7"));
        assert_eq!(away.into_response().headers()[header::RETRY_AFTER], "2");
        let refused = ApiError::from(StoreError::RedisRefused { what: redis() });
        assert_eq!((refused.status().as_u16(), refused.reason()), (503, "store_refused"));
        assert!(!refused.to_string().contains("10.9.8.7"));
        let full = ApiError::from(StoreError::RedisFull);
        assert_eq!((full.status().as_u16(), full.reason()), (507, "store_full"));
    }
}
