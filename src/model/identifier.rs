//! A notification's identifier: JSON as the caller wrote it, measured by its decoded value.

use crate::json::characters::Characters;
use uuid::Uuid;

/// The maximum length of an `identifier`: of a string in bytes of decoded UTF-8, of a number in digits.
pub const IDENTIFIER_BYTES_MAX: usize = 256;
/// The length of a UUID, and the length of one that is written only with escapes.
const UUID_BYTES: usize = 36;
const UUID_BYTES_ESCAPED: usize = 6 * UUID_BYTES;

/// Returns the length of an identifier in bytes.
pub fn bytes(json: &str) -> usize {
    match inside(json) {
        // No escape decodes to more bytes than it has.
        Some(inside) if inside.len() > IDENTIFIER_BYTES_MAX => Characters::of(inside).utf8_bytes(),
        Some(inside) => inside.len(),
        None => json.len(),
    }
}

/// The UUID in a string that has Apple's form after decoding: lower case, 8-4-4-4-12.
pub fn canonical_uuid(json: &str) -> Option<Uuid> {
    let inside = inside(json)?;
    match inside.len() {
        UUID_BYTES => canonical(inside),
        length if length > UUID_BYTES && length <= UUID_BYTES_ESCAPED => escaped_uuid(inside),
        _ => None,
    }
}

/// Separate from the common path, which is short enough to be inlined.
#[inline(never)]
fn escaped_uuid(inside: &str) -> Option<Uuid> {
    if !inside.contains('\\') {
        return None;
    }
    canonical(&Characters::of(inside).collect::<Result<String, _>>().ok()?)
}

fn canonical(text: &str) -> Option<Uuid> {
    let canonical = text.len() == UUID_BYTES && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if canonical { Uuid::try_parse(text).ok() } else { None }
}

/// Returns the text between the quotes of a string.
fn inside(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "123e4567-e89b-12d3-a456-426655440000";

    #[test]
    fn the_length_of_a_text_is_that_of_its_decoded_value() {
        for (unit, written) in [("é", r"\u00e9"), ("\n", r"\n"), ("😀", r"\ud83d\ude00"), ("a", r"\u0061")] {
            let most = IDENTIFIER_BYTES_MAX / unit.len();
            assert_eq!(bytes(&format!("\"{}\"", written.repeat(most))), IDENTIFIER_BYTES_MAX, "{written}");
            assert_eq!(bytes(&format!("\"{}\"", written.repeat(most + 1))), IDENTIFIER_BYTES_MAX + unit.len());
        }
        assert_eq!([bytes(r#""abc""#), bytes("-455.0"), bytes(r#""""#)], [3, 6, 0]);
    }

    #[test]
    fn a_uuid_is_recognised_with_any_escapes() {
        let all: String = UUID.bytes().map(|byte| format!("\\u{byte:04X}")).collect();
        for inside in [UUID, &UUID.replacen('-', r"\u002d", 1), &UUID.replace('e', r"\u0065"), &all] {
            let read = canonical_uuid(&format!("\"{inside}\""));
            assert_eq!(read.map(|uuid| uuid.to_string()).as_deref(), Some(UUID), "{inside}");
        }
    }

    #[test]
    fn other_identifiers_are_not_canonical_uuids() {
        let upper = UUID.to_uppercase();
        let escaped_upper = UUID.replacen('e', r"\u0045", 1);
        let longer = format!(r"{UUID}\u0030");
        let odd = r"\ud83d".repeat(12);
        for inside in [&upper, &escaped_upper, &longer, &odd, &r"\\".repeat(36), "", "x"] {
            assert_eq!(canonical_uuid(&format!("\"{inside}\"")), None, "{inside}");
        }
        assert_eq!(canonical_uuid("7"), None);
    }
}
