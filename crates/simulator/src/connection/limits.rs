//! MAX_CONCURRENT_STREAMS as the peer knows it: a limit binds from the acknowledgement of its SETTINGS on.

use std::collections::VecDeque;

pub struct Limits {
    /// The limit after the first accepted push, while no script lowers it.
    pub full: u32,
    /// The last advertised limit.
    pub advertised: u32,
    /// The limit of the newest streams.
    binding: u32,
    /// The unacknowledged SETTINGS frames, oldest first.
    sent: VecDeque<u32>,
    /// Acknowledged before any stream above this one was opened.
    acknowledged: VecDeque<(u32, u32)>,
}

impl Limits {
    /// `first` applies immediately: a client that sends before it reads cannot rely on more.
    pub fn new(first: u32, full: u32) -> Self {
        Self { full, advertised: first, binding: first, sent: VecDeque::from([first]), acknowledged: VecDeque::new() }
    }

    /// Records a SETTINGS frame, with this limit or without one.
    pub fn send(&mut self, limit: Option<u32>) {
        self.advertised = limit.unwrap_or(self.advertised);
        self.sent.push_back(self.advertised);
    }

    /// The oldest SETTINGS on their way were acknowledged; the newest stream opened before was `after`.
    pub fn acknowledge(&mut self, after: u32) {
        if let Some(limit) = self.sent.pop_front() {
            self.acknowledged.push_back((after, limit));
        }
    }

    /// Returns the limit of open streams, including this newest one. A higher limit applies as soon as it is sent.
    pub fn for_stream(&mut self, stream: u32) -> u32 {
        while let Some((_, limit)) = self.acknowledged.pop_front_if(|(after, _)| *after < stream) {
            self.binding = limit;
        }
        let later = self.acknowledged.iter().map(|(_, limit)| *limit).chain(self.sent.iter().copied());
        later.fold(self.binding, u32::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_limit_binds_what_is_opened_after_its_acknowledgement() {
        let mut limits = Limits::new(1000, 1000);
        limits.acknowledge(0);
        assert_eq!(limits.for_stream(1), 1000);
        limits.send(Some(1));
        assert_eq!(limits.for_stream(3), 1000, "it has not arrived");
        limits.acknowledge(7);
        assert_eq!((limits.for_stream(5), limits.for_stream(7)), (1000, 1000), "opened before");
        assert_eq!(limits.for_stream(9), 1);
        limits.send(Some(1000));
        assert_eq!(limits.for_stream(11), 1000, "a higher limit applies immediately");
    }

    #[test]
    fn a_frame_without_the_limit_keeps_its_place_among_the_acknowledgements() {
        let mut limits = Limits::new(1, 1000);
        limits.send(None);
        limits.send(Some(5));
        limits.acknowledge(0);
        limits.acknowledge(0);
        assert_eq!((limits.for_stream(1), limits.advertised), (5, 5));
        limits.acknowledge(1);
        assert_eq!(limits.for_stream(3), 5);
    }
}
