//! An amount with a maximum, of which many take parts: bytes in flight, requests, connections, entries that wait.

use prometheus::IntGauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An amount that is limited. Nobody waits for a part of it: there is one now, or there is none.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    max: usize,
    /// Shows what is used.
    gauge: Option<IntGauge>,
}

impl Budget {
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max, gauge: None })
    }

    /// The same, with a gauge that shows the amount in use.
    pub fn shown_by(max: usize, gauge: IntGauge) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max, gauge: Some(gauge) })
    }

    /// A permit for nothing yet, to grow.
    pub fn empty_permit(self: &Arc<Self>) -> Permit {
        Permit { budget: Arc::clone(self), amount: 0 }
    }

    /// Takes `amount` if so much is left.
    pub fn try_acquire(self: &Arc<Self>, amount: usize) -> Option<Permit> {
        self.spend(amount, false).then(|| Permit { budget: Arc::clone(self), amount })
    }

    /// Takes `amount` if so much is left, or if nothing is in use: so that nothing is refused for ever because it is
    /// larger than the maximum.
    pub fn try_acquire_any_if_unused(self: &Arc<Self>, amount: usize) -> Option<Permit> {
        self.spend(amount, true).then(|| Permit { budget: Arc::clone(self), amount })
    }

    /// The amount in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// The amount that is left; 0 if more than the maximum is in use.
    pub fn left(&self) -> usize {
        self.max.saturating_sub(self.used())
    }

    fn spend(&self, amount: usize, any_if_unused: bool) -> bool {
        let spend = |used: usize| {
            let fits = used.checked_add(amount).is_some_and(|sum| sum <= self.max);
            (fits || (any_if_unused && used == 0)).then(|| used + amount)
        };
        let is_spent = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, spend).is_ok();
        if is_spent && let Some(gauge) = &self.gauge {
            gauge.add(amount as i64);
        }
        is_spent
    }
}

/// A part of a budget. Dropping it gives the part back.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    amount: usize,
}

impl Permit {
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Takes `more` in addition if so much is left. Returns false, and takes nothing, if it is not.
    #[must_use]
    pub fn try_grow(&mut self, more: usize) -> bool {
        let is_spent = self.budget.spend(more, false);
        if is_spent {
            self.amount += more;
        }
        is_spent
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.amount, Ordering::AcqRel);
        if let Some(gauge) = &self.budget.gauge {
            gauge.sub(self.amount as i64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_budget_gives_nothing_until_something_is_given_back() {
        let budget = Budget::new(100);
        let first = budget.try_acquire(60).expect("a permit");
        assert!(budget.try_acquire(41).is_none());
        assert!(budget.try_acquire(usize::MAX).is_none());
        let _second = budget.try_acquire(40).expect("a permit");
        drop(first);
        assert_eq!(budget.used(), 40);
    }

    #[test]
    fn an_unused_budget_gives_even_what_is_over_its_maximum_if_asked_so() {
        let budget = Budget::new(100);
        assert!(budget.try_acquire(101).is_none());
        let _large = budget.try_acquire_any_if_unused(1000).expect("nothing else is in use");
        assert!(budget.try_acquire_any_if_unused(1).is_none());
    }

    #[test]
    fn a_permit_grows_within_the_maximum_and_gives_all_of_it_back() {
        let gauge = IntGauge::new("used", "Used.").expect("a gauge");
        let budget = Budget::shown_by(100, gauge.clone());
        let mut permit = budget.try_acquire(10).expect("a permit");
        assert!(permit.try_grow(90) && !permit.try_grow(1));
        assert_eq!((permit.amount(), budget.used(), gauge.get()), (100, 100, 100));
        drop(permit);
        assert_eq!((budget.used(), gauge.get()), (0, 0));
    }
}
