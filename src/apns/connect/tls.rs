//! Opens a stream in production: TCP, the proxy's tunnel if there is one, TLS.

use super::chain::Chain;
use super::deferred_write_errors::DeferredWriteErrors;
use super::{Connect, ConnectError, Connecting, HandshakeError, Proxy, ProxyError, Resolving, Stage, Transport};
use crate::apns::endpoint::Endpoint;
use crate::apns::trust::ALPN;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The kernel probes a silent peer after this, so that a dead idle connection does not look alive for hours.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(60);
/// The time limit of a lookup.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);
/// The maximum number of concurrent lookups. An abandoned lookup continues in its thread, with a socket that nothing
/// else counts.
const LOOKUPS_MAX: usize = 24;
/// The share of an attempt's time for TCP: an address that drops packets must not use up all of it.
const TCP_SHARE: u32 = 3;
/// The minimum time for TCP: a lost first packet is sent again after a second.
const TCP_MIN: Duration = Duration::from_secs(2);

/// The connector of production.
pub struct TlsConnect {
    proxy: Option<Arc<Proxy>>,
    lookups: Arc<Semaphore>,
}

impl TlsConnect {
    pub fn new(proxy: Option<Proxy>) -> Self {
        Self { proxy: proxy.map(Arc::new), lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

impl Connect for TlsConnect {
    /// Looks up the proxy's addresses if there is one: the proxy then resolves the gateway's name.
    fn resolve(&self, endpoint: &Endpoint) -> Resolving {
        let (host, port) = match &self.proxy {
            Some(proxy) => (proxy.host().to_owned(), proxy.port()),
            None => (endpoint.host().to_owned(), endpoint.port()),
        };
        let what = if self.proxy.is_some() { "the proxy " } else { "" };
        let looked_up = look_up(Arc::clone(&self.lookups), host.clone(), port);
        Box::pin(async move {
            let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "the name server does not answer"));
            let found = tokio::time::timeout(RESOLVE_DEADLINE, looked_up).await.unwrap_or_else(late);
            let described = |error: io::Error| io::Error::new(error.kind(), format!("{what}{host}: {error}"));
            let found = found.map_err(described)?;
            if found.is_empty() {
                return Err(described(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
            }
            Ok(alternate(found))
        })
    }

    fn connect(
        &self,
        endpoint: &Endpoint,
        address: SocketAddr,
        tls: Arc<ClientConfig>,
        timeout: Duration,
    ) -> Connecting {
        let attempt = Attempt { endpoint: endpoint.clone(), address, proxy: self.proxy.clone(), began: Instant::now() };
        Box::pin(attempt.run(tls, timeout))
    }
}

/// Asks the system's resolver in a thread. Holds a permit until the lookup has really ended.
#[expect(clippy::disallowed_methods, reason = "a lookup can take long, and ends nothing that a drain waits for")]
async fn look_up(lookups: Arc<Semaphore>, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let place = lookups.acquire_owned().await;
    let lookup = move || {
        let _until_it_ends = place;
        (host, port).to_socket_addrs().map(Iterator::collect)
    };
    tokio::task::spawn_blocking(lookup).await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

/// Alternates the address families, each in its order, so that the second attempt tries the other family (RFC 8305 4).
fn alternate(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut unique: Vec<SocketAddr> = Vec::with_capacity(found.len());
    for address in found {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let first_is_v6 = unique.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = unique.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let both = first.len().min(second.len());
    let mut ordered: Vec<SocketAddr> = first.iter().zip(&second).flat_map(|(a, b)| [*a, *b]).collect();
    ordered.extend(&first[both..]);
    ordered.extend(&second[both..]);
    ordered
}

type Encrypted = TlsStream<DeferredWriteErrors<TcpStream>>;

/// One attempt to open a stream.
struct Attempt {
    endpoint: Endpoint,
    address: SocketAddr,
    proxy: Option<Arc<Proxy>>,
    began: Instant,
}

impl Attempt {
    async fn run(self, tls: Arc<ClientConfig>, timeout: Duration) -> Result<Box<dyn Transport>, ConnectError> {
        let tcp_timeout = (timeout / TCP_SHARE).max(TCP_MIN).min(timeout);
        let mut socket = self.within(tcp_timeout, Stage::Tcp, self.tcp()).await?;
        if let Some(proxy) = &self.proxy {
            self.within(timeout, Stage::Proxy, self.tunnel(proxy, &mut socket)).await?;
        }
        let stream = self.within(timeout, Stage::Tls, self.tls(socket, tls)).await?;
        self.log(&stream);
        Ok(Box::new(stream))
    }

    /// Limits a stage to `timeout` after the attempt began.
    async fn within<T>(
        &self,
        timeout: Duration,
        stage: Stage,
        work: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let late = |_| ConnectError::Timeout { endpoint: self.endpoint.clone(), stage, seconds: timeout.as_secs() };
        tokio::time::timeout_at(self.began + timeout, work).await.map_err(late)?
    }

    async fn tcp(&self) -> Result<TcpStream, ConnectError> {
        let opened = TcpStream::connect(self.address).await.and_then(tune);
        opened.map_err(|cause| match &self.proxy {
            Some(proxy) => self.proxy_failed(proxy, cause.into()),
            None => ConnectError::Tcp { endpoint: self.endpoint.clone(), address: self.address, cause },
        })
    }

    async fn tunnel(&self, proxy: &Proxy, socket: &mut TcpStream) -> Result<(), ConnectError> {
        proxy.open_tunnel(socket, &self.endpoint).await.map_err(|cause| self.proxy_failed(proxy, cause))
    }

    fn proxy_failed(&self, proxy: &Proxy, cause: ProxyError) -> ConnectError {
        ConnectError::Proxy { endpoint: self.endpoint.clone(), proxy: proxy.to_string(), cause }
    }

    async fn tls(&self, socket: TcpStream, tls: Arc<ClientConfig>) -> Result<Encrypted, ConnectError> {
        let failed = |cause| ConnectError::Tls { endpoint: self.endpoint.clone(), cause };
        let with_certificate = tls.client_auth_cert_resolver.has_certs();
        let described = |error| failed(HandshakeError::new(error, with_certificate));
        let name = ServerName::try_from(self.endpoint.host().to_owned())
            .map_err(|error| described(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let stream =
            TlsConnector::from(tls).connect(name, DeferredWriteErrors::new(socket)).await.map_err(described)?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(failed(HandshakeError::NoHttp2));
        }
        Ok(stream)
    }

    fn log(&self, stream: &Encrypted) {
        let session = stream.get_ref().1;
        let chain = session.peer_certificates().unwrap_or_default();
        tracing::debug!(
            endpoint = %self.endpoint,
            address = %self.address,
            version = ?session.protocol_version(),
            chain = %Chain(chain),
            milliseconds = self.began.elapsed().as_millis() as u64,
            "TLS handshake done"
        );
    }
}

fn tune(socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    socket2::SockRef::from(&socket).set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(KEEP_ALIVE_AFTER))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(found: &[&str]) -> Vec<String> {
        let found = found.iter().map(|address| address.parse().unwrap()).collect();
        alternate(found).iter().map(SocketAddr::to_string).collect()
    }

    /// Threads cannot be cancelled, so the limit also counts abandoned lookups.
    #[tokio::test(start_paused = true)]
    async fn a_lookup_waits_for_its_place_and_an_address_needs_none() {
        let connect = TlsConnect::new(None);
        let hanging = Arc::clone(&connect.lookups).acquire_many_owned(LOOKUPS_MAX as u32).await;
        let (name, address): (Endpoint, Endpoint) =
            ("https://localhost:9".parse().unwrap(), "https://127.0.0.1:9".parse().unwrap());
        assert_eq!(connect.resolve(&address).await.unwrap(), ["127.0.0.1:9".parse().unwrap()]);
        let late = connect.resolve(&name).await.unwrap_err();
        assert_eq!(late.to_string(), "localhost: the name server does not answer");
        drop(hanging);
        assert!(connect.resolve(&name).await.unwrap().iter().all(|found| found.ip().is_loopback()));
        assert_eq!(connect.lookups.available_permits(), LOOKUPS_MAX);
    }

    #[test]
    fn families_alternate_and_no_address_appears_twice() {
        let found = ["[::1]:9", "[::2]:9", "[::3]:9", "[::1]:9", "1.1.1.1:9", "2.2.2.2:9", "1.1.1.1:9"];
        assert_eq!(ordered(&found), ["[::1]:9", "1.1.1.1:9", "[::2]:9", "2.2.2.2:9", "[::3]:9"]);
        assert_eq!(ordered(&["1.1.1.1:9", "[::1]:9", "2.2.2.2:9"]), ["1.1.1.1:9", "[::1]:9", "2.2.2.2:9"]);
        assert_eq!(ordered(&["2.2.2.2:9", "1.1.1.1:9"]), ["2.2.2.2:9", "1.1.1.1:9"]);
        assert!(ordered(&[]).is_empty());
    }
}
