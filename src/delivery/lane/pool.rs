//! A lane's connections: decides which of them get new work, and when one is opened or closed.
//!
//! They are filled in the order in which they were opened, so that later ones only get the overflow of earlier ones. A
//! connection is opened if none accepts work, and, one at a time, while all are full.

mod opening;

use super::dialer::{Dialer, Gateway};
use super::link::{Link, LinkEnd};
use super::routes::LinkId;
use super::work::Work;
use crate::apns::connection::Over;
use crate::delivery::bound::Bound;
use crate::delivery::status::LaneStatus;
use crate::registry::App;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;
use tokio::time::Instant;

/// All connections must be full for this long before another is opened.
const FULL_FOR: Duration = Duration::from_millis(100);
/// The time after the last batch in which a connection is replaced even if nothing waits.
const KEPT_WITHOUT_TRAFFIC: Duration = Duration::from_secs(60);
/// The time without need after which a connection beyond the first is closed.
const SURPLUS_FOR: Duration = Duration::from_secs(3600);
/// The size of one read; the maximum size of a TLS record.
const SCRATCH_BYTES: usize = 16 * 1024;

/// Limits on the connections of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The maximum number of connections of one lane, including those that are leaving.
    pub connections: usize,
    /// The number of requests after which a connection is replaced.
    pub requests: u32,
}

impl Default for Bounds {
    /// A connection is replaced 2^20 requests before its stream ids, 2^30, are used up.
    fn default() -> Self {
        Self { connections: 16, requests: (1 << 30) - (1 << 20) }
    }
}

/// The connections of a lane.
pub struct Pool {
    app: Arc<App>,
    dialer: Dialer,
    /// In the order in which they were opened.
    links: Vec<Link>,
    next_link: LinkId,
    bounds: Bounds,
    /// The system had no descriptor for the last attempt to open a connection.
    is_out_of_descriptors: bool,
    /// The time since which all connections are full.
    full_since: Option<Instant>,
    /// The start of the last opening, and true once its delay was logged.
    opened_at: Option<Instant>,
    reported_opening: bool,
    /// No more work will arrive.
    finishing: bool,
    scratch: Vec<u8>,
}

impl Pool {
    pub fn new(gateway: Gateway, app: Arc<App>, bounds: Bounds) -> Self {
        Self {
            app,
            dialer: Dialer::new(gateway),
            links: Vec::new(),
            next_link: 0,
            bounds,
            is_out_of_descriptors: false,
            full_since: None,
            opened_at: None,
            reported_opening: false,
            finishing: false,
            scratch: Vec::new(),
        }
    }

    /// Switches to this provisioning of the app. Requests in flight finish under the old one.
    pub fn serve(&mut self, app: &Arc<App>, work: &mut Work) {
        if app.generation <= self.app.generation {
            return;
        }
        self.app = Arc::clone(app);
        work.app = Arc::clone(app);
        self.dialer.reset();
        work.health.reset();
        self.retire();
    }

    /// Returns true if the app's credential is usable.
    pub fn has_credential(&self) -> bool {
        self.app.credential.unusable().is_none()
    }

    /// Stops new work on all connections; a new one is opened only if needed.
    pub fn finish(&mut self) {
        self.finishing = true;
        self.retire();
    }

    fn retire(&mut self) {
        self.links.iter_mut().for_each(Link::retire);
    }

