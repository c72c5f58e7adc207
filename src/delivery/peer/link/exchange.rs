//! The state of one link: its errands, its frames, and how each errand ends. Bytes and times go in; bytes, ended errands
//! and wishes come out. Pure.
//!
//! An errand ends exactly once. The proof that nothing of it was sent is that TLS took no byte of its frame, or that the
//! peer refused it.

mod calls;
mod ends;
mod frames;
mod questions;

pub use calls::{CallEnd, CallTicket, ForwardedCalls};
pub use questions::Question;

use super::liveness::{Finding, Liveness};
use super::pauses::{self, RerouteBudget};
use crate::delivery::errand::Forwarded;
use crate::delivery::peer::clock::PeerClock;
use crate::delivery::peer::outbox::Outbox;
use crate::delivery::peer::wire::{self, Agreed, BatchHead, Decoder, Hello};
use crate::delivery::send::Refused;
use crate::model::{NodeName, NodeReason, NodeSession, Outcome};
use crate::subject::Subject;
use calls::CallItem;
use questions::Waiter;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// The peer has this time to answer after the deadline: it ends everything by then, and the way back takes some.
const ANSWER_GRACE: Duration = Duration::from_millis(250);
/// Frames are encoded while fewer bytes than this wait for the socket.
const OUTBOX_BYTES: usize = 256 << 10;
/// PINGs without a PONG that are remembered. An older one tells nothing of the clock any more.
const PINGS_MAX: usize = 16;

/// The end of an errand on this link.
#[derive(Debug, PartialEq)]
pub enum End {
    /// The peer's outcomes, one for each notification.
    Answered(Vec<Outcome>),
    /// The peer has no room. Nothing was sent.
    Refused(Refused),
    /// The peer cannot send it, and did not: this node does.
    Here,
    /// It takes another way. [`Forwarded::is_maybe_sent`] says if this peer may have sent it.
    Elsewhere,
    /// Nothing was sent.
    NotSent(NodeReason),
    /// The peer took some of it, and no answer came.
    Unknown(NodeReason),
}

/// The state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// There is none, and the next one may be opened at `until`.
    Down { until: Instant },
    /// One is being opened.
    Connecting,
    /// It is open, and the peer's HELLO is awaited.
    Greeting,
    /// The first PONG is awaited.
    Probing,
    /// It works, or did.
    Up,
}

struct Item {
    forwarded: Forwarded,
    /// The time at which it ends without an answer.
    due: Instant,
    /// `None` while it waits to be encoded.
    written: Option<Written>,
}

#[derive(Clone, Copy)]
struct Written {
    begins: u64,
    length: u64,
}

/// A start of a node, as the list of members names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub node: NodeName,
    pub session: NodeSession,
}

/// The state of one link.
pub struct Exchange {
    peer: Member,
    /// This node's introduction on the current connection.
    own: Option<Hello>,
    /// The parts of the protocol that both use, once the peer's introduction has come.
    agreed: Option<Agreed>,
    phase: Phase,
    /// The peer takes no new errands, and finishes what it has. It stays so until another connection is opened.
    is_leaving: bool,
    /// It answered, and has not been silent for too long since.
    is_answering: bool,
    outbox: Outbox,
    decoder: Option<Decoder>,
    clock: PeerClock,
    /// The zero of this link's milliseconds.
    origin: Instant,
    /// The PINGs without a PONG, and when each was sent.
    pings: VecDeque<(u64, Instant)>,
    round_trip: Option<Duration>,
    liveness: Liveness,
    budget: RerouteBudget,
    failures: u32,
    next_id: u64,
    items: HashMap<u64, Item>,
    waiting: VecDeque<u64>,
    due: BTreeSet<(Instant, u64)>,
    ended: Vec<(Forwarded, End)>,
    /// The questions without an answer, and who waits for it.
    questions: HashMap<u64, Waiter>,
    /// The calls without an end.
    calls: HashMap<u64, CallItem>,
}

