//! The characters of a JSON string (RFC 8259, section 7), with its escapes decoded.

/// Half of a UTF-16 pair without its other half, which UTF-8 cannot represent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoneSurrogate;

/// Iterates over the characters of a string's content, which must be well-formed: it ends early at invalid JSON.
#[derive(Debug, Clone)]
pub struct Characters<'a> {
    rest: &'a str,
}

impl<'a> Characters<'a> {
    /// `inside` is the text between a string's quotes.
    pub fn of(inside: &'a str) -> Self {
        Self { rest: inside }
    }

    /// Returns the characters' length in bytes of UTF-8; half a surrogate pair counts as three.
    pub fn utf8_bytes(self) -> usize {
        self.map(|character| character.map_or(3, char::len_utf8)).sum()
    }

    fn escaped(&mut self) -> Option<Result<char, LoneSurrogate>> {
        let plain = match self.rest.as_bytes().get(1)? {
            b'u' => return self.unicode(),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            other => char::from(*other),
        };
        self.rest = self.rest.get(2..)?;
        Some(Ok(plain))
    }

    fn unicode(&mut self) -> Option<Result<char, LoneSurrogate>> {
        let unit = unit(self.rest)?;
        self.rest = self.rest.get(6..)?;
        let next = unit_if_low(self.rest);
        let decoded = char::decode_utf16([Some(unit), next].into_iter().flatten()).next()?;
        if decoded.as_ref().is_ok_and(|character| character.len_utf16() == 2) {
            self.rest = self.rest.get(6..)?;
        }
        Some(decoded.map_err(|_| LoneSurrogate))
    }
}

impl Iterator for Characters<'_> {
    type Item = Result<char, LoneSurrogate>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.rest.chars().next()?;
        if first == '\\' {
            return self.escaped();
        }
        self.rest = self.rest.get(first.len_utf8()..)?;
        Some(Ok(first))
    }
}

/// Decodes the escape of a UTF-16 unit at the start of `text`.
fn unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

fn unit_if_low(text: &str) -> Option<u16> {
    unit(text).filter(|unit| (0xdc00..=0xdfff).contains(unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_escape_is_decoded_to_its_character() {
        let inside = r#"a\u00e9é\"\\\/\b\f\n\r\t\ud83d\ude00😀"#;
        let decoded: Result<String, _> = Characters::of(inside).collect();
        assert_eq!(decoded.as_deref(), Ok("aéé\"\\/\u{8}\u{c}\n\r\t😀😀"));
        assert_eq!(Characters::of(inside).utf8_bytes(), decoded.map_or(0, |text| text.len()));
    }

    #[test]
    fn half_a_pair_is_an_error_and_hides_no_character() {
        for (inside, expected) in [
            (r"\ud83d", vec![Err(LoneSurrogate)]),
            (r"\ude00x", vec![Err(LoneSurrogate), Ok('x')]),
            (r"\ud83d\u0041", vec![Err(LoneSurrogate), Ok('A')]),
            (r"\ud83d\ud83d\ude00", vec![Err(LoneSurrogate), Ok('😀')]),
        ] {
            assert_eq!(Characters::of(inside).collect::<Vec<_>>(), expected, "{inside}");
        }
    }

    proptest! {
        #[test]
        fn every_string_is_decoded_as_by_serde_json(text: String) {
            for written in [serde_json::to_string(&text).unwrap(), escaped(&text)] {
                let read: String = serde_json::from_str(&written).unwrap();
                let inside = &written[1..written.len() - 1];
                prop_assert_eq!(Characters::of(inside).collect::<Result<String, _>>(), Ok(read));
            }
        }

        #[test]
        fn invalid_json_ends_the_iteration(inside in r#"[\\ud83x"é]{0,12}"#) {
            let _ = Characters::of(&inside).count();
        }
    }

    /// The text with an escape for every character.
    fn escaped(text: &str) -> String {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        format!("\"{units}\"")
    }
}
