//! Integers and strings on the wire (RFC 7541 5).

use super::HpackError;

/// 28 bits: far above any length or index that can be legal in a block of 16 KiB.
const BYTES_AFTER_PREFIX_MAX: u32 = 4;

/// The high bit of a string's first byte: its text is Huffman coded.
const HUFFMAN: u8 = 0x80;

/// A string as encoded in the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coded<'a> {
    Plain(&'a [u8]),
    Huffman(&'a [u8]),
}

/// Takes an integer whose first byte gives it the low `prefix_bits` bits; the bits above are the caller's.
pub(super) fn read_integer(input: &mut &[u8], prefix_bits: u32) -> Result<usize, HpackError> {
    let prefix_max = (1 << prefix_bits) - 1;
    let mut value = usize::from(read_byte(input)?) & prefix_max;
    if value < prefix_max {
        return Ok(value);
    }
    for position in 0..BYTES_AFTER_PREFIX_MAX {
        let byte = read_byte(input)?;
        value += usize::from(byte & 0x7f) << (7 * position);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(HpackError::IntegerTooLong)
}

pub(super) fn read_string<'a>(input: &mut &'a [u8]) -> Result<Coded<'a>, HpackError> {
    let huffman = input.first().is_some_and(|first| first & HUFFMAN != 0);
    let length = read_integer(input, 7)?;
    let (text, rest) = input.split_at_checked(length).ok_or(HpackError::Truncated)?;
    *input = rest;
    Ok(if huffman { Coded::Huffman(text) } else { Coded::Plain(text) })
}

fn read_byte(input: &mut &[u8]) -> Result<u8, HpackError> {
    let (&byte, rest) = input.split_first().ok_or(HpackError::Truncated)?;
    *input = rest;
    Ok(byte)
}

/// Appends an integer; `pattern` fills the bits above the prefix.
pub(super) fn write_integer(value: usize, prefix_bits: u32, pattern: u8, out: &mut Vec<u8>) {
    let prefix_max = (1 << prefix_bits) - 1;
    if value < prefix_max {
        out.push(pattern | low_byte(value));
        return;
    }
    out.push(pattern | low_byte(prefix_max));
    let mut rest = value - prefix_max;
    while rest >= 0x80 {
        out.push(low_byte(rest) | 0x80);
        rest >>= 7;
    }
    out.push(low_byte(rest));
}

/// Appends a plain string. Huffman coding a token and an id would save 29 bytes and cost eight times the rest of the request.
pub(super) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    write_integer(text.len(), 7, 0, out);
    out.extend_from_slice(text);
}

fn low_byte(value: usize) -> u8 {
    value.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(value: usize, prefix_bits: u32, pattern: u8) -> Vec<u8> {
        let mut out = Vec::new();
        write_integer(value, prefix_bits, pattern, &mut out);
        out
    }

    #[test]
    fn the_integers_of_appendix_c_1_are_read_and_written() {
        for (value, prefix_bits, bytes) in
            [(10, 5, &[0x0a][..]), (1337, 5, &[0x1f, 0x9a, 0x0a]), (42, 8, &[0x2a]), (4096, 5, &[0x1f, 0xe1, 0x1f])]
        {
            assert_eq!(written(value, prefix_bits, 0), bytes);
            assert_eq!(read_integer(&mut &bytes[..], prefix_bits), Ok(value));
        }
        assert_eq!(written(4096, 5, 0x20), [0x3f, 0xe1, 0x1f]);
    }

    #[test]
    fn an_integer_of_five_bytes_after_the_prefix_is_refused_even_if_they_are_zeros() {
        assert_eq!(read_integer(&mut &[0xff, 0xff, 0xff, 0xff, 0x7f][..], 7), Ok(127 + (1 << 28) - 1));
        assert_eq!(read_integer(&mut &[0xff, 0x80, 0x80, 0x80, 0x80, 0][..], 7), Err(HpackError::IntegerTooLong));
    }

    #[test]
    fn a_string_longer_than_the_block_is_refused_before_it_is_used() {
        assert_eq!(read_string(&mut &[0x02, b'a'][..]), Err(HpackError::Truncated));
        assert_eq!(read_string(&mut &[0x7f, 0xff, 0xff, 0xff, 0x07][..]), Err(HpackError::Truncated));
        assert_eq!(read_string(&mut &[][..]), Err(HpackError::Truncated));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in 0usize..1 << 28, prefix_bits in 1u32..=8) {
            let bytes = written(value, prefix_bits, 0);
            let mut input = &bytes[..];
            prop_assert_eq!(read_integer(&mut input, prefix_bits), Ok(value));
            prop_assert!(input.is_empty());
        }
    }
}
