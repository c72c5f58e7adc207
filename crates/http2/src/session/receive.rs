//! Dispatches frames by type, and handles the types of the connection.

use super::event::Fault;
use super::reader::Payload;
use super::window::Overflow;
use super::{Happening, Session};
use crate::frame::{FrameHead, HEAD_LENGTH, PAYLOAD_MAX, STREAM_ID_MAX, StreamId, flag, kind, read_u32};

/// The state of the stream that a frame belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Open,
    /// Ended, reset, or cut off by GOAWAY; such frames may still be on their way.
    Closed,
}

impl<T> Session<T> {
    /// Reads up to the next event; `None` when all input is consumed.
    pub(super) fn step<'i>(&mut self, input: &mut &'i [u8]) -> Option<(Happening<T>, Payload<'i>)> {
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
            let happened = match payload {
                Payload::Lent(bytes) => self.on_frame(head, bytes),
                Payload::Kept => {
                    let kept = self.reader.take_kept();
                    let happened = self.on_frame(head, &kept[HEAD_LENGTH..]);
                    self.reader.put_back(kept);
                    happened
                }
            };
            match happened {
                Ok(None) => {}
                Ok(Some(happening)) => return Some((happening, payload)),
                Err(fault) => return Some((self.fail(fault), payload)),
            }
        }
    }

    /// Checks only the nine bytes, so that a faulty frame is refused before its payload. It must not change the state.
    fn check_head(&self, head: FrameHead) -> Result<(), Fault> {
        if let Some(stream) = self.block.stream()
            && (head.kind, head.stream) != (kind::CONTINUATION, stream)
        {
            return Err(Fault::protocol("a frame inside a field block of another"));
        }
        if !self.ready && head.bytes().starts_with(b"HTTP/") {
            return Err(Fault::protocol("it speaks HTTP/1"));
        }
        if head.length > PAYLOAD_MAX {
            return Err(Fault::frame_size("a frame longer than 16,384 bytes"));
        }
        if !self.ready && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return Err(Fault::protocol("the first frame is not SETTINGS"));
        }
        Ok(())
    }

    fn on_frame(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<Happening<T>>, Fault> {
        match head.kind {
            kind::HEADERS => self.on_headers(head, payload),
            kind::DATA => self.on_data(head, payload),
            kind::PRIORITY => self.on_priority(head),
            kind::RST_STREAM => self.on_rst_stream(head, payload),
            kind::SETTINGS => self.on_settings(head, payload),
            kind::PUSH_PROMISE => Err(Fault::protocol("it pushes, though we forbade it")),
            kind::PING => self.on_ping(head, payload),
            kind::GOAWAY => self.on_goaway(head, payload),
            kind::WINDOW_UPDATE => self.on_window_update(head, payload),
            kind::CONTINUATION => self.on_continuation(head, payload),
            // An unknown frame is ignored (RFC 9113 5.5).
            _ => self.budget.spend().map(|()| None),
        }
    }

    /// The state of stream `id` when a frame arrives; any such frame shows that the peer lives.
    pub(super) fn place(&mut self, id: StreamId) -> Result<Place, Fault> {
        if id & 1 == 0 || id >= self.next_id {
            return Err(Fault::protocol("a frame on a stream that was never opened"));
        }
        self.resets_unseen = 0;
        match self.streams.get_mut(id) {
            Some(stream) if self.output.handed() < stream.headers_end => {
                Err(Fault::protocol("a frame on a stream whose request was not sent yet"))
            }
            Some(_) => Ok(Place::Open),
            None => Ok(Place::Closed),
        }
    }

    fn on_priority(&mut self, head: FrameHead) -> Result<Option<Happening<T>>, Fault> {
        match head {
            FrameHead { stream: 0, .. } => Err(Fault::protocol("PRIORITY without a stream")),
            FrameHead { length: 5, .. } => self.budget.spend().map(|()| None),
            _ => Err(Fault::frame_size("PRIORITY of another length than 5")),
        }
    }

    fn on_ping(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<Happening<T>>, Fault> {
        if head.stream != 0 {
            return Err(Fault::protocol("PING on a stream"));
        }
        let Ok(opaque) = <[u8; 8]>::try_from(payload) else {
            return Err(Fault::frame_size("PING of another length than 8"));
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
        Ok(Some(Happening::Pong(u64::from_be_bytes(opaque))))
    }

    fn on_window_update(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<Happening<T>>, Fault> {
        let place = if head.stream == 0 { Place::Closed } else { self.place(head.stream)? };
        let increment = match (payload.len(), read_u32(payload)) {
            (4, Some(increment)) => increment & STREAM_ID_MAX,
            _ => return Err(Fault::frame_size("WINDOW_UPDATE of another length than 4")),
        };
        self.budget.spend()?;
        if head.stream != 0 {
            let open = place == Place::Open;
            return Ok(if open { self.on_stream_window(head.stream, increment) } else { None });
        }
        if increment == 0 {
            return Err(Fault::protocol("WINDOW_UPDATE by 0"));
        }
        match self.send_window.grow(increment, 0) {
            Ok(()) => Ok(None),
            Err(Overflow) => Err(Fault::flow_control("WINDOW_UPDATE beyond 2^31 - 1")),
        }
    }

    pub(super) fn check_replies(&self) -> Result<(), Fault> {
        let flooded = self.output.has_too_many_replies();
        if flooded { Err(Fault::calm("it does not read what it makes us reply")) } else { Ok(()) }
    }
}
