//! Ends items without sending them: late items, items of a stopped app, and items that a shutdown cuts off.

use super::Work;
use crate::delivery::job::ItemRef;
use crate::model::NodeReason;

impl Work {
    /// Moves the deadline of every job to now.
    pub fn force_finish(&mut self) {
        self.is_forced = true;
        self.queue.force_deadlines(self.now.instant);
    }

    /// Moves due items into the queue, and returns the jobs whose deadline has passed. Their unwritten items have
    /// ended; the connections must cancel the others.
    pub fn on_time(&mut self) -> Vec<u32> {
        self.health.on_time(self.now.instant);
        self.queue.release_due(self.now.instant);
        let mut late = self.queue.take_late(self.now.instant);
        if !late.is_empty() {
            self.end_waiting(&late);
            late.retain(|job| self.queue.contains(*job));
        }
        late
    }

    /// While the app is stopped, ends all items that are not on a connection, except the next probe.
    pub fn end_what_is_stopped(&mut self) {
        let Some(why) = self.health.reason() else { return };
        let mut waiting = self.withdraw();
        if self.health.is_shut(self.now.instant) {
            self.queue.drain_postponed(&mut waiting);
        } else if !waiting.is_empty() {
            self.queue.push_again(waiting.remove(0));
        }
        self.fail_all_unsent(waiting, why);
    }

    /// Ends all items that are not on a connection: nothing can be sent, not even a probe.
    pub fn end_all(&mut self, why: NodeReason) {
        let mut waiting = self.withdraw();
        self.queue.drain_postponed(&mut waiting);
        self.fail_all_unsent(waiting, why);
    }

    /// Takes the items that could be sent now.
    fn withdraw(&mut self) -> Vec<ItemRef> {
        let mut waiting = self.routes.withdraw(|_| true);
        self.queue.drain_sendable(&mut waiting);
        waiting
    }

    /// Ends the items of these sorted jobs that are not on a connection: their deadline has passed.
    fn end_waiting(&mut self, late: &[u32]) {
        let mut waiting = self.routes.withdraw(|item_ref| late.binary_search(&item_ref.job).is_ok());
        self.queue.drain_jobs(late, &mut waiting);
        let why = match (self.is_forced, self.lacks_descriptors) {
            (true, _) => NodeReason::ShuttingDown,
            (false, true) => NodeReason::NoDescriptors,
            (false, false) => NodeReason::DeadlinePassed,
        };
        self.fail_all_unsent(waiting, why);
    }

    fn fail_all_unsent(&mut self, item_refs: Vec<ItemRef>, why: NodeReason) {
        item_refs.into_iter().for_each(|item_ref| self.fail_unsent(item_ref, why));
    }
}
