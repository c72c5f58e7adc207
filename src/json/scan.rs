//! Finds a byte in text eight bytes at a time: bodies are looked through for quotes and line ends, once a notification.

const WORD: usize = size_of::<u64>();
const CHUNK: usize = 32;
const ONES: u64 = u64::from_ne_bytes([0x01; WORD]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; WORD]);

/// Where the first `one` or `other` stands in `bytes`; their length if there is none.
pub fn find_either(bytes: &[u8], one: u8, other: u8) -> usize {
    let (words, rest) = bytes.as_chunks::<WORD>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = holds(word, one) | holds(word, other);
        if found != 0 {
            return index * WORD + found.trailing_zeros() as usize / 8;
        }
    }
    let before = words.len() * WORD;
    before + rest.iter().position(|byte| *byte == one || *byte == other).unwrap_or(rest.len())
}

/// Where a quote, a backslash or a control character first stands in `text`; its length if none does.
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

/// Without an early exit, so that many bytes are judged at once.
fn is_plain_text(text: &[u8; CHUNK]) -> bool {
    let ends = |byte: u8| u8::from(byte < b' ') | u8::from(byte == b'"') | u8::from(byte == b'\\');
    text.iter().fold(0, |found, byte| found | ends(*byte)) == 0
}

/// As [`holds`], for what ends plain text.
fn ends_plain_text(word: [u8; WORD]) -> u64 {
    let word = u64::from_le_bytes(word);
    let control = word.wrapping_sub(ONES * u64::from(b' ')) & !word & HIGHS;
    holds(word, b'"') | holds(word, b'\\') | control
}

/// A word whose lowest set bit is the highest of the first byte of `word` that is `byte`; 0 if none is. Bits above that
/// one mean nothing: a borrow may have reached them.
fn holds(word: u64, byte: u8) -> u64 {
    let difference = word ^ (ONES * u64::from(byte));
    difference.wrapping_sub(ONES) & !difference & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_either_is_found_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..=length {
                // What stands behind differs by one, which a borrow would mistake for a find.
                let mut bytes = vec![b'#'; length];
                bytes[..at].fill(b'\xff');
                if at < length {
                    bytes[at] = if at % 2 == 0 { b'"' } else { b'\\' };
                }
                assert_eq!(find_either(&bytes, b'"', b'\\'), at, "{bytes:?}");
            }
        }
    }

    #[test]
    fn plain_text_ends_at_a_quote_a_backslash_or_a_control_character() {
        for length in 0..100 {
            for at in 0..=length {
                for end in [b'"', b'\\', 0, b'\n', 0x1f] {
                    // What stands behind would be found by a borrow; what stands before is nearly an end.
                    let mut text = vec![b'!'; length];
                    text[..at].fill([b' ', 0x7f, 0xff, b'#', b'['][length % 5]);
                    text.iter_mut().skip(at).take(1).for_each(|byte| *byte = end);
                    assert_eq!(end_of_plain_text(&text), at, "{text:?}");
                }
            }
        }
    }

    #[test]
    fn no_other_byte_is_taken_for_it() {
        for byte in (0..=u8::MAX).filter(|byte| *byte != b'\n') {
            assert_eq!(find_either(&[byte; 17], b'\n', b'\n'), 17, "{byte}");
        }
    }
}
