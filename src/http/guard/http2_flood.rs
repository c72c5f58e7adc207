//! Limits a client's HTTP/2 frames that cost work and carry no request. Reads the head of every frame.
//!
//! The `h2` crate answers each of these frames without a limit.

use std::time::Duration;
use tokio::time::Instant;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;

/// Streams that a client may reset in a burst, and per second. A client that times out because Apple is slow resets all
/// its streams, a hundred at a time.
const RESETS: Rate = Rate { burst: 500, per_second: 50 };
/// The limits for frames without data: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, CONTINUATION, empty DATA and unknown
/// frames.
const IDLE_FRAMES: Rate = Rate { burst: 500, per_second: 100 };
/// Further such frames allowed per request and per bytes written: clients acknowledge data with WINDOW_UPDATE.
const IDLE_FRAMES_PER_REQUEST: u64 = 4;
const BYTES_WRITTEN_PER_IDLE_FRAME: u64 = 128;

mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const END_STREAM: u8 = 1;
}

/// The kind of flood that ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flood {
    #[error("the client resets one stream after another")]
    Resets,
    #[error("the client sends frame after frame without data")]
    IdleFrames,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Http2FloodGuard {
    state: State,
    resets: TokenBucket,
    idle: TokenBucket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Bytes of the preface that have arrived.
    Preface(usize),
    Http1,
    /// A frame's head, and its bytes that have arrived.
    Head([u8; HEAD_BYTES], usize),
    /// Bytes of a frame's payload that are still to arrive.
    Payload(usize),
}

impl Http2FloodGuard {
    pub fn new(now: Instant) -> Self {
        Self {
            state: State::Preface(0),
            resets: TokenBucket::new(RESETS, now),
            idle: TokenBucket::new(IDLE_FRAMES, now),
        }
    }

    /// Returns true if the client understands HTTP/1: bytes have arrived that do not begin with HTTP/2's preface.
    pub fn is_http1(&self) -> bool {
        matches!(self.state, State::Http1 | State::Preface(1..=3))
    }

    /// Reads bytes that have arrived, at the time that `now` returns.
    pub fn observe(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) -> Result<(), Flood> {
        while let Some(first) = bytes.first() {
            match &mut self.state {
                State::Http1 => return Ok(()),
                State::Preface(matched) if PREFACE[*matched] == *first => {
                    *matched += 1;
                    if *matched == PREFACE.len() {
                        self.state = State::Head([0; HEAD_BYTES], 0);
                    }
                    bytes = &bytes[1..];
                }
                State::Preface(_) => self.state = State::Http1,
                State::Head(head, have) => {
                    let taken = bytes.len().min(HEAD_BYTES - *have);
                    head[*have..*have + taken].copy_from_slice(&bytes[..taken]);
                    *have += taken;
                    bytes = &bytes[taken..];
                    if *have == HEAD_BYTES {
                        let head = *head;
                        self.count_frame(head, &now)?;
                        self.state = next(length(head));
                    }
                }
                State::Payload(left) => {
                    let taken = bytes.len().min(*left);
                    bytes = &bytes[taken..];
                    self.state = next(*left - taken);
                }
            }
        }
        Ok(())
    }

    /// Counts bytes written to the client.
    pub fn wrote(&mut self, bytes: usize) {
        self.idle.refill(bytes as u64 * TokenBucket::UNIT / BYTES_WRITTEN_PER_IDLE_FRAME);
    }

    fn count_frame(&mut self, head: [u8; HEAD_BYTES], now: &impl Fn() -> Instant) -> Result<(), Flood> {
        let (kind, flags) = (head[3], head[4]);
        match kind {
            kind::HEADERS => self.idle.refill(IDLE_FRAMES_PER_REQUEST * TokenBucket::UNIT),
            kind::RST_STREAM if !self.resets.try_spend(now()) => return Err(Flood::Resets),
            kind::RST_STREAM => {}
            kind::DATA if length(head) > 0 || flags & kind::END_STREAM != 0 => {}
            _ if !self.idle.try_spend(now()) => return Err(Flood::IdleFrames),
            _ => {}
        }
        Ok(())
    }
}

fn length(head: [u8; HEAD_BYTES]) -> usize {
    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
}

fn next(left: usize) -> State {
    if left == 0 { State::Head([0; HEAD_BYTES], 0) } else { State::Payload(left) }
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: u64,
    per_second: u64,
}

