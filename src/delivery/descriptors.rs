//! The file descriptors that connections to Apple may take, shared by all lanes of the node. Pure: time is an argument.
//!
//! A lane asks with a [`Claim`] and gets a [`ConnectionPermit`] for each connection, from the lookup of the gateway's
//! name until the socket is closed. If none is left, the least recently used idle connection of any app is asked to close, and the
//! lane waits in a queue. A free place goes to the first lane of the queue, and only that lane is woken. While no lane
//! waits, a connection touches no shared state.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// The minimum interval between log lines about a shortage.
const NEWS_EVERY: Duration = Duration::from_secs(60);

/// A lane's reason to want a connection; the queue serves them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Work waits, and no connection of the lane accepts it.
    First,
    /// Work waits, because all connections of the lane are full.
    More,
}

/// The use of a connection by its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// It has or gets work, and is the lane's only connection.
    Busy,
    /// It has or gets work, and its lane has other connections: it may be asked to finish for a lane without any.
    Spare,
    /// It has no work since this time.
    Idle(Instant),
}

const BUSY: u64 = 0;
const SPARE: u64 = 1;

/// The budget. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Descriptors(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The start of the time in [`Usage::Idle`].
    began: Instant,
    /// A lane waits, and no connection that was asked to close will serve it.
    is_short: AtomicBool,
    /// No permit is left for a lane outside the queue.
    is_used_up: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    max: usize,
    connections: slab::Slab<Connection>,
    /// The number of connections that were asked to close.
    closing: usize,
    waiting: BTreeMap<QueuePosition, Waker>,
    next_number: u64,
    reclaimed: u64,
    last_news: Option<Instant>,
}

type QueuePosition = (Need, u64);

#[derive(Debug)]
struct Connection {
    signs: Arc<Signs>,
    lane: Waker,
}

/// The shared state of a lane and the budget about a connection.
#[derive(Debug, Default)]
struct Signs {
    /// [`BUSY`], [`SPARE`], or the start of the idle time in milliseconds plus 2.
    usage: AtomicU64,
    is_asked: AtomicBool,
}

/// The budget's numbers, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// `None` = no limit.
    pub max: Option<usize>,
    pub used: usize,
    /// The number of lanes in the queue.
    pub waiting: usize,
    /// The number of connections closed for other lanes.
    pub reclaimed: u64,
}

impl Descriptors {
    /// Creates a budget of `max` connections, at least one.
    pub fn new(max: usize, now: Instant) -> Self {
        let state = State {
            max: max.max(1),
            connections: slab::Slab::new(),
            closing: 0,
            waiting: BTreeMap::new(),
            next_number: 0,
            reclaimed: 0,
            last_news: None,
        };
        let (is_short, is_used_up) = (AtomicBool::new(false), AtomicBool::new(false));
        Self(Arc::new(Shared { began: now, is_short, is_used_up, state: Mutex::new(state) }))
    }

    /// Creates a budget without a limit.
    pub fn unlimited(now: Instant) -> Self {
        Self::new(usize::MAX, now)
    }

    /// Creates a lane's claim.
    pub fn claim(&self) -> Claim {
        Claim { budget: self.clone(), position: None }
    }

    pub fn counts(&self) -> Counts {
        let state = self.0.lock();
        let max = (state.max < usize::MAX).then_some(state.max);
        let (used, waiting) = (state.connections.len(), state.waiting.len());
        Counts { max, used, waiting, reclaimed: state.reclaimed }
    }

    /// Returns true at most once a minute, if lanes wait and no connection is idle: the time to log it.
    #[must_use]
    pub fn is_news(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        let is_news = state.last_news.is_none_or(|last| now >= last + NEWS_EVERY);
        if is_news {
            state.last_news = Some(now);
        }
        is_news
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks connections to close for lanes that wait. Call it after every change of the state.
    fn provide(&self, state: &mut State) {
        if state.is_short() {
            // Set before usages are read: a lane that changes its usage later sees it and calls.
            self.is_short.store(true, Ordering::SeqCst);
            while state.is_short() && state.ask_one() {}
        }
        self.is_short.store(state.is_short(), Ordering::SeqCst);
        self.is_used_up.store(state.free() == 0 || !state.waiting.is_empty(), Ordering::Relaxed);
    }
}

impl State {
    fn free(&self) -> usize {
        self.max.saturating_sub(self.connections.len())
    }

    fn is_short(&self) -> bool {
        self.free() + self.closing < self.waiting.len()
    }

    /// Returns true if it is the turn of the lane at this position of the queue.
    fn may_take(&self, position: &QueuePosition) -> bool {
        self.waiting.keys().take(self.free()).any(|first| first == position)
    }

