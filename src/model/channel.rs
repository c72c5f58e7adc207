//! Apple's broadcast channels: their ids and their storage policies (apns-protocol.md 11).

use std::fmt;

/// The maximum length of a channel's id, in bytes. Apple's have 24, and may vary.
pub const CHANNEL_ID_BYTES_MAX: usize = 256;

/// The id of a channel: base64 with the standard alphabet, as Apple writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(Box<str>);

/// The reason that a text is not the id of a channel. Its sentence continues after the name of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadChannelId {
    #[error("is empty: it must be the id of a channel, as POST …/channels returns it")]
    Empty,
    #[error("has {bytes} bytes, and the id of a channel has at most {CHANNEL_ID_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("is not base64: it must be the id of a channel, as POST …/channels returns it")]
    NotBase64,
}

impl ChannelId {
    /// Reads the id that a caller gives, in the standard or in the URL-safe alphabet, with or without padding.
    pub fn parse(text: &str) -> Result<Self, BadChannelId> {
        let bytes = text.len();
        let digits = text.strip_suffix("==").or(text.strip_suffix('=')).unwrap_or(text);
        if digits.is_empty() {
            return Err(if text.is_empty() { BadChannelId::Empty } else { BadChannelId::NotBase64 });
        }
        if bytes > CHANNEL_ID_BYTES_MAX {
            return Err(BadChannelId::TooLong { bytes });
        }
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
        let has_length = digits.len() % 4 != 1 && (text.len() == digits.len() || text.len().is_multiple_of(4));
        if !has_length || !digits.bytes().all(is_digit) {
            return Err(BadChannelId::NotBase64);
        }
        let mut standard = digits.replace('-', "+").replace('_', "/");
        while !standard.len().is_multiple_of(4) {
            standard.push('=');
        }
        Ok(Self(standard.into()))
    }

    /// The id in an answer of Apple, unchanged; `None` if a header cannot have it.
    pub fn of_apple(text: &[u8]) -> Option<Self> {
        let fits = (1..=CHANNEL_ID_BYTES_MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(text).ok().filter(|_| fits)?;
        Some(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The messages of a channel that Apple stores for devices that are offline. It is fixed when the channel is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoragePolicy {
    /// None: Apple allows more broadcasts then, and each must have the expiry 0.
    NoMessage,
    /// The most recent one, for 8 hours at most.
    MostRecentMessage,
}

impl StoragePolicy {
    pub fn parse(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::NoMessage),
            1 => Some(Self::MostRecentMessage),
            _ => None,
        }
    }

    pub fn number(self) -> u8 {
        match self {
            Self::NoMessage => 0,
            Self::MostRecentMessage => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_in_every_notation_and_kept_in_apples() {
        for (given, kept) in [
            ("dHN0LXNyY2gtY2hubA==", "dHN0LXNyY2gtY2hubA=="),
            ("dHN0LXNyY2gtY2hubA", "dHN0LXNyY2gtY2hubA=="),
            ("a-b_", "a+b/"),
            ("a+b/", "a+b/"),
            ("abc", "abc="),
            ("abc=", "abc="),
        ] {
            assert_eq!(ChannelId::parse(given).map(|id| id.to_string()).as_deref(), Ok(kept), "{given}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        assert_eq!(ChannelId::parse(""), Err(BadChannelId::Empty));
        for text in ["=", "==", "a", "abcde", "ab=", "a b=", "abc\n", "äbc", "abc==", "abcd="] {
            assert_eq!(ChannelId::parse(text), Err(BadChannelId::NotBase64), "{text}");
        }
        let long = "a".repeat(260);
        assert_eq!(ChannelId::parse(&long), Err(BadChannelId::TooLong { bytes: 260 }));
    }

    #[test]
    fn an_id_of_apple_is_kept_unchanged_if_a_header_can_have_it() {
        assert_eq!(ChannelId::of_apple(b"x:y").map(|id| id.to_string()).as_deref(), Some("x:y"));
        for text in [&b""[..], b"a\r\nb", b"a b", &[0xff], &[b'a'; 257]] {
            assert_eq!(ChannelId::of_apple(text), None);
        }
    }
}
