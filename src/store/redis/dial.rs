//! One connection to a Redis server or a Sentinel.

use super::address::HostPort;
use super::error::{LATE, of_first, of_io};
use crate::drain::Drain;
use crate::store::StoreError;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// From the look-up of the name to the answer to the first command.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// From a command to its answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The kernel ends a connection whose data stays unacknowledged for longer.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(3);
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(30);

/// The place of one server.
#[derive(Clone, Copy)]
pub(super) enum Socket<'a> {
    Tcp { server: &'a HostPort, tls: Option<&'a Arc<ClientConfig>> },
    Unix { path: &'a Path },
}

impl Socket<'_> {
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: Some(_), .. })
    }
}

/// A connection that answered. Clones share it; it is closed when the last one is dropped.
#[derive(Clone)]
pub(super) struct Connection {
    pub redis: MultiplexedConnection,
    /// For logs and errors.
    pub address: Arc<str>,
    driver: Arc<Driver>,
}

/// The task that moves the connection's bytes. It ends when the server closes the connection.
struct Driver(JoinHandle<()>);

impl Connection {
    /// Returns true once the server closed the connection: nothing that is sent on it arrives.
    pub fn is_closed(&self) -> bool {
        self.driver.0.is_finished()
    }

    pub fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.driver, &other.driver)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects and logs in. TLS 1.3 refuses a client certificate after its handshake, and a stopped server still accepts
/// connections: only the answer to a first command shows that the connection works.
pub(super) async fn dial(socket: Socket<'_>, login: &RedisConnectionInfo) -> Result<Connection, StoreError> {
    let address = socket.to_string();
    match socket {
        Socket::Tcp { server, tls: None } => speak(tcp(server, &address).await?, login, socket).await,
        Socket::Tcp { server, tls: Some(config) } => {
            let name = ServerName::try_from(server.host.clone()).map_err(io::Error::other);
            let name = name.map_err(|error| of_io(&error, &address))?;
            let stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp(server, &address).await?).await;
            speak(stream.map_err(|error| of_io(&error, &address))?, login, socket).await
        }
        Socket::Unix { path } => {
            let stream = UnixStream::connect(path).await.map_err(|error| of_io(&error, &address))?;
            speak(stream, login, socket).await
        }
    }
}

/// Bounds an attempt to connect, with its first command, by [`CONNECT_WITHIN`].
pub(super) async fn in_time<T>(
    socket: Socket<'_>,
    attempt: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let late = |_| {
        // Redis answers a TLS handshake on a port without TLS with silence.
        let hint =
            if matches!(socket, Socket::Tcp { tls: Some(_), .. }) { "; see that the port is for TLS" } else { "" };
        StoreError::Away { address: socket.to_string(), cause: format!("{LATE}{hint}") }
    };
    timeout(CONNECT_WITHIN, attempt).await.map_err(late)?
}

async fn tcp(server: &HostPort, address: &str) -> Result<TcpStream, StoreError> {
    let connect = async {
        let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
        stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&stream);
        socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(KEEP_ALIVE_AFTER))?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
        Ok(stream)
    };
    connect.await.map_err(|error: io::Error| of_io(&error, address))
}

async fn speak<S>(stream: S, login: &RedisConnectionInfo, socket: Socket<'_>) -> Result<Connection, StoreError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_WITHIN));
    let made = MultiplexedConnection::new_with_config(login, stream, config).await;
    let (redis, driver) = made.map_err(|error| of_first(&error, socket))?;
    // Not on the node's drain: the connection is of use until the node's last task has ended.
    let driver = Arc::new(Driver(Drain::new().spawn("redis", driver)));
    Ok(Connection { redis, address: socket.to_string().into(), driver })
}

impl std::fmt::Display for Socket<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { server, .. } => server.fmt(out),
            Self::Unix { path } => path.display().fmt(out),
        }
    }
}
