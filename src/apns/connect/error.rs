//! The reasons that a connection to a gateway could not be opened, each with its remedy.

use super::{HandshakeError, ProxyError};
use crate::apns::endpoint::Endpoint;
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// The failure to open the connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no address found for {endpoint}: {cause}")]
    Resolve { endpoint: Endpoint, cause: io::Error },
    #[error("cannot connect to {endpoint} at {address}: {cause}")]
    Tcp { endpoint: Endpoint, address: SocketAddr, cause: io::Error },
    #[error("the proxy {proxy} opens no tunnel to {endpoint}: {cause}")]
    Proxy { endpoint: Endpoint, proxy: String, cause: ProxyError },
    #[error("TLS with {endpoint} failed: {cause}")]
    Tls { endpoint: Endpoint, cause: HandshakeError },
    #[error("{endpoint} did not answer within {seconds} s ({stage})")]
    Timeout { endpoint: Endpoint, stage: Stage, seconds: u64 },
    #[error("the credential cannot be used for TLS: {0}")]
    Credential(#[from] rustls::Error),
}

/// The steps of opening a connection, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Tcp,
    Proxy,
    Tls,
}

impl ConnectError {
    /// Returns true if the process or the system had no file descriptor left, which is not a failure of the gateway.
    pub fn is_out_of_descriptors(&self) -> bool {
        let cause = match self {
            Self::Tcp { cause, .. } | Self::Resolve { cause, .. } => cause,
            Self::Proxy { cause: ProxyError::Broken(cause), .. } => cause,
            Self::Proxy { .. } | Self::Tls { .. } | Self::Timeout { .. } | Self::Credential(_) => return false,
        };
        [Errno::MFILE, Errno::NFILE].iter().any(|errno| cause.raw_os_error() == Some(errno.raw_os_error()))
    }

    /// Returns true if the app's credential is the cause: no other attempt with it can succeed.
    pub fn is_credential(&self) -> bool {
        match self {
            Self::Credential(_) | Self::Tls { cause: HandshakeError::CertificateRefused(_), .. } => true,
            Self::Resolve { .. } | Self::Tcp { .. } | Self::Proxy { .. } | Self::Tls { .. } | Self::Timeout { .. } => {
                false
            }
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Tcp => "no TCP connection: a firewall may drop its packets",
            Self::Proxy => "the proxy opened no tunnel",
            Self::Tls => "the TLS handshake did not end",
        })
    }
}
