//! What a lane has to do: its jobs, what waits to be sent in which order, and how each item is settled. No I/O.

mod ending;

use super::health::{Health, Trouble};
use super::routes::{LinkId, Routes, bucket};
use super::stopped::Stopped;
use super::throttle::{Throttle, fingerprint};
use crate::apns::response::Response;
use crate::delivery::backoff::{self, Budget};
use crate::delivery::job::{DeadSince, Job, Ticket};
use crate::delivery::metrics::Tally;
use crate::delivery::status::LastError;
use crate::events::disconnection;
use crate::model::{AppleReason, Disconnection, NodeReason, Outcome, OutcomeKind, Reason};
use crate::registry::App;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
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

/// Where an item waits.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// For this connection.
    Held(LinkId),
    Again,
    Fresh,
}

/// What a connection may send next.
#[derive(Debug, Clone, Copy)]
pub struct Pick {
    pub ticket: Ticket,
    place: Place,
}

/// See the module.
pub struct Work {
    pub now: Now,
    /// As it was provisioned last.
    pub app: Arc<App>,
    pub tally: Tally,
    pub budget: Budget,
    pub health: Health,
    pub throttle: Throttle,
    pub routes: Routes,
    /// Ends of connections, to be written to the log.
    pub incidents: Vec<Disconnection>,
    pub stopped: Stopped,
    pub last_job: Instant,
    /// What went wrong lately and was not shown yet.
    pub last_error: Option<LastError>,
    /// When the operator was last told of provider tokens that change too often.
    pub(super) updates_told: Option<Instant>,
    /// When the lane began, and its milliseconds since then, which may wrap.
    began: Instant,
    ms: u32,
    identifiers: u32,
    /// The number of the notification that Apple accepted last.
    last_accepted: u32,
    /// The node stops: why a job's time is over.
    hurried: bool,
    /// What waits, waits for a descriptor.
    pub lacks_descriptors: bool,
    jobs: slab::Slab<Job>,
    /// Items that have not ended.
    unsettled: usize,
    /// Jobs with items that no attempt was made for, in order of arrival.
    fresh: VecDeque<u32>,
    /// Items to be sent again as soon as possible, before anything fresh.
    again: VecDeque<Ticket>,
    later: BinaryHeap<Reverse<(Instant, Ticket)>>,
    deadlines: BTreeSet<(Instant, u32)>,
    finished: Vec<Job>,
}

impl Work {
    pub fn new(now: Now, app: Arc<App>, tally: Tally) -> Self {
        Self {
            now,
            app,
            tally,
            budget: Budget::default(),
            health: Health::new(now.instant),
            throttle: Throttle::default(),
            routes: Routes::default(),
            incidents: Vec::new(),
            stopped: Stopped::default(),
            last_job: now.instant,
            last_error: None,
            updates_told: None,
            began: now.instant,
            ms: 0,
            identifiers: 1,
            last_accepted: 0,
            hurried: false,
            lacks_descriptors: false,
            jobs: slab::Slab::new(),
            unsettled: 0,
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            later: BinaryHeap::new(),
            deadlines: BTreeSet::new(),
            finished: Vec::new(),
        }
    }

    /// The time of a new round.
    pub fn tick(&mut self, now: Now) {
        self.now = now;
        self.ms = now.instant.duration_since(self.began).as_millis() as u32;
    }

    /// The lane's millisecond now.
    pub fn ms(&self) -> u32 {
        self.ms
    }

    /// Remembers what went wrong, to be shown; `what` is a sentence.
    pub fn complain(&mut self, what: String) {
        self.last_error = Some(LastError { at: self.now.unix, what });
    }

    /// Remembers what is wrong with a connection, to be shown; unless the credential is refused: then its cause stays.
    pub fn complain_of_connection(&mut self, what: String) {
        if self.health.trouble() != Some(Trouble::Credential) {
            self.complain(what);
        }
    }

    /// Puts the end of a connection, with `affected` notifications unanswered, on the way into the log.
    pub fn connection_ended(&mut self, reason: &Reason, affected: u32) {
        let app = &self.app.key;
        self.incidents.extend(disconnection::of_connection(app, reason, self.last_accepted, affected, self.now.unix));
    }

