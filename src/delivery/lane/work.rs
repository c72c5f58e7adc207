//! The work of a lane: which item is sent next over which connection, and the outcome of each. No I/O.

mod ending;
mod judge;

use super::health::{Health, StopReason};
use super::queue::Queue;
use super::routes::{LinkId, Routes, bucket};
use super::stopped::Stopped;
use super::throttle::{Throttle, fingerprint};
use crate::apns::response::Response;
use crate::delivery::backoff::{self, RetryBudget};
use crate::delivery::job::{DeadSince, ItemRef, Job};
use crate::delivery::metrics::Tally;
use crate::delivery::status::LastError;
use crate::events::disconnection;
use crate::model::{AppleReason, Disconnection, NodeReason, Outcome, OutcomeKind, Reason};
use crate::registry::App;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Both clocks, read once a turn.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub instant: Instant,
    /// UNIX seconds.
    pub unix: f64,
}

/// The item that a connection may send next.
#[derive(Debug, Clone, Copy)]
pub struct Sendable {
    pub item_ref: ItemRef,
    /// The connection that the item was held for; `None` if it waited in the queue.
    held_for: Option<LinkId>,
}

/// The work of a lane: its queue, and the state of its app that decides what may be sent.
pub struct Work {
    pub now: Now,
    /// The newest provisioning of the app.
    pub app: Arc<App>,
    pub tally: Tally,
    retry_budget: RetryBudget,
    pub health: Health,
    throttle: Throttle,
    pub routes: Routes,
    /// The ends of connections, to be written to the disconnection log.
    incidents: Vec<Disconnection>,
    stopped: Stopped,
    last_job: Instant,
    /// The last error, if it is not published yet.
    last_error: Option<LastError>,
    /// The last time that provider tokens changing too often were logged.
    updates_logged: Option<Instant>,
    /// The start of the lane, and the milliseconds since then, which may wrap.
    began: Instant,
    ms: u32,
    identifiers: u32,
    /// The number of the last notification that Apple accepted.
    last_accepted: u32,
    /// The node stops, which is the reason that deadlines have passed.
    is_forced: bool,
    /// Waiting items wait for a file descriptor.
    pub lacks_descriptors: bool,
    queue: Queue,
    /// Items that have not ended.
    unsettled: usize,
    finished: Vec<Job>,
}

impl Work {
    pub fn new(now: Now, app: Arc<App>, tally: Tally) -> Self {
        Self {
            now,
            app,
            tally,
            retry_budget: RetryBudget::default(),
            health: Health::new(now.instant),
            throttle: Throttle::default(),
            routes: Routes::default(),
            incidents: Vec::new(),
            stopped: Stopped::default(),
            last_job: now.instant,
            last_error: None,
            updates_logged: None,
            began: now.instant,
            ms: 0,
            identifiers: 1,
            last_accepted: 0,
            is_forced: false,
            lacks_descriptors: false,
            queue: Queue::default(),
            unsettled: 0,
            finished: Vec::new(),
        }
    }

    /// Sets the time of a new round.
    pub fn tick(&mut self, now: Now) {
        self.now = now;
        self.ms = now.instant.duration_since(self.began).as_millis() as u32;
    }

    /// The lane's millisecond now.
    pub fn lane_ms(&self) -> u32 {
        self.ms
    }

    /// Sets the last error, to be published; `what` is a sentence.
    pub fn set_last_error(&mut self, what: String) {
        self.last_error = Some(LastError { at: self.now.unix, what });
    }

    /// Sets the last error to a connection's, unless the credential is refused: then its error stays.
    pub fn set_connection_error(&mut self, what: String) {
        if self.health.stop_reason() != Some(StopReason::Credential) {
            self.set_last_error(what);
        }
    }

    /// Queues the end of a connection, with `affected` notifications unanswered, for the disconnection log.
    pub fn connection_ended(&mut self, reason: &Reason, affected: u32) {
        let app = &self.app.key;
        self.incidents.extend(disconnection::of_connection(app, reason, self.last_accepted, affected, self.now.unix));
    }

    /// The number of items that have not ended, in flight or not.
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Adds a job.
    pub fn accept(&mut self, mut job: Job) {
        self.last_job = self.now.instant;
        job.first_identifier = self.identifiers;
        self.identifiers = self.identifiers.wrapping_add(job.batch.len() as u32);
        job.taken_ms = self.ms.wrapping_sub(self.now.instant.saturating_duration_since(job.taken).as_millis() as u32);
        self.unsettled += job.batch.len();
        self.tally.took(job.batch.len());
        if job.is_finished() {
            return self.finished.push(job);
        }
        self.queue.push(job);
    }

