//! The HTTP/2 frames that the pump needs: writes two types, and parses frame headers.

pub const FRAME_HEADER: usize = 9;
pub const SETTINGS: u8 = 4;
pub const ACK: u8 = 1;
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// Payload length announced by the frame header at the start of `bytes`; `None` if it is not there whole.
pub fn length(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..FRAME_HEADER)?;
    Some(usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]))
}

/// The stream of the frame header at the start of `bytes`, which is there whole.
pub fn stream(bytes: &[u8]) -> u32 {
    bytes.get(5..FRAME_HEADER).map_or(0, |id| id.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)) & !(1 << 31))
}

/// A SETTINGS frame with these identifiers and values, in order (RFC 9113 6.5).
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        values.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// A GOAWAY frame (RFC 9113 6.8).
pub fn goaway(last_stream_id: u32, code: u32, debug: &[u8]) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[&last_stream_id.to_be_bytes()[..], &code.to_be_bytes(), debug].concat())
}

/// Any frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The position in a stream of frames that arrives in any pieces.
#[derive(Default, Clone)]
pub struct FrameWalk {
    header: [u8; FRAME_HEADER],
    header_filled: usize,
    payload_left: usize,
    streams_ended: u64,
}

impl FrameWalk {
    pub fn at_boundary(&self) -> bool {
        self.payload_left == 0 && self.header_filled == 0
    }

    /// HEADERS and DATA frames with END_STREAM seen so far.
    pub fn streams_ended(&self) -> u64 {
        self.streams_ended
    }

    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let skipped = self.payload_left.min(bytes.len());
                self.payload_left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (FRAME_HEADER - self.header_filled).min(bytes.len());
            self.header[self.header_filled..self.header_filled + taken].copy_from_slice(&bytes[..taken]);
            self.header_filled += taken;
            bytes = &bytes[taken..];
            if self.header_filled == FRAME_HEADER {
                self.begin_frame();
            }
        }
    }

    fn begin_frame(&mut self) {
        self.header_filled = 0;
        self.payload_left = length(&self.header).unwrap_or(0);
        let (kind, flags) = (self.header[3], self.header[4]);
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            self.streams_ended += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_over_frames_ends_the_same_with_any_pieces() {
        let mut wire = settings(&[(3, 1000), (1, 4096)]);
        wire.extend([0, 0, 2, HEADERS, 0x05, 0, 0, 0, 1, 0x88, 0x88]);
        wire.extend(goaway(3, 0, b"bye"));
        for cut in 0..=wire.len() {
            let mut walk = FrameWalk::default();
            walk.pass(&wire[..cut]);
            walk.pass(&wire[cut..]);
            assert!(walk.at_boundary());
            assert_eq!(walk.streams_ended(), 1);
        }
    }

    #[test]
    fn goaway_has_the_shape_of_rfc_9113() {
        assert_eq!(goaway(7, 2, b"ab"), [0, 0, 10, 7, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2, b'a', b'b']);
    }
}
