//! Ends items without sending them: late items, items of a stopped app, and items that a shutdown cuts off.

use super::Work;
use crate::delivery::job::ItemRef;
use crate::model::NodeReason;
use std::cmp::Reverse;

impl Work {
    /// Moves the deadline of every job to now.
    pub fn force_finish(&mut self) {
        self.is_forced = true;
        for (_, id) in std::mem::take(&mut self.deadlines) {
            self.jobs[id as usize].deadline = self.now.instant;
            self.deadlines.insert((self.now.instant, id));
        }
    }

    /// Moves due items into the queue, and returns the jobs whose deadline has passed. Their unwritten items have
    /// ended; the connections must cancel the others.
    pub fn on_time(&mut self) -> Vec<u32> {
        self.health.on_time(self.now.instant);
        while let Some(Reverse((due, item_ref))) = self.later.peek().copied() {
            if due > self.now.instant {
                break;
            }
            self.later.pop();
            self.again.push_back(item_ref);
        }
        let mut late = Vec::new();
        while let Some(&(deadline, job)) = self.deadlines.first() {
            if deadline > self.now.instant {
                break;
            }
            self.deadlines.pop_first();
            late.push(job);
        }
        if !late.is_empty() {
            late.sort_unstable();
            self.end_waiting(&late);
            late.retain(|job| self.jobs.contains(*job as usize));
        }
        late
    }

    /// While the app is stopped, ends all items that are not on a connection, except the next probe.
    pub fn end_what_is_stopped(&mut self) {
        let Some(why) = self.health.reason() else { return };
        let mut waiting = self.withdraw();
        if self.health.is_shut(self.now.instant) {
            waiting.extend(self.later.drain().map(|Reverse((_, item_ref))| item_ref));
        } else if !waiting.is_empty() {
            self.again.push_back(waiting.remove(0));
        }
        waiting.into_iter().for_each(|item_ref| self.fail_unsent(item_ref, why));
    }

    /// Ends all items that are not on a connection: nothing can be sent, not even a probe.
    pub fn end_all(&mut self, why: NodeReason) {
        let mut waiting = self.withdraw();
        waiting.extend(self.later.drain().map(|Reverse((_, item_ref))| item_ref));
        waiting.into_iter().for_each(|item_ref| self.fail_unsent(item_ref, why));
    }

    /// Takes the items that could be sent now.
    fn withdraw(&mut self) -> Vec<ItemRef> {
        let mut waiting = self.routes.withdraw(|_| true);
        waiting.extend(self.again.drain(..));
        for job in std::mem::take(&mut self.fresh) {
            self.drain_fresh(job, &mut waiting);
        }
        waiting
    }

    /// Ends the items of these sorted jobs that are not on a connection: their deadline has passed. Scans each queue
    /// once for all jobs.
    fn end_waiting(&mut self, late: &[u32]) {
        let is_late = |job: u32| late.binary_search(&job).is_ok();
        let mut waiting = self.routes.withdraw(|item_ref| is_late(item_ref.job));
        let mut stays = |item_ref: &ItemRef| {
            waiting.extend(is_late(item_ref.job).then_some(*item_ref));
            !is_late(item_ref.job)
        };
        self.again.retain(&mut stays);
        self.later.retain(|Reverse((_, item_ref))| stays(item_ref));
        let mut fresh = late.iter().filter(|job| self.jobs[**job as usize].fresh().is_some()).count();
        // Jobs that arrived first are usually late first.
        while let Some(job) = self.fresh.pop_front_if(|job| is_late(*job)) {
            fresh -= usize::from(self.jobs[job as usize].fresh().is_some());
        }
        if fresh > 0 {
            self.fresh.retain(|job| !is_late(*job));
        }
        late.iter().for_each(|job| self.drain_fresh(*job, &mut waiting));
        let why = match (self.is_forced, self.lacks_descriptors) {
            (true, _) => NodeReason::ShuttingDown,
            (false, true) => NodeReason::NoDescriptors,
            (false, false) => NodeReason::DeadlinePassed,
        };
        waiting.into_iter().for_each(|item_ref| self.fail_unsent(item_ref, why));
    }

    fn drain_fresh(&mut self, id: u32, into: &mut Vec<ItemRef>) {
        let job = &mut self.jobs[id as usize];
        while let Some(item) = job.fresh() {
            job.begin();
            into.push(ItemRef::fresh(id, item));
        }
    }
}
