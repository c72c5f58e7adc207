//! What a lane has to do: its jobs, what waits to be sent in which order, and how each item is settled. No I/O.

use crate::apns::response::Response;
use crate::delivery::backoff::{self, Budget};
use crate::delivery::job::{DeadSince, Job, Ticket};
use crate::delivery::metrics::Tally;
use crate::model::{Disconnection, NodeReason, Outcome, OutcomeKind, Reason};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Both clocks, read once a turn.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub instant: Instant,
    /// UNIX seconds.
    pub unix: f64,
}

/// Why nothing is sent at present.
#[derive(Debug, Clone, Copy)]
pub struct Broken {
    /// When one more attempt may be made.
    pub until: Instant,
    pub failures: u32,
}

/// See the module.
pub struct Work {
    pub now: Now,
    pub tally: Tally,
    pub budget: Budget,
    /// The app's credential does not work.
    pub broken: Option<Broken>,
    /// Ends of connections, to be written to the log.
    pub incidents: Vec<Disconnection>,
    identifiers: u32,
    jobs: slab::Slab<Job>,
    /// Jobs with items that no attempt was made for, in order of arrival.
    fresh: VecDeque<u32>,
    /// Items to be sent again as soon as possible, before anything fresh.
    again: VecDeque<Ticket>,
    later: BinaryHeap<Reverse<(Instant, Ticket)>>,
    deadlines: BTreeSet<(Instant, u32)>,
    finished: Vec<Job>,
}

impl Work {
    pub fn new(now: Now, tally: Tally) -> Self {
        Self {
            now,
            tally,
            budget: Budget::default(),
            broken: None,
            incidents: Vec::new(),
            identifiers: 1,
            jobs: slab::Slab::new(),
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            later: BinaryHeap::new(),
            deadlines: BTreeSet::new(),
            finished: Vec::new(),
        }
    }

    /// Takes a job in.
    pub fn accept(&mut self, mut job: Job) {
        job.first_identifier = self.identifiers;
        self.identifiers = self.identifiers.wrapping_add(job.batch.len() as u32);
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

    /// What to send next, without taking it. Items whose `expiry` has passed end here.
    pub fn peek(&mut self) -> Option<(Ticket, &Job)> {
        let ticket = loop {
            let ticket = self.front()?;
            let job = &self.jobs[ticket.job as usize];
            let expiry = job.item(ticket.item).expiry;
            if !expiry.is_some_and(|at| at != 0 && (at as f64) <= self.now.unix) {
                break ticket;
            }
            self.advance(ticket);
            self.settle(ticket, OutcomeKind::Expired, None, Some(NodeReason::Expired.into()));
        };
        Some((ticket, &self.jobs[ticket.job as usize]))
    }

    fn front(&self) -> Option<Ticket> {
        if let Some(ticket) = self.again.front() {
            return Some(*ticket);
        }
        let job = *self.fresh.front()?;
        let item = self.jobs[job as usize].fresh()?;
        Some(Ticket { job, item, attempts: 0 })
    }

    /// Takes what [`Self::peek`] gave: it is on its way, or has ended.
    pub fn advance(&mut self, ticket: Ticket) {
        if self.again.front() == Some(&ticket) {
            self.again.pop_front();
            return;
        }
        let job = &mut self.jobs[ticket.job as usize];
        job.begin();
        if job.fresh().is_none() {
            self.fresh.pop_front();
        }
        self.budget.earn(1);
    }

    /// Whether anything waits to be sent now.
    pub fn is_waiting(&self) -> bool {
        self.front().is_some()
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
        self.tally.outcome(kind, reason.as_ref());
        let outcome = Outcome { kind, status, reason, timestamp: self.now.unix, attempts: ticket.attempts };
        let job = &mut self.jobs[ticket.job as usize];
        let settled = job.settle(ticket.item, outcome, dead);
        debug_assert!(settled, "an item ends once");
        if job.is_finished() {
            let job = self.jobs.remove(ticket.job as usize);
            self.deadlines.remove(&(job.deadline, ticket.job));
            self.finished.push(job);
        }
    }

    /// Ends as `not_sent` an item that Apple provably did not take: with Apple's last "not now" if it gave one.
    pub fn give_up(&mut self, ticket: Ticket, otherwise: NodeReason) {
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
        self.postpone(ticket, pause.unwrap_or_default(), why);
    }

    /// Sends an item again after a pause, unless its job's time is over by then.
    pub fn postpone(&mut self, ticket: Ticket, pause: Duration, otherwise: NodeReason) {
        let due = self.now.instant + pause;
        if due >= self.jobs[ticket.job as usize].deadline {
            self.give_up(ticket, otherwise);
        } else if pause.is_zero() {
            self.again.push_back(ticket);
        } else {
            self.later.push(Reverse((due, ticket)));
        }
    }

    /// Moves what is due into the queue, and gives the jobs whose time is over: what of them was not written has ended,
    /// the rest is for the connections to cancel.
    pub fn on_time(&mut self) -> Vec<u32> {
        while let Some(Reverse((due, ticket))) = self.later.peek().copied() {
            if due > self.now.instant {
                break;
            }
            self.later.pop();
            self.again.push_back(ticket);
        }
        let mut over = Vec::new();
        while let Some(&(deadline, job)) = self.deadlines.first() {
            if deadline > self.now.instant {
                break;
            }
            self.deadlines.pop_first();
            self.end_waiting(job, NodeReason::DeadlinePassed);
            if self.jobs.contains(job as usize) {
                over.push(job);
            }
        }
        over
    }

    /// Ends all items that are not on a connection now: nothing can be sent.
    pub fn fail_waiting(&mut self, why: NodeReason) {
        let jobs: Vec<u32> = self.jobs.iter().map(|(id, _)| id as u32).collect();
        jobs.into_iter().for_each(|job| self.end_waiting(job, why));
    }

    fn end_waiting(&mut self, job: u32, why: NodeReason) {
        let mut waiting: Vec<Ticket> = Vec::new();
        self.again.retain(|ticket| {
            ticket.job != job || {
                waiting.push(*ticket);
                false
            }
        });
        self.later.retain(|Reverse((_, ticket))| {
            ticket.job != job || {
                waiting.push(*ticket);
                false
            }
        });
        self.fresh.retain(|id| *id != job);
        while let Some(item) = self.jobs[job as usize].fresh() {
            self.jobs[job as usize].begin();
            waiting.push(Ticket { job, item, attempts: 0 });
        }
        for ticket in waiting {
            self.give_up(ticket, why);
        }
    }

    /// When [`Self::on_time`] has something to do.
    pub fn next_time(&self) -> Option<Instant> {
        let later = self.later.peek().map(|Reverse((due, _))| *due);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        [later, deadline].into_iter().flatten().min()
    }
}
