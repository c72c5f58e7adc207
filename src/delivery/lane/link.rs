//! A connection as its lane uses it: its provider token, and the effects of its events on the lane's work.

use super::dialer::Dialed;
use super::routes::LinkId;
use super::work::{Now, Work};
use crate::apns::connection::{Connection, Over};
use crate::apns::request::Heads;
use crate::apns::response;
use crate::credentials::{Credential, token};
use crate::delivery::bound::Bound;
use crate::delivery::descriptors::{ConnectionPermit, Usage};
use crate::delivery::job::ItemRef;
use crate::delivery::verdict::{self, SideEffect};
use crate::model::{NodeReason, Reason};
use crate::registry::App;
use http2::{Blocked, Event, Processed};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// The minimum time that a connection keeps its provider token: Apple's 20 minutes, and a minute more, since Apple counts
/// from the arrival of the first request.
const TOKEN_KEPT_FOR: Duration = Duration::from_secs(21 * 60);

/// The age from which on a connection counts as stable.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// The maximum number of 5xx in a row on a connection: sometimes only a new one helps (apns-protocol.md 9).
const FAILURES_MAX: u32 = 10;
/// The time after which a connection is left if notifications wait for flow-control windows, or for Apple to allow a
/// stream, and none was sent. Such a connection answers every PING, and would be stuck forever.
const STALL_MAX: Duration = Duration::from_secs(5);

/// A connection as its lane uses it.
pub struct Link {
    pub id: LinkId,
    pub address: SocketAddr,
    /// The app as of the opening, whose credential the connection uses.
    pub generation: u64,
    connection: Connection<ItemRef>,
    /// At the end of the last turn notifications waited, and neither streams nor windows had room for them.
    full: bool,
    /// The bound at that time, if the connection accepts work.
    blocked_by: Option<Bound>,
    /// The time since which Apple has allowed no request, even if none waited all the time.
    stalled_since: Option<Instant>,
    last_used: Instant,
    /// The provider token's 30-minute bucket, and the time of its first use here.
    token: Option<(u64, Instant)>,
    stats: ConnectionStats,
    /// Declared after the connection, so that it is returned once the socket is closed.
    permit: ConnectionPermit,
}

/// The statistics of a connection, from its events.
#[derive(Default)]
struct ConnectionStats {
    /// The app has a new credential by now.
    former: bool,
    /// The number of attempts that Apple may or may not have processed.
    lost: u32,
    answered: bool,
    /// Apple accepted a notification: it allows a token connection more streams from then on.
    accepted: bool,
    /// The number of 5xx in a row.
    failures: u32,
    /// An answer asks for another connection.
    leave: bool,
    /// The reason in Apple's GOAWAY, if any.
    goaway: Option<Reason>,
}

/// The end of a link, for the disconnection log.
pub struct LinkEnd {
    /// The number of attempts with an unknown result.
    pub affected: u32,
    pub reason: Reason,
}

/// Allows or forbids a further attempt.
#[derive(Clone, Copy, PartialEq)]
enum AfterEnd {
    Retry,
    /// The caller's deadline has passed.
    Stop,
}

impl Link {
    pub fn new(id: LinkId, dialed: Dialed, app: &App, now: Now) -> Self {
        let Dialed { endpoint, address, transport, permit } = dialed;
        let (authorization, token) = match &*app.credential {
            Credential::Certificate(_) | Credential::Unusable { .. } => (None, None),
            Credential::Token(key) => {
                let (authorization, bucket) = key.authorization(now.unix as u64);
                (Some(authorization), Some((bucket, now.instant)))
            }
        };
        let heads = Heads::new(&endpoint.authority(), authorization, &app.topic);
        let connection = Connection::new(transport, heads, now.instant);
        let (full, blocked_by, stalled_since, stats) = (false, None, None, ConnectionStats::default());
        let generation = app.generation;
        let last_used = now.instant;
        Self { id, address, generation, connection, full, blocked_by, stalled_since, last_used, token, stats, permit }
    }

    /// The items in flight on this connection.
    pub fn item_refs(&self) -> impl Iterator<Item = ItemRef> {
        self.connection.tags().copied()
    }

    /// The number of requests without an answer.
    pub fn open(&self) -> usize {
        self.connection.open()
    }

    /// Returns true if new work must go to another connection.
    pub fn is_leaving(&self) -> bool {
        self.connection.is_leaving()
    }

    /// Returns true if new work may go here now or soon.
    pub fn is_serving(&self) -> bool {
        !self.is_leaving() && !self.connection.is_in_doubt()
    }

    /// Returns true once Apple's SETTINGS arrived.
    pub fn is_ready(&self) -> bool {
        self.connection.is_ready()
    }

    /// Returns true if more items wait than this connection can take now.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The bound that keeps it from taking waiting items.
    pub fn blocked_by(&self) -> Option<Bound> {
        self.blocked_by
    }

    /// The number of concurrent requests that Apple allows.
    pub fn streams(&self) -> usize {
        self.connection.streams_granted()
    }

    /// The number of requests begun.
    pub fn requests(&self) -> u32 {
        self.connection.requests()
    }