    /// Takes the jobs whose items have all ended, to be answered.
    pub fn take_finished(&mut self) -> Vec<Job> {
        let mut finished = std::mem::take(&mut self.finished);
        for job in &mut finished {
            let due = self.stopped.add(std::mem::take(&mut job.stopped), self.now.instant);
            job.records.disconnections.extend(due);
        }
        finished
    }

    /// Entries to be written to the disconnection log now: ends of connections, and the sum for a stopped app if it is
    /// due; with `all`, in any case.
    pub fn take_incidents(&mut self, all: bool) -> Vec<Disconnection> {
        let due = self.stopped.take_due(self.now.instant, all);
        self.incidents.extend(due);
        std::mem::take(&mut self.incidents)
    }

    /// The last error, if it is not published yet.
    pub fn take_last_error(&mut self) -> Option<LastError> {
        self.last_error.take()
    }

    /// The time at which the last job arrived.
    pub fn last_job(&self) -> Instant {
        self.last_job
    }

    /// Returns true if no job is left.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The item that `link` may send next, without taking it. Items whose `expiry` has passed end here, items whose
    /// token rests wait, and items that must go to another connection are held for it.
    pub fn next_sendable(&mut self, link: LinkId) -> Option<(Sendable, &Job)> {
        if self.health.is_shut(self.now.instant) {
            return None;
        }
        let sendable = loop {
            let held = self.routes.first(link).map(|item_ref| Sendable { item_ref, held_for: Some(link) });
            let mut sendable = match held {
                Some(held) => held,
                None => Sendable { item_ref: self.queue.front()?, held_for: None },
            };
            let ItemRef { job, item, .. } = sendable.item_ref;
            let expiry = self.queue[job].item(item).expiry;
            if expiry.is_some_and(|at| at != 0 && (at as f64) <= self.now.unix) {
                self.take_out(sendable);
                self.detach(sendable);
                self.settle(sendable.item_ref, OutcomeKind::Expired, None, Some(NodeReason::Expired.into()));
                continue;
            }
            if !self.throttle.is_empty()
                && let Some(until) =
                    self.throttle.resting_until(fingerprint(self.token(sendable.item_ref)), self.now.instant)
            {
                self.take_out(sendable);
                self.detach(sendable);
                self.postpone_until(sendable.item_ref, until, AppleReason::TooManyRequests.into());
                continue;
            }
            if self.routes.is_active() && sendable.held_for.is_none() {
                sendable.item_ref.bucket = bucket(self.token(sendable.item_ref));
                if let Some(owner) = self.routes.owner(sendable.item_ref.bucket, link) {
                    self.take_out(sendable);
                    self.routes.hold(owner, sendable.item_ref);
                    continue;
                }
            }
            break sendable;
        };
        Some((sendable, &self.queue[sendable.item_ref.job]))
    }

    /// Returns true if `link` has an item to send now.
    pub fn is_waiting_for(&self, link: LinkId) -> bool {
        self.is_waiting() || self.routes.first(link).is_some()
    }

    /// Returns true if an item waits that any connection may send now.
    pub fn is_waiting(&self) -> bool {
        self.queue.front().is_some()
    }

    /// Records that the item of [`Self::next_sendable`] is sent over `link`.
    pub fn mark_sent(&mut self, sendable: Sendable, link: LinkId) {
        self.take_out(sendable);
        // A held item counts for its bucket already.
        if sendable.held_for.is_none() {
            self.routes.enter(sendable.item_ref.bucket, link);
        }
        if sendable.item_ref.attempts == 0 {
            self.retry_budget.earn(1);
        } else {
            self.tally.retry();
        }
        if !self.throttle.is_empty() {
            self.throttle.mark_sent(fingerprint(self.token(sendable.item_ref)), self.now.instant);
        }
        self.health.mark_sent(sendable.item_ref, self.now.instant, fastrand::f64);
        self.tally.attempt();
    }

    /// Ends the item of [`Self::next_sendable`], which cannot be sent at all.
    pub fn refuse(&mut self, sendable: Sendable, why: NodeReason) {
        self.take_out(sendable);
        self.detach(sendable);
        self.fail_unsent(sendable.item_ref, why);
    }

    /// Takes out the item of [`Self::next_sendable`]. Nothing may be queued between the two calls.
    fn take_out(&mut self, sendable: Sendable) {
        match sendable.held_for {
            Some(link) => self.routes.take_first(link),
            None => self.queue.pop_front(),
        }
    }

