//! A lane of calls: the task that makes an app's calls to one service of Apple, over connections of its own.

use super::link::CallLink;
use super::work::{Order, Work};
use crate::apns::connect::ConnectError;
use crate::apns::connection::Over;
use crate::clock::Clock;
use crate::delivery::descriptors::Need;
use crate::delivery::lane::dialer::{Dialer, Gateway};
use crate::delivery::lane::{Parts, health::StopReason};
use crate::model::NodeReason;
use crate::registry::App;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// The number of rounds before the task yields.
const ROUNDS_MAX: usize = 16;
/// The size of one read; the maximum size of a TLS record.
const SCRATCH_BYTES: usize = 16 * 1024;

/// A lane of calls.
pub struct CallLane {
    inbox: mpsc::Receiver<Vec<Order>>,
    /// No more calls will arrive.
    closed: bool,
    work: Work,
    dialer: Dialer,
    /// At most one of them takes calls.
    links: Vec<CallLink>,
    /// The time without a call after which the connection closes and the lane ends.
    idle_after: Duration,
    clock: Clock,
    timer: Pin<Box<Sleep>>,
    /// `None` once there is no time to finish.
    forced_finish: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    scratch: Vec<u8>,
}

impl CallLane {
    pub fn new(
        inbox: mpsc::Receiver<Vec<Order>>,
        app: Arc<App>,
        gateway: Gateway,
        idle_after: Duration,
        parts: &Parts,
    ) -> Self {
        let now = Instant::now();
        Self {
            inbox,
            closed: false,
            work: Work::new(now, parts.clock.unix_time(), app, parts.metrics.clone()),
            dialer: Dialer::new(gateway),
            links: Vec::new(),
            idle_after,
            clock: parts.clock.clone(),
            timer: Box::pin(tokio::time::sleep_until(now + idle_after)),
            forced_finish: Some(Box::pin(parts.drain.finish_forced())),
            scratch: Vec::new(),
        }
    }

