//! The listener for peers: takes the batches that they forward, and lets nobody else in.

mod connection;

use super::greeting::Mismatch;
use super::membership::Membership;
use super::metrics::Metrics;
use super::peers::Peers;
use super::pipe::{self, Pipe};
use super::wire::calls::{CallAnswer, CallHead};
use super::wire::{AppFigures, BatchHead, Lane, Refusal};
use crate::apns::channels::Call;
use crate::drain::Drain;
use crate::model::{AppKey, Batch, Outcome};
use connection::Connection;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// Connections at one time: more than the links of any cluster that a person would run.
const CONNECTIONS_MAX: usize = 256;
/// Longest handshake of TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause after a failed accept: mostly no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between two lines of the log for one fault.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The outcomes of a forwarded batch, one for each item, or the reason that nothing of it was sent.
pub type Serving = Pin<Box<dyn Future<Output = Result<Vec<Outcome>, Refusal>> + Send>>;

/// The results of forwarded calls, or the reason that none of them was made.
pub type Calling = Pin<Box<dyn Future<Output = CallAnswer> + Send>>;

/// The lanes of a WARM that are connected.
pub type Warming = Pin<Box<dyn Future<Output = Vec<Lane>> + Send>>;

/// Does what peers ask for.
pub trait Serve: Send + Sync {
    /// Sends a batch from this node, whoever owns its lane by now. Nothing is written after `deadline`.
    fn serve(&self, head: BatchHead, batch: Batch, deadline: Instant) -> Serving;

    /// Makes calls of channels, or broadcasts, in this node. Nothing is written after `deadline`.
    fn call(&self, head: CallHead, calls: Vec<Call>, deadline: Instant) -> Calling;

    /// Connects lanes to Apple that this node is about to own. Ends within seconds.
    fn warm(self: Arc<Self>, lanes: Vec<Lane>) -> Warming;

    /// The lanes that this node holds connections for.
    fn held(&self) -> Vec<Lane>;

    /// The figures of those of these apps that have lanes on this node. They take a millisecond for a thousand apps.
    fn figures(&self, apps: &[AppKey]) -> Vec<AppFigures>;
}

/// The parts that all connections share.
struct Shared {
    peers: Arc<Peers>,
    serve: Arc<dyn Serve>,
    membership: Membership,
    metrics: Metrics,
    drain: Drain,
    logged: Mutex<HashMap<&'static str, Instant>>,
}

/// The bound listener for peers.
pub struct PeerListener {
    socket: TcpListener,
    tls: TlsAcceptor,
    free: Arc<Semaphore>,
    shared: Arc<Shared>,
}

/// The reason that a connection is refused or closed.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("its address is in no network of cluster.allow")]
    Address,
    #[error("{CONNECTIONS_MAX} connections of nodes are open already")]
    Busy,
    #[error("no TLS with the cluster's identity: {0}")]
    Tls(io::Error),
    #[error("it did not introduce itself within {} seconds", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

impl Fault {
    /// The value of the metric's label `why`.
    fn label(&self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Busy => "busy",
            Self::Tls(_) => "tls",
            Self::Timeout => "timeout",
            Self::Mismatch(mismatch) => mismatch.label(),
        }
    }
}

impl PeerListener {
    /// `drain` ends it: peers get LEAVING, and what they forwarded is finished.
    pub fn new(socket: TcpListener, peers: Arc<Peers>, serve: Arc<dyn Serve>, drain: Drain) -> Self {
        let membership = peers.membership().clone();
        let tls = TlsAcceptor::from(Arc::clone(&membership.server_tls));
        let metrics = peers.metrics().clone();
        let shared = Shared { peers, serve, membership, metrics, drain, logged: Mutex::default() };
        Self { socket, tls, free: Arc::new(Semaphore::new(CONNECTIONS_MAX)), shared: Arc::new(shared) }
    }

    /// Accepts connections until the drain begins.
    pub async fn run(self) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.shared.drain.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, address)) => self.admit(socket, address),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn admit(&self, socket: TcpStream, address: SocketAddr) {
        let shared = &self.shared;
        if !(shared.membership.allow)(address.ip()) {
            return shared.refuse(address, &Fault::Address);
        }
        let Ok(place) = Arc::clone(&self.free).try_acquire_owned() else {
            return shared.refuse(address, &Fault::Busy);
        };
        let (tls, shared) = (self.tls.clone(), Arc::clone(shared));
        self.shared.drain.spawn("peer", serve(socket, address, tls, shared, place));
    }
}

async fn serve(
    socket: TcpStream,
    address: SocketAddr,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
    _place: OwnedSemaphorePermit,
) {
    // Fails only for a closed connection, which the first read reports.
    let _ = socket.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(pipe::read_ahead(socket))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return shared.refuse(address, &Fault::Tls(error)),
        Err(_) => return shared.refuse(address, &Fault::Timeout),
    };
    if let Err(fault) = Connection::new(Pipe::new(stream), Arc::clone(&shared)).run().await {
        shared.refuse(address, &fault);
    }
}

impl Shared {
    /// Counts a fault, and logs it if its like was not logged lately.
    fn refuse(&self, address: SocketAddr, fault: &Fault) {
        self.metrics.refuse(fault.label());
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let last = logged.insert(fault.label(), now);
        if last.is_some_and(|last| now.saturating_duration_since(last) < LOG_EVERY) {
            // The time of the line that was written counts.
            logged.extend(last.map(|last| (fault.label(), last)));
            return;
        }
        drop(logged);
        tracing::warn!(peer = %address, why = fault.label(), "refused a connection to the listener of the cluster: {fault}");
    }
}
