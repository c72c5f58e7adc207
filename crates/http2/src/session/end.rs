//! Ends: of streams by answer, reset or GOAWAY, and of the connection. Each open stream gets exactly one.

use super::bodies::WaitingBodies;
use super::event::{Cause, ConnectionError, End, Event, Processed};
use super::reader::Payload;
use super::streams::Stream;
use super::{Body, RawEvent, Session};
use crate::frame::{ErrorCode, FrameHead, REFUSED_STREAM, STREAM_ID_MAX, StreamId, read_u32};

impl<T> Session<T> {
    /// Ends a request at the caller's wish, as at a deadline; `None` if it has ended already. The peer gets RST_STREAM,
    /// as long as `resets_left`; after that the stream keeps its slot. If the answer's HEADERS arrived, it is returned
    /// incomplete. After a fault it is `None` too: the peer receives nothing more, and `closed` returns the end.
    pub fn cancel(&mut self, id: StreamId) -> Option<Event<'_, T>> {
        if self.is_over() {
            return None;
        }
        self.streams.get_mut(id).filter(|stream| stream.tag.is_some())?;
        let may_reset = self.budget.resets_left() > 0;
        let (tag, answer) = self.give_up(id, false, ErrorCode::Cancel)?;
        // A black hole must not get new streams in place of cancelled ones, so this stream counts until the peer sends
        // something.
        self.resets_unseen += usize::from(may_reset);
        let end = self.end_of(tag, answer, End { processed: Processed::Maybe, cause: Cause::Cancelled });
        Some(self.lend(end, Payload::Lent(&[])))
    }

    /// Returns the end of each stream still open after the loss of the transport, then `None`. Call it until then.
    pub fn closed(&mut self) -> Option<Event<'_, T>> {
        if !std::mem::replace(&mut self.closed, true) {
            let streams = self.streams.remove_above(0);
            self.queue_ends(streams, Cause::Closed);
        }
        let end = self.next_end()?;
        Some(self.lend(end, Payload::Lent(&[])))
    }

    /// The peer ended the stream with its answer, which is in `message` or, partial, in the stream.
    pub(super) fn answer(&mut self, id: StreamId, body: Body) -> Option<RawEvent<T>> {
        let (tag, partial) = if self.drop_body(id) {
            // The peer does not need the rest of our body, and the stream is open until we end it too (RFC 9113 8.1).
            self.give_up(id, false, ErrorCode::Cancel)?
        } else {
            let stream = self.streams.remove(id)?;
            (stream.tag?, stream.answer)
        };
        if let Some(partial) = partial {
            self.partial.remove_into(partial, &mut self.message);
        }
        Some(RawEvent::Answered { tag, body, complete: true })
    }

    /// Resets the stream; its answer, if begun, must not be accepted. `peer_ended`: the peer has ended it too.
    pub(super) fn reset(
        &mut self,
        id: StreamId,
        peer_ended: bool,
        code: ErrorCode,
        cause: Cause,
    ) -> Option<RawEvent<T>> {
        let (tag, partial) = self.give_up(id, peer_ended, code)?;
        if let Some(partial) = partial {
            self.partial.discard(partial);
        }
        Some(RawEvent::Ended { tag, end: End { processed: Processed::Maybe, cause } })
    }

    /// Resets the stream; a status that arrived is still reported.
    pub(super) fn reset_keeping_status(
        &mut self,
        id: StreamId,
        peer_ended: bool,
        code: ErrorCode,
        cause: Cause,
    ) -> Option<RawEvent<T>> {
        let (tag, answer) = self.give_up(id, peer_ended, code)?;
        Some(self.end_of(tag, answer, End { processed: Processed::Maybe, cause }))
    }

    pub(super) fn on_rst_stream(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Option<RawEvent<T>>, ConnectionError> {
        self.stream_state(head.stream)?;
        let code = match (payload.len(), read_u32(payload)) {
            (4, Some(code)) => code,
            _ => return Err(ConnectionError::frame_size("RST_STREAM of another length than 4")),
        };
        let Some(Stream { tag, answer, .. }) = self.streams.remove(head.stream) else {
            return self.budget.spend().map(|()| None);
        };
        self.drop_body(head.stream);
        let end = match code {
            REFUSED_STREAM => End { processed: Processed::No, cause: Cause::Refused },
            code => End { processed: Processed::Maybe, cause: Cause::Reset(code) },
        };
        Ok(tag.map(|tag| self.end_of(tag, answer, end)))
    }

    pub(super) fn on_goaway(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Option<RawEvent<T>>, ConnectionError> {
        if head.stream != 0 {
            return Err(ConnectionError::protocol("GOAWAY on a stream"));
        }
        let (Some(last_id), Some(code)) = (read_u32(payload), payload.get(4..).and_then(read_u32)) else {
            return Err(ConnectionError::frame_size("GOAWAY shorter than 8 bytes"));
        };
        let last_id = last_id & STREAM_ID_MAX;
        if let Some(before) = self.goaway {
            self.budget.spend()?;
            // Raising it is forbidden, and streams that were ended stay ended.
            if last_id > before {
                return Ok(None);
            }
        }
        self.goaway = Some(last_id);
        self.output.cut_streams_above(last_id);
        let streams = self.streams.remove_above(last_id);
        self.queue_ends(streams, Cause::AboveLastId);
        Ok(Some(RawEvent::GoAway { last_id, code }))
    }

    /// C: of the rules: one GOAWAY, nothing more is read or begun. The streams' ends follow from `closed`.
    pub(super) fn fail(&mut self, fault: ConnectionError) -> RawEvent<T> {
        self.output.cut_streams_above(0);
        let handed = self.output.handed();
        // What was cut stays "not sent", though the GOAWAY takes its state in the output.
        for stream in self.streams.iter_mut().filter(|stream| stream.start >= handed) {
            stream.start = u64::MAX;
        }
        self.output.goaway(fault.code());
        self.bodies = WaitingBodies::default();
        self.fault = Some(fault);
        RawEvent::Fault(fault)
    }

    pub(super) fn next_end(&mut self) -> Option<RawEvent<T>> {
        let (tag, answer, end) = self.ends.pop_front()?;
        Some(self.end_of(tag, answer, end))
    }

    fn queue_ends(&mut self, streams: Vec<Stream<T>>, cause: Cause) {
        let handed = self.output.handed();
        for Stream { id, start, answer, tag, .. } in streams {
            self.drop_body(id);
            let provably_not = cause == Cause::AboveLastId || handed <= start;
            let processed = if provably_not { Processed::No } else { Processed::Maybe };
            self.ends.extend(tag.map(|tag| (tag, answer, End { processed, cause })));
        }
    }

    /// After final HEADERS a stream counts as answered, with any end.
    fn end_of(&mut self, tag: T, answer: Option<u32>, end: End) -> RawEvent<T> {
        match answer {
            None => RawEvent::Ended { tag, end },
            Some(answer) => {
                self.partial.remove_into(answer, &mut self.message);
                RawEvent::Answered { tag, body: Body::Gathered, complete: false }
            }
        }
    }

    /// Takes the caller's part out of a stream and resets it. Without a reset left the stream stays, if the peer still counts it.
    fn give_up(&mut self, id: StreamId, peer_ended: bool, code: ErrorCode) -> Option<(T, Option<u32>)> {
        let body_waited = self.drop_body(id);
        if self.budget.spend_reset() {
            self.output.rst_stream(id, code);
        } else if body_waited || !peer_ended {
            return self.streams.abandon(id);
        }
        let stream = self.streams.remove(id)?;
        Some((stream.tag?, stream.answer))
    }
}
