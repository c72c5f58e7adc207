//! The end of a JSON string's plain text, found many bytes at a time. memchr finds bytes, not the range of control characters.

const WORD: usize = size_of::<u64>();
const CHUNK: usize = 32;
const ONES: u64 = u64::from_ne_bytes([0x01; WORD]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; WORD]);

/// Returns the position of the first quote, backslash or control character in `text`; its length if there is none.
#[inline]
pub fn end_of_plain_text(text: &[u8]) -> usize {
    // Most strings end within a word.
    match text.first_chunk().map(|word| ends_plain_text(*word)) {
        Some(ends) if ends != 0 => ends.trailing_zeros() as usize / 8,
        _ => end_of_long_text(text),
    }
}

#[inline(never)]
fn end_of_long_text(text: &[u8]) -> usize {
    let chunks = text.as_chunks().0;
    let mut at = chunks.iter().take_while(|chunk| is_plain_text(chunk)).count() * CHUNK;
    let (words, rest) = text[at..].as_chunks();
    for word in words {
        let ends = ends_plain_text(*word);
        if ends != 0 {
            return at + ends.trailing_zeros() as usize / 8;
        }
        at += WORD;
    }
    at + rest.iter().position(|byte| matches!(byte, ..b' ' | b'"' | b'\\')).unwrap_or(rest.len())
}

/// Without an early exit, so that the compiler vectorizes it.
fn is_plain_text(text: &[u8; CHUNK]) -> bool {
    let ends = |byte: u8| u8::from(byte < b' ') | u8::from(byte == b'"') | u8::from(byte == b'\\');
    text.iter().fold(0, |found, byte| found | ends(*byte)) == 0
}

/// Like [`holds`], for the bytes that end plain text.
fn ends_plain_text(word: [u8; WORD]) -> u64 {
    let word = u64::from_le_bytes(word);
    let control = word.wrapping_sub(ONES * u64::from(b' ')) & !word & HIGHS;
    holds(word, b'"') | holds(word, b'\\') | control
}

/// Returns a word whose lowest set bit is the highest bit of the first byte of `word` that equals `byte`; 0 if none
/// does. Higher bits are meaningless, since a borrow may have set them.
fn holds(word: u64, byte: u8) -> u64 {
    let difference = word ^ (ONES * u64::from(byte));
    difference.wrapping_sub(ONES) & !difference & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_ends_at_a_quote_a_backslash_or_a_control_character() {
        for length in 0..100 {
            for at in 0..=length {
                for end in [b'"', b'\\', 0, b'\n', 0x1f] {
                    // A borrow would find the byte after it; the byte before it nearly ends the text.
                    let mut text = vec![b'!'; length];
                    text[..at].fill([b' ', 0x7f, 0xff, b'#', b'['][length % 5]);
                    text.iter_mut().skip(at).take(1).for_each(|byte| *byte = end);
                    assert_eq!(end_of_plain_text(&text), at, "{text:?}");
                }
            }
        }
    }
}