    /// The number of requests without an answer.
    pub fn in_flight(&self) -> usize {
        self.links.iter().map(Link::open).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Publishes the state of the connections.
    pub fn report(&self, status: &mut LaneStatus, work: &Work) {
        let is_connecting = !self.has_ready() && (self.is_opening() || self.open_at(work).is_some());
        status.generation = self.app.generation;
        let since = status.connecting_since.unwrap_or(work.now.instant);
        status.connecting_since = is_connecting.then_some(since);
        status.connections = self.links.len();
        status.streams = self.links.iter().map(Link::streams).sum();
    }

    /// The bound on waiting items; [`Bound::Caller`] if nothing waits.
    pub fn bound(&self, work: &Work) -> Bound {
        let waited_for = self.links.iter().filter(|link| work.is_waiting_for(link.id));
        let without = if work.is_waiting() { Bound::Socket } else { Bound::Caller };
        waited_for.filter_map(Link::blocked_by).max().unwrap_or(without)
    }

    /// Ends the attempts of a job whose deadline has passed.
    pub fn cut_off(&mut self, job: u32, work: &mut Work) {
        self.links.iter_mut().for_each(|link| link.cut_off(job, work));
    }

    /// Runs one round over all connections. Returns true if there was progress.
    pub fn turn(&mut self, cx: &mut Context<'_>, work: &mut Work) -> bool {
        let mut moved = self.open(cx, work);
        self.reroute(work);
        if !self.links.is_empty() {
            self.scratch.resize(SCRATCH_BYTES, 0);
        }
        let mut at = 0;
        while at < self.links.len() {
            let link = &mut self.links[at];
            let (answered, leaving) = (link.has_answered(), link.is_leaving());
            let (step, over) = link.turn(cx, &self.app, &mut self.scratch, work);
            moved |= step;
            if !answered && link.has_answered() {
                self.dialer.succeeded(link.address);
                work.health.connected();
            }
            let left = !leaving && link.is_leaving();
            match over {
                Some(over) => self.close(at, !leaving, &over, work),
                None => {
                    if left {
                        self.left(at, work);
                    }
                    at += 1;
                }
            }
        }
        self.report_long_opening(work);
        moved |= self.dismiss(work);
        moved |= self.make_room(work);
        moved |= self.reroute(work);
        let full = work.is_waiting() && self.is_full();
        self.full_since = full.then(|| self.full_since.unwrap_or(work.now.instant));
        moved | work.routes.take_moved()
    }

    /// Retires connections without further use: those of a broken credential, those that run out of stream ids and have
    /// a replacement, and those not needed for long. Returns true if there were any: the next round removes the drained
    /// ones.
    fn dismiss(&mut self, work: &mut Work) -> bool {
        let (now, requests_max) = (work.now.instant, self.bounds.requests);
        let leaving = |links: &[Link]| links.iter().filter(|link| link.is_leaving()).count();
        let before = leaving(&self.links);
        if work.health.must_reconnect(now) {
            self.retire();
        }
        let is_spent = |link: &Link| link.requests() >= requests_max;
        if self.links.iter().any(|link| link.is_serving() && link.is_ready() && !is_spent(link)) {
            self.links.iter_mut().filter(|link| is_spent(link)).for_each(Link::retire);
        }
        if self.surplus_at().is_some_and(|at| at <= now) {
            let idle = self.links.iter_mut().filter(|link| link.is_serving() && link.idle_since().is_some());
            idle.min_by_key(|link| link.idle_since()).into_iter().for_each(Link::retire);
        }
        leaving(&self.links) > before
    }

    /// Closes connections that the node's budget asks for. Returns true if there were any.
    fn make_room(&mut self, work: &Work) -> bool {
        let mut serving = self.links.iter().filter(|link| link.is_serving()).count();
        let mut left = false;
        for link in self.links.iter_mut().filter(|link| !link.is_leaving()) {
            let is_serving = link.is_serving();
            let has_company = serving > usize::from(is_serving);
            if link.must_close(has_company, work) {
                tracing::debug!(app = %self.app.key, "a connection is closed: another lane needs its descriptor");
                link.retire();
                serving -= usize::from(is_serving);
                left = true;
            }
        }
        left
    }

    /// The time to close one of several connections without work.
    fn surplus_at(&self) -> Option<Instant> {
        let serving = || self.links.iter().filter(|link| link.is_serving());
        let idle = serving().filter_map(Link::idle_since).min().filter(|_| serving().count() > 1);
        idle.map(|since| since + SURPLUS_FOR)
    }

    /// Updates the routes with the connections that accept work. Returns true if items were moved to other connections.
    fn reroute(&mut self, work: &mut Work) -> bool {
        let taking = || self.links.iter().filter(|link| !link.is_leaving()).map(|link| link.id);
        if work.routes.knows(taking()) {
            return false;
        }
        let in_flight: Vec<(LinkId, u16)> = if work.routes.is_active() {
            Vec::new()
        } else {
            let item_refs = |link: &'_ Link| {
                link.item_refs().map(|item_ref| (link.id, work.bucket_of(item_ref))).collect::<Vec<_>>()
            };
            self.links.iter().flat_map(item_refs).collect()
        };
        let taking: Vec<LinkId> = taking().collect();
        let back = work.routes.set(&taking, || in_flight.into_iter());
        let moved = !back.is_empty();
        work.put_back(back);
        moved
    }

    /// Retires a connection from new work; if it never worked, its address counts as failed.
    fn left(&mut self, at: usize, work: &mut Work) {
        let link = &self.links[at];
        if link.was_useless(work.now.instant) {
            self.dialer.failed(link.address, work.now.instant);
            self.count_failure(work);
        }
    }

    fn close(&mut self, at: usize, is_sudden: bool, over: &Over, work: &mut Work) {
        if is_sudden {
            self.left(at, work);
        }
        let link = self.links.remove(at);
        if !matches!(over, Over::Drained) {
            work.set_connection_error(format!("a connection to Apple ended: {over}"));
            work.tally.metrics().lost(over.label());
        }
        let is_former = link.generation < self.app.generation;
        if let Some(refused) = over.certificate_refused().filter(|_| !is_former && !self.works()) {
            work.credential_failed(|_| format!("Apple refuses the app's credential: {refused}"));
        }
        let LinkEnd { affected, reason } = link.close(over, work);
        work.connection_ended(&reason, affected);
        work.tally.metrics().connections.dec();
        match over {
            Over::Drained => tracing::debug!(app = %self.app.key, "connection to Apple drained"),
            over => tracing::warn!(app = %self.app.key, %over, affected, "connection to Apple ended"),
        }
    }

    /// Returns true if a connection works now, so that failures of further ones matter little.
    fn works(&self) -> bool {
        self.links.iter().any(|link| link.is_serving() && link.has_answered())
    }

    fn count_failure(&mut self, work: &mut Work) {
        if self.works() {
            return;
        }
        if work.health.connect_failed(work.now.instant, self.dialer.ready_at()) {
            tracing::error!(app = %self.app.key, "Apple cannot be reached: sending is stopped until a connection works");
        }
    }

    /// Returns true if no connection has room. A token connection starts with one stream, so that it counts as full
    /// only after Apple accepted a notification on it.
    fn is_full(&self) -> bool {
        let mut serving = self.links.iter().filter(|link| link.is_serving()).peekable();
        serving.peek().is_some() && serving.all(|link| link.is_full() && link.has_accepted())
    }

    /// The time of the next turn without a wakeup by a socket.
    pub fn next_time(&self, work: &Work) -> Option<Instant> {
        let is_woken = self.dialer.is_busy() || self.dialer.is_waiting();
        let open = if is_woken { None } else { self.open_at(work) };
        let links = self.links.iter().filter_map(Link::next_time);
        links.chain(open).chain(self.surplus_at()).chain(self.long_opening_at()).min()
    }
}
