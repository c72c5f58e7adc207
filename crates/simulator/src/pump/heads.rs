//! The representation of each field in the peer's header blocks. It only classifies; h2 decodes.

use std::collections::VecDeque;

use serde::Serialize;

use super::frames::{self, CONTINUATION, END_HEADERS, FRAME_HEADER, HEADERS};
use super::huffman;

/// The representation in which a field was written (RFC 7541 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Name and value are in a table.
    Indexed,
    /// Literal, and inserted into the table.
    Incremental,
    /// Literal, without indexing.
    Literal,
    /// Literal, never indexed on the way.
    Never,
}

/// A field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    pub name: String,
    pub form: Form,
}

/// The names of RFC 7541, appendix A, in order.
const STATIC: [&str; 61] = [
    ":authority",
    ":method",
    ":method",
    ":path",
    ":path",
    ":scheme",
    ":scheme",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];
const TABLE_SIZE: usize = 4096;
const ENTRY_OVERHEAD: usize = 32;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

/// Follows the blocks of one connection.
#[derive(Debug)]
pub struct Heads {
    /// Names, and the sizes of their entries; newest first.
    table: VecDeque<(String, usize)>,
    size: usize,
    size_max: usize,
    /// The current frame: its header and the received part of its payload.
    frame: Option<([u8; FRAME_HEADER], Vec<u8>)>,
    block: Vec<u8>,
    /// A block could not be read, so that no later one can.
    lost: bool,
}

impl Heads {
    pub fn new() -> Self {
        let (table, frame, block) = (VecDeque::new(), None, Vec::new());
        Self { table, size: 0, size_max: TABLE_SIZE, frame, block, lost: false }
    }

    /// Begins a frame.
    pub fn begin(&mut self, header: &[u8]) {
        let concerns = matches!(header.get(3), Some(&(HEADERS | CONTINUATION)));
        self.frame = header.first_chunk().filter(|_| concerns).map(|header| (*header, Vec::new()));
    }

    /// Adds a part of the payload. At the end of the block's last frame, returns the stream and the fields.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<(u32, Vec<Field>)> {
        let (header, payload) = self.frame.as_mut()?;
        payload.extend_from_slice(bytes);
        if payload.len() < frames::length(header)? {
            return None;
        }
        let (header, payload) = self.frame.take()?;
        self.block.extend_from_slice(fragment(header[3], header[4], &payload)?);
        if header[4] & END_HEADERS == 0 {
            return None;
        }
        let block = std::mem::take(&mut self.block);
        let fields = if self.lost { None } else { self.decode(&block) };
        self.lost |= fields.is_none();
        Some((frames::stream(&header), fields?))
    }

    fn decode(&mut self, mut block: &[u8]) -> Option<Vec<Field>> {
        let mut fields = Vec::new();
        while let Some(&first) = block.first() {
            let (form, bits) = match first {
                0x80.. => (Form::Indexed, 7),
                0x40.. => (Form::Incremental, 6),
                0x20.. => {
                    self.size_max = integer(&mut block, 5)?;
                    self.evict(0);
                    continue;
                }
                0x10.. => (Form::Never, 4),
                _ => (Form::Literal, 4),
            };
            let index = integer(&mut block, bits)?;
            let name = if index == 0 { text(&mut block)? } else { self.name(index)?.to_owned() };
            if form != Form::Indexed {
                let value = text(&mut block)?;
                if form == Form::Incremental {
                    self.insert(&name, name.len() + value.len() + ENTRY_OVERHEAD);
                }
            }
            fields.push(Field { name, form });
        }
        Some(fields)
    }

    fn name(&self, index: usize) -> Option<&str> {
        match STATIC.get(index.checked_sub(1)?) {
            Some(name) => Some(name),
            None => self.table.get(index - 1 - STATIC.len()).map(|(name, _)| name.as_str()),
        }
    }

    fn insert(&mut self, name: &str, size: usize) {
        self.evict(size);
        if size <= self.size_max {
            self.table.push_front((name.to_owned(), size));
            self.size += size;
        }
    }

    /// Makes room for an entry of this size.
    fn evict(&mut self, size: usize) {
        while self.size + size > self.size_max
            && let Some((_, oldest)) = self.table.pop_back()
        {
            self.size -= oldest;
        }
    }
}

