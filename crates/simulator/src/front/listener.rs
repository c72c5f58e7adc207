//! A listening socket that can be shut: connections are then refused, or their SYNs are dropped.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use crate::script::Shut;

const BACKLOG: u32 = 1024;
/// A connection over loopback that takes longer is never established.
const FILLING_WITHIN: Duration = Duration::from_millis(200);

/// A listener that the script can shut and open again.
pub struct ScriptedListener {
    address: SocketAddr,
    /// Bound and never listening: reserves the port while the listener is shut.
    _keeper: TcpSocket,
    state: State,
}

enum State {
    Open(TcpListener),
    Closed,
    /// A listener that accepts no connection, and the connections that fill its backlog.
    Stalled {
        _listener: TcpListener,
        _filling: Vec<TcpStream>,
    },
}

impl ScriptedListener {
    /// Listens at `HOST:PORT`; a port of 0 takes `port`, and a free one if that is 0 too.
    pub async fn bind(host_and_port: &str, port: u16) -> io::Result<Self> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for mut address in lookup_host(host_and_port).await? {
            if address.port() == 0 {
                address.set_port(port);
            }
            match Self::at(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn at(address: SocketAddr) -> io::Result<Self> {
        let keeper = bound(address)?;
        let address = keeper.local_addr()?;
        let state = State::Open(bound(address)?.listen(BACKLOG)?);
        Ok(Self { address, _keeper: keeper, state })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens the listener, or shuts it as given.
    pub async fn set(&mut self, shut: Option<Shut>) -> io::Result<()> {
        match (shut, &self.state) {
            (None, State::Open(_))
            | (Some(Shut::Closed), State::Closed)
            | (Some(Shut::Stalled), State::Stalled { .. }) => {
                return Ok(());
            }
            _ => self.state = State::Closed,
        }
        self.state = match shut {
            None => State::Open(bound(self.address)?.listen(BACKLOG)?),
            Some(Shut::Closed) => State::Closed,
            Some(Shut::Stalled) => self.stalled().await?,
        };
        Ok(())
    }

    async fn stalled(&self) -> io::Result<State> {
        let listener = bound(self.address)?.listen(0)?;
        let mut filling = Vec::new();
        while let Ok(stream) = tokio::time::timeout(FILLING_WITHIN, TcpStream::connect(self.address)).await {
            filling.push(stream?);
        }
        Ok(State::Stalled { _listener: listener, _filling: filling })
    }

    /// The next connection; none comes while the listener is shut.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.state {
            State::Open(listener) => listener.accept().await,
            State::Closed | State::Stalled { .. } => std::future::pending().await,
        }
    }
}

/// A socket that shares its address with others that do not listen.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
