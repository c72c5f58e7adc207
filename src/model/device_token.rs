//! A device token, as callers write it and as Apple's `:path` has it.

use std::borrow::Cow;
use std::fmt;

/// The maximum length of a token, in hex digits. Apple announced up to 200; this leaves room.
pub const TOKEN_HEX_DIGITS_MAX: usize = 512;
/// The minimum length of a text to count as base64: 16 bytes.
const BASE64_CHARACTERS_MIN: usize = 22;

/// The reason that a text is not a device token. Its sentence continues after the name of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    #[error("is empty: give the device token in hex")]
    Empty,
    #[error("is not hex: character {at} is {}, and a token has only the digits 0-9 and a-f", Shown(*.character))]
    NotHex {
        /// The character's position in the text, from 1.
        at: usize,
        character: char,
    },
    #[error("is base64 and not hex: decode it, and write its bytes with the digits 0-9 and a-f")]
    Base64,
    #[error("has an odd number of hex digits: a digit is missing")]
    OddLength,
    #[error("has more than {TOKEN_HEX_DIGITS_MAX} hex digits")]
    TooLong,
}

impl BadToken {
    /// The error's `reason` in a response.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "token_missing",
            Self::NotHex { .. } | Self::Base64 => "token_not_hex",
            Self::OddLength => "token_odd_length",
            Self::TooLong => "token_too_long",
        }
    }
}

/// Returns the token in lower-case hex, borrowed if it is already. Removes white space at the ends, and spaces and `<>`
/// everywhere, as in the output of old iOS code.
pub fn normalise(text: &str) -> Result<Cow<'_, str>, BadToken> {
    // Without an early exit, so that the compiler vectorizes it: nearly all tokens are valid.
    let canonical = text.bytes().fold(true, |good, byte| good & matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let token = if canonical { Cow::Borrowed(text) } else { Cow::Owned(rewrite(text)?) };
    match token.len() {
        0 => Err(BadToken::Empty),
        length if length % 2 == 1 => Err(BadToken::OddLength),
        length if length > TOKEN_HEX_DIGITS_MAX => Err(BadToken::TooLong),
        _ => Ok(token),
    }
}

/// Separate from the common path, which is short enough to be inlined.
#[inline(never)]
fn rewrite(text: &str) -> Result<String, BadToken> {
    let mut token = String::with_capacity(text.len());
    let dropped = text.chars().take_while(|character| character.is_whitespace()).count();
    for (at, character) in text.trim().chars().enumerate() {
        match character {
            ' ' | '<' | '>' => {}
            '0'..='9' | 'a'..='f' | 'A'..='F' => token.push(character.to_ascii_lowercase()),
            _ if is_base64(text.trim()) => return Err(BadToken::Base64),
            _ => return Err(BadToken::NotHex { at: dropped + at + 1, character }),
        }
    }
    Ok(token)
}

/// Returns `true` for base64 of either alphabet, and not for hex with a few typos: two of three characters of base64
/// are not hex digits.
fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    let foreign = digits.bytes().filter(|byte| !byte.is_ascii_hexdigit()).count();
    digits.len() >= BASE64_CHARACTERS_MIN
        && text.len() - digits.len() <= 2
        && digits.len() % 4 != 1
        && digits.bytes().all(in_alphabet)
        && foreign * 4 > digits.len()
}

/// Displays a character in a sentence.
struct Shown(char);

impl fmt::Display for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            '\n' | '\r' => out.write_str("a line break"),
            character if character.is_ascii_graphic() => write!(out, "`{character}`"),
            character => write!(out, "U+{:04X}", u32::from(character)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canonical_token_is_not_copied() {
        assert!(matches!(normalise("00fc13ad"), Ok(Cow::Borrowed("00fc13ad"))));
    }

    #[test]
    fn spaces_brackets_capitals_and_outer_white_space_are_tolerated() {
        for text in ["<00FC 13ad>", "00fc13ad\n", "\t00fc13ad\r\n", " <00fc13ad> \n", "\u{a0}00fc13ad\u{2028}"] {
            assert_eq!(normalise(text).as_deref(), Ok("00fc13ad"), "{text:?}");
        }
    }

    #[test]
    fn each_fault_of_a_token_has_its_error() {
        for nothing in ["", "< >", "\n", " \t "] {
            assert_eq!(normalise(nothing), Err(BadToken::Empty), "{nothing:?}");
        }
        assert_eq!(normalise("00fc1"), Err(BadToken::OddLength));
        assert_eq!(normalise(&"0".repeat(514)), Err(BadToken::TooLong));
    }

    #[test]
    fn a_character_that_is_not_a_hex_digit_is_named_with_its_position() {
        for (text, named) in [
            ("(null)", "character 1 is `(`"),
            ("00fg", "character 4 is `g`"),
            (" 00 fc zz", "character 8 is `z`"),
            ("00\nfc", "character 3 is a line break"),
            ("00\tfc", "character 3 is U+0009"),
            ("éé", "character 1 is U+00E9"),
            ("00é", "character 3 is U+00E9"),
            ("00-fc", "character 3 is `-`"),
            ("0x00fc", "character 2 is `x`"),
        ] {
            let bad = normalise(text).expect_err(text);
            assert_eq!(bad.reason(), "token_not_hex");
            assert!(bad.to_string().starts_with(&format!("is not hex: {named}, and")), "{text}: {bad}");
        }
    }

    #[test]
    fn base64_is_recognised_and_distinguished_from_hex_with_a_typo() {
        use base64::Engine;
        use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
        for length in [16_usize, 32, 64, 100] {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 151 + 17) as u8).collect();
            for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                let text = engine.encode(&bytes);
                assert_eq!(normalise(&text), Err(BadToken::Base64), "{text}");
                assert_eq!(normalise(&format!(" {text}\n")), Err(BadToken::Base64), "{text}");
            }
        }
        let hex = "00fc13ad".repeat(8);
        for slip in [hex.replacen('f', "g", 1), hex.replace("13", "1O"), format!("{hex}=")] {
            assert!(matches!(normalise(&slip), Err(BadToken::NotHex { .. })), "{slip}");
        }
    }
}
