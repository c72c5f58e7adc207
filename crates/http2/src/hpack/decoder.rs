//! Decodes field blocks to headers (RFC 7541 6).

use super::primitive::{Coded, read_integer, read_string};
use super::{HpackError, Table, huffman};

/// The decoder of a connection: every block of the peer must pass through it, in order, even if its stream has ended.
pub struct Decoder {
    table: Table,
    size_limit: usize,
    // Buffers of a decoded name and value, kept to reuse their memory.
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    /// `size_limit` is the HEADER_TABLE_SIZE of our SETTINGS, or 4,096 if we send none.
    pub fn new(size_limit: usize) -> Self {
        Self { table: Table::new(size_limit), size_limit, name: Vec::new(), value: Vec::new() }
    }

    /// Lends each header of a whole block to `on_field`, in order. Never copies a plain string; keeps nothing but the table.
    ///
    /// # Errors
    /// Any error is a connection error COMPRESSION_ERROR; the decoder must not be used afterwards.
    pub fn decode(&mut self, block: &[u8], mut on_field: impl FnMut(&[u8], &[u8])) -> Result<(), HpackError> {
        let mut rest = block;
        self.size_updates(&mut rest)?;
        while let Some(&first) = rest.first() {
            match first {
                0x80.. => {
                    let index = read_integer(&mut rest, 7)?;
                    let (name, value) = self.table.get(index).ok_or(HpackError::IndexOutOfRange)?;
                    on_field(name, value);
                }
                0x40.. => self.literal(&mut rest, 6, true, &mut on_field)?,
                0x20.. => return Err(HpackError::LateSizeUpdate),
                _ => self.literal(&mut rest, 4, false, &mut on_field)?,
            }
        }
        Ok(())
    }

    /// The state both sides share.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Several in a row are tolerated (RFC 7541 4.2 speaks of at most two).
    fn size_updates(&mut self, rest: &mut &[u8]) -> Result<(), HpackError> {
        while let Some(0x20..0x40) = rest.first() {
            let size_max = read_integer(rest, 5)?;
            if size_max > self.size_limit {
                return Err(HpackError::SizeUpdateTooLarge);
            }
            self.table.set_size_max(size_max);
        }
        Ok(())
    }

    fn literal(
        &mut self,
        rest: &mut &[u8],
        prefix_bits: u32,
        inserted: bool,
        on_field: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<(), HpackError> {
        let index = read_integer(rest, prefix_bits)?;
        if index == 0 {
            let name = text(read_string(rest)?, &mut self.name)?;
            let value = text(read_string(rest)?, &mut self.value)?;
            on_field(name, value);
            if inserted {
                self.table.insert(name, value);
            }
        } else {
            let (name, _) = self.table.get(index).ok_or(HpackError::IndexOutOfRange)?;
            let value = text(read_string(rest)?, &mut self.value)?;
            on_field(name, value);
            if inserted {
                self.table.insert_with_name_of(index, value);
            }
        }
        Ok(())
    }
}

fn text<'a>(coded: Coded<'a>, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], HpackError> {
    match coded {
        Coded::Plain(text) => Ok(text),
        Coded::Huffman(input) => {
            scratch.clear();
            huffman::decode(input, scratch)?;
            Ok(scratch)
        }
    }
}