impl Exchange {
    /// That of a link without a connection, which may open one at once.
    pub fn new(peer: Member, now: Instant) -> Self {
        Self {
            peer,
            own: None,
            agreed: None,
            phase: Phase::Down { until: now },
            is_leaving: false,
            is_answering: false,
            outbox: Outbox::default(),
            decoder: None,
            clock: PeerClock::new(),
            origin: now,
            pings: VecDeque::new(),
            round_trip: None,
            liveness: Liveness::new(now),
            budget: RerouteBudget::new(now),
            failures: 0,
            next_id: 1,
            items: HashMap::new(),
            waiting: VecDeque::new(),
            due: BTreeSet::new(),
            ended: Vec::new(),
            questions: HashMap::new(),
            calls: HashMap::new(),
        }
    }

    /// Opens no connection before `until`.
    pub fn not_before(self, until: Instant) -> Self {
        Self { phase: Phase::Down { until }, ..self }
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The peer takes errands.
    pub fn is_reachable(&self) -> bool {
        self.phase == Phase::Up && self.is_answering && !self.is_leaving
    }

    /// Nothing is unanswered, and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.items.is_empty() && self.calls.is_empty()
    }

    /// The peer said that it leaves, and has answered everything: the connection is of no more use.
    pub fn is_finished(&self) -> bool {
        self.is_leaving && self.is_idle()
    }

    /// The errands that ended since the last call.
    pub fn take_ended(&mut self) -> Vec<(Forwarded, End)> {
        std::mem::take(&mut self.ended)
    }

    /// A connection is being opened.
    pub fn connecting(&mut self) {
        (self.phase, self.is_leaving) = (Phase::Connecting, false);
    }

    /// The connection is open. `own` introduces this node.
    pub fn opened(&mut self, own: Hello, now: Instant) {
        self.phase = Phase::Greeting;
        self.liveness = Liveness::new(now);
        self.outbox.append(|bytes| wire::put_hello(bytes, &own));
        self.decoder = Some(Decoder::new(own.limits));
        self.own = Some(own);
    }

    /// The connection could not be opened, or has ended. `jitter` is from 0 to 1.
    pub fn closed(&mut self, now: Instant, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Down { until: now + pauses::reconnect(self.failures, jitter) };
        self.is_answering = false;
        self.withdraw(now);
        // What is left are errands of which TLS took some.
        let mut lost: Vec<u64> = self.items.keys().copied().collect();
        lost.sort_unstable();
        for id in lost {
            let Some(mut forwarded) = self.remove(id) else { continue };
            if forwarded.errand.sending.retry_unknown && self.budget.spend(now) {
                forwarded.is_maybe_sent = true;
                self.ended.push((forwarded, End::Elsewhere));
            } else {
                self.ended.push((forwarded, End::Unknown(NodeReason::PeerLost)));
            }
        }
        self.lose_calls(NodeReason::PeerLost);
        self.outbox.reset();
        (self.decoder, self.own, self.agreed) = (None, None, None);
        self.clock = PeerClock::new();
        self.pings.clear();
        self.questions.clear();
    }

    /// An errand came. It takes another way at once if the peer cannot be reached. That costs nothing if the peer leaves,
    /// since it asked for it.
    pub fn push(&mut self, forwarded: Forwarded, now: Instant) {
        self.budget.earn();
        if self.is_leaving {
            return self.ended.push((forwarded, End::Elsewhere));
        }
        if !self.is_reachable() {
            return self.reroute(forwarded, now);
        }
        let (id, due) = (self.next_id, forwarded.errand.sending.deadline);
        self.next_id += 1;
        self.items.insert(id, Item { forwarded, due, written: None });
        self.due.insert((due, id));
        self.waiting.push_back(id);
        self.liveness.set_busy(true, now);
    }