/// The payload without padding and priority.
fn fragment(kind: u8, flags: u8, payload: &[u8]) -> Option<&[u8]> {
    if kind != HEADERS {
        return Some(payload);
    }
    let (padding, payload) = match payload.split_first() {
        Some((padding, rest)) if flags & PADDED != 0 => (usize::from(*padding), rest),
        _ => (0, payload),
    };
    let payload = payload.get(if flags & PRIORITY != 0 { 5 } else { 0 }..)?;
    payload.get(..payload.len().checked_sub(padding)?)
}

fn integer(block: &mut &[u8], bits: u32) -> Option<usize> {
    let most = (1_usize << bits) - 1;
    let (first, rest) = block.split_first()?;
    *block = rest;
    let mut value = usize::from(*first) & most;
    let mut shift = 0;
    while value >= most || shift > 0 {
        let (byte, rest) = block.split_first()?;
        *block = rest;
        value += usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
        if shift > 28 {
            return None;
        }
    }
    Some(value)
}

fn text(block: &mut &[u8]) -> Option<String> {
    let is_huffman = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (bytes, rest) = block.split_at_checked(length)?;
    *block = rest;
    let bytes = if is_huffman { huffman::decode(bytes)? } else { bytes.to_vec() };
    // Invalid UTF-8 keeps its length: one character for each byte.
    Some(bytes.iter().map(|byte| char::from(byte & 0x7f)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541 C.4 (with Huffman code) and C.3 are the same requests; here with one field that is never indexed.
    #[test]
    fn representations_are_distinguished_and_the_table_is_followed() {
        let mut heads = Heads::new();
        let mut read = |block: &[u8]| {
            let fields = heads.decode(block).unwrap();
            fields.into_iter().map(|field| (field.name, field.form)).collect::<Vec<_>>()
        };
        let first = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        let name = |text: &str, form| (text.to_owned(), form);
        let start = [name(":method", Form::Indexed), name(":scheme", Form::Indexed), name(":path", Form::Indexed)];
        assert_eq!(read(first), [&start[..], &[name(":authority", Form::Incremental)]].concat());
        let second = b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf";
        let more = [name(":authority", Form::Indexed), name("cache-control", Form::Incremental)];
        assert_eq!(read(second), [&start[..], &more].concat());
        assert_eq!(
            read(b"\x10\x01a\x01b\x0f\x2f\x01c"),
            [name("a", Form::Never), name("cache-control", Form::Literal)]
        );
        assert_eq!(read(b"\x20\x00\x81\x1f\x01x"), [name("a", Form::Literal)], "the Huffman code of `a`");
    }

    #[test]
    fn a_block_is_gathered_from_any_pieces() {
        let mut heads = Heads::new();
        heads.begin(&frames::frame(HEADERS, PADDED | PRIORITY, 3, &[0; 12])[..FRAME_HEADER]);
        assert_eq!(heads.feed(&[2, 0, 0, 0, 0]), None);
        assert_eq!(heads.feed(&[9, 0x00, 0x01, b'a', 0x01, 0, 0]), None);
        heads.begin(&frames::frame(CONTINUATION, END_HEADERS, 3, &[0; 1])[..FRAME_HEADER]);
        assert_eq!(heads.feed(b"b"), Some((3, vec![Field { name: "a".into(), form: Form::Literal }])));
        heads.begin(&frames::frame(0, 1, 3, b"data")[..FRAME_HEADER]);
        assert_eq!(heads.feed(b"data"), None);
    }
}
