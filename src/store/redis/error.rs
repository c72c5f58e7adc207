//! The meaning of Redis's errors for a caller of the store.

use super::dial::Socket;
use crate::store::StoreError;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use rustls::{AlertDescription, InvalidMessage};
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The cause where an answer did not come in time: see [`super::dial`].
pub(super) const LATE: &str = "no answer within 1 s";
/// The length at which a sentence of Redis is cut, in characters.
const DETAIL_MAX: usize = 300;

/// A Redis that cannot be the shared store as it is set up, with the setting to change.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unfit {
    #[error(
        "Redis at {address} is version {version}, and pyapns needs 7.0 or later: upgrade it, or name another server in store.url"
    )]
    TooOld { address: String, version: String },
    #[error(
        "Redis at {address} deletes keys when its memory is full (maxmemory-policy {policy}), and would delete apps and feedback: set `maxmemory-policy noeviction` in its redis.conf"
    )]
    Evicting { address: String, policy: String },
    #[error(
        "Redis at {address} is a replica of another server, and takes no changes: name the primary in store.url, or its Sentinels (redis+sentinel://host:port,host:port/name)"
    )]
    Replica { address: String },
    #[error(
        "Redis at {address} is part of a Redis Cluster, whose keys are on several servers: name a single Redis server or Sentinels in store.url"
    )]
    Cluster { address: String },
    #[error(
        "Redis at {address} refuses the user or the password: check store.username and the content of store.password_file"
    )]
    WrongPassword { address: String },
    #[error(
        "Redis at {address} asks for a password: name a file with it in store.password_file, and its user in store.username"
    )]
    PasswordMissing { address: String },
    #[error(
        "the ACL of Redis at {address} does not let this user do its work ({what}): give it the commands and keys that docs/redis.md lists"
    )]
    Forbidden { address: String, what: String },
    #[error(
        "the certificate of Redis at {address} is not trusted ({cause}): set store.ca_file to the CA that issued it, and see that the certificate names the host of store.url"
    )]
    Untrusted { address: String, cause: String },
    #[error(
        "Redis at {address} wants another client certificate, or misses one ({cause}): check store.certificate and store.key"
    )]
    CertificateRefused { address: String, cause: String },
    #[error(
        "Redis at {address} does not speak TLS on this port: name its TLS port in store.url, or begin store.url with redis:// instead of rediss://"
    )]
    NotTls { address: String },
    #[error(
        "no Sentinel of store.url knows a master with this name: it must be the name in their `sentinel monitor` line, not `{master}`"
    )]
    UnknownMaster { master: String },
    #[error("{setting}: {path} cannot be used: {cause}")]
    File { setting: &'static str, path: PathBuf, cause: String },
    #[error("store.certificate and store.key belong together: set both, or neither")]
    HalfAnIdentity,
    #[error(
        "store.ca_file, store.certificate and store.key have no effect without TLS: begin store.url with rediss:// or rediss+sentinel://"
    )]
    FilesWithoutTls,
    #[error("no TLS connection to Redis can be made: {cause}")]
    Tls { cause: String },
}

/// The meaning of an error of the crate, for the server at `address`.
pub(super) fn of_redis(error: &RedisError, address: &str) -> StoreError {
    use ServerErrorKind as S;
    let address = address.to_owned();
    match (error.kind(), error.code()) {
        (ErrorKind::Io, _) if error.is_timeout() => StoreError::Away { address, cause: LATE.to_owned() },
        (ErrorKind::Io, _) => of_io(error, &address),
        (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS")) => Unfit::WrongPassword { address }.into(),
        (_, Some("NOAUTH")) => Unfit::PasswordMissing { address }.into(),
        (_, Some("OOM")) => StoreError::RedisFull,
        (ErrorKind::Server(S::BusyLoading | S::MasterDown | S::TryAgain | S::ClusterDown | S::ReadOnly), _)
        | (ErrorKind::Parse, _)
        | (_, Some("BUSY" | "NOREPLICAS")) => StoreError::Away { address, cause: sentence(error) },
        (ErrorKind::Server(S::NoPerm), _) => Unfit::Forbidden { address, what: sentence(error) }.into(),
        _ => StoreError::RedisRefused { what: sentence(error) },
    }
}

/// The same for an error before the first answer. Redis refuses a client certificate after the handshake and closes the
/// connection, and the reason may get lost when something is sent meanwhile.
pub(super) fn of_first(error: &RedisError, socket: Socket<'_>) -> StoreError {
    match of_redis(error, &socket.to_string()) {
        StoreError::Away { address, cause } if socket.is_tls() && error.is_connection_dropped() => {
            let hint = "it may want another client certificate: see store.certificate and store.key";
            StoreError::Away { address, cause: format!("{cause}; {hint}") }
        }
        meaning => meaning,
    }
}

/// The meaning of an error of the socket or of TLS.
pub(super) fn of_io(error: &(dyn Error + 'static), address: &str) -> StoreError {
    let (address, cause) = (address.to_owned(), error.to_string());
    match of_tls(error) {
        Some(rustls::Error::InvalidCertificate(_)) => Unfit::Untrusted { address, cause }.into(),
        Some(rustls::Error::AlertReceived(alert)) if is_about_us(*alert) => {
            Unfit::CertificateRefused { address, cause }.into()
        }
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => Unfit::NotTls { address }.into(),
        _ => StoreError::Away { address, cause },
    }
}

/// The error of TLS below an error. An [`io::Error`] and an [`Arc`] hold it, and leave it out of their sources.
fn of_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref() {
        return Some(tls);
    }
    if let Some(shared) = error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
        return of_tls(&**shared);
    }
    match error.downcast_ref::<io::Error>() {
        Some(error) => of_tls(error.get_ref()?),
        None => of_tls(error.source()?),
    }
}

/// Returns true for alerts about the certificate that a client shows, or does not show. OpenSSL answers a missing one
/// with `handshake_failure` before TLS 1.3, and with `certificate_required` since.
fn is_about_us(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::HandshakeFailure
            | A::NoCertificate
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::CertificateRequired
    )
}

/// Returns true if the connection on which the error came must not be used again: it is out of step, it belongs to a
/// server that is no longer the primary, or its user was changed.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    use ServerErrorKind as S;
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => true,
        ErrorKind::Server(kind) => matches!(kind, S::ReadOnly | S::MasterDown | S::BusyLoading),
        _ => error.code() == Some("NOAUTH"),
    }
}

/// Redis's own sentence with its code, on one line.
fn sentence(error: &RedisError) -> String {
    let whole = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    };
    whole.chars().map(|one| if one.is_control() { ' ' } else { one }).take(DETAIL_MAX).collect()
}
