//! A device token as callers write it, and as it goes into Apple's `:path`.

use std::borrow::Cow;

/// Longest token, in hex digits; Apple announced up to 200, so there is room to grow.
pub const TOKEN_HEX_DIGITS_MAX: usize = 512;

/// Why a text is no device token; its sentence goes on after the name of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    #[error("is empty: give the device token in hex")]
    Empty,
    #[error("is not hex: write the token's bytes as digits 0-9 and a-f")]
    NotHex,
    #[error("has an odd number of hex digits: a digit is missing")]
    OddLength,
    #[error("has more than {TOKEN_HEX_DIGITS_MAX} hex digits")]
    TooLong,
}

impl BadToken {
    /// The stable word for it in an answer.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "token_missing",
            Self::NotHex => "token_not_hex",
            Self::OddLength => "token_odd_length",
            Self::TooLong => "token_too_long",
        }
    }
}

/// The token in lower-case hex, borrowed where it already is. Spaces and `<>` are dropped, as in what old iOS code printed.
pub fn normalise(text: &str) -> Result<Cow<'_, str>, BadToken> {
    // Without an early exit, so that many bytes are checked at once: tokens are good nearly always.
    let canonical = text.bytes().fold(true, |good, byte| good & matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let token = if canonical { Cow::Borrowed(text) } else { Cow::Owned(rewrite(text)?) };
    match token.len() {
        0 => Err(BadToken::Empty),
        length if length % 2 == 1 => Err(BadToken::OddLength),
        length if length > TOKEN_HEX_DIGITS_MAX => Err(BadToken::TooLong),
        _ => Ok(token),
    }
}

fn rewrite(text: &str) -> Result<String, BadToken> {
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes().filter(|byte| !matches!(byte, b' ' | b'<' | b'>')) {
        if !byte.is_ascii_hexdigit() {
            return Err(BadToken::NotHex);
        }
        token.push(char::from(byte.to_ascii_lowercase()));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canonical_token_is_not_copied() {
        assert!(matches!(normalise("00fc13ad"), Ok(Cow::Borrowed("00fc13ad"))));
    }

    #[test]
    fn spaces_brackets_and_capitals_are_tolerated() {
        assert_eq!(normalise("<00FC 13ad>").as_deref(), Ok("00fc13ad"));
    }

    #[test]
    fn what_is_no_token_is_told_apart() {
        assert_eq!(normalise("< >"), Err(BadToken::Empty));
        assert_eq!(normalise("00fc1"), Err(BadToken::OddLength));
        assert_eq!(normalise("zz"), Err(BadToken::NotHex));
        assert_eq!(normalise(&"0".repeat(514)), Err(BadToken::TooLong));
    }
}
