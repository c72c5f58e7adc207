//! Reads JSON strictly, explains its faults, and writes it.

pub mod characters;
pub mod compact;
mod cursor;
pub mod form;
mod malformed;
pub mod number;
mod object;
mod scan;

pub use cursor::Cursor;
pub use malformed::Malformed;
pub use object::{Object, ObjectFault};

use serde::Serialize;

/// Returns the body as text, without a byte order mark (U+FEFF). Checks UTF-8 once for the whole body, which is cheaper
/// than for each string.
pub fn text(body: &[u8]) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(body).map_err(|error| {
        if form::is_form(body) { Malformed::Form } else { Malformed::NotUtf8 { offset: error.valid_up_to() } }
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Appends `value` as JSON; for our objects, whose serialization cannot fail.
pub fn write(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out, value).expect("string keys into memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_text() {
        assert_eq!(text("\u{feff}{}".as_bytes()), Ok("{}"));
        assert_eq!(text("\u{feff}".as_bytes()), Ok(""));
    }
}
