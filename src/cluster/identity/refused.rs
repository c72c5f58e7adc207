//! The reasons that a link's TLS handshake fails, in sentences that name the remedy.

use rustls::{AlertDescription, CertificateError, Error};
use std::io;

/// The reason that no link was opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefused {
    #[error("the peer has another cluster identity: give all nodes the same `cluster.identity_files`")]
    OtherIdentity,
    #[error("the peer does not accept this node's cluster identity: give all nodes the same `cluster.identity_files`")]
    OwnIdentity,
    #[error("the peer shows no certificate: only nodes of this cluster may connect here")]
    NoCertificate,
    #[error("the peer does not speak TLS 1.3")]
    NoTls13,
    #[error("the TLS handshake failed: {0}")]
    Failed(String),
}

impl LinkRefused {
    /// One word for it, for a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::OtherIdentity | Self::OwnIdentity => "identity",
            Self::NoCertificate => "no_certificate",
            Self::NoTls13 | Self::Failed(_) => "tls",
        }
    }
}

impl From<io::Error> for LinkRefused {
    /// Reads the error of a handshake, or of the first bytes after it: a server refuses a client's certificate only
    /// when the client takes the handshake for done.
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(CertificateError::Other(_))) => Self::OtherIdentity,
            Some(Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(Error::PeerIncompatible(_) | Error::AlertReceived(AlertDescription::ProtocolVersion)) => Self::NoTls13,
            Some(Error::AlertReceived(
                AlertDescription::CertificateUnknown | AlertDescription::CertificateRequired,
            )) => Self::OwnIdentity,
            _ => Self::Failed(error.to_string()),
        }
    }
}
