//! JSON: read strictly, explained where it is wrong, and written.

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

/// The body as text, without the mark (U+FEFF) that some put before UTF-8. Checked once as a whole, which is cheaper than
/// string by string.
pub fn text(body: &[u8]) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(body).map_err(|error| {
        if form::is_form(body) { Malformed::Form } else { Malformed::NotUtf8 { offset: error.valid_up_to() } }
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Appends `value` as JSON; for our own objects, which always have a JSON form.
pub fn write(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out, value).expect("string keys into memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_before_the_text_is_no_part_of_it() {
        assert_eq!(text("\u{feff}{}".as_bytes()), Ok("{}"));
        assert_eq!(text("\u{feff}".as_bytes()), Ok(""));
    }
}
