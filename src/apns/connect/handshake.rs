//! The cause of a failed TLS handshake, and the advice on it.

use rustls::{AlertDescription, CertificateError, Error, PeerMisbehaved};
use std::io;
use x509_parser::prelude::ASN1Time;

/// The reason that the TLS handshake with a gateway failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error(
        "no authority trusted here has signed its certificate: if a private gateway, a simulator or an inspecting \
         firewall is meant to answer there, put its authority's certificate (PEM) into apple.ca_file"
    )]
    UnknownIssuer,
    #[error("its certificate expired on {on}: it must be renewed there, unless this machine's clock is wrong")]
    Expired { on: String },
    #[error("its certificate is not valid yet: check this machine's clock")]
    NotValidYet,
    #[error("its certificate is for {presented}, not for {expected}: set the URL to the name that the certificate has")]
    WrongName { expected: String, presented: String },
    #[error(
        "its certificate is that of an authority (CA:TRUE), which TLS refuses for a server: sign one for the server \
         with it"
    )]
    AuthorityAsServer,
    #[error("its certificate is refused: {0}")]
    BadCertificate(CertificateError),
    #[error("it refuses the client certificate with the alert {}: {}", name(*.0), because(*.0))]
    CertificateRefused(AlertDescription),
    #[error("it requires a client certificate, and the app has a signing key: provision the app with a certificate")]
    CertificateWanted,
    #[error("it does not speak HTTP/2 (ALPN h2): a proxy or firewall that takes TLS apart must let h2 through")]
    NoHttp2,
    #[error("it does not speak TLS on this port")]
    NotTls,
    #[error("it closed the connection in the middle of the handshake: check for a firewall, or a port without TLS")]
    Closed,
    #[error("it ended the handshake with the alert {}", name(*.0))]
    Alert(AlertDescription),
    #[error("{0}")]
    Other(io::Error),
}

impl HandshakeError {
    /// Converts the error of TLS; `with_certificate` if a client certificate was sent.
    pub fn new(error: io::Error, with_certificate: bool) -> Self {
        match tls(&error) {
            Some(Error::InvalidCertificate(fault)) => Self::of_certificate(fault),
            Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => Self::NoHttp2,
            Some(Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol)) => Self::NoHttp2,
            Some(Error::AlertReceived(AlertDescription::CertificateRequired)) if !with_certificate => {
                Self::CertificateWanted
            }
            Some(Error::AlertReceived(alert)) if with_certificate && is_about_certificate(*alert) => {
                Self::CertificateRefused(*alert)
            }
            Some(Error::AlertReceived(alert)) => Self::Alert(*alert),
            Some(Error::InvalidMessage(_)) => Self::NotTls,
            None if is_cut(error.kind()) => Self::Closed,
            _ => Self::Other(error),
        }
    }

    fn of_certificate(fault: &CertificateError) -> Self {
        match fault {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired { on: date(not_after.as_secs()) },
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotValidYet,
            CertificateError::NotValidForNameContext { expected, presented } => {
                Self::WrongName { expected: expected.to_str().into_owned(), presented: names(presented) }
            }
            // The library's type of this error is private; its text is stable.
            CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => Self::AuthorityAsServer,
            other => Self::BadCertificate(other.clone()),
        }
    }
}

/// The gateway's alert about the client certificate, if this read or write failed with one: under TLS 1.3 it arrives
/// after the handshake.
pub fn certificate_alert(error: &io::Error) -> Option<AlertDescription> {
    match tls(error) {
        Some(Error::AlertReceived(alert)) if is_about_certificate(*alert) => Some(*alert),
        _ => None,
    }
}

fn tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Returns true for alerts 42 to 46, 48, 49, 51 and 116 (RFC 8446 6.2), which refuse a certificate.
fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::CertificateRequired
    )
}

fn is_cut(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// The likely cause of an alert about a client certificate, and what to do.
fn because(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateExpired => {
            "it has expired; renew it in Apple's developer portal and provision the app again"
        }
        AlertDescription::CertificateRevoked => {
            "it was revoked; make another in Apple's developer portal and provision the app with it"
        }
        AlertDescription::CertificateRequired => {
            "none arrived; something on the way, a proxy or a firewall, takes TLS apart: let the connection through untouched"
        }
        AlertDescription::DecryptError => {
            "its private key does not belong to it; export both together and provision the app again"
        }
        AlertDescription::AccessDenied => {
            "it is valid, but not allowed here; check app id, team and environment, and provision the app again"
        }
        _ => {
            "it is not a push certificate from Apple, or not for this gateway; provision the app with a push certificate for it"
        }
    }
}

/// The alert's name and number from RFC 8446 6.2: `certificate_expired (45)`.
fn name(alert: AlertDescription) -> String {
    let mut name = String::new();
    for (at, letter) in format!("{alert:?}").char_indices() {
        if at > 0 && letter.is_ascii_uppercase() && !name.ends_with('C') {
            name.push('_');
        }
        name.push(letter);
    }
    format!("{} ({})", name.to_ascii_lowercase(), u8::from(alert))
}

/// The names of a certificate, which have the form `DnsName("push.example")` and `IpAddress(::1)`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner);
        inner.trim_matches(['"', ')']).to_owned()
    };
    let names: Vec<String> = presented.iter().map(bare).collect();
    if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") }
}

fn date(seconds: u64) -> String {
    let date = i64::try_from(seconds).ok().and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    date.map_or_else(|| "an impossible date".to_owned(), |date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(alert: AlertDescription) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, Error::AlertReceived(alert))
    }

    #[test]
    fn nine_alerts_are_about_the_client_certificate() {
        let blaming: Vec<u8> =
            (0..=255).filter(|alert| certificate_alert(&received(AlertDescription::from(*alert))).is_some()).collect();
        assert_eq!(blaming, [42, 43, 44, 45, 46, 48, 49, 51, 116]);
    }

    #[test]
    fn an_alert_about_a_certificate_names_its_cause() {
        let told = |alert| HandshakeError::CertificateRefused(alert).to_string();
        assert!(
            told(AlertDescription::CertificateExpired).contains("certificate_expired (45): it has expired; renew it")
        );
        assert!(told(AlertDescription::CertificateRevoked).contains("certificate_revoked (44): it was revoked"));
        assert!(told(AlertDescription::UnknownCA).contains("not a push certificate from Apple"));
    }

    #[test]
    fn without_a_client_certificate_no_alert_is_about_it() {
        let error = HandshakeError::new(received(AlertDescription::CertificateExpired), false);
        assert!(matches!(error, HandshakeError::Alert(_)), "{error}");
        let error = HandshakeError::new(received(AlertDescription::CertificateRequired), false);
        assert!(matches!(error, HandshakeError::CertificateWanted), "{error}");
    }

    #[test]
    fn alerts_are_spelled_as_in_the_standard() {
        let spelled = [45, 48, 116].map(|alert| name(AlertDescription::from(alert)));
        assert_eq!(spelled, ["certificate_expired (45)", "unknown_ca (48)", "certificate_required (116)"]);
    }
}
