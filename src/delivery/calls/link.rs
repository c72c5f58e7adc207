//! A connection for an app's calls, and the effects of its events on their lane's work.

use super::work::{CallId, Work};
use crate::apns::channels::{ANSWER_BYTES_MAX, CallHeads};
use crate::apns::connection::{Connection, Over};
use crate::apns::response;
use crate::credentials::{Credential, token};
use crate::delivery::descriptors::{ConnectionPermit, Usage};
use crate::delivery::lane::dialer::Dialed;
use crate::delivery::verdict::{self, SideEffect};
use crate::model::{NodeReason, Reason};
use crate::registry::App;
use http2::{Blocked, Event};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// The minimum time that a connection keeps its provider token: Apple's 20 minutes, and a minute more. A connection
/// with an older one is replaced if there is a newer one.
const TOKEN_KEPT_FOR: Duration = Duration::from_secs(21 * 60);
/// The age from which on a connection without a request counts as stable.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// The maximum number of 5xx in a row on a connection: sometimes only a new one helps (apns-protocol.md 9).
const FAILURES_MAX: u32 = 10;
/// The time after which a connection is left if a call waits for Apple to allow it.
const STALL_MAX: Duration = Duration::from_secs(5);
/// The number of requests after which a connection is replaced, long before its stream ids are used up.
const REQUESTS_MAX: u32 = 1 << 28;

/// A connection for calls.
pub struct CallLink {
    pub address: SocketAddr,
    connection: Connection<CallId, ()>,
    heads: CallHeads,
    /// The provider token's bucket.
    bucket: Option<u64>,
    opened: Instant,
    last_used: Instant,
    /// The time since which a call waits and Apple allows none.
    stalled_since: Option<Instant>,
    stats: Stats,
    /// Declared after the connection, so that it is returned once the socket is closed.
    permit: ConnectionPermit,
}

/// The statistics of a connection, from its events.
#[derive(Default)]
struct Stats {
    answered: bool,
    /// The number of 5xx in a row.
    failures: u32,
    /// An answer asks for another connection.
    leave: bool,
}

/// Allows or forbids a further attempt.
#[derive(Clone, Copy, PartialEq)]
enum AfterEnd {
    Retry,
    /// The caller's deadline has passed.
    Stop,
}

impl CallLink {
    pub fn new(dialed: Dialed, app: &App, now: Instant, unix: f64) -> Self {
        let Dialed { endpoint, address, transport, permit } = dialed;
        let (authorization, bucket) = match &*app.credential {
            Credential::Certificate(_) | Credential::Unusable { .. } => (None, None),
            Credential::Token(key) => {
                let (authorization, bucket) = key.authorization(unix as u64);
                (Some(authorization), Some(bucket))
            }
        };
        Self {
            address,
            connection: Connection::with_bodies_of(ANSWER_BYTES_MAX, transport, (), now),
            heads: CallHeads::new(&endpoint.authority(), authorization.as_deref(), &app.topic),
            bucket,
            opened: now,
            last_used: now,
            stalled_since: None,
            stats: Stats::default(),
            permit,
        }
    }

    /// Returns true if new calls may go here now or soon.
    pub fn is_serving(&self) -> bool {
        !self.is_leaving() && !self.connection.is_in_doubt()
    }

    /// Returns true if new calls must go elsewhere.
    pub fn is_leaving(&self) -> bool {
        self.connection.is_leaving()
    }

    /// Returns true once Apple answered a call here.
    pub fn has_answered(&self) -> bool {
        self.stats.answered
    }

    /// The time of the last call, if none is in flight.
    pub fn idle_since(&self) -> Option<Instant> {
        (self.connection.open() == 0).then_some(self.last_used)
    }

    /// Returns true if it ends without having worked.
    pub fn was_useless(&self, now: Instant) -> bool {
        let was_asked = self.connection.requests() > 0;
        !self.has_answered() && (was_asked || now.duration_since(self.opened) < STABLE_AFTER)
    }

    /// Accepts no new calls.
    pub fn retire(&mut self) {
        self.connection.retire();
    }

    /// Returns true if it must be closed for another lane.
    pub fn must_close(&mut self, work: &Work) -> bool {
        let usage = self.idle_since().filter(|_| !work.is_waiting()).map_or(Usage::Busy, Usage::Idle);
        self.permit.must_close(usage)
    }

    /// The time of the next turn without a wakeup by the socket.
    pub fn next_time(&self) -> Option<Instant> {
        let stalled = self.stalled_since.filter(|_| !self.is_leaving()).map(|since| since + STALL_MAX);
        self.connection.next_time().into_iter().chain(stalled).min()
    }

