//! The open streams, found by id without hashing.
//!
//! Ids only grow, so a ring indexed by the low bits of the id holds them; a stream that outlives a whole lap of the ring is
//! moved aside to a short list. What is in neither is idle or closed, and needs no memory.

use crate::frame::StreamId;

const RING_MIN: usize = 16;

pub struct Stream<T> {
    pub id: StreamId,
    /// Offsets in the output: the first byte of HEADERS, and the byte after it.
    pub start: u64,
    pub headers_end: u64,
    /// The index of its partial answer, once final HEADERS arrived and a body follows.
    pub answer: Option<u32>,
    /// Interim (1xx) answers so far.
    pub interim: u8,
    /// `None` if its end was returned to the caller, but the peer still counts the stream.
    pub tag: Option<T>,
}

pub struct Streams<T> {
    ring: Vec<Option<Stream<T>>>,
    aside: Vec<Stream<T>>,
    count: usize,
    abandoned: usize,
}

impl<T> Streams<T> {
    pub fn new() -> Self {
        Self { ring: Vec::new(), aside: Vec::new(), count: 0, abandoned: 0 }
    }

    /// The number of streams that the peer counts.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The number of streams whose end the caller waits for.
    pub fn awaited(&self) -> usize {
        self.count - self.abandoned
    }

    pub fn insert(&mut self, stream: Stream<T>) {
        self.count += 1;
        if self.count * 2 > self.ring.len() {
            self.grow();
        }
        self.place(stream);
    }

    pub fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream<T>> {
        let at = self.index(id);
        match self.ring.get_mut(at) {
            Some(Some(stream)) if stream.id == id => Some(stream),
            _ => self.aside.iter_mut().find(|stream| stream.id == id),
        }
    }

    pub fn remove(&mut self, id: StreamId) -> Option<Stream<T>> {
        let at = self.index(id);
        let stream = match self.ring.get_mut(at) {
            Some(slot) if slot.as_ref().is_some_and(|stream| stream.id == id) => slot.take(),
            _ => {
                let at = self.aside.iter().position(|stream| stream.id == id)?;
                Some(self.aside.swap_remove(at))
            }
        }?;
        self.count -= 1;
        self.abandoned -= usize::from(stream.tag.is_none());
        Some(stream)
    }

    /// Takes the caller's part out of a stream that goes on: later frames of the peer on it are ignored.
    pub fn abandon(&mut self, id: StreamId) -> Option<(T, Option<u32>)> {
        let stream = self.get_mut(id)?;
        let tag = stream.tag.take()?;
        let answer = stream.answer.take();
        self.abandoned += 1;
        Some((tag, answer))
    }

    /// In no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Stream<T>> {
        self.ring.iter().flatten().chain(&self.aside)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream<T>> {
        self.ring.iter_mut().flatten().chain(&mut self.aside)
    }

    /// Removes all streams above `last_id`, lowest id first.
    pub fn remove_above(&mut self, last_id: StreamId) -> Vec<Stream<T>> {
        let mut ids: Vec<_> = self.iter().map(|stream| stream.id).filter(|&id| id > last_id).collect();
        ids.sort_unstable();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    fn index(&self, id: StreamId) -> usize {
        (id >> 1) as usize & self.ring.len().wrapping_sub(1)
    }

    fn place(&mut self, stream: Stream<T>) {
        let at = self.index(stream.id);
        if let Some(slower) = self.ring[at].replace(stream) {
            self.aside.push(slower);
        }
    }

    fn grow(&mut self) {
        let length = (self.ring.len() * 2).max(RING_MIN);
        let old = std::mem::replace(&mut self.ring, std::iter::repeat_with(|| None).take(length).collect());
        let aside = std::mem::take(&mut self.aside);
        for stream in aside.into_iter().chain(old.into_iter().flatten()) {
            self.place(stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(id: StreamId) -> Stream<u32> {
        Stream { id, start: 0, headers_end: 0, answer: None, interim: 0, tag: Some(id) }
    }

    #[test]
    fn a_stream_that_outlives_many_laps_is_still_found() {
        let mut streams = Streams::new();
        streams.insert(stream(1));
        for id in (3..10_001).step_by(2) {
            streams.insert(stream(id));
            assert!(streams.remove(id).is_some());
            assert!(streams.remove(id).is_none());
        }
        assert_eq!(streams.get_mut(1).map(|stream| stream.id), Some(1));
        assert_eq!(streams.ring.len(), RING_MIN);
        assert_eq!(streams.remove(1).and_then(|stream| stream.tag), Some(1));
        assert_eq!((streams.len(), streams.aside.len()), (0, 0));
    }

    #[test]
    fn growing_loses_no_stream() {
        let mut streams = Streams::new();
        let ids: Vec<_> = (1..3_000).step_by(2).collect();
        ids.iter().for_each(|&id| streams.insert(stream(id)));
        assert_eq!(streams.len(), ids.len());
        assert!(ids.iter().all(|&id| streams.get_mut(id).is_some_and(|stream| stream.id == id)));
        assert!(streams.aside.is_empty());
    }

    #[test]
    fn streams_above_an_id_leave_in_order() {
        let mut streams = Streams::new();
        [7, 1, 5, 3].into_iter().for_each(|id| streams.insert(stream(id)));
        let ids: Vec<_> = streams.remove_above(3).iter().map(|stream| stream.id).collect();
        assert_eq!(ids, [5, 7]);
        assert_eq!(streams.len(), 2);
    }

    #[test]
    fn an_abandoned_stream_is_counted_for_the_peer_only() {
        let mut streams = Streams::new();
        streams.insert(stream(1));
        assert_eq!(streams.abandon(1), Some((1, None)));
        assert_eq!(streams.abandon(1), None);
        assert_eq!((streams.len(), streams.awaited()), (1, 0));
        streams.remove(1);
        assert_eq!((streams.len(), streams.awaited()), (0, 0));
    }
}
