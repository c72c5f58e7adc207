//! HTTP/2 frames: the nine bytes before each, and writing the few kinds a client sends (RFC 9113 4, 6).

/// Odd for every stream of ours; 0 means the connection.
pub type StreamId = u32;

/// The highest id; the top bit is reserved and masked wherever an id is read (RFC 9113 4.1).
pub const STREAM_ID_MAX: StreamId = 0x7fff_ffff;

pub const HEAD_LENGTH: usize = 9;

/// The longest payload we accept or send: MAX_FRAME_SIZE at its default (RFC 9113 4.2).
pub const PAYLOAD_MAX: usize = 16_384;

/// Frame types (RFC 9113 6).
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Frame flags (RFC 9113 6). Undefined ones are ignored.
pub mod flag {
    pub const END_STREAM: u8 = 0x01;
    pub const ACK: u8 = 0x01;
    pub const END_HEADERS: u8 = 0x04;
    pub const PADDED: u8 = 0x08;
    pub const PRIORITY: u8 = 0x20;
}

/// The codes we send (RFC 9113 7). A peer may send any `u32`, so what it sends stays a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ErrorCode {
    NoError = 0,
    Protocol = 1,
    FlowControl = 3,
    FrameSize = 6,
    Cancel = 8,
    Compression = 9,
    EnhanceYourCalm = 11,
}

/// RST_STREAM with this code proves that the request was not processed (RFC 9113 8.7).
pub const REFUSED_STREAM: u32 = 7;

/// The nine bytes before each payload (RFC 9113 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// Of the payload, in bytes; below 2^24.
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: StreamId,
}

impl FrameHead {
    pub fn parse(bytes: &[u8; HEAD_LENGTH]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & STREAM_ID_MAX,
        }
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub fn bytes(&self) -> [u8; HEAD_LENGTH] {
        let [_, l0, l1, l2] = (self.length as u32).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind, self.flags, s0, s1, s2, s3]
    }
}

/// Appends a whole frame. Its payload must not exceed `PAYLOAD_MAX`.
pub fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: StreamId, payload: &[u8]) {
    debug_assert!(payload.len() <= PAYLOAD_MAX);
    out.extend_from_slice(&FrameHead { length: payload.len(), kind, flags, stream }.bytes());
    out.extend_from_slice(payload);
}

pub fn write_rst_stream(out: &mut Vec<u8>, stream: StreamId, code: ErrorCode) {
    write(out, kind::RST_STREAM, 0, stream, &(code as u32).to_be_bytes());
}

/// Names 0 as the last stream processed, since a client without push processes none (RFC 9113 6.8).
pub fn write_goaway(out: &mut Vec<u8>, code: ErrorCode) {
    let payload = u64::from(code as u32).to_be_bytes();
    write(out, kind::GOAWAY, 0, 0, &payload);
}

pub fn write_ping(out: &mut Vec<u8>, flags: u8, opaque: [u8; 8]) {
    write(out, kind::PING, flags, 0, &opaque);
}

/// `increment` is 1 to 2^31 − 1; stream 0 is the connection's window.
pub fn write_window_update(out: &mut Vec<u8>, stream: StreamId, increment: u32) {
    debug_assert!((1..=STREAM_ID_MAX).contains(&increment));
    write(out, kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
}

/// The first four bytes as a number, the reserved bit included; `None` if there are fewer.
pub fn read_u32(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_survives_the_round_trip() {
        let head = FrameHead { length: 16_384, kind: kind::DATA, flags: flag::END_STREAM, stream: STREAM_ID_MAX };
        assert_eq!(FrameHead::parse(&head.bytes()), head);
        assert_eq!(head.bytes(), [0, 0x40, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn the_reserved_bit_of_a_stream_id_is_masked() {
        assert_eq!(FrameHead::parse(&[0, 0, 0, 0, 0, 0x80, 0, 0, 3]).stream, 3);
    }

    #[test]
    fn a_goaway_of_ours_names_stream_zero() {
        let mut out = Vec::new();
        write_goaway(&mut out, ErrorCode::EnhanceYourCalm);
        assert_eq!(out, [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11]);
    }
}
