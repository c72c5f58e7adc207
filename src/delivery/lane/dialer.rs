//! Opens a lane's connections, one at a time: gets a descriptor, looks up the addresses, chooses one, connects, and
//! limits the rate.

use super::addresses::{Addresses, Choice};
use crate::apns::connect::{Connect, ConnectError, Connecting, Resolving, Transport};
use crate::apns::endpoint::Endpoint;
use crate::apns::trust::Trust;
use crate::delivery::backoff::{self, Pace};
use crate::delivery::descriptors::{Claim, ConnectionPermit, Descriptors, Need};
use crate::registry::App;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// The maximum of an app's `timeout` for TCP and TLS: a black hole must be replaced within 12 s.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// The time limit while another address without failures is free.
const CONNECT_WITHIN_IF_SPARE: Duration = Duration::from_secs(3);
/// The pause after the system had no descriptor left, although the budget had one.
const DESCRIPTOR_PAUSE: Duration = Duration::from_secs(1);

/// The parameters of opening a connection, besides the app.
pub struct Gateway {
    pub connect: Arc<dyn Connect>,
    pub trust: Arc<Trust>,
    /// At least one, either Apple's gateway or others. A later one is used while the earlier ones cannot be reached.
    pub endpoints: Vec<Endpoint>,
    /// The node's budget of connections.
    pub descriptors: Descriptors,
}

/// A byte stream with its address and endpoint.
pub struct Dialed {
    pub endpoint: Endpoint,
    pub address: SocketAddr,
    pub transport: Box<dyn Transport>,
    pub permit: ConnectionPermit,
}

enum Stage {
    Idle,
    /// The endpoint's name.
    Resolving(usize, Resolving),
    Connecting(usize, SocketAddr, Connecting),
}

/// The opener of a lane's connections.
pub struct Dialer {
    gateway: Gateway,
    claim: Claim,
    stage: Stage,
    /// The permit of the connection being opened.
    permit: Option<ConnectionPermit>,
    addresses: Addresses,
    /// The resolver's last answer for each endpoint, used when it fails.
    known: Vec<Vec<SocketAddr>>,
    /// The number of lookups in a row without an address.
    unresolved: u32,
    pace: Pace,
    retry_at: Option<Instant>,
}

impl Dialer {
    pub fn new(gateway: Gateway) -> Self {
        Self {
            claim: gateway.descriptors.claim(),
            stage: Stage::Idle,
            permit: None,
            addresses: Addresses::default(),
            known: vec![Vec::new(); gateway.endpoints.len()],
            gateway,
            unresolved: 0,
            pace: Pace::default(),
            retry_at: None,
        }
    }

    /// Returns true while a connection is being opened.
    pub fn is_busy(&self) -> bool {
        !matches!(self.stage, Stage::Idle)
    }

    /// The current step of opening a connection, if any, in words.
    pub fn step(&self) -> Option<String> {
        let endpoint = |at: usize| &self.gateway.endpoints[at];
        match &self.stage {
            Stage::Idle => None,
            Stage::Resolving(at, _) => Some(format!("the name of {} is being looked up", endpoint(*at))),
            Stage::Connecting(at, address, _) => {
                Some(format!("TCP and TLS with {} at {address} are not complete", endpoint(*at)))
            }
        }
    }

    /// The time at which the next connection may be opened; `None` is any time.
    pub fn ready_at(&self) -> Option<Instant> {
        self.retry_at.max(self.pace.next())
    }

    /// Begins to open a connection if there is a descriptor for it; [`Self::poll`] does the rest. With a `need` the
    /// lane queues for a descriptor. Returns true once it has begun.
    pub fn begin(&mut self, cx: &mut Context<'_>, need: Option<Need>) -> bool {
        self.permit = match need {
            Some(need) => match self.claim.poll(cx, need) {
                Poll::Ready(permit) => Some(permit),
                Poll::Pending => None,
            },
            None => {
                self.claim.withdraw();
                self.claim.try_take(cx)
            }
        };
        if self.permit.is_some() {
            self.resolve(0);
        }
        self.is_busy()
    }

    /// The lane's claim in the budget of descriptors.
    pub fn claim(&mut self) -> &mut Claim {
        &mut self.claim
    }

    /// Returns true while the lane waits for a descriptor.
    pub fn is_waiting(&self) -> bool {
        self.claim.is_waiting()
    }

    /// Returns true if no descriptor is left for lanes outside the queue.
    pub fn is_used_up(&self) -> bool {
        self.claim.is_used_up()
    }

    /// Drops the connection being opened, and forgets failed addresses, because the app was provisioned again.
    pub fn reset(&mut self) {
        (self.stage, self.addresses, self.retry_at) = (Stage::Idle, Addresses::default(), None);
        self.permit = None;
    }

