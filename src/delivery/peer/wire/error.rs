//! The ways in which bytes are no frames.

use super::Kind;
use crate::model::BadBatch;

/// The reason that received bytes are not a valid frame at this point. The link must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("the first frame is not HELLO but of kind {0}")]
    NoHello(u8),
    #[error("HELLO comes twice")]
    SecondHello,
    #[error("kind {0} of a frame is unknown in this version")]
    UnknownKind(u8),
    #[error("{} was not agreed on in HELLO", .0.as_str())]
    NotAgreed(Kind),
    #[error("a frame of {bytes} bytes, and at most {limit} are taken: give the nodes of a cluster the same `limits`")]
    TooLong { bytes: u32, limit: u32 },
    #[error("{items} items in a batch, and at most {limit} are taken: give the nodes of a cluster the same `limits`")]
    TooManyItems { items: u32, limit: u32 },
    #[error("a reserved field of a frame's header is not 0")]
    Reserved,
    #[error("{} is shorter than what it announces", .0.as_str())]
    CutShort(Kind),
    #[error("{} has bytes after its end", .0.as_str())]
    TooMuch(Kind),
    #[error("{}: bad {what}", .kind.as_str())]
    BadField { kind: Kind, what: &'static str },
    /// The frame is well-formed, and the batch in it is not; the sender may be told with [`super::Refusal::Malformed`].
    #[error("BATCH {id}: {why}")]
    BadBatch { id: u64, why: BadBatch },
}

impl WireError {
    /// One word for it, for a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoHello(_) | Self::SecondHello => "hello",
            Self::UnknownKind(_) | Self::NotAgreed(_) => "kind",
            Self::TooLong { .. } | Self::TooManyItems { .. } => "too_large",
            Self::Reserved | Self::CutShort(_) | Self::TooMuch(_) | Self::BadField { .. } => "malformed",
            Self::BadBatch { .. } => "bad_batch",
        }
    }
}

/// The error for a batch that is larger than its receiver takes. Nothing was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the other node takes no frame of {bytes} bytes with {items} items: give the nodes of a cluster the same `limits`"
)]
pub struct TooLarge {
    pub bytes: usize,
    pub items: usize,
}
