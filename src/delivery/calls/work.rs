//! The work of a lane of calls: which call is sent next, and the outcome of each. No I/O.

mod judge;

use super::CallResult;
use crate::apns::channels::{Call, Reply};
use crate::delivery::admission::Room;
use crate::delivery::backoff::{self, RetryBudget};
use crate::delivery::job::ItemRef;
use crate::delivery::lane::health::Health;
use crate::delivery::metrics::Metrics;
use crate::delivery::send::Sending;
use crate::model::{NodeReason, Outcome, OutcomeKind, Reason};
use crate::registry::App;
use slab::Slab;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A call on its way to a lane.
pub struct Order {
    pub call: Call,
    pub sending: Sending,
    /// This node's caller gets the result. Otherwise the peer that forwarded the call counts it.
    pub is_counted: bool,
    pub reply: oneshot::Sender<CallResult>,
    pub _room: Arc<Room>,
}

/// A call that has not ended.
struct Pending {
    order: Order,
    taken: Instant,
    attempts: u16,
    /// The start of the last attempt.
    begun: Instant,
    place: Place,
    /// Apple may have done what an earlier attempt asked for.
    may_be_done: bool,
    /// Apple's last "not now".
    rejection: Option<(u16, Option<Reason>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Ready,
    Postponed(Instant),
    InFlight,
}

/// The number of a pending call.
pub type CallId = u32;

/// The work of a lane of calls.
pub struct Work {
    pub now: Instant,
    /// UNIX seconds.
    pub unix: f64,
    /// The app as provisioned when the lane began. Another provisioning has another lane.
    pub app: Arc<App>,
    pub metrics: Metrics,
    pub health: Health,
    retry_budget: RetryBudget,
    calls: Slab<Pending>,
    ready: VecDeque<CallId>,
    postponed: BTreeSet<(Instant, CallId)>,
    deadlines: BTreeSet<(Instant, CallId)>,
    /// The cause of the last trouble with a connection or with the credential.
    last_error: Option<Arc<str>>,
    last_used: Instant,
    /// The node stops, which is the reason that deadlines have passed.
    is_forced: bool,
}

impl Work {
    pub fn new(now: Instant, unix: f64, app: Arc<App>, metrics: Metrics) -> Self {
        Self {
            now,
            unix,
            app,
            metrics,
            health: Health::new(now),
            retry_budget: RetryBudget::default(),
            calls: Slab::new(),
            ready: VecDeque::new(),
            postponed: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            last_error: None,
            last_used: now,
            is_forced: false,
        }
    }

    /// Sets the time of a new round.
    pub fn tick(&mut self, now: Instant, unix: f64) {
        (self.now, self.unix) = (now, unix);
        self.health.on_time(now);
    }

    /// Adds a call.
    pub fn accept(&mut self, order: Order) {
        let (now, deadline) = (self.now, order.sending.deadline);
        let (attempts, may_be_done, rejection) = (0, false, None);
        let pending = Pending { order, taken: now, attempts, begun: now, place: Place::Ready, may_be_done, rejection };
        let id = self.calls.insert(pending) as CallId;
        self.deadlines.insert((deadline, id));
        self.ready.push_back(id);
        self.last_used = now;
    }

    /// Returns true if every call has ended.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The time of the last call or answer.
    pub fn last_used(&self) -> Instant {
        self.last_used
    }

    /// Returns true if a call waits that may be sent now.
    pub fn is_waiting(&self) -> bool {
        !self.ready.is_empty() && !self.health.is_shut(self.now)
    }

    /// The call to send next, without taking it. Broadcasts whose `expiry` has passed end here.
    pub fn next(&mut self) -> Option<(CallId, &Call)> {
        if self.health.is_shut(self.now) {
            return None;
        }
        let id = loop {
            let id = *self.ready.front()?;
            let has_expired = match &self.pending(id).order.call {
                Call::Broadcast(broadcast) => broadcast.expiry != 0 && broadcast.expiry as f64 <= self.unix,
                _ => false,
            };
            if !has_expired {
                break id;
            }
            self.ready.pop_front();
            self.end(id, OutcomeKind::Expired, None, Some(NodeReason::Expired.into()), None);
        };
        Some((id, &self.pending(id).order.call))
    }

    /// Records that the call of [`Self::next`] is sent.
    pub fn mark_sent(&mut self) {
        let Some(id) = self.ready.pop_front() else { return };
        let now = self.now;
        let pending = self.pending_mut(id);
        pending.place = Place::InFlight;
        pending.attempts = pending.attempts.saturating_add(1);
        pending.begun = now;
        if pending.attempts == 1 {
            self.retry_budget.earn(1);
        } else {
            self.metrics.calls.retried();
        }
        self.metrics.calls.begun();
        self.health.mark_sent(ItemRef::fresh(id, 0), now, fastrand::f64);
        self.last_used = now;
    }

    /// Ends the call of [`Self::next`], which cannot be sent at all.
    pub fn refuse(&mut self, why: NodeReason) {
        if let Some(id) = self.ready.pop_front() {
            self.fail_unsent(id, why);
        }
    }

    /// Moves the deadline of every call to now, because the node stops.
    pub fn force_finish(&mut self) {
        self.is_forced = true;
        let calls: Vec<_> = std::mem::take(&mut self.deadlines).into_iter().map(|(_, id)| id).collect();
        for id in calls {
            self.pending_mut(id).order.sending.deadline = self.now;
            self.deadlines.insert((self.now, id));
        }
    }

