//! One connection as its lane uses it: the provider token it speaks with, and what its events do to the lane's work.

use super::dialer::Dialed;
use super::routes::LinkId;
use super::work::{Now, Work};
use crate::apns::connection::{Connection, Over};
use crate::apns::request::Heads;
use crate::apns::response;
use crate::credentials::Credential;
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

/// The minimum time that a connection keeps its provider token (Apple's 20-minute rule).
const TOKEN_KEPT_FOR: Duration = Duration::from_secs(20 * 60);

/// A connection that stands this long stands by itself.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// Answers 5xx in a row that a connection may give: sometimes only a new one helps (apns-protocol.md 9).
const FAILURES_MAX: u32 = 10;
/// A connection on which something waited so long for flow-control windows, or for Apple to allow a single stream, and
/// nothing was sent meanwhile, is given up: it answers every PING, and would be stuck for ever.
const STALL_MAX: Duration = Duration::from_secs(5);

/// A connection as its lane uses it.
pub struct Link {
    pub id: LinkId,
    pub address: SocketAddr,
    /// Of the app it was opened for: its credential is used here.
    pub generation: u64,
    connection: Connection<ItemRef>,
    /// Something waited at the end of the last turn, and neither slots nor windows had room for it.
    full: bool,
    /// The bound at that time, if the connection takes work at all.
    blocked_by: Option<Bound>,
    /// Since when Apple has let nothing out, whether something waited all the time or not.
    stalled_since: Option<Instant>,
    last_used: Instant,
    /// The provider token's 30-minute bucket, and since when it is used here.
    token: Option<(u64, Instant)>,
    stats: ConnectionStats,
    /// After the connection: given back once its socket is closed.
    permit: ConnectionPermit,
}

/// Statistics of a connection, from its events.
#[derive(Default)]
struct ConnectionStats {
    /// The app has another credential by now.
    former: bool,
    /// Attempts that ended without anyone knowing whether Apple has them.
    lost: u32,
    answered: bool,
    /// And it accepted something: a token connection may widen from then on.
    accepted: bool,
    /// Answers 5xx in a row.
    failures: u32,
    /// An answer said that another connection would do better.
    leave: bool,
    /// Why Apple said GOAWAY, where it did.
    goaway: Option<Reason>,
}

/// The end of a link, for the disconnection log.
pub struct LinkEnd {
    /// Attempts whose fate nobody knows.
    pub affected: u32,
    pub reason: Reason,
}

/// The permission for a further attempt after one has ended.
#[derive(Clone, Copy, PartialEq)]
enum AfterEnd {
    Retry,
    /// The caller's deadline has come.
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

    /// The items in flight here.
    pub fn item_refs(&self) -> impl Iterator<Item = ItemRef> {
        self.connection.tags().copied()
    }

    /// Requests without an answer.
    pub fn open(&self) -> usize {
        self.connection.open()
    }

    /// True if new work must go elsewhere.
    pub fn is_leaving(&self) -> bool {
        self.connection.is_leaving()
    }

    /// True if new work may go here now or soon.
    pub fn is_serving(&self) -> bool {
        !self.is_leaving() && !self.connection.is_in_doubt()
    }

    /// True once Apple's SETTINGS arrived.
    pub fn is_ready(&self) -> bool {
        self.connection.is_ready()
    }

    /// True if more items wait than this connection can take now.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The bound that keeps it from taking waiting items.
    pub fn blocked_by(&self) -> Option<Bound> {
        self.blocked_by
    }

    /// Requests that Apple allows on it at once.
    pub fn streams(&self) -> usize {
        self.connection.streams_granted()
    }

    /// Requests begun so far.
    pub fn requests(&self) -> u32 {
        self.connection.requests()
    }

    /// Since when nothing was sent or waits for an answer here; the time of the last request.
    pub fn idle_since(&self) -> Option<Instant> {
        (self.open() == 0).then_some(self.last_used)
    }

