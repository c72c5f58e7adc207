//! Accepts connections over TCP, TLS or a Unix socket.

use super::address::{Address, Mode};
use super::socket::Socket;
use super::tls::Tls;
use super::unix::UnixSocket;
use crate::drain::Drain;
use socket2::SockRef;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};

/// Connections that wait in the kernel to be accepted. The kernel drops a client's SYN when the queue is full, and the
/// client sends it again after a second. `net.core.somaxconn` lowers the limit.
pub const BACKLOG: u32 = 4096;

/// A bound listener.
pub struct Listener {
    bound: Bound,
    url: String,
}

enum Bound {
    Tcp { listener: TcpListener, tls: Option<Arc<Tls>> },
    Unix(UnixSocket),
}

/// An accepted connection, before the first byte is exchanged.
pub enum Accepted {
    Tcp(TcpStream, Option<Arc<Tls>>),
    Unix(UnixStream),
}

impl Listener {
    /// `tls` is for TCP; `mode` for a Unix socket, which has no TLS.
    pub async fn bind(address: &Address, mode: Mode, tls: Option<Arc<Tls>>) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let listener = listen(*address)?;
                let scheme = if tls.is_some() { "https" } else { "http" };
                let url = format!("{scheme}://{}", listener.local_addr()?);
                Ok(Self { bound: Bound::Tcp { listener, tls }, url })
            }
            Address::Unix(path) => {
                Ok(Self { bound: Bound::Unix(UnixSocket::bind(path, mode)?), url: address.to_string() })
            }
        }
    }

    /// The URL of the listener, with the port that was actually bound.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The TCP address of the listener.
    pub fn address(&self) -> io::Result<SocketAddr> {
        match &self.bound {
            Bound::Tcp { listener, .. } => listener.local_addr(),
            Bound::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "a Unix socket has no TCP address")),
        }
    }

    pub fn is_unix(&self) -> bool {
        matches!(self.bound, Bound::Unix(_))
    }

    /// Reloads the certificate whenever its files change. Never returns.
    pub async fn follow(&self, drain: &Drain) {
        match &self.bound {
            Bound::Tcp { tls: Some(tls), .. } => Arc::clone(tls).follow(drain).await,
            _ => std::future::pending().await,
        }
    }

    pub async fn accept(&self) -> io::Result<Accepted> {
        match &self.bound {
            Bound::Tcp { listener, tls } => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted::Tcp(stream, tls.clone()))
            }
            Bound::Unix(socket) => socket.listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }

    /// Accepts a connection that already waits in the kernel, which the runtime may not know yet. Fails with
    /// `WouldBlock` if none waits.
    pub fn accept_waiting(&self) -> io::Result<Accepted> {
        let accept = |listener: SockRef<'_>| {
            let (socket, _) = listener.accept()?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        match &self.bound {
            Bound::Tcp { listener, tls } => {
                let stream = TcpStream::from_std(accept(SockRef::from(listener))?.into())?;
                Ok(Accepted::Tcp(stream, tls.clone()))
            }
            Bound::Unix(socket) => {
                Ok(Accepted::Unix(UnixStream::from_std(accept(SockRef::from(&socket.listener))?.into())?))
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A node that restarts takes its port again while old connections are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Accepted {
    /// The address of the client; `None` for a Unix socket.
    pub fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream, _) => stream.peer_addr().ok().map(|address| address.ip()),
            Self::Unix(_) => None,
        }
    }

    /// Writes a response in clear text without waiting, and closes. A new socket has room for it, and a client that has
    /// disconnected does not need it. A client that starts a TLS handshake only sees the end of the connection.
    pub fn refuse(self, response: &[u8]) {
        let _ = match &self {
            Self::Tcp(stream, None) => stream.try_write(response),
            Self::Tcp(_, Some(_)) => Ok(0),
            Self::Unix(stream) => stream.try_write(response),
        };
    }

    /// Returns the byte stream, after the TLS handshake if there is one.
    pub async fn handshake(self) -> io::Result<Socket> {
        match self {
            Self::Tcp(stream, tls) => {
                // Fails only for a closed connection, which the first read reports.
                let _ = stream.set_nodelay(true);
                match tls {
                    None => Ok(Socket::Tcp(stream)),
                    Some(tls) => tls.accept(stream).await.map(|stream| Socket::Tls(Box::new(stream))),
                }
            }
            Self::Unix(stream) => Ok(Socket::Unix(stream)),
        }
    }
}
