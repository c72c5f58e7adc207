//! The static and the dynamic table in their common index space (RFC 7541 2.3).

use std::collections::VecDeque;

use crate::request::FIELD_OVERHEAD;

/// RFC 7541 appendix A; the first has index 1.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// Both tables; the same type serves the decoder and the encoder, so both evict alike.
///
/// The entries' bytes follow each other in one arena, oldest first. Evicted ones stay in front until an insert finds the
/// arena at twice the table's size; then the rest moves to the start. So a move costs less than a byte per byte inserted.
pub struct Table {
    arena: Vec<u8>,
    /// Oldest first.
    entries: VecDeque<Entry>,
    size: usize,
    size_max: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    start: usize,
    name_length: usize,
    value_length: usize,
}

impl Table {
    pub(super) fn new(size_max: usize) -> Self {
        Self { arena: Vec::new(), entries: VecDeque::new(), size: 0, size_max }
    }

    /// Name and value at an index; 1 to 61 are static, then the dynamic ones follow, newest first.
    pub fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        if let Some((name, value)) = STATIC.get(index.wrapping_sub(1)) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let entry = self.entry(index)?;
        let (name, rest) = self.arena.get(entry.start..)?.split_at_checked(entry.name_length)?;
        Some((name, rest.get(..entry.value_length)?))
    }

    /// Number of dynamic entries.
    pub fn entry_count(&self) -> usize {
        self.entries.len()
    }

    /// Σ(name + value + 32) of the dynamic entries.
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn size_max(&self) -> usize {
        self.size_max
    }

    /// The lowest index with this name and value.
    pub(super) fn find(&self, name: &[u8], value: &[u8]) -> Option<usize> {
        self.position(|field| field == (name, value))
    }

    pub(super) fn find_name(&self, name: &[u8]) -> Option<usize> {
        self.position(|field| field.0 == name)
    }

    fn position(&self, wanted: impl Fn((&[u8], &[u8])) -> bool) -> Option<usize> {
        (1..=STATIC.len() + self.entries.len()).find(|&index| self.get(index).is_some_and(&wanted))
    }

    /// Evicts entries that no longer fit (RFC 7541 4.3).
    pub(super) fn set_size_max(&mut self, size_max: usize) {
        self.size_max = size_max;
        self.evict_to(size_max);
    }

    /// An entry larger than the table empties it (RFC 7541 4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        if self.make_room(name.len(), value.len()) {
            self.arena.extend_from_slice(name);
            self.arena.extend_from_slice(value);
            self.admit(name.len(), value.len());
        }
    }

    /// Inserts with the name of another entry; an index without one inserts nothing.
    pub(super) fn insert_with_name_of(&mut self, index: usize, value: &[u8]) {
        if let Some((name, _)) = STATIC.get(index.wrapping_sub(1)) {
            return self.insert(name.as_bytes(), value);
        }
        let Some(Entry { name_length, .. }) = self.entry(index) else { return };
        if self.make_room(name_length, value.len()) {
            // Making room may have moved the entry, and inserting may evict it, so it is looked up here and copied
            // first.
            let Some(Entry { start, .. }) = self.entry(index) else { return };
            self.arena.extend_from_within(start..start + name_length);
            self.arena.extend_from_slice(value);
            self.admit(name_length, value.len());
        }
    }

    fn entry(&self, index: usize) -> Option<Entry> {
        let age = index.checked_sub(STATIC.len() + 1)?;
        let place = self.entries.len().checked_sub(age + 1)?;
        self.entries.get(place).copied()
    }

    /// Makes room in the arena, evicting nothing unless the entry is larger than the whole table: then false.
    fn make_room(&mut self, name_length: usize, value_length: usize) -> bool {
        let length = name_length + value_length;
        if length + FIELD_OVERHEAD > self.size_max {
            self.evict_to(0);
            return false;
        }
        if self.arena.len() + length > 2 * self.size_max {
            let live = self.entries.front().map_or(self.arena.len(), |oldest| oldest.start);
            self.arena.drain(..live);
            for entry in &mut self.entries {
                entry.start -= live;
            }
        }
        true
    }

    /// Makes an entry of the last bytes of the arena, evicting the oldest for it.
    fn admit(&mut self, name_length: usize, value_length: usize) {
        let size = name_length + value_length + FIELD_OVERHEAD;
        self.evict_to(self.size_max - size);
        self.size += size;
        let start = self.arena.len() - name_length - value_length;
        self.entries.push_back(Entry { start, name_length, value_length });
    }

    fn evict_to(&mut self, size: usize) {
        while self.size > size
            && let Some(oldest) = self.entries.pop_front()
        {
            self.size -= oldest.name_length + oldest.value_length + FIELD_OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(Vec<u8>, Vec<u8>),
        InsertWithNameOf(usize, Vec<u8>),
        SetSizeMax(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let text = || proptest::collection::vec(any::<u8>(), 0..60);
        prop_oneof![
            5 => (text(), text()).prop_map(|(name, value)| Step::Insert(name, value)),
            5 => (1usize..75, text()).prop_map(|(index, value)| Step::InsertWithNameOf(index, value)),
            1 => (0usize..500).prop_map(Step::SetSizeMax),
        ]
    }

    /// Newest first, one allocation per string: too plain to be wrong.
    #[derive(Default)]
    struct Naive(Vec<(Vec<u8>, Vec<u8>)>);

    impl Naive {
        fn evict_to(&mut self, size: usize) {
            while self.0.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>() > size {
                self.0.pop();
            }
        }

        fn insert(&mut self, name: &[u8], value: &[u8], size_max: usize) {
            self.0.insert(0, (name.to_vec(), value.to_vec()));
            self.evict_to(size_max);
        }
    }

    #[test]
    fn the_first_and_the_last_static_entry_have_the_index_of_the_rfc() {
        let table = Table::new(0);
        assert_eq!(table.get(0), None);
        assert_eq!(table.get(1), Some((&b":authority"[..], &b""[..])));
        assert_eq!(table.get(61), Some((&b"www-authenticate"[..], &b""[..])));
        assert_eq!(table.get(62), None);
        assert_eq!(table.get(usize::MAX), None);
    }

    proptest! {
        #[test]
        fn the_arena_holds_what_a_naive_table_holds(steps in proptest::collection::vec(step(), 0..200)) {
            let mut size_max = 300;
            let (mut table, mut naive) = (Table::new(size_max), Naive::default());
            for step in steps {
                match step {
                    Step::Insert(name, value) => {
                        table.insert(&name, &value);
                        naive.insert(&name, &value, size_max);
                    }
                    Step::InsertWithNameOf(index, value) => {
                        let name = table.get(index).map(|(name, _)| name.to_vec());
                        table.insert_with_name_of(index, &value);
                        if let Some(name) = name {
                            naive.insert(&name, &value, size_max);
                        }
                    }
                    Step::SetSizeMax(size) => {
                        size_max = size;
                        table.set_size_max(size);
                        naive.evict_to(size);
                    }
                }
                let held: Vec<_> = (62..).map_while(|index| table.get(index)).collect();
                let wanted: Vec<_> = naive.0.iter().map(|(name, value)| (&name[..], &value[..])).collect();
                prop_assert_eq!(&held, &wanted);
                prop_assert_eq!(table.entry_count(), held.len());
                prop_assert_eq!(table.size(), held.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>());
                prop_assert!(table.arena.len() <= 2 * 500, "the arena grew to {}", table.arena.len());
            }
        }
    }
}
