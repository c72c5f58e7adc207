//! Opens a byte stream to the gateway: address, TCP, proxy, TLS, ALPN. A trait, so that tests can use pipes.

mod chain;
mod deferred_write_errors;
mod error;
mod handshake;
mod proxy;
mod tls;

pub use deferred_write_errors::DeferredWriteErrors;
pub use error::{ConnectError, Stage};
pub use handshake::{HandshakeError, certificate_alert};
pub use proxy::{Proxy, ProxyError};
pub use tls::TlsConnect;

use super::endpoint::Endpoint;
use rustls::ClientConfig;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connected, authenticated byte stream.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
pub type Connecting = Pin<Box<dyn Future<Output = Result<Box<dyn Transport>, ConnectError>> + Send>>;

/// Opens streams to a gateway.
pub trait Connect: Send + Sync {
    /// Looks up the addresses, best first, at least one. Apple asks for a lookup before each connection.
    fn resolve(&self, endpoint: &Endpoint) -> Resolving;

    /// Makes one attempt at one of these addresses, within `timeout`.
    fn connect(
        &self,
        endpoint: &Endpoint,
        address: SocketAddr,
        tls: Arc<ClientConfig>,
        timeout: Duration,
    ) -> Connecting;
}
