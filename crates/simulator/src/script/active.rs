//! The current script, with counters that make its faults exact over all connections.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::guard::Guard;
use super::{Act, ConnectionAct, ConnectionFault, Fault, Script, Shut};
use crate::rules::{Push, TokenRates};
use crate::tokens::Tokens;

/// The plan that every connection obeys: the script in force and the listed tokens.
#[derive(Clone)]
pub struct Plan {
    pub script: Arc<ActiveScript>,
    pub tokens: Arc<Tokens>,
    /// Number of scripts before this one.
    pub number: u64,
}

/// A script and its progress.
pub struct ActiveScript {
    pub script: Script,
    pub rates: Option<TokenRates>,
    pub channel_rates: Option<TokenRates>,
    since: Instant,
    requests: AtomicU64,
    endings: AtomicU64,
    faults: Vec<FaultCount>,
    sockets: AtomicU64,
    connections: Vec<FaultCount>,
    guard: Option<Guard>,
}

/// The connection and stream of a request.
#[derive(Debug, Clone, Copy)]
pub struct StreamPosition {
    pub connection: u64,
    pub stream: u32,
}

#[derive(Default)]
struct FaultCount {
    picked: AtomicU64,
    applied: AtomicU64,
}

impl ActiveScript {
    pub fn new(script: Script) -> Self {
        Self {
            rates: script.token_rate.map(TokenRates::new),
            channel_rates: script.channel_rate.map(TokenRates::new),
            since: Instant::now(),
            requests: AtomicU64::new(0),
            endings: AtomicU64::new(0),
            faults: script.faults.iter().map(|_| FaultCount::default()).collect(),
            sockets: AtomicU64::new(0),
            connections: script.connections.iter().map(|_| FaultCount::default()).collect(),
            guard: script.connect_rate.map(Guard::new),
            script,
        }
    }

    /// The number of this request among all that the simulator processed under the script, from 1.
    pub fn count_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes one of the endings the script allows; `false` when all have been used.
    pub fn take_ending(&self) -> bool {
        count_up_to(&self.endings, self.script.goaway.as_ref().and_then(|goaway| goaway.times))
    }

    /// The fault to apply to a request, if any. Each call counts as one request.
    pub fn fault(&self, push: &Push<'_>, position: StreamPosition, random: &mut fastrand::Rng) -> Option<&Act> {
        self.pick(push, position, random, false)
    }

    /// The fault to apply to a request of which only the headers have arrived.
    pub fn early_fault(&self, push: &Push<'_>, position: StreamPosition, random: &mut fastrand::Rng) -> Option<&Act> {
        self.pick(push, position, random, true)
    }

    fn pick(&self, push: &Push<'_>, position: StreamPosition, random: &mut fastrand::Rng, early: bool) -> Option<&Act> {
        if self.faults.is_empty() {
            return None;
        }
        let mut candidates = self.script.faults.iter().zip(&self.faults);
        candidates
            .find(|(fault, count)| {
                matches!(fault.act, Act::EarlyAnswer { .. }) == early
                    && self.picks(fault, count, push, position, random)
            })
            .map(|(fault, _)| &fault.act)
    }

    /// Returns the fault of a connection from `source` that `listener` just accepted, and `true` if it is because the
    /// source connects too often. Each call counts as one connection.
    pub fn connection_fault(&self, listener: usize, source: IpAddr) -> (Option<ConnectionAct>, bool) {
        if let Some(act) = self.guard.as_ref().and_then(|guard| guard.blocks(source, Instant::now())) {
            return (Some(act), true);
        }
        let number = self.sockets.fetch_add(1, Ordering::Relaxed);
        let mut random = fastrand::Rng::with_seed(self.script.seed.wrapping_add(number));
        let mut candidates = self.script.connections.iter().zip(&self.connections);
        let picked = candidates.find(|(fault, count)| self.picks_connection(fault, count, listener, &mut random));
        (picked.map(|(fault, _)| fault.act.clone()), false)
    }

    fn picks_connection(
        &self,
        fault: &ConnectionFault,
        count: &FaultCount,
        listener: usize,
        random: &mut fastrand::Rng,
    ) -> bool {
        fault.listener.is_none_or(|wanted| wanted == listener)
            && self.is_within(fault.for_ms)
            && fault.percent.is_none_or(|percent| random.f64() * 100.0 < percent)
            && fault.every.is_none_or(|every| (count.picked.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(every))
            && count_up_to(&count.applied, fault.times)
    }

    /// Returns the current fault of `listener`, with its end if it has one.
    pub fn shut(&self, listener: usize) -> Option<(Shut, Option<Instant>)> {
        let mut faults = self.script.listeners.iter();
        let fault = faults
            .find(|fault| fault.listener.is_none_or(|wanted| wanted == listener) && self.is_within(fault.for_ms))?;
        Some((fault.state, fault.for_ms.map(|window| self.since + Duration::from_millis(window))))
    }

    fn is_within(&self, window_ms: Option<u64>) -> bool {
        window_ms.is_none_or(|window| self.since.elapsed() < Duration::from_millis(window))
    }

    fn picks(
        &self,
        fault: &Fault,
        count: &FaultCount,
        push: &Push<'_>,
        position: StreamPosition,
        random: &mut fastrand::Rng,
    ) -> bool {
        let of_token = |wanted: &String| push.device_token().is_some_and(|token| wanted.eq_ignore_ascii_case(token));
        fault.token.as_ref().is_none_or(of_token)
            && fault.call.is_none_or(|wanted| push.call() == Some(wanted))
            && fault.connection.is_none_or(|wanted| wanted == position.connection)
            && fault.stream.is_none_or(|wanted| wanted == position.stream)
            && self.is_within(fault.for_ms)
            && !(fault.after_ms.is_some() && self.is_within(fault.after_ms))
            && fault.percent.is_none_or(|percent| random.f64() * 100.0 < percent)
            && fault.every.is_none_or(|every| (count.picked.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(every))
            && count_up_to(&count.applied, fault.times)
    }
}

/// Counts one more unless the limit is reached.
fn count_up_to(counter: &AtomicU64, limit: Option<u64>) -> bool {
    let more = |taken| limit.is_none_or(|limit| taken < limit).then_some(taken + 1);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}
