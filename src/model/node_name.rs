//! The name that operators give a node.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest name of a node, in bytes; a host's is no longer.
const NODE_NAME_BYTES_MAX: usize = 255;

/// A node's name: 1 to 255 of `A-Z a-z 0-9 . _ : -`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName(Arc<str>);

/// Why a text is no name of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a node's name is 1 to {NODE_NAME_BYTES_MAX} characters of A-Z a-z 0-9 . _ : -")]
pub struct BadNodeName;

impl NodeName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = BadNodeName;

    fn from_str(text: &str) -> Result<Self, BadNodeName> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        let is_name = (1..=NODE_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(legal);
        if is_name { Ok(Self(text.into())) } else { Err(BadNodeName) }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_name_is_one_and_what_would_break_a_line_is_not() {
        for good in ["a", "push-1.example.com", "ip-10-0-0-1", "[::1]".trim_matches(['[', ']'])] {
            assert_eq!(good.parse::<NodeName>().map(|name| name.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "a b", "a\nb", "ä", &"x".repeat(256)] {
            assert_eq!(bad.parse::<NodeName>(), Err(BadNodeName), "{bad}");
        }
    }
}
