//! A limit on the useless work that a peer may cause, in points instead of time.

use super::event::ConnectionError;

const POINTS_MAX: u32 = 10_000;
const POINTS_PER_STREAM: u32 = 8;

/// Resets of ours look like an attack to a peer; Netty closes after 200 in 30 seconds.
const RESETS_MAX: u32 = 100;

/// A legal frame without use costs a point; each stream of ours earns some.
#[derive(Debug)]
pub struct FloodBudget {
    points: u32,
    resets: u32,
}

impl FloodBudget {
    pub fn new() -> Self {
        Self { points: POINTS_MAX, resets: RESETS_MAX }
    }

    pub fn spend(&mut self) -> Result<(), ConnectionError> {
        self.points =
            self.points.checked_sub(1).ok_or(ConnectionError::calm("it floods us with frames that do nothing"))?;
        Ok(())
    }

    pub fn on_stream_opened(&mut self) {
        self.refill(POINTS_PER_STREAM);
    }

    pub fn refill(&mut self, points: u32) {
        self.points = self.points.saturating_add(points).min(POINTS_MAX);
    }

    /// Returns `true` if one more RST_STREAM may be sent, and counts it.
    #[must_use]
    pub fn spend_reset(&mut self) -> bool {
        let allowed = self.resets > 0;
        self.resets = self.resets.saturating_sub(1);
        allowed
    }

    pub fn refill_resets(&mut self, resets: u32) {
        self.resets = self.resets.saturating_add(resets).min(RESETS_MAX);
    }

    pub fn resets_left(&self) -> u32 {
        self.resets
    }
}