    /// Encodes what waits, as far as the socket takes it, and returns the bytes to write.
    pub fn fill(&mut self, now: Instant) -> &[u8] {
        while self.phase == Phase::Up && self.outbox.pending().len() < OUTBOX_BYTES {
            let Some(id) = self.waiting.pop_front() else { break };
            self.write(id);
        }
        if !self.outbox.is_empty() {
            self.liveness.set_blocked(true, false, now);
        }
        self.outbox.pending()
    }

    fn write(&mut self, id: u64) {
        let (Some(item), Some(agreed)) = (self.items.get_mut(&id), self.agreed) else { return };
        let deadline = milliseconds(self.origin, item.forwarded.errand.sending.deadline);
        let Forwarded { errand, subject, .. } = &item.forwarded;
        let head = BatchHead {
            // There was a PONG: the link is up.
            deadline_ms: self.clock.theirs_ms(deadline).unwrap_or_default(),
            retry_unknown: errand.sending.retry_unknown,
            revision: errand.app.revision.number(),
            app: errand.app.key.clone(),
            lane: errand.lane,
            lanes: errand.app.lanes,
            request_id: subject.as_ref().and_then(Subject::request_header).cloned(),
        };
        let mut put = Ok(());
        let begins = self.outbox.append(|bytes| put = wire::put_batch(bytes, id, &head, &errand.batch, agreed.limits));
        if put.is_err() {
            return self.end(id, End::Here);
        }
        item.written = Some(Written { begins, length: self.outbox.end() - begins });
        self.due.remove(&(item.due, id));
        item.due += ANSWER_GRACE;
        self.due.insert((item.due, id));
    }

    /// TLS took the first `count` bytes of [`Self::fill`].
    pub fn taken(&mut self, count: usize, now: Instant) {
        self.outbox.advance(count);
        self.liveness.set_blocked(!self.outbox.is_empty(), count > 0, now);
    }

    /// Does what is due: PINGs, ends of errands, and withdrawal from a peer that does not answer. Returns the finding:
    /// the connection to a dead peer is to be closed. Everything that has arrived must have been given to
    /// [`Self::received`] before: a process that was stopped would take its own silence for the peer's.
    pub fn elapse(&mut self, now: Instant) -> Finding {
        self.end_due(now);
        self.end_due_calls(now);
        self.forget_unheard();
        if !self.is_open() {
            return Finding::Alive;
        }
        self.liveness.set_busy(self.awaits(), now);
        if self.phase != Phase::Greeting && self.liveness.next_ping(self.awaits()) <= now {
            self.ping(now);
        }
        let finding = self.liveness.finding(now);
        if finding != Finding::Alive && self.is_answering {
            self.is_answering = false;
            self.withdraw(now);
        }
        finding
    }

    /// The next time at which [`Self::elapse`] has something to do, or a connection may be opened.
    pub fn next_time(&self, now: Instant) -> Option<Instant> {
        let first_due = self.due.first().map(|(due, _)| *due);
        let until = match self.phase {
            Phase::Down { until } => Some(until),
            _ => None,
        };
        let is_open = self.is_open();
        let ping = (is_open && self.phase != Phase::Greeting).then(|| self.liveness.next_ping(self.awaits()));
        let finding = is_open.then(|| self.liveness.next_finding(now)).flatten();
        [first_due, self.next_due_call(), until, ping, finding].into_iter().flatten().min()
    }

    fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Greeting | Phase::Probing | Phase::Up)
    }

    /// An answer is awaited beside a PONG.
    fn awaits(&self) -> bool {
        self.phase != Phase::Up || !self.is_idle() || !self.questions.is_empty()
    }

    fn ping(&mut self, now: Instant) {
        let id = self.next_id;
        self.next_id += 1;
        if self.pings.len() == PINGS_MAX {
            self.pings.pop_front();
        }
        self.pings.push_back((id, now));
        self.outbox.append(|bytes| wire::put_ping(bytes, id));
        self.liveness.pinged(now);
        self.liveness.set_busy(true, now);
    }
}

/// The time in milliseconds since `origin`.
fn milliseconds(origin: Instant, time: Instant) -> u64 {
    u64::try_from(time.saturating_duration_since(origin).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
