//! Base64 as people paste it: with what shells, editors, JSON and mail put between its digits.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Marks that nobody sees: U+FEFF, the no-break space, the zero-width space.
const INVISIBLE: [&str; 3] = ["\u{feff}", "\u{a0}", "\u{200b}"];

/// Decodes base64, its padding or not, in the alphabet of URLs too. White space, quotation marks, `>` of quoted mail
/// and escapes that were never undone (`\n`, `\/`, `\u003d`) are passed over: none of them is a digit. `None` where
/// anything else is in it.
pub fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digits = digits(text)?;
    // Reserved at once: a growing vector would leave copies of the key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len()));
    BASE64.decode_vec(&*digits, &mut bytes).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}

/// The same of a text that is nothing else; a browser's `data:…;base64,` may stand before it.
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

/// Reads what follows a backslash: what it stands for (`None` = nothing), and what follows that.
fn unescape(rest: &[u8]) -> Option<(Option<u8>, &[u8])> {
    match rest {
        [b'n' | b'r' | b't', after @ ..] => Some((None, after)),
        [b'u', after @ ..] => {
            let (hex, after) = after.split_at_checked(4)?;
            let number = u32::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?;
            Some((Some(u8::try_from(number).ok().filter(u8::is_ascii)?), after))
        }
        // Escaped itself, at the end of a line, or before what needed no escape.
        rest => Some((None, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_the_digits_is_passed_over() {
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
    fn what_is_no_base64_is_not_guessed_at() {
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