    fn detach(&mut self, sendable: Sendable) {
        if sendable.held_for.is_some() {
            self.routes.leave(sendable.item_ref.bucket);
        }
    }

    /// Records the end of an attempt: its token may go to another connection again.
    pub fn attempt_ended(&mut self, item_ref: ItemRef) {
        if self.routes.is_active() {
            self.routes.leave(self.bucket_of(item_ref));
        }
    }

    /// The bucket of an item in flight.
    pub fn bucket_of(&self, item_ref: ItemRef) -> u16 {
        if item_ref.bucket == ItemRef::NO_BUCKET { bucket(self.token(item_ref)) } else { item_ref.bucket }
    }

    pub fn token(&self, item_ref: ItemRef) -> &[u8] {
        let job = &self.queue[item_ref.job];
        job.batch.bytes(job.item(item_ref.item).token)
    }

    /// Ends an item, and its job if it was the last item.
    pub fn settle(&mut self, item_ref: ItemRef, kind: OutcomeKind, status: Option<u16>, reason: Option<Reason>) {
        self.end(item_ref, kind, status, reason, None);
    }

    /// Ends an item whose token is dead.
    pub fn settle_dead(&mut self, item_ref: ItemRef, response: Response) {
        let dead = Some(DeadSince(response.dead_since));
        self.end(item_ref, OutcomeKind::Rejected, Some(response.status), response.reason, dead);
    }

    fn end(
        &mut self,
        item_ref: ItemRef,
        kind: OutcomeKind,
        status: Option<u16>,
        reason: Option<Reason>,
        dead: Option<DeadSince>,
    ) {
        let job = &mut self.queue[item_ref.job];
        let kind = job.end_of(item_ref.item, kind);
        if job.is_counted {
            self.tally.outcome(kind, reason.as_ref(), self.ms.wrapping_sub(job.taken_ms));
        }
        self.unsettled -= 1;
        let outcome = Outcome { kind, status, reason, timestamp: self.now.unix, attempts: item_ref.attempts };
        if kind == OutcomeKind::Accepted {
            self.tally.accepted();
            self.last_accepted = job.first_identifier.wrapping_add(item_ref.item);
        }
        let settled = job.settle(item_ref.item, outcome, dead, self.last_accepted);
        debug_assert!(settled, "an item ends once");
        if job.is_finished() {
            self.finished.push(self.queue.remove(item_ref.job));
        }
    }

    /// Ends an item that Apple provably did not process as `not_sent`, with Apple's last "not now" as the reason if
    /// there is one.
    pub fn fail_unsent(&mut self, item_ref: ItemRef, otherwise: impl Into<Reason>) {
        let said = self.queue[item_ref.job].last_rejection(item_ref.item);
        let (status, reason) = match said {
            Some((status, reason)) => (Some(status), reason),
            None => (None, Some(otherwise.into())),
        };
        self.settle(item_ref, OutcomeKind::NotSent, status, reason);
    }

    pub fn job(&mut self, item_ref: ItemRef) -> &mut Job {
        &mut self.queue[item_ref.job]
    }

    /// Resends an item that was provably not processed; `why` is its reason if no time is left.
    pub fn resend(&mut self, item_ref: ItemRef, why: NodeReason) {
        let pause = backoff::resend(item_ref.attempts, fastrand::f64());
        self.postpone(item_ref, pause.unwrap_or_default(), why.into());
    }

    /// Retries an item after a pause, unless its job's deadline passes before.
    pub fn postpone(&mut self, item_ref: ItemRef, pause: Duration, otherwise: Reason) {
        self.postpone_until(item_ref, self.now.instant + pause, otherwise);
    }

    fn postpone_until(&mut self, item_ref: ItemRef, due: Instant, otherwise: Reason) {
        if due >= self.queue[item_ref.job].deadline {
            self.fail_unsent(item_ref, otherwise);
        } else if due <= self.now.instant {
            self.queue.push_again(item_ref);
        } else {
            self.queue.postpone(item_ref, due);
        }
    }

    /// These items may go to any connection again, and precede later ones.
    pub fn put_back(&mut self, item_refs: Vec<ItemRef>) {
        self.queue.put_back(item_refs);
    }

    /// The time of the next [`Self::on_time`].
    pub fn next_time(&self) -> Option<Instant> {
        self.queue.next_time().into_iter().chain(self.stopped.due()).min()
    }
}
