//! Encodes requests as field blocks: a header that many requests share costs one byte, and the others are literals.
//!
//! An insert shifts every index, and evicts the oldest entries, which are the ones each request needs. So inserts stop
//! below the table's size, and the encoding of a `Head` is cached only until the table changes.

use super::primitive::{write_integer, write_string};
use super::{TABLE_SIZE_DEFAULT, Table};
use crate::request::{Head, Request, field_size};

/// The minimum interval between clearings of a table full of outdated headers; each clearing costs about 300 bytes.
const BLOCKS_BETWEEN_RESTARTS: u32 = 4_096;

/// The number of cached Heads. Further ones are encoded step by step.
const TEMPLATES_MAX: usize = 256;

/// Patterns of a field's first byte (RFC 7541 6), each with the length of its integer.
const INDEXED: (u32, u8) = (7, 0x80);
const INSERTED: (u32, u8) = (6, 0x40);
const NOT_INSERTED: (u32, u8) = (4, 0x00);
const SIZE_UPDATE: (u32, u8) = (5, 0x20);

/// The encoder of a connection. Each encoded block changes the peer's table and must reach it, in order.
pub struct Encoder {
    table: Table,
    resize: Option<Resize>,
    /// The cached encodings, ordered by the Head's id; all valid for the current table.
    templates: Vec<Template>,
    names: Vec<PerMessageName>,
    /// A header that would fit an empty table was spelled out for lack of room.
    crowded: bool,
    blocks_since_restart: u32,
}

/// Sizes to announce in the next block (RFC 7541 4.2).
struct Resize {
    smallest: usize,
    last: usize,
}

/// A Head's part of a block: `bytes[..path_at]`, then the path, then the rest.
struct Template {
    head: u64,
    bytes: Vec<u8>,
    path_at: usize,
}

/// The beginning of a field whose value differs with each message.
struct PerMessageName {
    name: &'static str,
    bytes: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    pub fn new() -> Self {
        Self {
            table: Table::new(TABLE_SIZE_DEFAULT),
            resize: None,
            templates: Vec::new(),
            names: Vec::new(),
            crowded: false,
            blocks_since_restart: 0,
        }
    }

    /// Applies the peer's HEADER_TABLE_SIZE; call it at the place of our SETTINGS ACK. Above 4,096 nothing changes. The next
    /// block announces a change, and the smallest size in between (RFC 9113 4.3.1, RFC 7541 4.2).
    pub fn set_table_size_max(&mut self, peer_limit: u32) {
        let last = usize::try_from(peer_limit).map_or(TABLE_SIZE_DEFAULT, |limit| limit.min(TABLE_SIZE_DEFAULT));
        let smallest = self.resize.as_ref().map_or(self.table.size_max(), |resize| resize.smallest).min(last);
        self.resize = (smallest != self.table.size_max() || last != smallest).then_some(Resize { smallest, last });
    }

    /// Appends the field block of a request: never more bytes than its list size, plus six where the table's size changes.
    pub fn encode(&mut self, request: &Request<'_>, out: &mut Vec<u8>) {
        self.blocks_since_restart = self.blocks_since_restart.saturating_add(1);
        if self.crowded && self.resize.is_none() && self.blocks_since_restart > BLOCKS_BETWEEN_RESTARTS {
            self.resize = Some(Resize { smallest: 0, last: self.table.size_max() });
        }
        if let Some(resize) = self.resize.take() {
            self.announce(&resize, out);
        }
        match self.templates.binary_search_by_key(&request.head.id(), |template| template.head) {
            Ok(place) => {
                let template = &self.templates[place];
                let (before, after) = template.bytes.split_at(template.path_at);
                out.extend_from_slice(before);
                write_path(request.path, out);
                out.extend_from_slice(after);
            }
            Err(place) => self.head_and_path(request, place, out),
        }
        for (name, value) in request.fields {
            self.per_message(name, value, out);
        }
    }

    /// The state both sides share once the peer has read all blocks.
    pub fn table(&self) -> &Table {
        &self.table
    }

    fn announce(&mut self, resize: &Resize, out: &mut Vec<u8>) {
        for size_max in [resize.smallest, resize.last] {
            if size_max != self.table.size_max() {
                write_integer(size_max, SIZE_UPDATE.0, SIZE_UPDATE.1, out);
                self.table.set_size_max(size_max);
            }
        }
        self.table_changed();
        if self.table.entry_count() == 0 {
            self.crowded = false;
            self.blocks_since_restart = 0;
        }
    }