    /// Asks the least needed connection to close. Returns false if there is none.
    fn ask_one(&mut self) -> bool {
        let firsts = self.waiting.keys().take_while(|(need, _)| *need == Need::First).count();
        let may_be_spare = self.free() + self.closing < firsts;
        let missed = self.connections.iter().filter_map(|(_, connection)| {
            let usage = connection.signs.usage.load(Ordering::SeqCst);
            let is_asked = connection.signs.is_asked.load(Ordering::Relaxed);
            let may_be_asked = !is_asked && usage != BUSY && (usage != SPARE || may_be_spare);
            // Idle connections first, the longest idle before the others.
            may_be_asked.then_some((usage == SPARE, usage, connection))
        });
        let Some((_, _, chosen)) = missed.min_by_key(|(is_spare, usage, _)| (*is_spare, *usage)) else { return false };
        chosen.signs.is_asked.store(true, Ordering::Relaxed);
        chosen.lane.wake_by_ref();
        self.closing += 1;
        true
    }

    /// Wakes the lanes whose turn it is.
    fn wake(&self) {
        self.waiting.values().take(self.free()).for_each(Waker::wake_by_ref);
    }
}

/// A lane's request for one connection at a time. Dropping it leaves the queue.
#[derive(Debug)]
pub struct Claim {
    budget: Descriptors,
    position: Option<QueuePosition>,
}

impl Claim {
    /// Returns a permit, or enters the queue: the lane is then woken when it is its turn. One task must poll the claim
    /// and use the permits.
    pub fn poll(&mut self, cx: &mut Context<'_>, need: Need) -> Poll<ConnectionPermit> {
        let shared = &self.budget.0;
        let mut state = shared.lock();
        if let Some(other) = self.position.take_if(|(queued, _)| *queued != need) {
            state.waiting.remove(&other);
        }
        let is_new = self.position.is_none();
        let position = *self.position.get_or_insert_with(|| {
            state.next_number += 1;
            (need, state.next_number)
        });
        if is_new {
            state.waiting.insert(position, cx.waker().clone());
        }
        if state.may_take(&position) {
            state.waiting.remove(&position);
            self.position = None;
            return Poll::Ready(self.grant(&mut state, cx));
        }
        if is_new {
            shared.provide(&mut state);
        }
        Poll::Pending
    }

    /// Returns a permit if one is left and no lane waits for it.
    pub fn try_take(&mut self, cx: &mut Context<'_>) -> Option<ConnectionPermit> {
        let mut state = self.budget.0.lock();
        (state.free() > 0 && state.waiting.is_empty()).then(|| self.grant(&mut state, cx))
    }

    fn grant(&self, state: &mut State, cx: &mut Context<'_>) -> ConnectionPermit {
        let signs = Arc::new(Signs::default());
        let number = state.connections.insert(Connection { signs: Arc::clone(&signs), lane: cx.waker().clone() });
        self.budget.0.provide(state);
        ConnectionPermit { budget: self.budget.clone(), number, signs, shown: BUSY }
    }

    /// Withdraws the request.
    pub fn withdraw(&mut self) {
        let Some(position) = self.position.take() else { return };
        let mut state = self.budget.0.lock();
        state.waiting.remove(&position);
        state.wake();
        self.budget.0.provide(&mut state);
    }

    /// Returns true while the lane is in the queue.
    pub fn is_waiting(&self) -> bool {
        self.position.is_some()
    }

    /// Returns true if no permit is left for lanes outside the queue.
    pub fn is_used_up(&self) -> bool {
        self.budget.0.is_used_up.load(Ordering::Relaxed)
    }

    /// Returns true if a lane waits and no connection can be asked to close for it.
    pub fn is_short(&self) -> bool {
        self.budget.0.is_short.load(Ordering::Relaxed)
    }

    pub fn budget(&self) -> &Descriptors {
        &self.budget
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// The permit for a connection. Drop it after the socket is closed.
#[derive(Debug)]
pub struct ConnectionPermit {
    budget: Descriptors,
    number: usize,
    signs: Arc<Signs>,
    shown: u64,
}

impl ConnectionPermit {
    /// Publishes the connection's usage; a new connection is busy. Returns true if it must be closed now for another
    /// lane. A connection that got work after it was asked stays, and another one is asked.
    #[must_use]
    pub fn must_close(&mut self, usage: Usage) -> bool {
        let shared = &self.budget.0;
        let code = match usage {
            Usage::Busy => BUSY,
            Usage::Spare => SPARE,
            Usage::Idle(since) => since.saturating_duration_since(shared.began).as_millis() as u64 + SPARE + 1,
        };
        if code != self.shown {
            self.shown = code;
            self.signs.usage.store(code, Ordering::SeqCst);
            if code != BUSY && shared.is_short.load(Ordering::SeqCst) {
                shared.provide(&mut shared.lock());
            }
        }
        if !self.signs.is_asked.load(Ordering::Relaxed) {
            return false;
        }
        if code == BUSY {
            let mut state = shared.lock();
            self.signs.is_asked.store(false, Ordering::Relaxed);
            state.closing -= 1;
            shared.provide(&mut state);
        }
        code != BUSY
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut state = self.budget.0.lock();
        state.connections.remove(self.number);
        if self.signs.is_asked.load(Ordering::Relaxed) {
            state.closing -= 1;
            state.reclaimed += 1;
        }
        state.wake();
        self.budget.0.provide(&mut state);
    }
}

#[cfg(test)]
mod tests;
