//! HPACK end to end, by bytes alone.

mod appendix_c;
mod requests;
mod round_trip;
mod vectors;

use super::{Decoder, HpackError, Table};

type Field = (Vec<u8>, Vec<u8>);

/// Bytes from hexadecimal digits; spaces are for the reader.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<_> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

fn fields(pairs: &[(&str, &str)]) -> Vec<Field> {
    pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Field>, HpackError> {
    let mut fields = Vec::new();
    decoder.decode(block, |name, value| fields.push((name.to_vec(), value.to_vec())))?;
    Ok(fields)
}

/// The dynamic entries, newest first.
fn entries(table: &Table) -> Vec<Field> {
    (62..).map_while(|index| table.get(index)).map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}
