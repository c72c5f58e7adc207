//! The bound on a lane's throughput, and the time spent under each bound. Pure: time is an argument.

use std::time::Duration;
use tokio::time::Instant;

/// The bound on a lane's throughput now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// Nothing waits: the callers send less than the lane could.
    #[default]
    Caller,
    /// Apple's limit of open requests is reached.
    Streams,
    /// Apple's flow-control windows are used up.
    Window,
    /// Bytes wait for a socket, or notifications wait for a connection.
    Socket,
    /// The lane runs without a pause.
    Cpu,
}

impl Bound {
    pub const ALL: [Self; 5] = [Self::Caller, Self::Streams, Self::Window, Self::Socket, Self::Cpu];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Streams => "streams",
            Self::Window => "window",
            Self::Socket => "socket",
            Self::Cpu => "cpu",
        }
    }
}

/// The time under each bound, in the order of [`Bound::ALL`].
pub type Times = [Duration; Bound::ALL.len()];

/// The bound with the most time; [`Bound::Caller`] if no time has passed.
pub fn most(times: &Times) -> Bound {
    let most = Bound::ALL.into_iter().max_by_key(|bound| times[*bound as usize]);
    most.filter(|most| !times[*most as usize].is_zero()).unwrap_or_default()
}

/// The window of the current bound, which is computed over this window and the one before.
const RECENT_HALF: Duration = Duration::from_millis(500);

/// The account of a lane's time, by bound.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    now: Bound,
    since: Instant,
    total: Times,
    /// The totals at the start of the current half second and of the one before it.
    halves: [Times; 2],
    half_began: Instant,
}

impl Account {
    pub fn new(now: Instant) -> Self {
        let none = Times::default();
        Self { now: Bound::Caller, since: now, total: none, halves: [none; 2], half_began: now }
    }

    /// Adds the time up to now to the current bound.
    pub fn elapse(&mut self, now: Instant) {
        self.total[self.now as usize] += now.saturating_duration_since(self.since);
        self.since = now;
        let past = now.saturating_duration_since(self.half_began);
        if past >= RECENT_HALF {
            let before = if past < 2 * RECENT_HALF { self.halves[0] } else { self.total };
            (self.halves, self.half_began) = ([self.total, before], now);
        }
    }

    /// Sets the bound that applies from the last [`Self::elapse`] on.
    pub fn set_current(&mut self, bound: Bound) {
        self.now = bound;
    }

    /// The time under each bound in the last half to whole second. If none has passed yet, the current bound gets the
    /// minimum.
    pub fn recent(&self) -> Times {
        let mut recent = Bound::ALL.map(|bound| self.total[bound as usize] - self.halves[1][bound as usize]);
        if recent.iter().all(Duration::is_zero) {
            recent[self.now as usize] = Duration::from_nanos(1);
        }
        recent
    }

    /// The bound with the most recent time.
    pub fn most(&self) -> Bound {
        most(&self.recent())
    }

    /// The total time under each bound.
    pub fn total(&self) -> Times {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn time_counts_for_the_bound_at_the_end_of_the_previous_round() {
        let start = Instant::now();
        let mut account = Account::new(start);
        account.elapse(start + 10 * MILLISECOND);
        account.set_current(Bound::Streams);
        account.elapse(start + 40 * MILLISECOND);
        account.set_current(Bound::Cpu);
        account.elapse(start + 41 * MILLISECOND);
        let expected = [10 * MILLISECOND, 30 * MILLISECOND, Duration::ZERO, Duration::ZERO, MILLISECOND];
        assert_eq!(account.total(), expected);
        assert_eq!(account.most(), Bound::Streams);
    }

    #[test]
    fn only_about_the_last_second_counts_for_the_current_bound() {
        let start = Instant::now();
        let mut account = Account::new(start);
        account.set_current(Bound::Window);
        for round in 1..=100 {
            account.elapse(start + round * 10 * MILLISECOND);
        }
        account.set_current(Bound::Socket);
        for round in 101..=140 {
            account.elapse(start + round * 10 * MILLISECOND);
        }
        assert_eq!(account.most(), Bound::Window);
        for round in 141..=200 {
            account.elapse(start + round * 10 * MILLISECOND);
        }
        assert_eq!(account.most(), Bound::Socket);
    }

    #[test]
    fn a_long_wait_counts_for_its_bound() {
        let start = Instant::now();
        let mut account = Account::new(start);
        assert_eq!((account.most(), most(&Times::default())), (Bound::Caller, Bound::Caller));
        account.set_current(Bound::Cpu);
        assert_eq!(account.most(), Bound::Cpu, "before any time has passed");
        account.elapse(start + 900 * MILLISECOND);
        account.set_current(Bound::Streams);
        account.elapse(start + 9000 * MILLISECOND);
        assert_eq!(account.most(), Bound::Streams);
        account.set_current(Bound::Caller);
        account.elapse(start + 9001 * MILLISECOND);
        account.elapse(start + 3600 * 1000 * MILLISECOND);
        assert_eq!(account.most(), Bound::Caller);
    }
}
