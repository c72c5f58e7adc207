//! A second reading of HPACK (RFC 7541), as plain and as strict as can be, to compare ours with.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use http2::hpack::Decoder;
use http2::request::field_size;

pub type Field = (Vec<u8>, Vec<u8>);

/// A block that breaks the rules.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken;

/// The table is a list of owned fields, newest first.
pub struct NaiveDecoder {
    limit: usize,
    /// The lowest limit since the last block.
    limit_lowest: usize,
    size_max: usize,
    entries: Vec<Field>,
}

impl NaiveDecoder {
    pub fn new(limit: usize) -> Self {
        Self { limit, limit_lowest: limit, size_max: limit, entries: Vec::new() }
    }

    /// HEADER_TABLE_SIZE changed: the next block must say so if the table was larger (RFC 9113 4.3.1).
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.limit_lowest = self.limit_lowest.min(limit);
    }

    pub fn entries(&self) -> &[Field] {
        &self.entries
    }

    pub fn size_max(&self) -> usize {
        self.size_max
    }

    pub fn size(&self) -> usize {
        self.entries.iter().map(|(name, value)| field_size(name, value)).sum()
    }

    pub fn decode(&mut self, mut block: &[u8]) -> Result<Vec<Field>, Broken> {
        let mut fields = Vec::new();
        let mut is_update_owed = self.size_max > self.limit_lowest;
        while let Some(0x20..0x40) = block.first() {
            let size_max = integer(&mut block, 5)?;
            if size_max > self.limit {
                return Err(Broken);
            }
            is_update_owed &= size_max > self.limit_lowest;
            self.size_max = size_max;
            self.evict();
        }
        if is_update_owed {
            return Err(Broken);
        }
        self.limit_lowest = self.limit;
        while let Some(&first) = block.first() {
            fields.push(match first {
                0x80.. => self.field(integer(&mut block, 7)?)?,
                0x40.. => {
                    let field = self.literal(&mut block, 6)?;
                    self.entries.insert(0, field.clone());
                    self.evict();
                    field
                }
                0x20.. => return Err(Broken),
                _ => self.literal(&mut block, 4)?,
            });
        }
        Ok(fields)
    }

    fn literal(&self, block: &mut &[u8], prefix_bits: u32) -> Result<Field, Broken> {
        let name = match integer(block, prefix_bits)? {
            0 => string(block)?,
            index => self.field(index)?.0,
        };
        Ok((name, string(block)?))
    }

    fn field(&self, index: usize) -> Result<Field, Broken> {
        match index {
            0 => Err(Broken),
            1..62 => Ok(STATIC[index - 1].clone()),
            _ => self.entries.get(index - 62).cloned().ok_or(Broken),
        }
    }

    fn evict(&mut self) {
        while self.size() > self.size_max {
            self.entries.pop();
        }
    }
}

/// Appendix A is compared with the RFC's examples elsewhere, so it is taken from the decoder under test.
static STATIC: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let decoder = Decoder::new(0);
    let field = |index| decoder.table().get(index).map(|(name, value)| (name.to_vec(), value.to_vec()));
    (1..62).map_while(field).collect()
});

/// At most four bytes after the prefix.
fn integer(block: &mut &[u8], prefix_bits: u32) -> Result<usize, Broken> {
    let prefix_max = (1_usize << prefix_bits) - 1;
    let prefix = usize::from(byte(block)?) & prefix_max;
    if prefix < prefix_max {
        return Ok(prefix);
    }
    let mut rest = 0;
    for shift in [0, 7, 14, 21] {
        let byte = byte(block)?;
        rest |= usize::from(byte % 128) << shift;
        if byte < 128 {
            return Ok(prefix_max + rest);
        }
    }
    Err(Broken)
}

fn byte(block: &mut &[u8]) -> Result<u8, Broken> {
    let (&byte, rest) = block.split_first().ok_or(Broken)?;
    *block = rest;
    Ok(byte)
}

fn string(block: &mut &[u8]) -> Result<Vec<u8>, Broken> {
    let is_huffman = block.first().is_some_and(|&first| first >= 128);
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Broken)?;
    *block = rest;
    if is_huffman { huffman(text) } else { Ok(text.to_vec()) }
}

