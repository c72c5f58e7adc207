//! Distinguishes a silent connection from a dead one by PING. Pure: time is an argument.

use std::time::Duration;
use tokio::time::Instant;

/// The silence after which a PING is sent while answers are outstanding.
pub const SILENCE_BEFORE_PING: Duration = Duration::from_secs(5);
/// The time limit for the answer. Both together stay below the 12 s in which a black hole must be replaced.
pub const PING_ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The time limit for the peer's SETTINGS after the TLS handshake.
pub const SETTINGS_WITHIN: Duration = Duration::from_secs(10);

/// The action to take now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Fine,
    Ping,
    Dead,
}

/// The time of the last bytes from the peer, and the PING sent since.
#[derive(Debug)]
pub struct Liveness {
    opened: Instant,
    heard: Instant,
    asked: Option<Instant>,
    /// The time since which answers are outstanding; earlier silence does not count.
    waiting: Option<Instant>,
}

impl Liveness {
    pub fn new(now: Instant) -> Self {
        Self { opened: now, heard: now, asked: None, waiting: None }
    }

    /// Records that bytes arrived.
    pub fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// Returns true if a PING is unanswered: the peer may be dead.
    pub fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Records if answers are outstanding; call it after every change. Giving up requests does not reset the silence:
    /// only bytes from the peer do.
    pub fn expect(&mut self, outstanding: bool, now: Instant) {
        match (outstanding, self.waiting) {
            (true, None) => self.waiting = Some(now),
            (false, Some(since)) if self.heard > since => self.waiting = None,
            _ => {}
        }
    }

    /// Returns the action for the silence so far. `ready` is true once SETTINGS arrived. After [`Action::Ping`] a PING
    /// must be sent.
    pub fn next_action(&mut self, ready: bool, now: Instant) -> Action {
        if self.next(ready).is_none_or(|due| now < due) {
            return Action::Fine;
        }
        if !ready || self.asked.is_some() {
            return Action::Dead;
        }
        self.asked = Some(now);
        Action::Ping
    }

    /// The time of the next [`Self::next_action`]; `None` while nothing is due from the peer.
    pub fn next(&self, ready: bool) -> Option<Instant> {
        if !ready {
            return Some(self.opened + SETTINGS_WITHIN);
        }
        match (self.asked, self.waiting) {
            (Some(asked), _) => Some(asked + PING_ANSWER_WITHIN),
            (None, Some(since)) => Some(since.max(self.heard) + SILENCE_BEFORE_PING),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_peer_that_owes_answers_is_asked_and_then_given_up_within_12_seconds() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.expect(true, start);
        assert_eq!(liveness.next_action(true, start + 4 * SECOND), Action::Fine);
        assert_eq!(liveness.next_action(true, start + 5 * SECOND), Action::Ping);
        assert!(liveness.is_asking());
        assert_eq!(liveness.next_action(true, start + 9 * SECOND), Action::Fine);
        assert_eq!(liveness.next_action(true, start + 10 * SECOND), Action::Dead);
        assert!(SILENCE_BEFORE_PING + PING_ANSWER_WITHIN < 12 * SECOND);
    }

    #[test]
    fn any_byte_restarts_the_silence() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.expect(true, start);
        assert_eq!(liveness.next_action(true, start + 5 * SECOND), Action::Ping);
        liveness.hear(start + 6 * SECOND);
        assert!(!liveness.is_asking());
        assert_eq!(liveness.next_action(true, start + 10 * SECOND), Action::Fine);
        assert_eq!(liveness.next_action(true, start + 11 * SECOND), Action::Ping);
    }

    #[test]
    fn requests_given_up_do_not_hide_that_the_peer_is_dead() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.expect(true, start);
        liveness.expect(false, start + 3 * SECOND);
        assert_eq!(liveness.next_action(true, start + 5 * SECOND), Action::Ping);
        liveness.expect(false, start + 8 * SECOND);
        assert_eq!(liveness.next_action(true, start + 10 * SECOND), Action::Dead);
    }

    #[test]
    fn an_idle_peer_owes_nothing() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.expect(false, start);
        assert_eq!(liveness.next(true), None);
        assert_eq!(liveness.next_action(true, start + 3600 * SECOND), Action::Fine);
        liveness.expect(true, start + 3600 * SECOND);
        assert_eq!(liveness.next_action(true, start + 3604 * SECOND), Action::Fine);
    }

    #[test]
    fn a_peer_without_settings_is_given_up() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        assert_eq!(liveness.next_action(false, start + 9 * SECOND), Action::Fine);
        assert_eq!(liveness.next_action(false, start + 10 * SECOND), Action::Dead);
    }
}
