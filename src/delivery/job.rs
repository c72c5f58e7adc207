//! A batch, or a part, inside a lane, with its outcomes so far.

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

/// A reference to a notification of a job, for queues and streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemRef {
    pub job: u32,
    pub item: u32,
    /// The number of attempts begun.
    pub attempts: u16,
    /// The token's bucket, once routes need it; else [`Self::NO_BUCKET`].
    pub bucket: u16,
    /// The start of the last attempt, in the lane's milliseconds.
    pub begun: u32,
}

impl ItemRef {
    pub const NO_BUCKET: u16 = u16::MAX;

    /// The reference of an item without an attempt.
    pub fn fresh(job: u32, item: u32) -> Self {
        Self { job, item, attempts: 0, bucket: Self::NO_BUCKET, begun: 0 }
    }
}

/// The token is dead, since Apple's unchanged timestamp if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadSince(pub Option<u64>);

/// A batch, its caller, and the outcomes so far.
pub struct Job {
    pub app: Arc<App>,
    pub batch: Arc<Batch>,
    /// The time when it was taken, also in the lane's milliseconds.
    pub taken: Instant,
    pub taken_ms: u32,
    /// The deadline: nothing is written after it, and the caller is answered by then.
    pub deadline: Instant,
    pub retry_unknown: bool,
    /// This node's caller gets the outcomes. Otherwise the peer that forwarded the batch counts them.
    pub is_counted: bool,
    pub records: Records,
    /// Entries of the disconnection log that only add affected notifications to an incident.
    pub stopped: Vec<Disconnection>,
    /// The number of the job's first notification; lanes number notifications as v0.5 did.
    pub first_identifier: u32,
    /// The first item without an attempt.
    next: u32,
    outcomes: Vec<Option<Outcome>>,
    unsettled: usize,
    /// The items that ended without an answer from Apple.
    unanswered: u32,
    /// The items whose answers the guard observes.
    suspects: u32,
    /// Apple's last "not now" for items that wait for a retry.
    rejections: HashMap<u32, (u16, Option<Reason>)>,
    /// Items that were resent although Apple may have received them.
    maybe_delivered: HashSet<u32>,
    reply: oneshot::Sender<Reply>,
    _room: Room,
}

/// The memory of a job besides its batch and outcomes, in bytes: itself, the caller's channel, its places in the lane's
/// queues.
const JOB_BYTES: usize = 1 << 10;

impl Job {
    /// The memory of a job with this number of notifications besides its batch, in bytes.
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
            is_counted: true,
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

    /// Marks that item as sent.
    pub fn begin(&mut self) {
        self.next += 1;
    }

    /// Records Apple's "not now".
    pub fn note_rejection(&mut self, item: u32, status: u16, reason: Option<Reason>) {
        self.rejections.insert(item, (status, reason));
    }

    /// Apple's last "not now" for this item.
    pub fn last_rejection(&mut self, item: u32) -> Option<(u16, Option<Reason>)> {
        self.rejections.remove(&item)
    }

    /// Records that Apple may have received this item and that it is resent nevertheless.
    pub fn mark_maybe_delivered(&mut self, item: u32) {
        self.maybe_delivered.insert(item);
    }

    /// Apple may have got any item of it before it came here.
    pub fn mark_all_maybe_delivered(&mut self) {
        self.maybe_delivered.extend((0..).take(self.batch.len()));
    }

    /// The outcome of an item whose last attempt ended as `kind`. If Apple may have received an earlier attempt, only
    /// `accepted` is certain: any other end stays `unknown`, with the last attempt's reason.
    pub fn end_of(&self, item: u32, kind: OutcomeKind) -> OutcomeKind {
        let is_silent = matches!(kind, OutcomeKind::NotSent | OutcomeKind::Expired | OutcomeKind::Rejected);
        if is_silent && self.maybe_delivered.contains(&item) { OutcomeKind::Unknown } else { kind }
    }

    pub fn item(&self, item: u32) -> &Notification {
        &self.batch.items()[item as usize]
    }

    /// Settles an item, and records its events for operators. Only the first outcome counts. Returns true if it was
    /// this one.
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

    /// Passes Apple's answers to the app's guard, in request order.
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

    /// Answers the caller, who may have disconnected.
    pub fn reply(self) {
        let outcomes = self.outcomes.into_iter().flatten().collect();
        let _ = self.reply.send(Ok(Sent { batch: self.batch, outcomes }));
    }
}