    /// Reads, sends, writes and serves the timers once. Returns true if there was progress, and the end if the
    /// connection is over.
    pub fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut [u8], work: &mut Work) -> (bool, Option<Over>) {
        let mut moved = match self.read_events(cx, scratch, work) {
            Poll::Ready(Ok(true)) => true,
            Poll::Ready(Ok(false)) => return (true, Some(Over::Closed)),
            Poll::Ready(Err(error)) => return (true, Some(Over::Broken(error))),
            Poll::Pending => false,
        };
        if !self.is_leaving() && work.is_waiting() {
            if self.is_outdated(work) {
                self.retire();
                moved = true;
            } else {
                moved |= self.fill(work);
            }
        } else {
            self.stalled_since = None;
        }
        // Before the flush, so that a PING is sent in this turn.
        let Self { connection, stats, .. } = self;
        let timers = connection.on_time(work.now, |event| stats.note(event, work, AfterEnd::Retry));
        moved |= self.connection.poll_flush(cx, work.now).is_ready();
        work.metrics.pings.inc_by(self.connection.take_pings().into());
        (moved, timers.err().or_else(|| self.connection.over()))
    }

    /// Ends the attempts of calls whose deadline has passed.
    pub fn cut_off(&mut self, late: &[CallId], work: &mut Work) {
        let Self { connection, stats, .. } = self;
        connection.cancel(|id| late.contains(id), |event| stats.note(event, work, AfterEnd::Stop));
    }

    /// Ends all attempts, because the socket is closed.
    pub fn close(self, work: &mut Work) {
        let Self { connection, mut stats, permit: _given_back_at_the_end, .. } = self;
        connection.close(|event| stats.note(event, work, AfterEnd::Retry));
    }

    fn read_events(&mut self, cx: &mut Context<'_>, scratch: &mut [u8], work: &mut Work) -> Poll<io::Result<bool>> {
        let Self { connection, stats, .. } = self;
        let read = connection.poll_read(cx, scratch, work.now, |event| stats.note(event, work, AfterEnd::Retry));
        if std::mem::take(&mut self.stats.leave) {
            self.connection.retire();
        }
        read
    }

    /// Returns true if the connection must be replaced before the next call: its provider token is old and there is a
    /// newer one, or its stream ids run out.
    fn is_outdated(&self, work: &Work) -> bool {
        let is_newer = self.bucket.is_some_and(|bucket| token::bucket(work.unix as u64) != bucket);
        let is_old = work.now.duration_since(self.opened) >= TOKEN_KEPT_FOR;
        (is_newer && is_old) || self.connection.requests() >= REQUESTS_MAX
    }

    /// Starts as many calls as fit.
    fn fill(&mut self, work: &mut Work) -> bool {
        let mut sent = false;
        let now = work.now;
        while self.connection.slots_free() > 0 {
            let Some((id, call)) = work.next() else { break };
            match self.heads.with_request(call, |request| self.connection.request(request, id, now)) {
                Ok(()) => {
                    work.mark_sent();
                    (self.last_used, sent) = (now, true);
                }
                Err((_, Blocked::HeadersTooLarge)) => work.refuse(NodeReason::HeadersTooLarge),
                Err(_) => break,
            }
        }
        let is_stuck = !sent && work.is_waiting() && self.connection.is_ready() && self.connection.open() == 0;
        self.stalled_since = is_stuck.then(|| self.stalled_since.unwrap_or(now));
        if self.stalled_since.is_some_and(|since| now >= since + STALL_MAX) {
            let app = &work.app.key;
            tracing::warn!(%app, address = %self.address, "Apple allows no call on this connection: another one takes over");
            self.retire();
        }
        sent
    }
}

impl Stats {
    fn note(&mut self, event: Event<'_, CallId>, work: &mut Work, then: AfterEnd) {
        match event {
            Event::Answered { tag, answer } => {
                self.answered = true;
                self.failures = if answer.status >= 500 { self.failures + 1 } else { 0 };
                self.leave |= work.answered(tag, &answer) || self.failures >= FAILURES_MAX;
            }
            Event::Ended { tag, end } => match then {
                AfterEnd::Retry => work.unanswered(tag, &end),
                AfterEnd::Stop => work.cut_off(tag, &end),
            },
            Event::GoAway { last_id, code, debug } => {
                let reason = response::reason_of_goaway(debug);
                let app = &work.app.key;
                tracing::info!(%app, last_id, code, reason = reason.as_ref().map(Reason::as_str), "Apple sent GOAWAY");
                work.metrics.goaway(reason.as_ref());
                if verdict::gone_away(reason.as_ref()) == SideEffect::CredentialBroken {
                    work.credential_refused(reason.as_ref());
                }
            }
            Event::Fault(fault) => tracing::warn!(app = %work.app.key, %fault, "the gateway broke HTTP/2"),
            Event::Settings | Event::Pong(_) => {}
        }
    }
}
