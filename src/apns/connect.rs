//! Opens a byte stream to the gateway: address, TCP, TLS, ALPN. A seam, so that tests can put pipes in its place.

use super::endpoint::Endpoint;
use super::trust::ALPN;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The kernel probes a silent peer after this, so that a dead idle connection does not look alive for hours.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(60);

/// A connected, authenticated byte stream.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// How the connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no address found for {endpoint}: {cause}")]
    Resolve { endpoint: Endpoint, cause: io::Error },
    #[error("cannot connect to {endpoint}: {cause}")]
    Tcp { endpoint: Endpoint, cause: io::Error },
    #[error("TLS with {endpoint} failed: {cause}")]
    Tls { endpoint: Endpoint, cause: io::Error },
    #[error("{endpoint} does not speak HTTP/2 (no ALPN h2)")]
    Protocol { endpoint: Endpoint },
    #[error("{endpoint} did not answer within {seconds} s")]
    Timeout { endpoint: Endpoint, seconds: u64 },
    #[error("the credential cannot be used for TLS: {0}")]
    Credential(#[from] rustls::Error),
}

pub type Connecting = Pin<Box<dyn Future<Output = Result<Box<dyn Transport>, ConnectError>> + Send>>;

/// Opens streams to a gateway.
pub trait Connect: Send + Sync {
    /// One attempt; the whole of it takes at most `timeout`.
    fn connect(&self, endpoint: &Endpoint, tls: Arc<ClientConfig>, timeout: Duration) -> Connecting;
}

/// TCP and TLS, as in production.
pub struct TlsConnect;

impl Connect for TlsConnect {
    fn connect(&self, endpoint: &Endpoint, tls: Arc<ClientConfig>, timeout: Duration) -> Connecting {
        let endpoint = endpoint.clone();
        Box::pin(async move {
            match tokio::time::timeout(timeout, open(&endpoint, tls)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(ConnectError::Timeout { endpoint, seconds: timeout.as_secs() }),
            }
        })
    }
}

async fn open(endpoint: &Endpoint, tls: Arc<ClientConfig>) -> Result<Box<dyn Transport>, ConnectError> {
    let socket = tcp(endpoint).await?;
    let failed = |cause| ConnectError::Tls { endpoint: endpoint.clone(), cause };
    let name = ServerName::try_from(endpoint.host().to_owned())
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let stream = TlsConnector::from(tls).connect(name, socket).await.map_err(failed)?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(ConnectError::Protocol { endpoint: endpoint.clone() });
    }
    Ok(Box::new(stream))
}

/// Resolves afresh (Apple asks for that) and takes the first address that connects.
async fn tcp(endpoint: &Endpoint) -> Result<TcpStream, ConnectError> {
    let resolve = |cause| ConnectError::Resolve { endpoint: endpoint.clone(), cause };
    let addresses = tokio::net::lookup_host((endpoint.host(), endpoint.port())).await.map_err(resolve)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => return tune(socket).map_err(|cause| ConnectError::Tcp { endpoint: endpoint.clone(), cause }),
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Tcp { endpoint: endpoint.clone(), cause: last })
}

fn tune(socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    socket2::SockRef::from(&socket).set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(KEEP_ALIVE_AFTER))?;
    Ok(socket)
}
