//! Opens a lane's connections, one at a time: asks for the addresses afresh, chooses one, connects, and keeps the pace.

use super::addresses::{Addresses, Choice};
use crate::apns::connect::{Connect, ConnectError, Connecting, Resolving, Transport};
use crate::apns::endpoint::Endpoint;
use crate::apns::trust::Trust;
use crate::delivery::backoff::{self, Pace};
use crate::registry::App;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Timeout, timeout};

/// Longest wait for TCP and TLS, however long the app's `timeout` is: a black hole must be replaced within 12 s.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// The same where another address is free that never failed.
const CONNECT_WITHIN_IF_SPARE: Duration = Duration::from_secs(3);

/// What opening a connection needs besides the app.
pub struct Gateway {
    pub connect: Arc<dyn Connect>,
    pub trust: Arc<Trust>,
    pub endpoint: Endpoint,
}

enum Stage {
    Idle,
    Resolving(Pin<Box<Timeout<Resolving>>>),
    Connecting(SocketAddr, Connecting),
}

/// See the module.
pub struct Dialer {
    gateway: Gateway,
    stage: Stage,
    addresses: Addresses,
    /// The resolver's last good answer, for when it fails.
    known: Vec<SocketAddr>,
    /// Times in a row that no address was found.
    unresolved: u32,
    pace: Pace,
    retry_at: Option<Instant>,
}

impl Dialer {
    pub fn new(gateway: Gateway) -> Self {
        Self {
            gateway,
            stage: Stage::Idle,
            addresses: Addresses::default(),
            known: Vec::new(),
            unresolved: 0,
            pace: Pace::default(),
            retry_at: None,
        }
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.gateway.endpoint
    }

    /// Whether a connection is being opened.
    pub fn is_busy(&self) -> bool {
        !matches!(self.stage, Stage::Idle)
    }

    /// When the next connection may be begun; `None` is any time.
    pub fn ready_at(&self) -> Option<Instant> {
        self.retry_at.max(self.pace.next())
    }

    /// Begins to open one. [`Self::poll`] does the rest.
    pub fn begin(&mut self, app: &App) {
        let resolving = self.gateway.connect.resolve(&self.gateway.endpoint);
        self.stage = Stage::Resolving(Box::pin(timeout(patience(app, false), resolving)));
    }

    /// Gives up what is being opened, and forgives the addresses: the app was provisioned anew.
    pub fn reset(&mut self) {
        (self.stage, self.addresses, self.retry_at) = (Stage::Idle, Addresses::default(), None);
    }

    /// Goes on opening; `in_use` are the addresses of the present connections. `Pending`, too, if nothing is being
    /// opened, or nothing can be before [`Self::ready_at`].
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        app: &App,
        in_use: &[SocketAddr],
        now: Instant,
    ) -> Poll<Result<(SocketAddr, Box<dyn Transport>), ConnectError>> {
        if let Stage::Resolving(resolving) = &mut self.stage {
            let resolved = ready!(resolving.as_mut().poll(cx));
            self.stage = Stage::Idle;
            self.resolved(resolved.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())), now)?;
            self.connect(app, in_use, now)?;
        }
        let Stage::Connecting(address, connecting) = &mut self.stage else { return Poll::Pending };
        let address = *address;
        let outcome = ready!(connecting.as_mut().poll(cx));
        self.stage = Stage::Idle;
        match outcome {
            Ok(transport) => Poll::Ready(Ok((address, transport))),
            Err(error) => {
                self.failed(address, now);
                Poll::Ready(Err(error))
            }
        }
    }

    /// A connection to this address was of no use.
    pub fn failed(&mut self, address: SocketAddr, now: Instant) {
        self.addresses.failed(address, now, fastrand::f64());
        self.retry_at = self.addresses.free_at(&self.known);
    }

    /// A connection to this address was of use.
    pub fn succeeded(&mut self, address: SocketAddr) {
        self.addresses.succeeded(address);
        self.retry_at = None;
    }

    /// Takes the resolver's answer; one that fails costs nothing while the last good one works.
    fn resolved(&mut self, resolved: io::Result<Vec<SocketAddr>>, now: Instant) -> Result<(), ConnectError> {
        let cause = match resolved {
            Ok(addresses) if !addresses.is_empty() => {
                (self.known, self.unresolved) = (addresses, 0);
                return Ok(());
            }
            Ok(_) => io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
            Err(cause) => cause,
        };
        if !self.known.is_empty() {
            tracing::warn!(endpoint = %self.gateway.endpoint, %cause, "no address found: taking those known");
            return Ok(());
        }
        self.unresolved += 1;
        self.retry_at = backoff::reconnect(self.unresolved, fastrand::f64()).map(|pause| now + pause);
        self.pace.begin(now);
        Err(ConnectError::Resolve { endpoint: self.gateway.endpoint.clone(), cause })
    }

    fn connect(&mut self, app: &App, in_use: &[SocketAddr], now: Instant) -> Result<(), ConnectError> {
        let Some(Choice { address, spare }) = self.addresses.choose(&self.known, in_use, now) else {
            self.retry_at = self.addresses.free_at(&self.known);
            return Ok(());
        };
        let Gateway { connect, trust, endpoint } = &self.gateway;
        self.pace.begin(now);
        let tls = Arc::new(trust.client_config(endpoint, &app.credential)?);
        let connecting = connect.connect(endpoint, address, tls, patience(app, spare));
        self.stage = Stage::Connecting(address, connecting);
        Ok(())
    }
}

fn patience(app: &App, spare: bool) -> Duration {
    let longest = if spare { CONNECT_WITHIN_IF_SPARE } else { CONNECT_WITHIN };
    longest.min(Duration::from_secs(app.timeout_seconds.into()))
}