    /// Continues to open; `in_use` are the addresses of current connections. Also `Pending` if no connection is being
    /// opened, or none can be before [`Self::ready_at`].
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        app: &App,
        in_use: &[SocketAddr],
        now: Instant,
    ) -> Poll<Result<Dialed, ConnectError>> {
        let polled = self.go_on(cx, app, in_use, now);
        if !self.is_busy() {
            self.permit = None;
        }
        polled
    }

    fn go_on(
        &mut self,
        cx: &mut Context<'_>,
        app: &App,
        in_use: &[SocketAddr],
        now: Instant,
    ) -> Poll<Result<Dialed, ConnectError>> {
        while let Stage::Resolving(at, resolving) = &mut self.stage {
            let (at, resolved) = (*at, ready!(resolving.as_mut().poll(cx)));
            self.stage = Stage::Idle;
            let failed = self.resolved(at, resolved, app);
            if let Some(Choice { address, spare }) = self.addresses.choose(&self.known[at], in_use, now) {
                self.connect(at, address, patience(app, spare), app, now)?;
            } else if at + 1 < self.known.len() {
                self.resolve(at + 1);
            } else {
                self.none_found(failed, now)?;
            }
        }
        let Stage::Connecting(at, address, connecting) = &mut self.stage else { return Poll::Pending };
        let (at, address, outcome) = (*at, *address, ready!(connecting.as_mut().poll(cx)));
        self.stage = Stage::Idle;
        match outcome {
            Ok(transport) => {
                let endpoint = self.gateway.endpoints[at].clone();
                let permit = self.permit.take().expect("a connection is opened only with a permit");
                Poll::Ready(Ok(Dialed { endpoint, address, transport, permit }))
            }
            Err(error) if error.is_out_of_descriptors() => {
                self.retry_at = Some(now + DESCRIPTOR_PAUSE);
                Poll::Ready(Err(error))
            }
            Err(error) => {
                self.failed(address, now);
                Poll::Ready(Err(error))
            }
        }
    }

    /// Records that a connection to this address failed.
    pub fn failed(&mut self, address: SocketAddr, now: Instant) {
        self.addresses.failed(address, now, fastrand::f64());
        let all_known = self.known.iter().all(|known| !known.is_empty());
        self.retry_at = all_known.then(|| self.addresses.free_at(&self.known.concat())).flatten();
    }

    /// Records that a connection to this address worked.
    pub fn succeeded(&mut self, address: SocketAddr) {
        self.addresses.succeeded(address);
        self.retry_at = None;
    }

    fn resolve(&mut self, at: usize) {
        self.stage = Stage::Resolving(at, self.gateway.connect.resolve(&self.gateway.endpoints[at]));
    }

    /// Uses the resolver's answer, or its last one while it fails.
    fn resolved(&mut self, at: usize, resolved: io::Result<Vec<SocketAddr>>, app: &App) -> Option<ConnectError> {
        let endpoint = &self.gateway.endpoints[at];
        match resolved {
            Ok(addresses) if !addresses.is_empty() => {
                (self.known[at], self.unresolved) = (addresses, 0);
                None
            }
            Ok(_) => self.resolved(at, Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")), app),
            Err(cause) if self.known[at].is_empty() => {
                Some(ConnectError::Resolve { endpoint: endpoint.clone(), cause })
            }
            Err(cause) => {
                tracing::warn!(app = %app.key, %endpoint, %cause, "no address found: using the last known addresses");
                None
            }
        }
    }

    /// Ends the attempt: all addresses failed lately, or there are none.
    fn none_found(&mut self, failed: Option<ConnectError>, now: Instant) -> Result<(), ConnectError> {
        self.retry_at = self.addresses.free_at(&self.known.concat());
        let Some(error) = failed.filter(|_| self.retry_at.is_none()) else { return Ok(()) };
        self.unresolved += 1;
        self.retry_at = backoff::reconnect(self.unresolved, fastrand::f64()).map(|pause| now + pause);
        self.pace.begin(now);
        Err(error)
    }

    fn connect(
        &mut self,
        at: usize,
        address: SocketAddr,
        within: Duration,
        app: &App,
        now: Instant,
    ) -> Result<(), ConnectError> {
        let Gateway { connect, trust, endpoints, .. } = &self.gateway;
        self.pace.begin(now);
        let tls = Arc::new(trust.client_config(&endpoints[at], &app.credential)?);
        self.stage = Stage::Connecting(at, address, connect.connect(&endpoints[at], address, tls, within));
        Ok(())
    }
}

fn patience(app: &App, spare: bool) -> Duration {
    let longest = if spare { CONNECT_WITHIN_IF_SPARE } else { CONNECT_WITHIN };
    longest.min(Duration::from_secs(app.timeout_seconds.into()))
}
