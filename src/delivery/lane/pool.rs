//! A lane's connections: which takes new work, which only finish what they have, and when another is opened.

use super::link::{Epitaph, Link};
use super::work::Work;
use crate::apns::connect::{Connect, ConnectError, Connecting};
use crate::apns::connection::Over;
use crate::apns::endpoint::Endpoint;
use crate::apns::trust::Trust;
use crate::delivery::backoff;
use crate::events::disconnection;
use crate::registry::App;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Read at once; as much as a TLS record holds.
const SCRATCH_BYTES: usize = 16 * 1024;

/// What opening a connection needs besides the app.
pub struct Gateway {
    pub connect: Arc<dyn Connect>,
    pub trust: Arc<Trust>,
    pub endpoint: Endpoint,
}

/// See the module.
pub struct Pool {
    gateway: Gateway,
    app: Arc<App>,
    links: Vec<Link>,
    connecting: Option<Connecting>,
    /// Connections in a row that came to nothing.
    failures: u32,
    retry_at: Option<Instant>,
    scratch: Vec<u8>,
}

impl Pool {
    pub fn new(gateway: Gateway, app: Arc<App>) -> Self {
        Self { gateway, app, links: Vec::new(), connecting: None, failures: 0, retry_at: None, scratch: Vec::new() }
    }

    /// Works for this provisioning of the app from now on; what is in flight finishes under the old one.
    pub fn serve(&mut self, app: &Arc<App>, work: &mut Work) {
        if app.generation <= self.app.generation {
            return;
        }
        self.app = Arc::clone(app);
        self.connecting = None;
        (self.failures, self.retry_at) = (0, None);
        work.broken = None;
        self.retire();
    }

    /// Whether the app's credential could be read.
    pub fn has_credential(&self) -> bool {
        self.app.credential.unusable().is_none()
    }

    /// No connection takes new work any more.
    pub fn retire(&mut self) {
        self.links.iter_mut().for_each(Link::retire);
    }

    /// Requests without an answer.
    pub fn in_flight(&self) -> usize {
        self.links.iter().map(Link::open).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Ends the attempts of a job whose time is over.
    pub fn cut_off(&mut self, job: u32, work: &mut Work) {
        self.links.iter_mut().for_each(|link| link.cut_off(job, work));
    }

    /// One round over all connections: whether anything moved.
    pub fn turn(&mut self, cx: &mut Context<'_>, work: &mut Work) -> bool {
        let mut moved = self.open(cx, work);
        if !self.links.is_empty() {
            self.scratch.resize(SCRATCH_BYTES, 0);
        }
        let mut at = 0;
        while at < self.links.len() {
            let (step, over) = self.links[at].turn(cx, &self.app, &mut self.scratch, work);
            moved |= step;
            if self.links[at].has_answered() {
                (self.failures, self.retry_at) = (0, None);
            }
            match over {
                Some(over) => self.close(at, &over, work),
                None => at += 1,
            }
        }
        moved
    }

    fn close(&mut self, at: usize, over: &Over, work: &mut Work) {
        let link = self.links.swap_remove(at);
        let useless = !link.has_answered();
        let Epitaph { affected, reason } = link.close(over, work);
        work.incidents.extend(disconnection::of_connection(&self.app.key, &reason, affected, work.now.unix));
        work.tally.metrics().connections.dec();
        match over {
            Over::Drained => tracing::debug!(app = %self.app.key, "connection to Apple drained"),
            over => tracing::warn!(app = %self.app.key, %over, affected, "connection to Apple ended"),
        }
        if useless {
            self.failed(work.now.instant);
        }
    }

    /// Opens a connection where work waits and none takes it.
    fn open(&mut self, cx: &mut Context<'_>, work: &mut Work) -> bool {
        if self.connecting.is_none() && self.wants_connection(work) {
            self.begin_to_connect(work);
        }
        let Some(connecting) = &mut self.connecting else { return false };
        let Poll::Ready(outcome) = connecting.as_mut().poll(cx) else { return false };
        self.connecting = None;
        match outcome {
            Ok(io) => {
                work.tally.metrics().connects.inc();
                work.tally.metrics().connections.inc();
                self.links.push(Link::new(io, &self.gateway.endpoint, &self.app, work.now));
            }
            Err(error) => self.refused(&error, work),
        }
        true
    }

    fn begin_to_connect(&mut self, work: &mut Work) {
        let Gateway { connect, trust, endpoint } = &self.gateway;
        match trust.client_config(endpoint, &self.app.credential) {
            Ok(tls) => {
                let timeout = Duration::from_secs(self.app.timeout_seconds.into());
                self.connecting = Some(connect.connect(endpoint, Arc::new(tls), timeout));
            }
            Err(error) => self.refused(&error.into(), work),
        }
    }

    fn wants_connection(&self, work: &Work) -> bool {
        !self.is_serving() && work.is_waiting() && self.retry_at.is_none_or(|at| at <= work.now.instant)
    }

    fn is_serving(&self) -> bool {
        self.links.iter().any(|link| !link.is_leaving())
    }

    fn refused(&mut self, error: &ConnectError, work: &mut Work) {
        work.tally.metrics().connect_failures.inc();
        tracing::warn!(app = %self.app.key, %error, "cannot connect to Apple");
        self.failed(work.now.instant);
    }

    fn failed(&mut self, now: Instant) {
        self.failures += 1;
        self.retry_at = backoff::reconnect(self.failures, fastrand::f64()).map(|pause| now + pause);
    }

    /// When a turn is due even if no socket wakes the lane.
    pub fn next_time(&self, work: &Work) -> Option<Instant> {
        let idle = self.connecting.is_none() && !self.is_serving() && work.is_waiting();
        let retry = self.retry_at.filter(|_| idle);
        self.links.iter().filter_map(Link::next_time).chain(retry).min()
    }
}
