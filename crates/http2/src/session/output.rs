//! The bytes for TLS: one buffer a turn, filled by many requests, written in any pieces.

use crate::frame::{self, ErrorCode, FrameHead, HEAD_LENGTH, PAYLOAD_MAX, StreamId, flag, kind};

/// Bytes of a full turn's buffer: one TLS record.
const TURN_BYTES: usize = 16_384;

/// Usual upper bound of a request's headers, in bytes.
const HEADERS_USUAL: usize = 256;

/// The maximum number of replies to a peer that does not read them.
const REPLIES_MAX: u32 = 1_000;

/// The client's preface, SETTINGS (ENABLE_PUSH 0, MAX_HEADER_LIST_SIZE 16,384) and the connection's window raised to 1 MiB
/// (RFC 9113 3.4, 6.5, 6.9).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: [u8; 12] = [0, 2, 0, 0, 0, 0, 0, 6, 0, 0, 0x40, 0];
const WINDOW_INCREMENT: u32 = super::window::CONNECTION_WINDOW - super::window::WINDOW_DEFAULT;

/// Offsets count all bytes since the connection began: `queued` those put in, `handed` those TLS took.
pub struct Output {
    bytes: Vec<u8>,
    /// `bytes[..taken]` was written.
    taken: usize,
    /// The start of the first frame in `bytes`: after the preface, until that is written.
    frames_at: usize,
    handed: u64,
    replies: u32,
}

impl Output {
    pub fn with_first_flight() -> Self {
        let mut bytes = PREFACE.to_vec();
        frame::write(&mut bytes, kind::SETTINGS, 0, 0, &SETTINGS);
        frame::write_window_update(&mut bytes, 0, WINDOW_INCREMENT);
        Self { bytes, taken: 0, frames_at: PREFACE.len(), handed: 0, replies: 0 }
    }

    pub fn waiting(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// # Panics
    /// Panics if more was written than was waiting: the caller's accounting is wrong.
    pub fn mark_written(&mut self, count: usize) {
        assert!(count <= self.waiting().len(), "more bytes written than were waiting");
        self.taken += count;
        self.handed += count as u64;
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            (self.taken, self.frames_at, self.replies) = (0, 0, 0);
        }
    }

    pub fn handed(&self) -> u64 {
        self.handed
    }

    pub fn queued(&self) -> u64 {
        self.handed + self.waiting().len() as u64
    }

    /// Encoded headers cannot be taken back, so a request waits until all of the buffer before its own is written.
    pub fn takes_request(&self, body: usize) -> bool {
        self.bytes.is_empty() || (self.taken == 0 && self.bytes.len() + HEADERS_USUAL + body <= TURN_BYTES)
    }

    /// Returns `true` while more of a waiting body may be added.
    pub fn takes_data(&self) -> bool {
        self.bytes.len() < TURN_BYTES
    }

    /// Writes a HEADERS frame around the block that `encode` appends, which must fit one frame.
    pub fn headers(&mut self, stream: StreamId, flags: u8, encode: impl FnOnce(&mut Vec<u8>)) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEAD_LENGTH]);
        encode(&mut self.bytes);
        let length = self.bytes.len() - at - HEAD_LENGTH;
        let head = FrameHead { length, kind: kind::HEADERS, flags: flags | flag::END_HEADERS, stream };
        self.bytes[at..at + HEAD_LENGTH].copy_from_slice(&head.bytes());
    }

    /// Writes all of a body, with END_STREAM on its last frame.
    pub fn body(&mut self, stream: StreamId, body: &[u8]) {
        let mut rest = body;
        while rest.len() > PAYLOAD_MAX {
            let (now, later) = rest.split_at(PAYLOAD_MAX);
            self.data(stream, now, 0);
            rest = later;
        }
        self.data(stream, rest, flag::END_STREAM);
    }

    pub fn data(&mut self, stream: StreamId, data: &[u8], flags: u8) {
        frame::write(&mut self.bytes, kind::DATA, flags, stream, data);
    }

    pub fn rst_stream(&mut self, stream: StreamId, code: ErrorCode) {
        frame::write_rst_stream(&mut self.bytes, stream, code);
    }

    pub fn window_update(&mut self, stream: StreamId, increment: u32) {
        frame::write_window_update(&mut self.bytes, stream, increment);
    }

    pub fn goaway(&mut self, code: ErrorCode) {
        frame::write_goaway(&mut self.bytes, code);
    }

    pub fn ping(&mut self, opaque: u64) {
        frame::write_ping(&mut self.bytes, 0, opaque.to_be_bytes());
    }

    pub fn ping_ack(&mut self, opaque: [u8; 8]) {
        self.replies += 1;
        frame::write_ping(&mut self.bytes, flag::ACK, opaque);
    }

    /// Shares the queue with HEADERS: the peer's new limits apply from its position on (RFC 9113 6.5.3).
    pub fn settings_ack(&mut self) {
        self.replies += 1;
        frame::write(&mut self.bytes, kind::SETTINGS, flag::ACK, 0, &[]);
    }

    pub fn has_too_many_replies(&self) -> bool {
        self.replies > REPLIES_MAX
    }

    /// Drops every frame not begun of streams above `last_id`. A frame begun is always finished.
    pub fn cut_streams_above(&mut self, last_id: StreamId) {
        let mut at = self.frames_at;
        while at < self.taken {
            at = self.frame_end(at);
        }
        let mut kept = at;
        while at < self.bytes.len() {
            let end = self.frame_end(at);
            if self.head(at).stream <= last_id {
                self.bytes.copy_within(at..end, kept);
                kept += end - at;
            }
            at = end;
        }
        self.bytes.truncate(kept);
        self.mark_written(0);
    }

    pub fn release(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    fn head(&self, at: usize) -> FrameHead {
        let mut head = [0; HEAD_LENGTH];
        head.copy_from_slice(&self.bytes[at..at + HEAD_LENGTH]);
        FrameHead::parse(&head)
    }

    fn frame_end(&self, at: usize) -> usize {
        at + HEAD_LENGTH + self.head(at).length
    }
}
