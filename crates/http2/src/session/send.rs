//! Requests in, bytes out.

use super::event::{Blocked, Refused};
use super::streams::Stream;
use super::{Request, Session};
use crate::frame::{ErrorCode, PAYLOAD_MAX, STREAM_ID_MAX, StreamId, flag};

impl<T> Session<T> {
    /// Starts a request: its bytes are in `output` when this returns. The caller gets `tag` back once, with its end.
    ///
    /// # Errors
    /// Nothing of the request was written. The error has the tag and the obstacle.
    pub fn request(&mut self, request: &Request<'_>, tag: T) -> Result<StreamId, Refused<T>> {
        if let Some(why) = self.blocked(request) {
            return Err(Refused { tag, why });
        }
        let id = self.next_id;
        self.next_id += 2;
        let body = request.body;
        let flags = if body.is_empty() { flag::END_STREAM } else { 0 };
        let start = self.output.queued();
        let encoder = &mut self.encoder;
        self.output.headers(id, flags, |block| encoder.encode(request, block));
        let headers_end = self.output.queued();
        self.send_window.spend(body.len());
        if body.len() > self.peer.initial_window as usize {
            self.bodies.push(id, body);
            self.send_waiting_bodies();
        } else if !body.is_empty() {
            self.output.body(id, body);
        }
        self.streams.insert(Stream { id, start, headers_end, answer: None, interim: 0, tag: Some(tag) });
        self.budget.on_stream_opened();
        Ok(id)
    }

    /// Requests that the peer's stream limit leaves room for; 0 before its SETTINGS, after a GOAWAY, and when it is over.
    pub fn slots_free(&self) -> usize {
        if self.unusable().is_some() {
            return 0;
        }
        let used = self.streams.len() + self.resets_unseen;
        (self.peer.stream_limit as usize).saturating_sub(used).min(self.ids_left() as usize)
    }

    /// Stream ids left; a connection ends with them (RFC 9113 5.1.1).
    pub fn ids_left(&self) -> u32 {
        (STREAM_ID_MAX + 2).saturating_sub(self.next_id) / 2
    }

    /// Bytes waiting to be written, in order. Write all of them before starting more requests.
    pub fn output(&self) -> &[u8] {
        self.output.waiting()
    }

    /// Reports that TLS wrote the first `count` bytes of `output`; call it before the next `receive`.
    ///
    /// # Panics
    /// Panics if `count` is more than the length of `output`.
    pub fn handed(&mut self, count: usize) {
        self.output.mark_written(count);
        if self.output.waiting().is_empty() {
            self.send_waiting_bodies();
        }
    }

    /// Sends a PING; `Event::Pong` brings `opaque` back.
    pub fn ping(&mut self, opaque: u64) {
        if !self.is_over() {
            self.pings_open += 1;
            self.output.ping(opaque);
        }
    }

    /// Sends GOAWAY: we open no more streams, and open streams go on. Does nothing the second time.
    pub fn shut_down(&mut self) {
        if !self.is_over() && !std::mem::replace(&mut self.shutting_down, true) {
            self.output.goaway(ErrorCode::NoError);
        }
    }

    fn blocked(&self, request: &Request<'_>) -> Option<Blocked> {
        let list_size_max = PAYLOAD_MAX.min(self.peer.header_list_max as usize);
        let body = request.body.len();
        if let Some(why) = self.unusable() {
            Some(why)
        } else if request.list_size() > list_size_max {
            Some(Blocked::HeadersTooLarge)
        } else if self.streams.len() + self.resets_unseen >= self.peer.stream_limit as usize {
            Some(Blocked::Streams)
        } else if !self.output.takes_request(body) {
            Some(Blocked::Output)
        } else if body > self.send_window.available(0) {
            Some(Blocked::ConnectionWindow)
        } else if body > self.peer.initial_window as usize && !self.bodies.takes(body) {
            Some(Blocked::StreamWindow)
        } else {
            None
        }
    }

    /// The reason that no request can start.
    fn unusable(&self) -> Option<Blocked> {
        if self.is_over() {
            Some(Blocked::Closed)
        } else if self.is_draining() {
            Some(Blocked::Draining)
        } else if !self.ready {
            Some(Blocked::NotReady)
        } else if self.next_id > STREAM_ID_MAX {
            Some(Blocked::IdsUsedUp)
        } else {
            None
        }
    }
}
