//! Bytes that the peer sent and h2 has not read yet. Acknowledgements of SETTINGS that h2 never wrote are removed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::frames::{self, ACK, FRAME_HEADER, HEADERS, PRIORITY, SETTINGS};
use super::heads::{Field, Heads};

const CAPACITY: usize = 32 * 1024;
/// The connection preface comes before any frame (RFC 9113 3.4).
const PREFACE: usize = 24;

pub struct Inbox {
    bytes: Box<[u8]>,
    /// `start..passed` may be passed on, `passed..end` is the incomplete header of a frame (or a frame to be removed).
    start: usize,
    passed: usize,
    end: usize,
    /// Payload bytes of the current frame still to come.
    payload_left: usize,
    /// h2 writes SETTINGS once, so the first acknowledgement is h2's and the others are ours.
    first_ack_seen: bool,
    /// The highest stream with HEADERS.
    newest_stream: u32,
    seen: Seen,
    /// The recorder of header blocks, if they are recorded.
    heads: Option<Heads>,
}

/// Frames seen since the last call.
#[derive(Debug, Default)]
pub struct Seen {
    /// For each acknowledgement of SETTINGS: the newest stream opened before it.
    pub acknowledged: Vec<u32>,
    /// Recorded header blocks, by stream.
    pub heads: Vec<(u32, Vec<Field>)>,
    /// PRIORITY frames.
    pub priorities: u64,
}

impl Seen {
    fn is_empty(&self) -> bool {
        self.acknowledged.is_empty() && self.heads.is_empty() && self.priorities == 0
    }

    /// Adds later observations.
    pub fn extend(&mut self, later: Self) {
        self.acknowledged.extend(later.acknowledged);
        self.heads.extend(later.heads);
        self.priorities += later.priorities;
    }
}

impl Inbox {
    /// `records`: header blocks are recorded.
    pub fn new(records: bool) -> Self {
        Self {
            bytes: vec![0; CAPACITY].into_boxed_slice(),
            start: 0,
            passed: 0,
            end: 0,
            payload_left: PREFACE,
            first_ack_seen: false,
            newest_stream: 0,
            seen: Seen::default(),
            heads: records.then(Heads::new),
        }
    }

    /// Returns the observations since the last call.
    pub fn take_seen(&mut self) -> Option<Seen> {
        (!self.seen.is_empty()).then(|| std::mem::take(&mut self.seen))
    }

    /// Copies bytes that may pass to `out`; `false` if there are none.
    pub fn hand_on(&mut self, out: &mut ReadBuf<'_>) -> bool {
        self.scan();
        let count = (self.passed - self.start).min(out.remaining());
        out.put_slice(&self.bytes[self.start..self.start + count]);
        self.start += count;
        count > 0
    }

    /// Reads more; all bytes that may pass must have been passed on. 0 is the end of input.
    pub fn poll_fill(&mut self, inner: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.passed -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        let mut free = ReadBuf::new(&mut self.bytes[self.end..]);
        ready!(Pin::new(inner).poll_read(cx, &mut free))?;
        let count = free.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }

    pub fn clear(&mut self) {
        (self.start, self.passed, self.end) = (0, 0, 0);
    }

    fn scan(&mut self) {
        while self.passed < self.end {
            if self.payload_left > 0 {
                let skipped = self.payload_left.min(self.end - self.passed);
                self.record_payload(self.passed..self.passed + skipped);
                self.passed += skipped;
                self.payload_left -= skipped;
                continue;
            }
            let unseen = &self.bytes[self.passed..self.end];
            let Some(length) = frames::length(unseen) else { return };
            if unseen[3] == SETTINGS && unseen[4] & ACK != 0 {
                if self.first_ack_seen && self.start < self.passed {
                    return;
                }
                if self.first_ack_seen {
                    self.start += FRAME_HEADER;
                }
                self.first_ack_seen = true;
                self.seen.acknowledged.push(self.newest_stream);
            } else if unseen[3] == HEADERS {
                self.newest_stream = self.newest_stream.max(frames::stream(unseen));
            } else if unseen[3] == PRIORITY {
                self.seen.priorities += 1;
            }
            if let Some(heads) = &mut self.heads {
                heads.begin(&self.bytes[self.passed..self.passed + FRAME_HEADER]);
            }
            self.passed += FRAME_HEADER;
            self.payload_left = length;
            if length == 0 {
                self.record_payload(0..0);
            }
        }
    }

    /// Records these bytes of a frame's payload, if requested.
    fn record_payload(&mut self, range: std::ops::Range<usize>) {
        if let Some(heads) = &mut self.heads {
            self.seen.heads.extend(heads.feed(&self.bytes[range]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK_FRAME: [u8; 9] = [0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0];
    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

    fn read_through(wire: &[u8], step: usize, room: usize) -> Vec<u8> {
        let mut inbox = Inbox::new(true);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut seen = Vec::new();
        for mut piece in wire.chunks(step) {
            assert!(matches!(inbox.poll_fill(&mut piece, &mut cx), Poll::Ready(Ok(_))));
            loop {
                let mut space = vec![0; room];
                let mut out = ReadBuf::new(&mut space);
                if !inbox.hand_on(&mut out) {
                    break;
                }
                seen.extend_from_slice(out.filled());
            }
        }
        seen
    }

    #[test]
    fn only_the_first_acknowledgement_reaches_h2_however_the_input_is_cut() {
        let preface = [b'x'; PREFACE];
        let wire = [&preface[..], &ACK_FRAME, &PING, &ACK_FRAME, &ACK_FRAME, &PING].concat();
        let expected = [&preface[..], &ACK_FRAME, &PING, &PING].concat();
        for step in 1..=wire.len() {
            for room in [1, 8, 64] {
                assert_eq!(read_through(&wire, step, room), expected, "step {step} room {room}");
            }
        }
    }
}
