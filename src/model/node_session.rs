//! One run of a node: another one has begun when a process of the same name starts.

use std::fmt;
use std::str::FromStr;

/// Hex digits of a session as text.
const HEX_DIGITS: usize = 32;

/// The 128 random bits that tell one run of a node from the next. Written as 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeSession(u128);

/// The error for a text that is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a node's session is {HEX_DIGITS} hex digits in lower case")]
pub struct BadNodeSession;

impl NodeSession {
    /// The session of these bits, which its caller draws at random.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    pub const fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Display for NodeSession {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

impl FromStr for NodeSession {
    type Err = BadNodeSession;

    fn from_str(text: &str) -> Result<Self, BadNodeSession> {
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let bits = (text.len() == HEX_DIGITS && is_hex).then(|| u128::from_str_radix(text, 16).ok()).flatten();
        bits.map(Self).ok_or(BadNodeSession)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_reads_back_as_it_was_written_and_nothing_else_does() {
        for bits in [0, 0xfc, u128::MAX] {
            let session = NodeSession::from_bits(bits);
            assert_eq!(session.to_string().parse(), Ok(session));
        }
        let (short, long) = ("0".repeat(31), "0".repeat(33));
        for bad in ["", &short, &long, &"F".repeat(32), &format!("+{short}"), &"é".repeat(16)] {
            assert_eq!(bad.parse::<NodeSession>(), Err(BadNodeSession), "{bad}");
        }
    }
}
