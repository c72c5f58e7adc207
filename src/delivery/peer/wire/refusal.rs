//! REFUSED: nothing of a batch was sent.

use super::scanner::Scanner;
use super::{Kind, WireError, put_frame};

/// The reason that a node refused a batch. Nothing of it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too much is in flight on the node.
    NodeOverloaded { retry_after_seconds: u32 },
    /// Too much is in flight there for the app.
    AppOverloaded { retry_after_seconds: u32 },
    /// The node is shutting down.
    Leaving,
    /// The node does not know the app, also after it has asked the store.
    UnknownApp,
    /// The batch breaks a rule; the link is closed next.
    Malformed,
}

impl Refusal {
    fn code(self) -> (u8, u32) {
        match self {
            Self::NodeOverloaded { retry_after_seconds } => (1, retry_after_seconds),
            Self::AppOverloaded { retry_after_seconds } => (2, retry_after_seconds),
            Self::Leaving => (3, 0),
            Self::UnknownApp => (4, 0),
            Self::Malformed => (5, 0),
        }
    }

    /// Appends the refusal.
    pub(super) fn put(self, out: &mut Vec<u8>) {
        let (code, seconds) = self.code();
        out.push(code);
        out.extend_from_slice(&seconds.to_le_bytes());
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut body = Scanner::new(Kind::Refused, body);
        let (code, retry_after_seconds) = (body.u8()?, body.u32()?);
        let refusal = match code {
            1 => Self::NodeOverloaded { retry_after_seconds },
            2 => Self::AppOverloaded { retry_after_seconds },
            3 => Self::Leaving,
            4 => Self::UnknownApp,
            5 => Self::Malformed,
            _ => return Err(body.bad("reason")),
        };
        body.finish()?;
        Ok(refusal)
    }
}

/// Appends REFUSED, an answer to the BATCH of this id.
pub fn put_refused(out: &mut Vec<u8>, id: u64, refusal: Refusal) {
    put_frame(out, Kind::Refused, id, |out| refusal.put(out));
}
