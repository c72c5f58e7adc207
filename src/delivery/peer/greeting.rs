//! The check of a HELLO: the same on both sides. Pure.

use super::wire::{Agreed, Hello, NoCommonVersion, WireError};

/// The reason for closing a connection to a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("it sends what is no frame: {0}")]
    Malformed(#[from] WireError),
    #[error(transparent)]
    Version(#[from] NoCommonVersion),
    #[error("its store has another epoch: all nodes of a cluster use the same store")]
    Epoch,
    #[error("it is no member, or another start of one than the list of members says")]
    Session,
    #[error("it sends a frame that has no place here")]
    Unexpected,
}

impl Mismatch {
    /// The value of the metric's label `why`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::Unexpected => "malformed",
            Self::Version(_) => "version",
            Self::Epoch => "epoch",
            Self::Session => "session",
        }
    }
}

/// Checks the HELLO of a peer against our own. `is_member` says if its node and session are a member's.
pub fn check(own: &Hello, theirs: &Hello, is_member: bool) -> Result<Agreed, Mismatch> {
    let agreed = own.agree(theirs)?;
    if theirs.epoch != own.epoch {
        return Err(Mismatch::Epoch);
    }
    if is_member { Ok(agreed) } else { Err(Mismatch::Session) }
}
