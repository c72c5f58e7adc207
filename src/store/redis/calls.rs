//! The numbers of a writer's calls, so that a repeat of a call that timed out does not take effect twice.

use crate::model::Records;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Numbers the calls of one writer. Records keep their numbers until they are stored, or dropped by their owner.
#[derive(Debug)]
pub(super) struct Calls {
    /// Unlike the name of any other writer.
    pub writer: String,
    state: Mutex<State>,
}

/// The name of the calls that store some records. A repeat under the same name, by any process, stores nothing twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallName {
    pub writer: String,
    pub first: u64,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// By the address of the records. A [`Weak`] keeps the address from being given to others.
    unresolved: HashMap<usize, Unresolved>,
    firsts: BTreeSet<u64>,
    /// The number of unresolved calls at which those whose records are gone are searched for.
    sweep_at: usize,
}

#[derive(Debug)]
struct Unresolved {
    first: u64,
    records: Weak<Records>,
}

/// The numbers of the calls that store some records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub first: u64,
    /// The lowest number that the writer may use again.
    pub lowest: u64,
}

impl Calls {
    pub fn new() -> Self {
        Self { writer: format!("{:032x}", fastrand::u128(..)), state: Mutex::default() }
    }

    /// Numbers for `count` calls: those that these records had before, if they were not stored then.
    pub fn begin(&self, records: &Arc<Records>, count: usize) -> Numbers {
        let mut state = self.state();
        if state.unresolved.len() >= state.sweep_at {
            state.sweep();
        }
        let first = match state.unresolved.get(&address(records)) {
            Some(again) => again.first,
            None => state.add(records, count as u64),
        };
        let lowest = state.firsts.first().copied().unwrap_or(first);
        Numbers { first, lowest }
    }

    /// Keeps the number of these calls usable after their records are dropped, until [`Self::release`].
    pub fn hold(&self, records: &Arc<Records>, first: u64) {
        let mut state = self.state();
        state.unresolved.remove(&address(records));
        state.firsts.insert(first);
    }

    /// Ends [`Self::hold`].
    pub fn release(&self, first: u64) {
        self.state().firsts.remove(&first);
    }

    /// The lowest number that the writer may use again; `None` if it repeats no call.
    pub fn lowest(&self) -> Option<u64> {
        self.state().firsts.first().copied()
    }

    /// The records are stored, and are not sent again.
    pub fn end(&self, records: &Arc<Records>) {
        let mut state = self.state();
        if let Some(Unresolved { first, .. }) = state.unresolved.remove(&address(records)) {
            state.firsts.remove(&first);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, records: &Arc<Records>, count: u64) -> u64 {
        let first = self.next;
        self.next += count;
        self.unresolved.insert(address(records), Unresolved { first, records: Arc::downgrade(records) });
        self.firsts.insert(first);
        first
    }

    fn sweep(&mut self) {
        let firsts = &mut self.firsts;
        self.unresolved.retain(|_, call| call.records.strong_count() > 0 || !firsts.remove(&call.first));
        self.sweep_at = 2 * self.unresolved.len() + 64;
    }
}

fn address(records: &Arc<Records>) -> usize {
    Arc::as_ptr(records) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_numbers_until_they_are_stored() {
        let calls = Calls::new();
        let [one, two] = [(); 2].map(|()| Arc::new(Records::default()));
        assert_eq!(calls.begin(&one, 3), Numbers { first: 0, lowest: 0 });
        assert_eq!(calls.begin(&two, 1), Numbers { first: 3, lowest: 0 });
        calls.end(&two);
        assert_eq!(calls.begin(&two, 1), Numbers { first: 4, lowest: 0 }, "a second cause, in the same memory");
        assert_eq!(calls.begin(&one, 3), Numbers { first: 0, lowest: 0 }, "a repeat");
        calls.end(&one);
        assert_eq!(calls.begin(&one, 3), Numbers { first: 5, lowest: 4 });
    }

    #[test]
    fn a_held_number_stays_the_lowest_until_it_is_released() {
        let calls = Calls::new();
        let held = Arc::new(Records::default());
        let first = calls.begin(&held, 1).first;
        calls.hold(&held, first);
        drop(held);
        for _ in 0..200 {
            assert_eq!(calls.begin(&Arc::new(Records::default()), 1).lowest, first);
        }
        calls.release(first);
        assert!(calls.lowest() > Some(first));
    }

    #[test]
    fn records_that_their_owner_dropped_are_forgotten() {
        let calls = Calls::new();
        for _ in 0..10_000 {
            calls.begin(&Arc::new(Records::default()), 1);
            assert!(calls.state().unresolved.len() <= 64);
        }
        let last = Arc::new(Records::default());
        assert!(calls.begin(&last, 1).lowest >= 10_000 - 64);
        assert_ne!(calls.writer, Calls::new().writer);
    }
}
