//! Bytes on their way into TLS. A frame of which TLS took no byte can be taken back, and was provably not sent. Pure.

/// The bytes of whole frames in their order, and the offset up to which TLS took them.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// The first of `bytes` that TLS has not taken.
    head: usize,
    /// The bytes that TLS took of this connection.
    taken: u64,
}

/// The memory that an empty outbox keeps: several batches of 100 are written together.
const KEPT_BYTES: usize = 256 << 10;

impl Outbox {
    /// Appends what `write` appends, and returns the offset at which that begins.
    pub fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let begins = self.end();
        write(&mut self.bytes);
        begins
    }

    /// The offset after the last byte.
    pub fn end(&self) -> u64 {
        self.taken + self.pending().len() as u64
    }

    /// The bytes that TLS has not taken yet.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    pub fn is_empty(&self) -> bool {
        self.pending().is_empty()
    }

    /// TLS took the first `count` pending bytes.
    pub fn advance(&mut self, count: usize) {
        self.head += count;
        self.taken += count as u64;
        if self.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.head = 0;
        } else if self.head >= KEPT_BYTES && self.head >= self.bytes.len() / 2 {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
    }

    /// Returns `true` if TLS took the byte at this offset.
    pub fn has_taken(&self, offset: u64) -> bool {
        offset < self.taken
    }

    /// Takes a frame back. Returns false, and changes nothing, if TLS took some of it already. The frames after it move
    /// up by its length.
    #[must_use]
    pub fn remove(&mut self, begins: u64, length: u64) -> bool {
        if self.has_taken(begins) {
            return false;
        }
        let start = self.head + (begins - self.taken) as usize;
        self.bytes.drain(start..start + length as usize);
        true
    }

    /// Begins a new connection. What was pending is dropped.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_can_be_taken_back_until_tls_took_its_first_byte() {
        let mut outbox = Outbox::default();
        let begins = ["one", "two", "three"].map(|text| outbox.append(|bytes| bytes.extend(text.as_bytes())));
        assert_eq!(begins, [0, 3, 6]);
        outbox.advance(4);
        assert!(!outbox.remove(0, 3) && !outbox.remove(3, 3), "TLS has some of these");
        assert!(outbox.remove(6, 5));
        assert_eq!((outbox.pending(), outbox.end()), (b"wo".as_slice(), 6));
        assert_eq!(outbox.append(|bytes| bytes.extend(b"four")), 6);
        outbox.advance(2);
        assert!(!outbox.has_taken(6));
        outbox.advance(1);
        assert!(outbox.has_taken(6) && outbox.pending() == b"our");
    }

    #[test]
    fn a_frame_in_the_middle_is_taken_back_and_its_neighbours_stay() {
        let mut outbox = Outbox::default();
        for text in ["one", "two", "three"] {
            outbox.append(|bytes| bytes.extend(text.as_bytes()));
        }
        outbox.advance(1);
        assert!(outbox.remove(3, 3));
        assert_eq!(outbox.pending(), b"nethree");
    }

    #[test]
    fn what_was_taken_is_given_back_to_the_system() {
        let mut outbox = Outbox::default();
        for _ in 0..100 {
            outbox.append(|bytes| bytes.resize(bytes.len() + (1 << 20), 7));
            outbox.advance((1 << 20) - 1);
            assert!(outbox.bytes.capacity() <= 4 << 20, "{}", outbox.bytes.capacity());
        }
        outbox.advance(outbox.pending().len());
        assert!(outbox.bytes.capacity() <= KEPT_BYTES);
    }
}
