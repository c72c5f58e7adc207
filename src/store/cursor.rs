//! Places in the lists of events, which callers hand back, and the epoch that tells which store gave them out.

use super::StoreError;
use std::fmt;

/// One run of positions. A store that is new, restored from a backup or copied begins another, since it gives positions
/// that callers know already to other entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(i64);

impl Epoch {
    /// The epoch of stores made by pyapns 0.6.0, which knew no epochs.
    pub const FIRST: Self = Self(0);

    /// One that no other store has.
    pub fn new() -> Self {
        Self(fastrand::i64(1..))
    }

    /// An epoch as a store keeps it.
    pub fn stored(number: i64) -> Self {
        Self(number)
    }

    /// The number that a store keeps.
    pub fn number(self) -> i64 {
        self.0
    }

    /// The cursor behind the entry at a position.
    pub fn cursor(self, position: i64) -> Cursor {
        Cursor { epoch: self, position }
    }

    /// The position of a cursor that this epoch's store gave out; `newest` is the last position it gave to any entry.
    /// Refuses a cursor of another epoch, and one behind `newest`.
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

/// A place in a list of events, written `EPOCH-POSITION`. Opaque to callers: they hand back what they were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    epoch: Epoch,
    position: i64,
}

impl Cursor {
    /// Before the first entry, in every store: nothing is before it, so that it can neither hide nor clear an entry.
    pub const START: Self = Self { epoch: Epoch::FIRST, position: 0 };

    /// Reads what a caller hands back; `None` for what no store gave out. A number alone is a cursor of pyapns 0.6.0.
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

/// Digits and nothing else.
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
    fn a_cursor_reads_back_as_it_was_written_and_nothing_else_does() {
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
    fn a_cursor_of_another_epoch_is_refused_whatever_its_position() {
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