    /// True if it must be closed for the sake of other lanes; `has_company` if its lane has another one that serves.
    pub fn must_close(&mut self, has_company: bool, work: &Work) -> bool {
        let idle = self.idle_since().filter(|_| !work.is_waiting_for(self.id));
        let busy = if has_company { Usage::Spare } else { Usage::Busy };
        self.permit.must_close(idle.map_or(busy, Usage::Idle))
    }

    /// True while it waits for the SETTINGS that Apple begins with.
    pub fn is_opening(&self) -> bool {
        !self.is_ready() && !self.is_leaving()
    }

    /// True once Apple answered a request here.
    pub fn has_answered(&self) -> bool {
        self.stats.answered
    }

    /// True if it ends without having been of any use. One that was never asked anything is not to blame, unless it
    /// ends right away.
    pub fn was_useless(&self, now: Instant) -> bool {
        let was_asked = self.requests() > 0;
        !self.has_answered() && (was_asked || now.duration_since(self.last_used) < SETTLED_AFTER)
    }

    /// True once Apple accepted a notification here.
    pub fn has_accepted(&self) -> bool {
        self.stats.accepted
    }

    /// Takes no new work.
    pub fn retire(&mut self) {
        self.connection.retire();
    }

    /// When a turn is due without a wakeup by the socket.
    pub fn next_time(&self) -> Option<Instant> {
        let is_due = self.is_shut() && !self.is_leaving();
        let stalled_since = self.stalled_since.filter(|_| is_due).map(|since| since + STALL_MAX);
        self.connection.next_time().into_iter().chain(stalled_since).min()
    }

    /// Reads, sends, writes and serves the timers once: whether anything moved, and whether the connection is over.
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
        // Before what waits is written: a PING has to leave now.
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

    /// Ends the attempts of a job whose time is over.
    pub fn cut_off(&mut self, job: u32, work: &mut Work) {
        let Self { connection, stats, .. } = self;
        connection.cancel(|item_ref| item_ref.job == job, |event| stats.note(event, work, AfterEnd::Stop));
    }

    /// Ends all attempts: the socket is closed.
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

    /// Starts as many requests as fit. One that was full stays so while there is room only because the answers that
    /// made it are younger than what can be written at once: else a wave of answers would hide it each round trip.
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

    /// True if Apple lets nothing through: windows are used up, or it allows no stream at all.
    fn is_shut(&self) -> bool {
        self.blocked_by == Some(Bound::Window) || (self.is_ready() && self.streams() == 0 && self.open() == 0)
    }

    /// Gives the connection up once Apple has held everything back for too long.
    fn retire_if_stalled(&mut self, sent: bool, work: &Work) {
        let now = work.now.instant;
        if !self.is_shut() {
            // While it is in doubt whether the peer lives, nothing is known of what it allows.
            self.stalled_since = self.stalled_since.filter(|_| !sent && self.connection.is_in_doubt());
            return;
        }
        let since = self.stalled_since.filter(|_| !sent).unwrap_or(now);
        self.stalled_since = Some(since);
        if now >= since + STALL_MAX {
            let app = &work.app.key;
            tracing::warn!(%app, address = %self.address, "Apple lets nothing through here: another connection takes over");
            self.retire();
        }
    }

    /// Takes the provider token of the current bucket once the one in use has served its time.
    fn renew_token(&mut self, app: &App, now: Now) {
        let (Credential::Token(key), Some((bucket, since))) = (&*app.credential, self.token) else { return };
        if now.instant.duration_since(since) < TOKEN_KEPT_FOR {
            return;
        }
        let (authorization, current) = key.authorization(now.unix as u64);
        if current != bucket {
            self.connection.heads().authorize(authorization);
            self.token = Some((current, now.instant));
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

/// Apple closes the connection. The session settles the streams; this reads the reason.
fn goaway(last_id: u32, code: u32, debug: &[u8], work: &Work) -> Option<Reason> {
    let reason = response::reason_of_goaway(debug);
    let app = &work.app.key;
    tracing::info!(%app, last_id, code, reason = reason.as_ref().map(Reason::as_str), "Apple said GOAWAY");
    work.tally.metrics().goaway(reason.as_ref());
    reason
}
