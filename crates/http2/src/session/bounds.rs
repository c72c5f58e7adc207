//! The maximum memory that a peer can make a session hold, asserted by the fuzz targets.

use super::Session;
use crate::frame::{HEAD_LENGTH, PAYLOAD_MAX};

/// A field block, and the header text of one answer.
const BLOCK_MAX: usize = 16_384;

/// Bodies that wait for their stream's window.
const WAITING_MAX: usize = 65_536;

/// A turn, one request with its body, one DATA frame, 1,001 replies, 100 resets, and some PINGs of the caller.
const OUTPUT_MAX: usize = 200_000;

impl<T> Session<T> {
    /// # Panics
    /// Panics if a buffer is larger than its limit. A growing vector has up to twice the needed capacity.
    #[doc(hidden)]
    pub fn check_bounds(&self) {
        assert!(self.reader.kept.capacity() <= 2 * (HEAD_LENGTH + PAYLOAD_MAX));
        assert!(self.block.fragments.capacity() <= 2 * BLOCK_MAX);
        assert!(self.bodies.bytes <= WAITING_MAX);
        assert!(self.output.waiting().len() <= OUTPUT_MAX);
        assert!(self.ends.is_empty(), "all ends were given");
        for message in self.partial.messages.iter().chain([&self.message]) {
            assert!(message.text.capacity() <= 2 * BLOCK_MAX);
            assert!(message.body.capacity() <= 2 * self.config.body_max.max(PAYLOAD_MAX));
        }
    }
}
