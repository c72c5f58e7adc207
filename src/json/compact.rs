//! The size of JSON in its shortest notation.

use super::characters::Characters;

/// Returns the size of `json` in bytes without white space and needless escapes. `json` must be well-formed.
pub fn compact_bytes(json: &str) -> usize {
    let mut rest = json;
    let mut bytes = 0;
    while let Some(start) = rest.find('"') {
        let (between, text) = rest.split_at(start);
        let end = end_of_string(&text[1..]);
        let inside = &text[1..=end];
        bytes += solid_bytes(between) + 2 + Characters::of(inside).map(written_bytes).sum::<usize>();
        rest = text.get(end + 2..).unwrap_or_default();
    }
    bytes + solid_bytes(rest)
}

/// The advice for a payload that is too large: `compact` is its compact size, if that is small enough.
pub fn shorter(compact: Option<usize>) -> String {
    compact.map_or_else(
        || "shorten it".to_owned(),
        |bytes| format!("write it as UTF-8 without \\u escapes or spaces between its parts, and it has {bytes}"),
    )
}

/// The size of the text between strings.
fn solid_bytes(json: &str) -> usize {
    json.bytes().filter(|byte| !byte.is_ascii_whitespace()).count()
}

/// The end of the string whose opening quote precedes `text`.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    let ends = |byte: u8| {
        let end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    };
    text.bytes().position(ends).unwrap_or(text.len())
}

fn written_bytes<E>(character: Result<char, E>) -> usize {
    match character {
        Ok('"' | '\\' | '\u{8}' | '\u{c}' | '\n' | '\r' | '\t') => 2,
        Ok(character) if character >= ' ' => character.len_utf8(),
        // Only an escape can write it.
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn spaces_between_parts_and_needless_escapes_do_not_count() {
        for (json, compact) in [
            ("{ \"a\" :\r\n\t[ 1 , -2.50e+3, true ] }", r#"{"a":[1,-2.50e+3,true]}"#),
            (r#"{"a b":"\u00e9 \/ \ud83d\ude00"}"#, r#"{"a b":"é / 😀"}"#),
            (r#"{"\u0022":"\u005c \u000a\u0001 \ud83d"}"#, r#"{"\"":"\\ \n\u0001 \ud83d"}"#),
            (r#"{"a":"\\","b":"\\\""}"#, r#"{"a":"\\","b":"\\\""}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(compact_bytes(json), compact.len(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn serde_json_writes_as_many(texts: Vec<String>) {
            let value = Value::from(texts);
            let compact = serde_json::to_string(&value).unwrap();
            let wide: String = serde_json::to_string_pretty(&value).unwrap().chars().map(|character| {
                if character.is_ascii() { character.to_string() } else {
                    character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
                }
            }).collect();
            prop_assert_eq!(compact_bytes(&wide), compact.len());
        }
    }
}