/// Bit by bit.
fn huffman(text: &[u8]) -> Result<Vec<u8>, Broken> {
    let (mut decoded, mut word, mut length) = (Vec::new(), 0, 0);
    for bit in text.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)) {
        (word, length) = (word << 1 | u32::from(bit), length + 1);
        if let Some(&symbol) = CODE.get(&(length, word)) {
            decoded.push(u8::try_from(symbol).map_err(|_| Broken)?);
            (word, length) = (0, 0);
        }
    }
    let is_padding = length < 8 && word == (1 << length) - 1;
    if is_padding { Ok(decoded) } else { Err(Broken) }
}

/// By length and code word: the symbol; 256 is the end of the string.
static CODE: LazyLock<BTreeMap<(u32, u32), u16>> = LazyLock::new(|| {
    let (mut code, mut next, mut before) = (BTreeMap::new(), 0, 0);
    for &(bits, symbols) in SYMBOLS {
        next <<= bits - before;
        before = bits;
        for symbol in symbols.iter().cloned().flatten() {
            code.insert((bits, next), symbol);
            next += 1;
        }
    }
    code
});

/// Appendix B by the length of the code words; those of one length count up with their symbols.
#[rustfmt::skip]
const SYMBOLS: &[(u32, &[RangeInclusive<u16>])] = &[
    (5, &[48..=50, 97..=97, 99..=99, 101..=101, 105..=105, 111..=111, 115..=116]),
    (6, &[32..=32, 37..=37, 45..=47, 51..=57, 61..=61, 65..=65, 95..=95, 98..=98, 100..=100, 102..=104, 108..=110,
          112..=112, 114..=114, 117..=117]),
    (7, &[58..=58, 66..=87, 89..=89, 106..=107, 113..=113, 118..=122]),
    (8, &[38..=38, 42..=42, 44..=44, 59..=59, 88..=88, 90..=90]),
    (10, &[33..=34, 40..=41, 63..=63]),
    (11, &[39..=39, 43..=43, 124..=124]),
    (12, &[35..=35, 62..=62]),
    (13, &[0..=0, 36..=36, 64..=64, 91..=91, 93..=93, 126..=126]),
    (14, &[94..=94, 125..=125]),
    (15, &[60..=60, 96..=96, 123..=123]),
    (19, &[92..=92, 195..=195, 208..=208]),
    (20, &[128..=128, 130..=131, 162..=162, 184..=184, 194..=194, 224..=224, 226..=226]),
    (21, &[153..=153, 161..=161, 167..=167, 172..=172, 176..=177, 179..=179, 209..=209, 216..=217, 227..=227,
           229..=230]),
    (22, &[129..=129, 132..=134, 136..=136, 146..=146, 154..=154, 156..=156, 160..=160, 163..=164, 169..=170,
           173..=173, 178..=178, 181..=181, 185..=187, 189..=190, 196..=196, 198..=198, 228..=228, 232..=233]),
    (23, &[1..=1, 135..=135, 137..=141, 143..=143, 147..=147, 149..=152, 155..=155, 157..=158, 165..=166, 168..=168,
           174..=175, 180..=180, 182..=183, 188..=188, 191..=191, 197..=197, 231..=231, 239..=239]),
    (24, &[9..=9, 142..=142, 144..=145, 148..=148, 159..=159, 171..=171, 206..=206, 215..=215, 225..=225, 236..=237]),
    (25, &[199..=199, 207..=207, 234..=235]),
    (26, &[192..=193, 200..=202, 205..=205, 210..=210, 213..=213, 218..=219, 238..=238, 240..=240, 242..=243,
           255..=255]),
    (27, &[203..=204, 211..=212, 214..=214, 221..=223, 241..=241, 244..=248, 250..=254]),
    (28, &[2..=8, 11..=12, 14..=21, 23..=31, 127..=127, 220..=220, 249..=249]),
    (30, &[10..=10, 13..=13, 22..=22, 256..=256]),
];
