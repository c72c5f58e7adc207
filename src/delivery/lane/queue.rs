//! The queue of a lane: its jobs, the order in which their items are sent, and the times at which items and jobs are
//! due. Pure.
//!
//! An item waits in one of three places: among the fresh items of its job, among the items to send again, or among the
//! postponed items. Items that are held for one connection wait in [`super::routes`]. Items to send again go out before
//! fresh ones; fresh ones go out in the order in which their jobs arrived.

use crate::delivery::job::{ItemRef, Job};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::ops::{Index, IndexMut};
use tokio::time::Instant;

/// The jobs of a lane, and their items that wait.
#[derive(Default)]
pub struct Queue {
    jobs: slab::Slab<Job>,
    /// Jobs with items that no attempt was made for, in order of arrival.
    fresh: VecDeque<u32>,
    /// Items to be sent again as soon as possible, before anything fresh.
    again: VecDeque<ItemRef>,
    postponed: BinaryHeap<Reverse<(Instant, ItemRef)>>,
    deadlines: BTreeSet<(Instant, u32)>,
}

impl Queue {
    /// Appends a job that has items to send.
    pub fn push(&mut self, job: Job) {
        let deadline = job.deadline;
        let id = u32::try_from(self.jobs.insert(job)).expect("fewer than 2^32 jobs fit into memory");
        self.fresh.push_back(id);
        self.deadlines.insert((deadline, id));
    }

    /// Removes a job that has no item left.
    pub fn remove(&mut self, id: u32) -> Job {
        let job = self.jobs.remove(id as usize);
        self.deadlines.remove(&(job.deadline, id));
        job
    }

    /// True if no job is left.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// True if this job is not finished.
    pub fn contains(&self, id: u32) -> bool {
        self.jobs.contains(id as usize)
    }

    /// The item to send next.
    pub fn front(&self) -> Option<ItemRef> {
        if let Some(&item_ref) = self.again.front() {
            return Some(item_ref);
        }
        let job = *self.fresh.front()?;
        Some(ItemRef::fresh(job, self[job].fresh()?))
    }

    /// Takes the item of [`Self::front`] out.
    pub fn pop_front(&mut self) {
        if self.again.pop_front().is_some() {
            return;
        }
        let Some(&id) = self.fresh.front() else { return };
        let job = &mut self[id];
        job.begin();
        if job.fresh().is_none() {
            self.fresh.pop_front();
        }
    }

    /// Appends an item to those that are sent again before anything fresh.
    pub fn push_again(&mut self, item_ref: ItemRef) {
        self.again.push_back(item_ref);
    }

    /// Puts items in front of everything that waits, in their order.
    pub fn put_back(&mut self, item_refs: Vec<ItemRef>) {
        item_refs.into_iter().rev().for_each(|item_ref| self.again.push_front(item_ref));
    }

    /// Sends an item again at `due`.
    pub fn postpone(&mut self, item_ref: ItemRef, due: Instant) {
        self.postponed.push(Reverse((due, item_ref)));
    }

    /// The earliest time at which an item or a job is due.
    pub fn next_time(&self) -> Option<Instant> {
        let postponed = self.postponed.peek().map(|Reverse((due, _))| *due);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        postponed.into_iter().chain(deadline).min()
    }

    /// Moves postponed items that are due to those that are sent again.
    pub fn release_due(&mut self, now: Instant) {
        while let Some(Reverse((due, item_ref))) = self.postponed.peek().copied() {
            if due > now {
                break;
            }
            self.postponed.pop();
            self.again.push_back(item_ref);
        }
    }

    /// Returns the jobs whose deadline has come, sorted by id. Each job is returned once.
    pub fn take_late(&mut self, now: Instant) -> Vec<u32> {
        let mut late = Vec::new();
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            late.push(id);
        }
        late.sort_unstable();
        late
    }

    /// Moves the deadline of every job to now.
    pub fn force_deadlines(&mut self, now: Instant) {
        for (_, id) in std::mem::take(&mut self.deadlines) {
            self[id].deadline = now;
            self.deadlines.insert((now, id));
        }
    }

    /// Takes out all items that could be sent now.
    pub fn drain_sendable(&mut self, into: &mut Vec<ItemRef>) {
        into.extend(self.again.drain(..));
        for id in std::mem::take(&mut self.fresh) {
            self.drain_fresh(id, into);
        }
    }

    /// Takes out all postponed items, in no order.
    pub fn drain_postponed(&mut self, into: &mut Vec<ItemRef>) {
        into.extend(self.postponed.drain().map(|Reverse((_, item_ref))| item_ref));
    }

    /// Takes out all items of these jobs, which are sorted. Each part of the queue is looked through once, however many
    /// jobs wait in it.
    pub fn drain_jobs(&mut self, ids: &[u32], into: &mut Vec<ItemRef>) {
        let is_chosen = |id: u32| ids.binary_search(&id).is_ok();
        let mut stays = |item_ref: &ItemRef| {
            into.extend(is_chosen(item_ref.job).then_some(*item_ref));
            !is_chosen(item_ref.job)
        };
        self.again.retain(&mut stays);
        self.postponed.retain(|Reverse((_, item_ref))| stays(item_ref));
        let mut fresh = ids.iter().filter(|id| self[**id].fresh().is_some()).count();
        // Jobs that came first mostly are late first.
        while let Some(id) = self.fresh.pop_front_if(|id| is_chosen(*id)) {
            fresh -= usize::from(self[id].fresh().is_some());
        }
        if fresh > 0 {
            self.fresh.retain(|id| !is_chosen(*id));
        }
        ids.iter().for_each(|id| self.drain_fresh(*id, into));
    }

    fn drain_fresh(&mut self, id: u32, into: &mut Vec<ItemRef>) {
        let job = &mut self[id];
        while let Some(item) = job.fresh() {
            job.begin();
            into.push(ItemRef::fresh(id, item));
        }
    }
}

impl Index<u32> for Queue {
    type Output = Job;

    fn index(&self, id: u32) -> &Job {
        &self.jobs[id as usize]
    }
}

impl IndexMut<u32> for Queue {
    fn index_mut(&mut self, id: u32) -> &mut Job {
        &mut self.jobs[id as usize]
    }
}

#[cfg(test)]
mod tests;