    fn table_changed(&mut self) {
        self.templates.clear();
        self.names.clear();
    }

    /// Encodes a Head, with literals for the headers that are not in the table. Caches the result if the table did not
    /// change.
    fn head_and_path(&mut self, request: &Request<'_>, place: usize, out: &mut Vec<u8>) {
        let entries = self.table.entry_count();
        let start = out.len();
        for (name, value) in request.head.pseudo() {
            self.shared(request.head, name, value, out);
        }
        let path_at = out.len();
        write_path(request.path, out);
        let path_end = out.len();
        for (name, value) in request.head.fields() {
            self.shared(request.head, name, value, out);
        }
        if self.table.entry_count() != entries {
            return self.table_changed();
        }
        let bytes = [&out[start..path_at], &out[path_end..]].concat();
        let template = Template { head: request.head.id(), bytes, path_at: path_at - start };
        if self.templates.len() < TEMPLATES_MAX {
            self.templates.insert(place, template);
        } else {
            // Some of them are not used any more; the others are cached again at their next use.
            self.templates.clear();
            self.templates.push(template);
        }
    }

    fn shared(&mut self, head: &Head, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        if let Some(index) = self.table.find(name, value) {
            return write_integer(index, INDEXED.0, INDEXED.1, out);
        }
        // A quarter of the table is reserved for the names of per-message headers.
        let budget = self.table.size_max() / 4 * 3;
        if self.table.size() + field_size(name, value) <= budget {
            self.write_name(INSERTED, name, out);
            self.table.insert(name, value);
        } else {
            self.crowded |= head.list_size() <= budget;
            self.write_name(NOT_INSERTED, name, out);
        }
        write_string(value, out);
    }

    fn per_message(&mut self, name: &'static str, value: &[u8], out: &mut Vec<u8>) {
        match self.names.iter().find(|known| known.name == name) {
            Some(known) => out.extend_from_slice(&known.bytes),
            None => self.name_of_per_message(name, value, out),
        }
        write_string(value, out);
    }

    /// The first use inserts the name, with a value that is never reused; later uses refer to the name.
    fn name_of_per_message(&mut self, name: &'static str, value: &[u8], out: &mut Vec<u8>) {
        let known = self.table.find_name(name.as_bytes()).is_some();
        if !known && self.table.size() + field_size(name.as_bytes(), value) <= self.table.size_max() {
            self.write_name(INSERTED, name.as_bytes(), out);
            self.table.insert(name.as_bytes(), value);
            return self.table_changed();
        }
        let start = out.len();
        self.write_name(NOT_INSERTED, name.as_bytes(), out);
        self.names.push(PerMessageName { name, bytes: out[start..].to_vec() });
    }

    fn write_name(&self, (prefix_bits, pattern): (u32, u8), name: &[u8], out: &mut Vec<u8>) {
        match self.table.find_name(name) {
            Some(index) => write_integer(index, prefix_bits, pattern, out),
            None => {
                out.push(pattern);
                write_string(name, out);
            }
        }
    }
}

/// Never inserted: device tokens do not repeat.
fn write_path(path: [&[u8]; 2], out: &mut Vec<u8>) {
    const PATH_INDEX: u8 = 4;
    out.push(NOT_INSERTED.1 | PATH_INDEX);
    write_integer(path[0].len() + path[1].len(), 7, 0, out);
    out.extend_from_slice(path[0]);
    out.extend_from_slice(path[1]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Method;

    impl Encoder {
        /// As if it had encoded so many blocks that a restart is no longer held back.
        pub fn allow_restart(&mut self) {
            self.blocks_since_restart = BLOCKS_BETWEEN_RESTARTS;
        }
    }

    #[test]
    fn heads_of_the_past_do_not_pile_up() {
        let mut encoder = Encoder::new();
        let mut block = Vec::new();
        for number in 0..3 * TEMPLATES_MAX {
            let topic = format!("com.example.app{number}");
            let head = Head::new(Method::Post, "api.push.apple.com", &[("apns-topic", &topic)]);
            let request = Request { head: &head, path: [b"/3/device/", b"00fc"], fields: &[], body: b"" };
            for _ in 0..2 {
                block.clear();
                encoder.encode(&request, &mut block);
            }
            assert!(encoder.templates.len() <= TEMPLATES_MAX);
            assert!(encoder.templates.is_sorted_by_key(|template| template.head));
        }
    }
}