    /// Items that have not ended, in flight or not.
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Takes a job in.
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
        let deadline = job.deadline;
        let id = u32::try_from(self.jobs.insert(job)).expect("fewer than 2^32 jobs fit into memory");
        self.fresh.push_back(id);
        self.deadlines.insert((deadline, id));
    }

    /// Jobs whose items have all ended, to be answered.
    pub fn take_finished(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.finished)
    }

    /// Whether no job is left.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// What `link` may send next, without taking it. Items whose `expiry` has passed end here, those whose token rests
    /// wait, and those that must go to another connection are held for it.
    pub fn pick(&mut self, link: LinkId) -> Option<(Pick, &Job)> {
        if self.health.is_shut(self.now.instant) {
            return None;
        }
        let pick = loop {
            let held = self.routes.first(link).map(|ticket| Pick { ticket, place: Place::Held(link) });
            let mut pick = held.or_else(|| self.front())?;
            let Ticket { job, item, .. } = pick.ticket;
            let expiry = self.jobs[job as usize].item(item).expiry;
            if expiry.is_some_and(|at| at != 0 && (at as f64) <= self.now.unix) {
                self.take(pick);
                self.leave(pick);
                self.settle(pick.ticket, OutcomeKind::Expired, None, Some(NodeReason::Expired.into()));
                continue;
            }
            if !self.throttle.is_empty()
                && let Some(until) = self.throttle.rests(fingerprint(self.token(pick.ticket)), self.now.instant)
            {
                self.take(pick);
                self.leave(pick);
                self.postpone_until(pick.ticket, until, AppleReason::TooManyRequests.into());
                continue;
            }
            if self.routes.is_active() && pick.place != Place::Held(link) {
                pick.ticket.bucket = bucket(self.token(pick.ticket));
                if let Some(owner) = self.routes.owner(pick.ticket.bucket, link) {
                    self.take(pick);
                    self.routes.hold(owner, pick.ticket);
                    continue;
                }
            }
            break pick;
        };
        Some((pick, &self.jobs[pick.ticket.job as usize]))
    }

    /// Whether `link` has anything to send now.
    pub fn is_waiting_for(&self, link: LinkId) -> bool {
        self.is_waiting() || self.routes.first(link).is_some()
    }

    /// Whether anything waits that any connection may send now.
    pub fn is_waiting(&self) -> bool {
        self.front().is_some()
    }

    fn front(&self) -> Option<Pick> {
        if let Some(&ticket) = self.again.front() {
            return Some(Pick { ticket, place: Place::Again });
        }
        let job = *self.fresh.front()?;
        let item = self.jobs[job as usize].fresh()?;
        Some(Pick { ticket: Ticket::fresh(job, item), place: Place::Fresh })
    }

    /// What [`Self::pick`] gave is on its way over `link`.
    pub fn begun(&mut self, pick: Pick, link: LinkId) {
        self.take(pick);
        // What was held counts for its bucket already.
        if !matches!(pick.place, Place::Held(_)) {
            self.routes.enter(pick.ticket.bucket, link);
        }
        if pick.ticket.attempts == 0 {
            self.budget.earn(1);
        } else {
            self.tally.retry();
        }
        if !self.throttle.is_empty() {
            self.throttle.begun(fingerprint(self.token(pick.ticket)), self.now.instant);
        }
        self.health.begun(pick.ticket, self.now.instant, fastrand::f64);
        self.tally.attempt();
    }

    /// What [`Self::pick`] gave cannot be sent at all.
    pub fn refuse(&mut self, pick: Pick, why: NodeReason) {
        self.take(pick);
        self.leave(pick);
        self.give_up(pick.ticket, why);
    }

    fn take(&mut self, pick: Pick) {
        match pick.place {
            Place::Held(link) => self.routes.take_first(link),
            Place::Again => {
                self.again.pop_front();
            }
            Place::Fresh => {
                let job = &mut self.jobs[pick.ticket.job as usize];
                job.begin();
                if job.fresh().is_none() {
                    self.fresh.pop_front();
                }
            }
        }
    }

    fn leave(&mut self, pick: Pick) {
        if let Place::Held(_) = pick.place {
            self.routes.leave(pick.ticket.bucket);
        }
    }

    /// An attempt has ended, however: its token may go elsewhere again.
    pub fn landed(&mut self, ticket: Ticket) {
        if self.routes.is_active() {
            self.routes.leave(self.bucket_of(ticket));
        }
    }

    /// The bucket of something in flight.
    pub fn bucket_of(&self, ticket: Ticket) -> u16 {
        if ticket.bucket == Ticket::NO_BUCKET { bucket(self.token(ticket)) } else { ticket.bucket }
    }

    pub fn token(&self, ticket: Ticket) -> &[u8] {
        let job = &self.jobs[ticket.job as usize];
        job.batch.bytes(job.item(ticket.item).token)
    }

    /// Ends an item; its job, too, if it was the last.
    pub fn settle(&mut self, ticket: Ticket, kind: OutcomeKind, status: Option<u16>, reason: Option<Reason>) {
        self.end(ticket, kind, status, reason, None);
    }

    /// Ends an item whose token is dead.
    pub fn settle_dead(&mut self, ticket: Ticket, response: Response) {
        let dead = Some(DeadSince(response.dead_since));
        self.end(ticket, OutcomeKind::Rejected, Some(response.status), response.reason, dead);
    }

    fn end(
        &mut self,
        ticket: Ticket,
        kind: OutcomeKind,
        status: Option<u16>,
        reason: Option<Reason>,
        dead: Option<DeadSince>,
    ) {
        let job = &mut self.jobs[ticket.job as usize];
        let kind = job.end_of(ticket.item, kind);
        self.tally.outcome(kind, reason.as_ref(), self.ms.wrapping_sub(job.taken_ms));
        self.unsettled -= 1;
        let outcome = Outcome { kind, status, reason, timestamp: self.now.unix, attempts: ticket.attempts };
        if kind == OutcomeKind::Accepted {
            self.last_accepted = job.first_identifier.wrapping_add(ticket.item);
        }
        let settled = job.settle(ticket.item, outcome, dead, self.last_accepted);
        debug_assert!(settled, "an item ends once");
        if job.is_finished() {
            let job = self.jobs.remove(ticket.job as usize);
            self.deadlines.remove(&(job.deadline, ticket.job));
            self.finished.push(job);
        }
    }

    /// Ends as `not_sent` an item that Apple provably did not take: with Apple's last "not now" if it gave one.
    pub fn give_up(&mut self, ticket: Ticket, otherwise: impl Into<Reason>) {
        let said = self.jobs[ticket.job as usize].said(ticket.item);
        let (status, reason) = match said {
            Some((status, reason)) => (Some(status), reason),
            None => (None, Some(otherwise.into())),
        };
        self.settle(ticket, OutcomeKind::NotSent, status, reason);
    }

    pub fn job(&mut self, ticket: Ticket) -> &mut Job {
        &mut self.jobs[ticket.job as usize]
    }

    /// Sends an item again that was provably not processed; `why` is what ends it if no time is left.
    pub fn resend(&mut self, ticket: Ticket, why: NodeReason) {
        let pause = backoff::resend(ticket.attempts, fastrand::f64());
        self.postpone(ticket, pause.unwrap_or_default(), why.into());
    }

    /// Sends an item again after a pause, unless its job's time is over by then.
    pub fn postpone(&mut self, ticket: Ticket, pause: Duration, otherwise: Reason) {
        self.postpone_until(ticket, self.now.instant + pause, otherwise);
    }

    fn postpone_until(&mut self, ticket: Ticket, due: Instant, otherwise: Reason) {
        if due >= self.jobs[ticket.job as usize].deadline {
            self.give_up(ticket, otherwise);
        } else if due <= self.now.instant {
            self.again.push_back(ticket);
        } else {
            self.later.push(Reverse((due, ticket)));
        }
    }

    /// These wait for no certain connection any more: they go out before what came after them.
    pub fn put_back(&mut self, tickets: Vec<Ticket>) {
        tickets.into_iter().rev().for_each(|ticket| self.again.push_front(ticket));
    }

    /// When [`Self::on_time`] has something to do.
    pub fn next_time(&self) -> Option<Instant> {
        let later = self.later.peek().map(|Reverse((due, _))| *due);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        [later, deadline, self.stopped.due()].into_iter().flatten().min()
    }
}
