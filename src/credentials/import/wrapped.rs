//! Decodes pasted base64, with the characters that shells, editors, JSON and mail insert.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Invisible characters: U+FEFF, the no-break space, the zero-width space.
const INVISIBLE: [&str; 3] = ["\u{feff}", "\u{a0}", "\u{200b}"];

/// Decodes base64, with or without padding, also in the URL-safe alphabet. Ignores white space, quotation marks, `>` of
/// quoted mail and escapes (`\n`, `\/`, `\u003d`), since none of them is a digit. Returns `None` for any other
/// character.
pub fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digits = digits(text)?;
    // Reserved in advance: a growing vector would leave copies of the key in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len()));
    BASE64.decode_vec(&*digits, &mut bytes).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}

/// Decodes a text that is only base64, optionally after a browser's `data:…;base64,`.
pub fn decode_whole(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    const DATA: &[u8] = b"data:";
    const IN_BASE64: &[u8] = b";base64,";
    let text = text.trim_ascii();
    let text = text.strip_prefix(b"b").filter(|rest| matches!(rest.first(), Some(b'\'' | b'"'))).unwrap_or(text);
    let named = text.starts_with(DATA).then(|| super::find(text, IN_BASE64)).flatten();
    decode(named.map_or(text, |at| &text[at + IN_BASE64.len()..]))
}

fn digits(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut digits = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let digit = match first {
            b'\\' => {
                let (escaped, after) = unescape(rest)?;
                rest = after;
                escaped
            }
            _ if first.is_ascii() => Some(first),
            _ => {
                let whole = &text[text.len() - rest.len() - 1..];
                let mark = INVISIBLE.iter().find(|mark| whole.starts_with(mark.as_bytes()))?;
                rest = &whole[mark.len()..];
                None
            }
        };
        match digit {
            None | Some(b'"' | b'\'' | b'>') => {}
            Some(byte) if byte.is_ascii_whitespace() => {}
            Some(b'-') => digits.push(b'+'),
            Some(b'_') => digits.push(b'/'),
            Some(byte) if byte.is_ascii_alphanumeric() || b"+/=".contains(&byte) => digits.push(byte),
            Some(_) => return None,
        }
    }
    Some(digits)
}

/// Parses an escape after its backslash. Returns the character (`None` = none) and the rest.
fn unescape(rest: &[u8]) -> Option<(Option<u8>, &[u8])> {
    match rest {
        [b'n' | b'r' | b't', after @ ..] => Some((None, after)),
        [b'u', after @ ..] => {
            let (hex, after) = after.split_at_checked(4)?;
            let number = u32::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?;
            Some((Some(u8::try_from(number).ok().filter(u8::is_ascii)?), after))
        }
        // An escaped backslash, one at the end of a line, or one before a character that needs no escape.
        rest => Some((None, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_between_the_digits_are_ignored() {
        let table = [
            "AQIDBPv/",
            "AQID\nBPv/",
            "AQID\r\n  BPv/\r\n",
            r"AQID\nBPv/\n",
            r"AQID\\nBPv/",
            r"AQID\r\nBPv\/",
            "\"AQID\" \"BPv/\"",
            "> AQID\n> BPv/",
            "AQIDBPv_",
            r"AQIDBPv\u002f",
            "\u{feff}AQID\u{a0}\u{200b}BPv/",
            "AQID\\\nBPv/",
        ];
        for text in table {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(&vec![1, 2, 3, 4, 0xfb, 0xff]), "{text:?}");
        }
        for text in
            ["AQIDBA==", "AQIDBA", r"AQIDBA\u003d\u003d", "b'AQIDBA=='", "data:application/x-pkcs12;base64,AQIDBA=="]
        {
            assert_eq!(decode_whole(text.as_bytes()).as_deref(), Some(&vec![1, 2, 3, 4]), "{text:?}");
        }
    }

    #[test]
    fn text_that_is_not_base64_is_refused() {
        for text in [
            "",
            " \n",
            "AQID.BPv/",
            "AQ ID é",
            "AQID#BPv/",
            "A",
            r"AQ\u00e9ID",
            r"AQ\u12",
            "AQID==BPv/",
            "data:text/plain,AQID",
        ] {
            assert_eq!(decode_whole(text.as_bytes()), None, "{text:?}");
        }
    }
}
