//! The frames that two nodes exchange. Pure: bytes in, frames out, and back.
//!
//! All numbers are little endian. A frame begins with a header of 16 bytes, `length u32 | kind u8 | flags u8 | 0 u16 |
//! id u64`; `length` counts the bytes after the header, and `flags` is 0. The first frame of each side is HELLO. Its form
//! is the same in every version, and a newer version may append to it. The answer to a frame carries that frame's `id`.
//! A frame that breaks a rule ends the link.

mod batch;
pub mod calls;
mod decoder;
mod error;
mod hello;
mod lists;
mod outcomes;
mod reasons;
mod refusal;
mod scanner;

pub use batch::{BatchHead, batch_bytes, put_batch};
pub use decoder::Decoder;
pub use error::{TooLarge, WireError};
pub use hello::{Agreed, Features, Hello, NoCommonVersion, VERSION_MAX, VERSION_MIN, put_hello};
pub use lists::{AppFigures, Lane, Seen, StatusOf, put_ready, put_seen, put_status, put_warm};
pub use outcomes::put_outcomes;
pub use refusal::{Refusal, put_refused};

use crate::model::{Batch, Outcome};
use bytes::Bytes;

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 16;

/// A frame with its id: that of the exchange it belongs to, chosen by the node that begins it.
#[derive(Debug)]
pub struct Received {
    pub id: u64,
    pub frame: Frame,
}

/// A frame as it was received, each of its parts checked.
#[derive(Debug)]
pub enum Frame {
    /// The first frame of a link.
    Hello(Hello),
    /// Asks the receiver to send a batch itself.
    Batch(BatchHead, Batch),
    /// Answers BATCH: an outcome for each item, in its order. The number of items is the receiver's to compare.
    Outcomes(Vec<Outcome>),
    /// Answers BATCH: nothing of it was sent, or will be.
    Refused(Refusal),
    Ping,
    /// Answers PING with the sender's monotonic clock, in milliseconds.
    Pong {
        clock_ms: u64,
    },
    /// Asks the receiver to connect these lanes to Apple.
    Warm(Vec<Lane>),
    /// Answers WARM: these lanes of it are connected.
    Ready(Vec<Lane>),
    /// Asks for figures.
    Status(StatusOf),
    /// Answers STATUS.
    Seen(Seen),
    /// The sender takes no more BATCH; it finishes those it has.
    Leaving,
    /// Asks the receiver to make calls of channels, or broadcasts, itself: [`calls::decode_call`] reads them.
    Call(Bytes),
    /// Answers CALL: [`calls::decode_result`] reads it.
    Result(Bytes),
}

/// Most bytes of a frame after its header, and most items of a batch, that a node takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub frame_bytes: u32,
    pub items: u32,
}

impl Limits {
    /// The limits of a node whose requests have at most `body_bytes` bytes and `items` notifications: its own batches,
    /// and the outcomes of them, always fit.
    pub fn of_requests(body_bytes: usize, items: usize) -> Self {
        let items = u32::try_from(items).unwrap_or(u32::MAX);
        // An item takes 68 bytes of a BATCH; of OUTCOMES it takes 24 and up to 128 of an unlisted reason.
        let bytes = body_bytes.saturating_mul(2).saturating_add(items as usize * 256).saturating_add(1 << 20);
        Self { frame_bytes: u32::try_from(bytes).unwrap_or(u32::MAX), items }
    }

    /// The smaller of each: what both of two nodes take.
    pub fn of_both(self, other: Self) -> Self {
        Self { frame_bytes: self.frame_bytes.min(other.frame_bytes), items: self.items.min(other.items) }
    }
}

/// The kinds of frames, and their numbers on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Hello = 1,
    Batch = 2,
    Outcomes = 3,
    Refused = 4,
    Ping = 5,
    Pong = 6,
    Warm = 7,
    Ready = 8,
    Status = 9,
    Seen = 10,
    Leaving = 11,
    Call = 12,
    Result = 13,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::Hello,
        Self::Batch,
        Self::Outcomes,
        Self::Refused,
        Self::Ping,
        Self::Pong,
        Self::Warm,
        Self::Ready,
        Self::Status,
        Self::Seen,
        Self::Leaving,
        Self::Call,
        Self::Result,
    ];

    fn parse(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "HELLO",
            Self::Batch => "BATCH",
            Self::Outcomes => "OUTCOMES",
            Self::Refused => "REFUSED",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Warm => "WARM",
            Self::Ready => "READY",
            Self::Status => "STATUS",
            Self::Seen => "SEEN",
            Self::Leaving => "LEAVING",
            Self::Call => "CALL",
            Self::Result => "RESULT",
        }
    }
}

/// Appends PING.
pub fn put_ping(out: &mut Vec<u8>, id: u64) {
    put_frame(out, Kind::Ping, id, |_| {});
}

/// Appends PONG, the answer to the PING of this id: `clock_ms` is this node's monotonic clock.
pub fn put_pong(out: &mut Vec<u8>, id: u64, clock_ms: u64) {
    put_frame(out, Kind::Pong, id, |out| out.extend_from_slice(&clock_ms.to_le_bytes()));
}

/// Appends LEAVING.
pub fn put_leaving(out: &mut Vec<u8>) {
    put_frame(out, Kind::Leaving, 0, |_| {});
}

/// Appends CALL; only after both sides agreed on [`Features::CALLS`].
pub fn put_call(out: &mut Vec<u8>, id: u64, body: &[u8]) {
    put_frame(out, Kind::Call, id, |out| out.extend_from_slice(body));
}

/// Appends RESULT; only after both sides agreed on [`Features::CALLS`].
pub fn put_result(out: &mut Vec<u8>, id: u64, body: &[u8]) {
    put_frame(out, Kind::Result, id, |out| out.extend_from_slice(body));
}

/// Appends a frame whose body `put_body` appends.
fn put_frame(out: &mut Vec<u8>, kind: Kind, id: u64, put_body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[kind as u8, 0, 0, 0]);
    out.extend_from_slice(&id.to_le_bytes());
    put_body(out);
    let length = u32::try_from(out.len() - start - HEADER_BYTES).expect("a frame is far below 4 GiB");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests;
