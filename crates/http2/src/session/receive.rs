//! Bytes in: the switchboard by frame kind, and the kinds that concern the connection alone.

use super::event::ConnectionError;
use super::reader::Payload;
use super::window::Overflow;
use super::{RawEvent, Session};
use crate::frame::{FrameHead, HEAD_LENGTH, PAYLOAD_MAX, STREAM_ID_MAX, StreamId, flag, kind, read_u32};

/// The state of the stream that a frame belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamState {
    Open,
    /// Ended, reset, or cut off by GOAWAY; such frames may still be on their way.
    Closed,
}

impl<T> Session<T> {
    /// Reads up to the next event; `None` when all input is taken.
    pub(super) fn step<'i>(&mut self, input: &mut &'i [u8]) -> Option<(RawEvent<T>, Payload<'i>)> {
        loop {
            if let Some(end) = self.next_end() {
                return Some((end, Payload::Lent(&[])));
            }
            if self.is_over() {
                *input = &[];
                return None;
            }
            let head = self.reader.head(input)?;
            if let Err(fault) = self.check_head(head) {
                return Some((self.fail(fault), Payload::Lent(&[])));
            }
            let payload = self.reader.payload(head, input)?;
            let event = match payload {
                Payload::Lent(bytes) => self.on_frame(head, bytes),
                Payload::Kept => {
                    let kept = self.reader.take_kept();
                    let event = self.on_frame(head, &kept[HEAD_LENGTH..]);
                    self.reader.put_back(kept);
                    event
                }
            };
            match event {
                Ok(None) => {}
                Ok(Some(event)) => return Some((event, payload)),
                Err(fault) => return Some((self.fail(fault), payload)),
            }
        }
    }

    /// Checks the nine bytes alone, so that no payload is awaited in vain. It must change no state.
    fn check_head(&self, head: FrameHead) -> Result<(), ConnectionError> {
        if let Some(stream) = self.block.stream()
            && (head.kind, head.stream) != (kind::CONTINUATION, stream)
        {
            return Err(ConnectionError::protocol("a frame inside a field block of another"));
        }
        if !self.ready && head.bytes().starts_with(b"HTTP/") {
            return Err(ConnectionError::protocol("it speaks HTTP/1"));
        }
        if head.length > PAYLOAD_MAX {
            return Err(ConnectionError::frame_size("a frame longer than 16,384 bytes"));
        }
        if !self.ready && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return Err(ConnectionError::protocol("the first frame is not SETTINGS"));
        }
        Ok(())
    }

    fn on_frame(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<RawEvent<T>>, ConnectionError> {
        match head.kind {
            kind::HEADERS => self.on_headers(head, payload),
            kind::DATA => self.on_data(head, payload),
            kind::PRIORITY => self.on_priority(head),
            kind::RST_STREAM => self.on_rst_stream(head, payload),
            kind::SETTINGS => self.on_settings(head, payload),
            kind::PUSH_PROMISE => Err(ConnectionError::protocol("it pushes, though we forbade it")),
            kind::PING => self.on_ping(head, payload),
            kind::GOAWAY => self.on_goaway(head, payload),
            kind::WINDOW_UPDATE => self.on_window_update(head, payload),
            kind::CONTINUATION => self.on_continuation(head, payload),
            // Whatever it is, to ignore it is the rule (RFC 9113 5.5).
            _ => self.budget.spend().map(|()| None),
        }
    }

    /// The state of the stream that a frame for `id` belongs to. Any such frame shows that the peer lives.
    pub(super) fn stream_state(&mut self, id: StreamId) -> Result<StreamState, ConnectionError> {
        if id & 1 == 0 || id >= self.next_id {
            return Err(ConnectionError::protocol("a frame on a stream that was never opened"));
        }
        self.resets_unseen = 0;
        match self.streams.get_mut(id) {
            Some(stream) if self.output.handed() < stream.headers_end => {
                Err(ConnectionError::protocol("a frame on a stream whose request was not sent yet"))
            }
            Some(_) => Ok(StreamState::Open),
            None => Ok(StreamState::Closed),
        }
    }

    fn on_priority(&mut self, head: FrameHead) -> Result<Option<RawEvent<T>>, ConnectionError> {
        match head {
            FrameHead { stream: 0, .. } => Err(ConnectionError::protocol("PRIORITY without a stream")),
            FrameHead { length: 5, .. } => self.budget.spend().map(|()| None),
            _ => Err(ConnectionError::frame_size("PRIORITY of another length than 5")),
        }
    }

    fn on_ping(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<RawEvent<T>>, ConnectionError> {
        if head.stream != 0 {
            return Err(ConnectionError::protocol("PING on a stream"));
        }
        let Ok(opaque) = <[u8; 8]>::try_from(payload) else {
            return Err(ConnectionError::frame_size("PING of another length than 8"));
        };
        if !head.has(flag::ACK) {
            self.budget.spend()?;
            self.output.ping_ack(opaque);
            return self.check_replies().map(|()| None);
        }
        if self.pings_open == 0 {
            return self.budget.spend().map(|()| None);
        }
        self.pings_open -= 1;
        self.resets_unseen = 0;
        Ok(Some(RawEvent::Pong(u64::from_be_bytes(opaque))))
    }

    fn on_window_update(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<RawEvent<T>>, ConnectionError> {
        let state = if head.stream == 0 { StreamState::Closed } else { self.stream_state(head.stream)? };
        let increment = match (payload.len(), read_u32(payload)) {
            (4, Some(increment)) => increment & STREAM_ID_MAX,
            _ => return Err(ConnectionError::frame_size("WINDOW_UPDATE of another length than 4")),
        };
        self.budget.spend()?;
        if head.stream != 0 {
            let open = state == StreamState::Open;
            return Ok(if open { self.on_stream_window(head.stream, increment) } else { None });
        }
        if increment == 0 {
            return Err(ConnectionError::protocol("WINDOW_UPDATE by 0"));
        }
        match self.send_window.grow(increment, 0) {
            Ok(()) => Ok(None),
            Err(Overflow) => Err(ConnectionError::flow_control("WINDOW_UPDATE beyond 2^31 - 1")),
        }
    }

    pub(super) fn check_replies(&self) -> Result<(), ConnectionError> {
        let flooded = self.output.has_too_many_replies();
        if flooded { Err(ConnectionError::calm("it does not read what it makes us reply")) } else { Ok(()) }
    }
}
