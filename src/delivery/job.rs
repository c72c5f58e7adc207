//! A batch on its way: what of it has ended, and how.

use super::admission::Room;
use super::send::{Reply, Sending, Sent};
use crate::events::disconnection::{self, Identifiers};
use crate::events::feedback;
use crate::events::guard::{Guard, is_suspect};
use crate::model::{Batch, Disconnection, Notification, Outcome, OutcomeKind, Reason, Records};
use crate::registry::App;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// One notification of one job, as it travels through queues and streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemRef {
    pub job: u32,
    pub item: u32,
    /// Attempts begun so far.
    pub attempts: u16,
    /// Its token's bucket, once routes need it; else [`Self::NO_BUCKET`].
    pub bucket: u16,
    /// The lane's millisecond in which the last attempt began.
    pub begun: u32,
}

impl ItemRef {
    pub const NO_BUCKET: u16 = u16::MAX;

    /// Of an item that no attempt was made for.
    pub fn fresh(job: u32, item: u32) -> Self {
        Self { job, item, attempts: 0, bucket: Self::NO_BUCKET, begun: 0 }
    }
}

/// The token is dead, and since when: Apple's timestamp as it came, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadSince(pub Option<u64>);

/// A batch, its caller, and the outcomes so far.
pub struct Job {
    pub app: Arc<App>,
    pub batch: Arc<Batch>,
    /// When it came in, and the lane's millisecond of that.
    pub taken: Instant,
    pub taken_ms: u32,
    /// Nothing is written after it, and the caller is answered by then.
    pub deadline: Instant,
    pub retry_unknown: bool,
    pub records: Records,
    /// Entries of the disconnection log that only add to what an incident cost.
    pub stopped: Vec<Disconnection>,
    /// v0.5 counted notifications, a lane does; the first of this job has this number.
    pub first_identifier: u32,
    /// The first item that no attempt was made for.
    next: u32,
    outcomes: Vec<Option<Outcome>>,
    unsettled: usize,
    /// Items that ended without an answer of Apple's.
    unanswered: u32,
    /// Items whose answer the guard wants to know of.
    suspects: u32,
    /// Apple's last "not now" for items that wait to be sent again.
    rejections: HashMap<u32, (u16, Option<Reason>)>,
    /// Items sent again though Apple may have got them before.
    maybe_delivered: HashSet<u32>,
    reply: oneshot::Sender<Reply>,
    _room: Room,
}

/// The bytes of a job beside its batch and outcomes: itself, its caller's channel, its places in the lane's queues.
const JOB_BYTES: usize = 1 << 10;

impl Job {
    /// Bytes that a job of so many notifications keeps in memory beside its batch.
    pub fn bytes_added(notifications: usize) -> usize {
        JOB_BYTES + notifications * size_of::<Option<Outcome>>()
    }

    pub fn new(
        app: Arc<App>,
        batch: Arc<Batch>,
        taken: Instant,
        Sending { deadline, retry_unknown }: Sending,
        reply: oneshot::Sender<Reply>,
        room: Room,
    ) -> Self {
        let count = batch.len();
        Self {
            app,
            batch,
            taken,
            taken_ms: 0,
            deadline,
            retry_unknown,
            records: Records::default(),
            stopped: Vec::new(),
            first_identifier: 1,
            next: 0,
            outcomes: vec![None; count],
            unsettled: count,
            unanswered: 0,
            suspects: 0,
            rejections: HashMap::new(),
            maybe_delivered: HashSet::new(),
            reply,
            _room: room,
        }
    }

    /// The next item without an attempt.
    pub fn fresh(&self) -> Option<u32> {
        ((self.next as usize) < self.batch.len()).then_some(self.next)
    }

    /// That item is on its way.
    pub fn begin(&mut self) {
        self.next += 1;
    }

    /// Remembers Apple's "not now".
    pub fn note_rejection(&mut self, item: u32, status: u16, reason: Option<Reason>) {
        self.rejections.insert(item, (status, reason));
    }

    /// Apple's last "not now" for this item.
    pub fn last_rejection(&mut self, item: u32) -> Option<(u16, Option<Reason>)> {
        self.rejections.remove(&item)
    }

    /// Apple may have got this item, and it is sent again nevertheless.
    pub fn mark_maybe_delivered(&mut self, item: u32) {
        self.maybe_delivered.insert(item);
    }

    /// Apple may have got any item of it before it came here.
    pub fn mark_all_maybe_delivered(&mut self) {
        self.maybe_delivered.extend((0..).take(self.batch.len()));
    }

    /// The outcome of an item whose last attempt ended as `kind`. Only an `accepted` says something about an earlier
    /// attempt that Apple may have taken: after any other end the item stays `unknown`, with the last attempt's reason.
    pub fn end_of(&self, item: u32, kind: OutcomeKind) -> OutcomeKind {
        let is_silent = matches!(kind, OutcomeKind::NotSent | OutcomeKind::Expired | OutcomeKind::Rejected);
        if is_silent && self.maybe_delivered.contains(&item) { OutcomeKind::Unknown } else { kind }
    }

    pub fn item(&self, item: u32) -> &Notification {
        &self.batch.items()[item as usize]
    }

    /// Gives an item its one outcome, and notes what operators must be able to read of it. The first outcome stands;
    /// whether it was this one is returned.
    pub fn settle(&mut self, item: u32, outcome: Outcome, dead: Option<DeadSince>, last_accepted: u32) -> bool {
        let Some(slot @ None) = self.outcomes.get_mut(item as usize) else { return false };
        let outcome = slot.insert(outcome);
        self.unsettled -= 1;
        if outcome.kind == OutcomeKind::Accepted {
            return true;
        }
        self.unanswered += u32::from(outcome.status.is_none());
        self.suspects += u32::from(is_suspect(outcome));
        let (app, batch, notification) = (&self.app.key, &self.batch, &self.batch.items()[item as usize]);
        if let Some(DeadSince(since)) = dead {
            let token = batch.text(notification.token);
            self.records.feedback.push(feedback::of_dead_token(app, token, outcome, since));
        }
        let identifiers = Identifiers { own: self.first_identifier.wrapping_add(item), last_accepted };
        let failed = disconnection::of_notification(app, identifiers, batch, notification, outcome);
        match failed {
            Some(entry) if disconnection::is_of_stopped(&entry, outcome) => {
                disconnection::join(&mut self.stopped, entry)
            }
            failed => self.records.disconnections.extend(failed),
        }
        true
    }

    /// Shows Apple's answers to the app's guard, in request order.
    pub fn report(&self, guard: &mut Guard) {
        if self.suspects == 0 {
            return guard.observe(false, self.outcomes.len() as u32 - self.unanswered);
        }
        let answers = self.outcomes.iter().flatten().filter(|outcome| outcome.status.is_some());
        answers.for_each(|outcome| guard.observe(is_suspect(outcome), 1));
    }

    pub fn is_finished(&self) -> bool {
        self.unsettled == 0
    }

    /// Answers the caller; one that has left is no fault.
    pub fn reply(self) {
        let outcomes = self.outcomes.into_iter().flatten().collect();
        let _ = self.reply.send(Ok(Sent { batch: self.batch, outcomes }));
    }
}