    /// The time of the last request, if none is in flight.
    pub fn idle_since(&self) -> Option<Instant> {
        (self.open() == 0).then_some(self.last_used)
    }

    /// Returns true if it must be closed for another lane; `has_company` if its lane has another working connection.
    pub fn must_close(&mut self, has_company: bool, work: &Work) -> bool {
        let idle = self.idle_since().filter(|_| !work.is_waiting_for(self.id));
        let busy = if has_company { Usage::Spare } else { Usage::Busy };
        self.permit.must_close(idle.map_or(busy, Usage::Idle))
    }

    /// Returns true while it waits for Apple's SETTINGS.
    pub fn is_opening(&self) -> bool {
        !self.is_ready() && !self.is_leaving()
    }

    /// Returns true once Apple answered a request here.
    pub fn has_answered(&self) -> bool {
        self.stats.answered
    }

    /// Returns true if it ends without having worked. A connection without a request counts only if it ends early.
    pub fn was_useless(&self, now: Instant) -> bool {
        let was_asked = self.requests() > 0;
        !self.has_answered() && (was_asked || now.duration_since(self.last_used) < SETTLED_AFTER)
    }

    /// Returns true once Apple accepted a notification here.
    pub fn has_accepted(&self) -> bool {
        self.stats.accepted
    }

    /// Accepts no new work.
    pub fn retire(&mut self) {
        self.connection.retire();
    }

    /// The time of the next turn without a wakeup by the socket.
    pub fn next_time(&self) -> Option<Instant> {
        let is_due = self.is_shut() && !self.is_leaving();
        let stalled_since = self.stalled_since.filter(|_| is_due).map(|since| since + STALL_MAX);
        self.connection.next_time().into_iter().chain(stalled_since).min()
    }

    /// Reads, sends, writes and serves the timers once. Returns true if there was progress, and the end if the
    /// connection is over.
    pub fn turn(
        &mut self,
        cx: &mut Context<'_>,
        app: &App,
        scratch: &mut [u8],
        work: &mut Work,
    ) -> (bool, Option<Over>) {
        self.stats.former = app.generation > self.generation;
        let mut moved = match self.read_events(cx, scratch, work) {
            Poll::Ready(Ok(true)) => true,
            Poll::Ready(Ok(false)) => return (true, Some(Over::Closed)),
            Poll::Ready(Err(error)) => return (true, Some(Over::Broken(error))),
            Poll::Pending => false,
        };
        let was_full = std::mem::take(&mut self.full);
        self.blocked_by = None;
        if !self.is_leaving() && work.is_waiting_for(self.id) {
            self.renew_token(app, work.now);
            let sent = self.fill(was_full, work);
            self.retire_if_stalled(sent, work);
            moved |= sent;
        }
        // Before the flush, so that a PING is sent in this turn.
        let Self { connection, stats, .. } = self;
        let timers = connection.on_time(work.now.instant, |event| stats.note(event, work, AfterEnd::Retry));
        moved |= self.connection.poll_flush(cx, work.now.instant).is_ready();
        if !self.is_leaving() && work.is_waiting_for(self.id) {
            self.blocked_by = Some(self.blocker());
        }
        let pings = self.connection.take_pings();
        if pings > 0 {
            work.tally.metrics().pings.inc_by(pings.into());
        }
        (moved, timers.err().or_else(|| self.connection.over()))
    }

    /// Ends the attempts of a job whose deadline has passed.
    pub fn cut_off(&mut self, job: u32, work: &mut Work) {
        let Self { connection, stats, .. } = self;
        connection.cancel(|item_ref| item_ref.job == job, |event| stats.note(event, work, AfterEnd::Stop));
    }

    /// Ends all attempts, because the socket is closed.
    pub fn close(self, over: &Over, work: &mut Work) -> LinkEnd {
        let Self { connection, mut stats, permit: _given_back_at_the_end, .. } = self;
        connection.close(|event| stats.note(event, work, AfterEnd::Retry));
        let otherwise = match over {
            over if over.certificate_refused().is_some() => NodeReason::CredentialError,
            Over::Drained => NodeReason::GoneAway,
            Over::Closed | Over::Broken(_) => NodeReason::ConnectionLost,
            Over::Silent | Over::NoSettings => NodeReason::ConnectionSilent,
            Over::Fault(_) => NodeReason::ProtocolError,
        };
        LinkEnd { affected: stats.lost, reason: stats.goaway.unwrap_or(otherwise.into()) }
    }

    fn read_events(&mut self, cx: &mut Context<'_>, scratch: &mut [u8], work: &mut Work) -> Poll<io::Result<bool>> {
        let Self { connection, stats, .. } = self;
        let read =
            connection.poll_read(cx, scratch, work.now.instant, |event| stats.note(event, work, AfterEnd::Retry));
        if std::mem::take(&mut self.stats.leave) {
            self.connection.retire();
        }
        read
    }