/// A token bucket: it refills with time, up to the burst.
#[derive(Debug)]
struct TokenBucket {
    rate: Rate,
    /// Tokens, in thousandths.
    level: u64,
    filled: Instant,
}

impl TokenBucket {
    const UNIT: u64 = 1_000;

    fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, level: rate.burst * Self::UNIT, filled: now }
    }

    fn refill(&mut self, thousandths: u64) {
        self.level = (self.level + thousandths).min(self.rate.burst * Self::UNIT);
    }

    fn try_spend(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).min(Duration::from_secs(3_600)).as_millis() as u64;
        if elapsed > 0 {
            self.filled = now;
            self.refill(elapsed * self.rate.per_second);
        }
        let left = self.level.checked_sub(Self::UNIT);
        self.level = left.unwrap_or(self.level);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    const RESET: [u8; 13] = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8];
    const HEADERS: [u8; 10] = [0, 0, 1, 1, 5, 0, 0, 0, 1, 0x82];
    const EMPTY_DATA: [u8; 9] = [0, 0, 0, 0, 0, 0, 0, 0, 1];
    const LAST_DATA: [u8; 9] = [0, 0, 0, 0, 1, 0, 0, 0, 1];

    fn http2(now: Instant) -> Http2FloodGuard {
        let mut frames = Http2FloodGuard::new(now);
        assert_eq!(frames.observe(PREFACE, || now), Ok(()));
        frames
    }

    /// Counts how many times `bytes` may arrive at one moment.
    fn most(frames: &mut Http2FloodGuard, bytes: &[u8], now: Instant) -> usize {
        (0..100_000).take_while(|_| frames.observe(bytes, || now).is_ok()).count()
    }

    #[test]
    fn frames_without_a_request_are_limited_and_requests_are_not() {
        let now = Instant::now();
        assert_eq!(most(&mut http2(now), &PING, now), 500);
        assert_eq!(most(&mut http2(now), &EMPTY_DATA, now), 500);
        assert_eq!(most(&mut http2(now), &LAST_DATA, now), 100_000);
        assert_eq!(most(&mut http2(now), &[&HEADERS[..], &RESET].concat(), now), 500);
        // A client that acknowledges each response twice, on the stream and on the connection.
        let window_update = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        assert_eq!(most(&mut http2(now), &[&HEADERS[..], &window_update, &window_update].concat(), now), 100_000);
    }

    #[test]
    fn time_and_bytes_written_refill_the_limits() {
        let now = Instant::now();
        let mut frames = http2(now);
        let pings = |frames: &mut Http2FloodGuard, now| {
            let head = PING[..HEAD_BYTES].try_into().expect("nine bytes");
            (0..100_000).take_while(|_| frames.count_frame(head, &|| now).is_ok()).count()
        };
        assert_eq!(pings(&mut frames, now), 500);
        frames.wrote(1_280);
        assert_eq!(pings(&mut frames, now), 10);
        assert_eq!(pings(&mut frames, now + Duration::from_millis(500)), 50);
        assert_eq!(pings(&mut frames, now + Duration::from_secs(86_400)), 500);
        assert_eq!(http2(now).observe(&RESET.repeat(501), || now), Err(Flood::Resets));
    }

    #[test]
    fn frames_are_recognised_in_every_division_into_reads() {
        let now = Instant::now();
        let large = [&[0, 0x40, 0, 0, 0, 0, 0, 0, 1][..], &[6; 0x4000], &PING].concat();
        for size in [1, 2, 7, 100, 16_000] {
            let mut frames = http2(now);
            for part in large.chunks(size) {
                assert_eq!(frames.observe(part, || now), Ok(()));
            }
            assert_eq!(frames.idle.level, 499 * TokenBucket::UNIT, "{size}");
            assert_eq!(frames.state, State::Head([0; HEAD_BYTES], 0));
        }
    }

    #[test]
    fn http1_is_distinguished_from_http2_by_its_first_bytes() {
        let now = Instant::now();
        for (bytes, is_http1) in [
            (&b""[..], false),
            (b"P", true),
            (b"POST /", true),
            (b"PRI *", false),
            (b"PRI * HTTP/1.1\r\n", true),
            (PREFACE, false),
        ] {
            let mut frames = Http2FloodGuard::new(now);
            assert_eq!(frames.observe(bytes, || now), Ok(()));
            assert_eq!(frames.is_http1(), is_http1, "{bytes:?}");
        }
    }
}
