//! The pieces of a body, collected as they arrive. Bytes are not moved again until the body is complete, so that an
//! endless body costs one copy of each byte. The collecting task yields regularly.

use bytes::{Bytes, BytesMut};
use tokio::task::yield_now;

/// The maximum size of a segment, and the number of bytes after which the task yields.
const SEGMENT_BYTES_MAX: usize = 256 << 10;

/// A body of one piece up to this size is copied, since the original would keep the whole read buffer alive.
const COPY_BYTES_MAX: usize = 4 << 10;

/// A body that is being collected.
#[derive(Debug, Default)]
pub struct Pieces {
    /// The first piece: most bodies have no other.
    first: Bytes,
    segments: Vec<BytesMut>,
    length: usize,
    /// The length at the last yield.
    yielded_at: usize,
    declared: usize,
}

impl Pieces {
    /// Collects a body of this declared length; 0 if none is declared.
    pub fn expecting(declared: usize) -> Self {
        Self { declared, ..Self::default() }
    }

    /// The number of bytes so far.
    pub fn len(&self) -> usize {
        self.length
    }

    pub async fn add(&mut self, piece: Bytes) {
        self.length += piece.len();
        if self.length == piece.len() {
            self.first = piece;
            return;
        }
        if self.segments.is_empty() {
            let room = if self.declared > 0 { self.declared } else { self.segment_bytes() };
            self.segments.push(BytesMut::with_capacity(room));
            let first = std::mem::take(&mut self.first);
            self.copy(&first);
        }
        self.copy(&piece);
        if self.length - self.yielded_at >= SEGMENT_BYTES_MAX {
            self.yielded_at = self.length;
            yield_now().await;
        }
    }

    /// Joins the pieces into one.
    pub async fn join(mut self) -> Bytes {
        match self.segments.len() {
            0 if self.first.len() <= COPY_BYTES_MAX => return Bytes::copy_from_slice(&self.first),
            0 => return self.first,
            1 => return self.segments.remove(0).freeze(),
            _ => {}
        }
        let mut whole = BytesMut::with_capacity(self.length);
        for segment in self.segments {
            whole.extend_from_slice(&segment);
            drop(segment);
            yield_now().await;
        }
        whole.freeze()
    }

    fn copy(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            match self.segments.last_mut() {
                Some(last) if last.len() < last.capacity() => {
                    let (now, later) = piece.split_at(piece.len().min(last.capacity() - last.len()));
                    last.extend_from_slice(now);
                    piece = later;
                }
                _ => self.segments.push(BytesMut::with_capacity(self.segment_bytes())),
            }
        }
    }

    /// The capacity of the next segment: twice the bytes that have arrived, up to the maximum.
    fn segment_bytes(&self) -> usize {
        (2 * self.length).min(SEGMENT_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn joined(declared: usize, sizes: &[usize]) -> (Bytes, Vec<u8>) {
        let (mut pieces, mut expected) = (Pieces::expecting(declared), Vec::new());
        for size in sizes {
            let piece: Vec<u8> = (0..*size).map(|at| (expected.len() + at) as u8).collect();
            expected.extend_from_slice(&piece);
            pieces.add(piece.into()).await;
            assert_eq!(pieces.len(), expected.len());
        }
        (pieces.join().await, expected)
    }

    #[tokio::test]
    async fn pieces_of_any_size_become_one_in_their_order() {
        for sizes in [
            &[][..],
            &[0],
            &[5],
            &[0, 5],
            &[1; 300],
            &[SEGMENT_BYTES_MAX, 1],
            &[7, 3 * SEGMENT_BYTES_MAX, 9],
            &[SEGMENT_BYTES_MAX - 1; 4],
        ] {
            for declared in [0, sizes.iter().sum()] {
                let (joined, expected) = joined(declared, sizes).await;
                assert!(joined == expected, "{sizes:?}, declared as {declared}");
            }
        }
    }

    #[tokio::test]
    async fn other_tasks_of_the_thread_run_while_a_long_body_arrives() {
        let others = std::cell::Cell::new(0);
        let mut pieces = Pieces::expecting(0);
        let body = async {
            for _ in 0..64 {
                pieces.add(vec![0; SEGMENT_BYTES_MAX / 4].into()).await;
            }
        };
        let other = async {
            loop {
                others.set(others.get() + 1);
                yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = body => {}
            () = other => {}
        }
        assert!(others.get() >= 15, "{} turns", others.get());
    }
}