    fn blocker(&self) -> Bound {
        if !self.is_ready() || self.connection.is_in_doubt() || self.connection.is_writing() {
            Bound::Socket
        } else if self.connection.waits_for_window() {
            Bound::Window
        } else {
            self.blocked_by.unwrap_or(Bound::Streams)
        }
    }

    /// Starts as many requests as fit. If the output buffer fills up first, a full connection stays full: otherwise
    /// each wave of answers would hide that it is.
    fn fill(&mut self, was_full: bool, work: &mut Work) -> bool {
        let mut sent = false;
        while self.connection.slots_free() > 0 {
            let (now, begun) = (work.now.instant, work.lane_ms());
            let Some((sendable, job)) = work.next_sendable(self.id) else { return sent };
            let item_ref =
                ItemRef { attempts: sendable.item_ref.attempts.saturating_add(1), begun, ..sendable.item_ref };
            match self.connection.send(&job.batch, job.item(item_ref.item), item_ref, now) {
                Ok(()) => {
                    work.mark_sent(sendable, self.id);
                    (self.last_used, sent) = (now, true);
                }
                Err((_, Blocked::HeadersTooLarge)) => work.refuse(sendable, NodeReason::HeadersTooLarge),
                Err((_, Blocked::IdsUsedUp)) => {
                    self.retire();
                    return sent;
                }
                Err((_, Blocked::ConnectionWindow | Blocked::StreamWindow)) => {
                    self.blocked_by = Some(Bound::Window);
                    break;
                }
                Err(_) => {
                    self.full = was_full;
                    return sent;
                }
            }
        }
        self.full = self.is_ready() && work.is_waiting_for(self.id);
        sent
    }

    /// Returns true if Apple allows no request: windows are used up, or no stream is allowed.
    fn is_shut(&self) -> bool {
        self.blocked_by == Some(Bound::Window) || (self.is_ready() && self.streams() == 0 && self.open() == 0)
    }

    /// Leaves the connection once Apple has allowed no request for too long.
    fn retire_if_stalled(&mut self, sent: bool, work: &Work) {
        let now = work.now.instant;
        if !self.is_shut() {
            // While a PING is unanswered, the peer's limits are not known.
            self.stalled_since = self.stalled_since.filter(|_| !sent && self.connection.is_in_doubt());
            return;
        }
        let since = self.stalled_since.filter(|_| !sent).unwrap_or(now);
        self.stalled_since = Some(since);
        if now >= since + STALL_MAX {
            let app = &work.app.key;
            tracing::warn!(%app, address = %self.address, "Apple allows no request on this connection: another one takes over");
            self.retire();
        }
    }

    /// Switches to the current bucket's provider token once the token in use is old enough. Before the first request
    /// no token is in use: a connection may have been opened long before.
    fn renew_token(&mut self, app: &App, now: Now) {
        let (Credential::Token(key), Some((bucket, since))) = (&*app.credential, self.token) else { return };
        let is_unused = self.requests() == 0;
        if !is_unused && now.instant.duration_since(since) < TOKEN_KEPT_FOR {
            return;
        }
        if token::bucket(now.unix as u64) != bucket {
            let (authorization, current) = key.authorization(now.unix as u64);
            self.connection.heads().authorize(authorization);
            self.token = Some((current, now.instant));
        } else if is_unused {
            self.token = Some((bucket, now.instant));
        }
    }
}

impl ConnectionStats {
    fn note(&mut self, event: Event<'_, ItemRef>, work: &mut Work, then: AfterEnd) {
        match event {
            Event::Answered { tag, answer } => {
                self.answered = true;
                self.accepted |= answer.status == 200;
                self.failures = if answer.status >= 500 { self.failures + 1 } else { 0 };
                work.attempt_ended(tag);
                self.leave |= work.answered(tag, &answer, self.former) || self.failures >= FAILURES_MAX;
            }
            Event::Ended { tag, end } => {
                self.lost += u32::from(end.processed == Processed::Maybe);
                work.attempt_ended(tag);
                match then {
                    AfterEnd::Retry => work.unanswered(tag, &end),
                    AfterEnd::Stop => work.cut_off(tag, &end),
                }
            }
            Event::GoAway { last_id, code, debug } => {
                let reason = goaway(last_id, code, debug, work);
                if verdict::gone_away(reason.as_ref()) == SideEffect::CredentialBroken && !self.former {
                    work.credential_refused(reason.as_ref());
                }
                self.goaway.get_or_insert(reason.unwrap_or(NodeReason::GoneAway.into()));
            }
            Event::Fault(fault) => tracing::warn!(app = %work.app.key, %fault, "the gateway broke HTTP/2"),
            Event::Settings | Event::Pong(_) => {}
        }
    }
}

/// Handles Apple's GOAWAY: reads its reason. The session ends the streams.
fn goaway(last_id: u32, code: u32, debug: &[u8], work: &Work) -> Option<Reason> {
    let reason = response::reason_of_goaway(debug);
    let app = &work.app.key;
    tracing::info!(%app, last_id, code, reason = reason.as_ref().map(Reason::as_str), "Apple sent GOAWAY");
    work.tally.metrics().goaway(reason.as_ref());
    reason
}
