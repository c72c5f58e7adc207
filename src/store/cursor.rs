//! Cursors, the positions in the lists of events that callers send back, and the epoch of the store that returned them.

use super::StoreError;
use std::fmt;

/// One history of a store's positions. A new, restored or copied store begins a new epoch, since it assigns positions
/// that callers know already to other entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(i64);

impl Epoch {
    /// The epoch of stores created by pyapns 0.6.0, which had no epochs.
    pub const FIRST: Self = Self(0);

    /// A random epoch, unique to a store.
    pub fn new() -> Self {
        Self(fastrand::i64(1..))
    }

    /// The epoch of a stored number.
    pub fn stored(number: i64) -> Self {
        Self(number)
    }

    /// The number to store.
    pub fn number(self) -> i64 {
        self.0
    }

    /// The cursor after the entry at a position.
    pub fn cursor(self, position: i64) -> Cursor {
        Cursor { epoch: self, position }
    }

    /// Returns the position of a cursor of this epoch; `newest` is the last position of any entry. Refuses a cursor of
    /// another epoch, and one after `newest`.
    pub fn position(self, cursor: Cursor, newest: i64) -> Result<i64, StoreError> {
        let ours = cursor.epoch == self && cursor.position <= newest;
        if ours || cursor == Cursor::START { Ok(cursor.position) } else { Err(StoreError::ForeignCursor) }
    }
}

impl Default for Epoch {
    fn default() -> Self {
        Self::new()
    }
}

/// A position in a list of events, written `EPOCH-POSITION`. It is opaque to callers, who send it back unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    epoch: Epoch,
    position: i64,
}

impl Cursor {
    /// The position before the first entry, valid in every epoch: it can neither hide nor delete an entry.
    pub const START: Self = Self { epoch: Epoch::FIRST, position: 0 };

    /// Parses a cursor from a caller; `None` if no store returns such a text. A bare number is a cursor of pyapns
    /// 0.6.0.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, position) = match text.split_once('-') {
            Some((epoch, position)) => (number(epoch, 16)?, position),
            None => (Epoch::FIRST.0, text),
        };
        Some(Self { epoch: Epoch(epoch), position: number(position, 10)? })
    }

    /// The epoch that the cursor was given out in, and its position, for a store that compares them itself.
    pub(super) fn parts(self) -> (Epoch, i64) {
        (self.epoch, self.position)
    }
}

/// Parses a number that has only digits.
fn number(text: &str, radix: u32) -> Option<i64> {
    let digits = text.bytes().all(|byte| char::from(byte).is_digit(radix) && !byte.is_ascii_uppercase());
    i64::from_str_radix(text, radix).ok().filter(|_| digits)
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:x}-{}", self.epoch.0, self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_of_a_cursor_parses_as_a_cursor() {
        for epoch in [Epoch::FIRST, Epoch::new(), Epoch(i64::MAX)] {
            for position in [0, 42, i64::MAX] {
                let cursor = epoch.cursor(position);
                assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor), "{cursor}");
            }
        }
        let too_large = ["9223372036854775808", "1-9223372036854775808", "8000000000000000-1"];
        let odd = ["", "-1", "+1", " 1", "x", "1-", "-", "1-2-3", "1--2", "1-+2", "+1-2", "g-1", "1-a", "A-1", "1 -1"];
        for text in too_large.into_iter().chain(odd) {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_a_cursor_of_the_first_epoch() {
        assert_eq!(Cursor::parse("17"), Some(Epoch::FIRST.cursor(17)));
        assert_eq!(Cursor::parse("0"), Some(Cursor::START));
    }

    #[test]
    fn a_cursor_of_another_epoch_is_refused_at_every_position() {
        let (ours, theirs) = (Epoch(7), Epoch(8));
        assert_eq!(ours.position(ours.cursor(5), 5).ok(), Some(5));
        assert!(matches!(ours.position(ours.cursor(6), 5), Err(StoreError::ForeignCursor)));
        for position in [0, 1, 5, 6] {
            assert!(ours.position(theirs.cursor(position), 5).is_err(), "{position}");
        }
        assert!(ours.position(Epoch::FIRST.cursor(1), 5).is_err());
        assert_eq!(ours.position(Cursor::START, 5).ok(), Some(0));
    }
}