    /// Moves due calls into the queue, and ends waiting ones whose deadline has passed. Returns those in flight, which the
    /// connections must cancel.
    pub fn on_time(&mut self) -> Vec<CallId> {
        while let Some(&(due, id)) = self.postponed.first().filter(|(due, _)| *due <= self.now) {
            self.postponed.remove(&(due, id));
            self.pending_mut(id).place = Place::Ready;
            self.ready.push_back(id);
        }
        let is_late = |(deadline, _): &&(Instant, CallId)| *deadline <= self.now;
        let late: Vec<_> = self.deadlines.iter().take_while(is_late).map(|(_, id)| *id).collect();
        let (in_flight, waiting): (Vec<_>, Vec<_>) =
            late.into_iter().partition(|id| self.pending(*id).place == Place::InFlight);
        let why = if self.is_forced { NodeReason::ShuttingDown } else { NodeReason::DeadlinePassed };
        self.fail_all_unsent(&waiting, why);
        in_flight
    }

    /// While the app is stopped, ends all calls that wait, except the next probe.
    pub fn end_what_is_stopped(&mut self) {
        let Some(why) = self.health.reason() else { return };
        if self.health.is_shut(self.now) {
            self.end_all(why);
        } else {
            let others: Vec<_> = self.ready.iter().skip(1).copied().collect();
            self.fail_all_unsent(&others, why);
        }
    }

    /// Ends all calls that wait.
    pub fn end_all(&mut self, why: NodeReason) {
        let postponed = self.postponed.iter().map(|(_, id)| *id);
        let waiting: Vec<_> = self.ready.iter().copied().chain(postponed).collect();
        self.fail_all_unsent(&waiting, why);
    }

    /// The time of the next [`Self::on_time`].
    pub fn next_time(&self) -> Option<Instant> {
        let first = |times: &BTreeSet<(Instant, CallId)>| times.first().map(|(at, _)| *at);
        first(&self.postponed).into_iter().chain(first(&self.deadlines)).min()
    }

    /// Keeps the cause of trouble for the results of the calls that it ends.
    pub fn note_error(&mut self, what: String) {
        self.last_error = Some(what.into());
    }

    /// Records that a connection works.
    pub fn connected(&mut self) {
        self.health.connected();
        self.last_error = self.last_error.take().filter(|_| self.health.stop_reason().is_some());
    }

    fn pending(&self, id: CallId) -> &Pending {
        &self.calls[id as usize]
    }

    fn pending_mut(&mut self, id: CallId) -> &mut Pending {
        &mut self.calls[id as usize]
    }

    /// Retries a call that is not in the queue after a pause, unless its deadline passes before.
    fn postpone(&mut self, id: CallId, pause: Duration, otherwise: impl Into<Reason>) {
        let due = self.now + pause;
        if due >= self.pending(id).order.sending.deadline {
            return self.fail_unsent(id, otherwise);
        }
        if pause.is_zero() {
            self.pending_mut(id).place = Place::Ready;
            self.ready.push_back(id);
        } else {
            self.pending_mut(id).place = Place::Postponed(due);
            self.postponed.insert((due, id));
        }
    }

    /// Resends a call that may be sent again; `why` is its reason if no time is left.
    fn resend(&mut self, id: CallId, why: NodeReason) {
        let pause = backoff::resend(self.pending(id).attempts, fastrand::f64());
        self.postpone(id, pause.unwrap_or_default(), why);
    }

    fn fail_all_unsent(&mut self, ids: &[CallId], why: NodeReason) {
        ids.iter().for_each(|id| self.fail_unsent(*id, why));
        self.ready.retain(|id| self.calls.contains(*id as usize));
    }

    /// Ends a call that Apple provably did not process as `not_sent`, with Apple's last "not now" as the reason if there
    /// is one.
    fn fail_unsent(&mut self, id: CallId, otherwise: impl Into<Reason>) {
        let (status, reason) = match self.pending_mut(id).rejection.take() {
            Some((status, reason)) => (Some(status), reason),
            None => (None, Some(otherwise.into())),
        };
        self.end(id, OutcomeKind::NotSent, status, reason, None);
    }

    /// Ends a call. If Apple may have done it at an earlier attempt, only `accepted` is certain.
    fn end(
        &mut self,
        id: CallId,
        kind: OutcomeKind,
        status: Option<u16>,
        reason: Option<Reason>,
        reply: Option<Reply>,
    ) {
        let Pending { order, taken, attempts, place, may_be_done, .. } = self.calls.remove(id as usize);
        if let Place::Postponed(due) = place {
            self.postponed.remove(&(due, id));
        }
        self.deadlines.remove(&(order.sending.deadline, id));
        self.last_used = self.now;
        let is_certain = kind == OutcomeKind::Accepted || !may_be_done;
        let kind = if is_certain { kind } else { OutcomeKind::Unknown };
        let is_of_connection = matches!(reason, Some(Reason::Node(_))) || status == Some(403);
        let detail = self.last_error.clone().filter(|_| kind != OutcomeKind::Accepted && is_of_connection);
        if order.is_counted {
            self.metrics.calls.ended(order.call.name(), kind, reason.as_ref(), self.now.duration_since(taken));
        }
        let outcome = Outcome { kind, status, reason, timestamp: self.unix, attempts };
        let _ = order.reply.send(CallResult { outcome, reply, detail });
    }
}