    /// Runs until the inbox is closed, or the lane was idle for long, and every call has ended.
    pub async fn run(mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.forced_finish.as_mut().is_some_and(|forced| forced.as_mut().poll(cx).is_ready()) {
            self.forced_finish = None;
        }
        for _ in 0..ROUNDS_MAX {
            let moved = self.round(cx);
            if self.closed && self.work.is_empty() && self.links.is_empty() {
                return Poll::Ready(());
            }
            if !moved && self.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn round(&mut self, cx: &mut Context<'_>) -> bool {
        self.work.tick(Instant::now(), self.clock.unix_time());
        let mut moved = self.take_orders(cx);
        if self.forced_finish.is_none() {
            self.work.force_finish();
        }
        let late = self.work.on_time();
        if !late.is_empty() {
            self.links.iter_mut().for_each(|link| link.cut_off(&late, &mut self.work));
        }
        match self.work.app.credential.unusable() {
            None => self.work.end_what_is_stopped(),
            Some(why) => {
                self.work.note_error(why.to_owned());
                self.work.end_all(NodeReason::CredentialError);
            }
        }
        moved |= self.open(cx);
        moved |= self.turn(cx);
        moved | self.dismiss()
    }

    fn take_orders(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while !self.closed {
            match self.inbox.poll_recv(cx) {
                Poll::Ready(Some(orders)) => {
                    orders.into_iter().for_each(|order| self.work.accept(order));
                    moved = true;
                }
                Poll::Ready(None) => (self.closed, moved) = (true, true),
                Poll::Pending => break,
            }
        }
        if self.idle_at().is_some_and(|at| at <= self.work.now) {
            // Calls that have a place already still arrive.
            self.inbox.close();
        }
        moved
    }

    /// The time at which the lane has been idle for long; `None` while a call is pending.
    fn idle_at(&self) -> Option<Instant> {
        self.work.is_empty().then(|| self.work.last_used() + self.idle_after)
    }

    /// Opens a connection if calls wait and none takes them. Returns true if there was progress.
    fn open(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.work.now;
        if !self.dialer.is_busy() {
            let is_needed = self.work.is_waiting() && !self.links.iter().any(CallLink::is_serving);
            let opens_at = self.dialer.ready_at().max(self.work.health.opens_at());
            if !is_needed || opens_at.is_some_and(|at| now < at) {
                self.dialer.claim().withdraw();
                return false;
            }
            if !self.dialer.begin(cx, Some(Need::First)) {
                return false;
            }
        }
        let in_use: Vec<SocketAddr> = self.links.iter().map(|link| link.address).collect();
        let app = Arc::clone(&self.work.app);
        let Poll::Ready(opened) = self.dialer.poll(cx, &app, &in_use, now) else { return false };
        match opened {
            Ok(dialed) => {
                self.work.metrics.connects.inc();
                self.work.metrics.connections.inc();
                self.links.push(CallLink::new(dialed, &app, now, self.work.unix));
            }
            Err(error) => self.refused(&error),
        }
        true
    }

    fn refused(&mut self, error: &ConnectError) {
        self.work.metrics.connect_failures.inc();
        tracing::warn!(app = %self.work.app.key, %error, "cannot connect to Apple for channels");
        if error.is_credential() {
            self.work.credential_failed(|_| format!("Apple refuses the app's credential: {error}"));
            return;
        }
        self.note_connection_error(format!("cannot connect to Apple: {error}"));
        if !error.is_out_of_descriptors() {
            self.count_failure();
        }
    }

    /// Keeps the cause for the results, unless the credential is refused: then its cause stays.
    fn note_connection_error(&mut self, what: String) {
        if self.work.health.stop_reason() != Some(StopReason::Credential) {
            self.work.note_error(what);
        }
    }

    fn count_failure(&mut self) {
        let retry_at = self.dialer.ready_at();
        if self.work.health.connect_failed(self.work.now, retry_at) {
            let app = &self.work.app.key;
            tracing::error!(%app, "Apple's gateway for channels cannot be reached: calls are stopped until a connection works");
        }
    }

    /// Runs one round over all connections. Returns true if there was progress.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let (mut moved, mut at) = (false, 0);
        if !self.links.is_empty() {
            self.scratch.resize(SCRATCH_BYTES, 0);
        }
        while at < self.links.len() {
            let link = &mut self.links[at];
            let (had_answered, was_leaving) = (link.has_answered(), link.is_leaving());
            let (step, over) = link.turn(cx, &mut self.scratch, &mut self.work);
            moved |= step;
            if !had_answered && link.has_answered() {
                self.dialer.succeeded(link.address);
                self.work.connected();
            }
            let has_left = !was_leaving && (over.is_some() || link.is_leaving());
            if has_left && link.was_useless(self.work.now) {
                self.dialer.failed(link.address, self.work.now);
                self.count_failure();
            }
            match over {
                Some(over) => {
                    self.close(at, &over);
                    moved = true;
                }
                None => at += 1,
            }
        }
        moved
    }

    fn close(&mut self, at: usize, over: &Over) {
        let link = self.links.remove(at);
        let app = Arc::clone(&self.work.app);
        self.work.metrics.connections.dec();
        if matches!(over, Over::Drained) {
            tracing::debug!(app = %app.key, "connection to Apple for channels drained");
        } else {
            tracing::warn!(app = %app.key, %over, "connection to Apple for channels ended");
            self.work.metrics.lost(over.label());
            self.note_connection_error(format!("a connection to Apple ended: {over}"));
        }
        if let Some(refused) = over.certificate_refused() {
            self.work.credential_failed(|_| format!("Apple refuses the app's credential: {refused}"));
        }
        link.close(&mut self.work);
    }

    /// Retires connections without further use. Returns true if there were any.
    fn dismiss(&mut self) -> bool {
        let now = self.work.now;
        let is_idle = self.closed || self.idle_at().is_some_and(|at| at <= now);
        let must_reconnect = self.work.health.must_reconnect(now);
        let mut has_retired = false;
        for link in self.links.iter_mut().filter(|link| !link.is_leaving()) {
            let is_useless = is_idle || must_reconnect;
            if (is_useless && !(self.closed && self.work.is_waiting())) || link.must_close(&self.work) {
                link.retire();
                has_retired = true;
            }
        }
        has_retired
    }

    /// Sleeps until the next deadline. `Ready` means that it has passed.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.idle_at().filter(|_| !self.closed);
        let is_needed = self.work.is_waiting() && !self.links.iter().any(CallLink::is_serving);
        let is_woken = self.dialer.is_busy() || self.dialer.claim().is_waiting();
        let open = (is_needed && !is_woken).then(|| self.dialer.ready_at().unwrap_or(self.work.now));
        let probe = self.work.health.opens_at().filter(|at| !self.work.is_empty() && *at > self.work.now);
        let links = self.links.iter().filter_map(CallLink::next_time);
        let due = links.chain(self.work.next_time()).chain(idle).chain(open).chain(probe).min();
        let Some(due) = due else { return Poll::Pending };
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(cx)
    }
}
