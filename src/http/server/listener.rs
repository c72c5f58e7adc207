//! Takes clients in, over TCP, TLS or a Unix socket.

use super::address::{Address, Mode};
use super::socket::Socket;
use super::tls::Tls;
use super::unix::UnixSocket;
use crate::drain::Drain;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// A bound listener.
pub struct Listener {
    bound: Bound,
    url: String,
}

enum Bound {
    Tcp { listener: TcpListener, tls: Option<Arc<Tls>> },
    Unix(UnixSocket),
}

/// A client that has come, before anything is said.
pub enum Accepted {
    Tcp(TcpStream, Option<Arc<Tls>>),
    Unix(UnixStream),
}

impl Listener {
    /// `tls` is for TCP; `mode` for a Unix socket, which has no TLS.
    pub async fn bind(address: &Address, mode: Mode, tls: Option<Arc<Tls>>) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                let scheme = if tls.is_some() { "https" } else { "http" };
                let url = format!("{scheme}://{}", listener.local_addr()?);
                Ok(Self { bound: Bound::Tcp { listener, tls }, url })
            }
            Address::Unix(path) => {
                Ok(Self { bound: Bound::Unix(UnixSocket::bind(path, mode)?), url: address.to_string() })
            }
        }
    }

    /// Where it listens, with the port that was really bound.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its TCP address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        match &self.bound {
            Bound::Tcp { listener, .. } => listener.local_addr(),
            Bound::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "a Unix socket has no TCP address")),
        }
    }

    pub fn is_unix(&self) -> bool {
        matches!(self.bound, Bound::Unix(_))
    }

    /// Follows the certificate's files, for ever.
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
}

impl Accepted {
    /// Whose connection it is, as far as addresses tell.
    pub fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream, _) => stream.peer_addr().ok().map(|address| address.ip()),
            Self::Unix(_) => None,
        }
    }

    /// Says something in clear text at once and hangs up. A fresh socket has room for it, and a client that is gone
    /// already does not matter. A client that waits for a handshake only sees the end.
    pub fn refuse(self, response: &[u8]) {
        let _ = match &self {
            Self::Tcp(stream, None) => stream.try_write(response),
            Self::Tcp(_, Some(_)) => Ok(0),
            Self::Unix(stream) => stream.try_write(response),
        };
    }

    /// A stream to talk over.
    pub async fn handshake(self) -> io::Result<Socket> {
        match self {
            Self::Tcp(stream, tls) => {
                // Fails only for a connection that is gone, which the first read will tell.
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
