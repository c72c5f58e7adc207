//! Flow-control windows: what we may send, and what the peer has sent (RFC 9113 5.2, 6.9).

/// No window may exceed it (RFC 9113 6.9.1).
pub const WINDOW_MAX: i64 = 0x7fff_ffff;

/// All windows start with this many bytes unless SETTINGS say otherwise (RFC 9113 6.9.2).
pub const WINDOW_DEFAULT: u32 = 65_535;

/// Our connection's receive window, given in the first flight.
pub const CONNECTION_WINDOW: u32 = 1 << 20;

/// The minimum credit to return in one WINDOW_UPDATE.
const CONNECTION_UPDATE_AT: u32 = CONNECTION_WINDOW / 2;
const STREAM_UPDATE_AT: u32 = WINDOW_DEFAULT / 2;

/// A sum above 2^31 − 1, or more bytes than the window held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

/// Bytes that we may still send; may fall below zero (RFC 9113 6.9.2). For a stream it is kept relative to the peer's
/// INITIAL_WINDOW_SIZE, so that a change of that touches no stream.
#[derive(Debug, Clone, Copy)]
pub struct SendWindow(i64);

impl SendWindow {
    pub fn new(bytes: u32) -> Self {
        Self(i64::from(bytes))
    }

    pub fn relative() -> Self {
        Self(0)
    }

    /// Bytes that may be sent now; `base` is INITIAL_WINDOW_SIZE for a stream, 0 for the connection.
    pub fn available(&self, base: u32) -> usize {
        usize::try_from(self.0 + i64::from(base)).unwrap_or(0)
    }

    pub fn spend(&mut self, bytes: usize) {
        self.0 -= bytes as i64;
    }

    /// Takes back credit for bytes that will not be sent after all.
    pub fn give_back(&mut self, bytes: usize) {
        self.0 += bytes as i64;
    }

    /// A WINDOW_UPDATE.
    pub fn grow(&mut self, increment: u32, base: u32) -> Result<(), Overflow> {
        self.0 += i64::from(increment);
        self.check_maximum(base)
    }

    pub fn check_maximum(&self, base: u32) -> Result<(), Overflow> {
        if self.0 + i64::from(base) > WINDOW_MAX { Err(Overflow) } else { Ok(()) }
    }
}

/// Bytes of a window of ours that the peer has used and that we have not returned yet. A payload has at most 16,384.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReceiveWindow {
    unacked: u32,
}

impl ReceiveWindow {
    /// Counts a DATA payload against the connection's window; returns the increment to send when one is due. Credit counts
    /// from when it is queued and is due at half the window, so this window is never found exceeded.
    pub fn take_from_connection(&mut self, length: usize) -> Option<u32> {
        self.unacked += length as u32;
        self.due(CONNECTION_UPDATE_AT)
    }

    /// Counts a DATA payload against a stream's window.
    pub fn take_from_stream(&mut self, length: usize) -> Result<(), Overflow> {
        self.unacked += length as u32;
        if self.unacked > WINDOW_DEFAULT { Err(Overflow) } else { Ok(()) }
    }

    /// The increment to send for a stream whose body goes on.
    pub fn due_for_stream(&mut self) -> Option<u32> {
        self.due(STREAM_UPDATE_AT)
    }

    fn due(&mut self, threshold: u32) -> Option<u32> {
        (self.unacked >= threshold).then(|| std::mem::take(&mut self.unacked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_window_may_fall_below_zero_and_then_allows_nothing() {
        let mut window = SendWindow::relative();
        window.spend(100);
        assert_eq!(window.available(100), 0);
        assert_eq!(window.available(10), 0);
        assert_eq!(window.grow(50, 100), Ok(()));
        assert_eq!(window.available(100), 50);
    }

    #[test]
    fn a_send_window_never_passes_two_to_the_31_minus_1() {
        let mut window = SendWindow::new(WINDOW_DEFAULT);
        assert_eq!(window.grow(0x7fff_ffff - WINDOW_DEFAULT, 0), Ok(()));
        assert_eq!(window.grow(1, 0), Err(Overflow));
    }

    #[test]
    fn credit_is_returned_in_halves_of_the_window() {
        let mut window = ReceiveWindow::default();
        assert_eq!(window.take_from_connection(524_287), None);
        assert_eq!(window.take_from_connection(1), Some(524_288));
        assert_eq!(window.take_from_connection(0), None);
    }

    #[test]
    fn more_than_a_streams_window_is_an_overflow() {
        let mut window = ReceiveWindow::default();
        assert_eq!(window.take_from_stream(65_535), Ok(()));
        assert_eq!(window.take_from_stream(1), Err(Overflow));
    }
}
