//! Opens a connection to a peer: its address, TCP, and TLS with the cluster's identity.

use super::link::Dial;
use super::membership::Membership;
use super::pipe::{self, Pipe};
use crate::apns::connect::DeferredWriteErrors;
use crate::cluster::Identity;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// An address of a peer that this node does not connect to.
#[derive(Debug, thiserror::Error)]
#[error("{address} is {found}, which is in no network of cluster.allow")]
struct ForeignAddress {
    address: String,
    found: IpAddr,
}

/// The value of the metric's label `why` for an attempt that ended since the other side may be no peer; `None` for one
/// that ended for another reason.
pub fn refusal(error: &io::Error) -> Option<&'static str> {
    let cause = error.get_ref()?;
    match () {
        () if cause.is::<ForeignAddress>() => Some("address"),
        () if cause.is::<rustls::Error>() => Some("tls"),
        () => None,
    }
}

/// The longest that opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The way to a peer at `address`, `HOST:PORT`. The name is resolved at each attempt.
pub fn to(address: String, membership: Membership) -> Dial {
    Box::new(move || {
        let (address, membership) = (address.clone(), membership.clone());
        Box::pin(async move {
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer"));
            tokio::time::timeout(CONNECT_TIMEOUT, open(&address, &membership)).await.map_err(late)?
        })
    })
}

async fn open(address: &str, membership: &Membership) -> io::Result<Pipe> {
    let found: Vec<_> = tokio::net::lookup_host(address).await?.collect();
    if let Some(foreign) = found.iter().find(|found| !(membership.allow)(found.ip())) {
        let foreign = ForeignAddress { address: address.to_owned(), found: foreign.ip() };
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, foreign));
    }
    let socket = TcpStream::connect(found.as_slice()).await?;
    socket.set_nodelay(true)?;
    let tls = TlsConnector::from(Arc::clone(&membership.client_tls));
    let socket = DeferredWriteErrors::new(pipe::read_ahead(socket));
    Ok(Pipe::new(tls.connect(Identity::server_name(), socket).await?))
}
