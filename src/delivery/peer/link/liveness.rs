//! The check that a peer answers, and that its socket takes bytes. Pure: time is an argument.

use std::time::Duration;
use tokio::time::Instant;

/// Between two PINGs while an answer is awaited.
const PING_BUSY: Duration = Duration::from_millis(500);
/// Between two PINGs otherwise.
const PING_IDLE: Duration = Duration::from_secs(5);
/// A peer that is silent, or takes no bytes, for this long is unreachable: it gets nothing more. Callers get their answers
/// from a substitute within 1.5 seconds.
pub const UNREACHABLE_AFTER: Duration = Duration::from_millis(1400);
/// Its connection is closed after this.
pub const DEAD_AFTER: Duration = Duration::from_secs(3);

/// The finding about a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    Alive,
    Unreachable,
    Dead,
}

/// The times at which something was last heard, sent or taken on one connection.
#[derive(Debug, Clone, Copy)]
pub struct Liveness {
    last_heard: Instant,
    last_ping: Instant,
    /// Since when an answer has been awaited.
    awaiting_since: Option<Instant>,
    /// A PING without its PONG.
    is_pinged: bool,
    /// Since when bytes have waited of which the socket takes none.
    blocked_since: Option<Instant>,
}

impl Liveness {
    /// That of a connection that opens now. An answer is awaited until the first PONG.
    pub fn new(now: Instant) -> Self {
        Self { last_heard: now, last_ping: now, awaiting_since: Some(now), is_pinged: false, blocked_since: None }
    }

    /// Something arrived.
    pub fn heard(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// A PONG arrived.
    pub fn ponged(&mut self) {
        self.is_pinged = false;
    }

    /// A PING was appended.
    pub fn pinged(&mut self, now: Instant) {
        (self.last_ping, self.is_pinged) = (now, true);
    }

    /// Notes if answers are awaited beside a PONG.
    pub fn set_busy(&mut self, is_busy: bool, now: Instant) {
        match is_busy || self.is_pinged {
            true => self.awaiting_since = self.awaiting_since.or(Some(now)),
            false => self.awaiting_since = None,
        }
    }

    /// Notes if bytes wait for the socket; `has_moved` if it took some just now.
    pub fn set_blocked(&mut self, is_waiting: bool, has_moved: bool, now: Instant) {
        self.blocked_since = match is_waiting {
            true if has_moved => Some(now),
            true => self.blocked_since.or(Some(now)),
            false => None,
        };
    }

    pub fn finding(&self, now: Instant) -> Finding {
        let silent = self.silent_since().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        match silent {
            silent if silent >= DEAD_AFTER => Finding::Dead,
            silent if silent >= UNREACHABLE_AFTER => Finding::Unreachable,
            _ => Finding::Alive,
        }
    }

    /// The time of the next PING.
    pub fn next_ping(&self, is_busy: bool) -> Instant {
        self.last_ping + if is_busy { PING_BUSY } else { PING_IDLE }
    }

    /// The next time at which the finding can change by itself.
    pub fn next_finding(&self, now: Instant) -> Option<Instant> {
        let since = self.silent_since()?;
        [UNREACHABLE_AFTER, DEAD_AFTER].map(|after| since + after).into_iter().find(|at| *at > now)
    }

    /// Since when the peer has not answered or not taken bytes, if it should have.
    fn silent_since(&self) -> Option<Instant> {
        let silent = self.awaiting_since.map(|since| since.max(self.last_heard));
        [silent, self.blocked_since].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_counts_only_while_an_answer_is_awaited() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.heard(start);
        liveness.set_busy(false, start);
        assert_eq!((liveness.finding(start + 60 * SECOND), liveness.next_finding(start)), (Finding::Alive, None));
        liveness.set_busy(true, start + 60 * SECOND);
        assert_eq!(liveness.finding(start + 61 * SECOND), Finding::Alive);
        assert_eq!(liveness.next_finding(start + 60 * SECOND), Some(start + 60 * SECOND + UNREACHABLE_AFTER));
        assert_eq!(liveness.finding(start + 60 * SECOND + UNREACHABLE_AFTER), Finding::Unreachable);
        liveness.heard(start + 62 * SECOND);
        assert_eq!(liveness.finding(start + 63 * SECOND), Finding::Alive);
        assert_eq!(liveness.finding(start + 65 * SECOND), Finding::Dead);
    }

    #[test]
    fn a_socket_that_takes_some_bytes_is_not_blocked() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.set_busy(false, start);
        liveness.set_blocked(true, false, start);
        liveness.set_blocked(true, true, start + SECOND);
        assert_eq!(liveness.finding(start + 2 * SECOND), Finding::Alive);
        liveness.set_blocked(true, false, start + 2 * SECOND);
        assert_eq!(liveness.finding(start + 3 * SECOND), Finding::Unreachable);
        assert_eq!(liveness.finding(start + 4 * SECOND), Finding::Dead);
        liveness.set_blocked(false, true, start + 4 * SECOND);
        assert_eq!(liveness.finding(start + 9 * SECOND), Finding::Alive);
    }

    #[test]
    fn a_ping_goes_out_each_half_second_while_an_answer_is_awaited_else_each_five_seconds() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        assert_eq!(liveness.next_ping(true), start + PING_BUSY);
        assert_eq!(liveness.next_ping(false), start + PING_IDLE);
        liveness.pinged(start + SECOND);
        assert_eq!(liveness.next_ping(true), start + SECOND + PING_BUSY);
        liveness.set_busy(false, start + SECOND);
        assert_eq!(liveness.finding(start + 4 * SECOND), Finding::Dead, "a PONG is awaited");
        liveness.ponged();
        liveness.set_busy(false, start + SECOND);
        assert_eq!(liveness.finding(start + 4 * SECOND), Finding::Alive);
    }
}
