//! Events against section 5 of the rules: one end per request, and `Processed::No` only where the wire proves it.

use super::Referee;
use http2::frame::{REFUSED_STREAM, StreamId, kind};
use http2::request::field_size;
use http2::{Answer, Cause, ConnectionError, End, Event, Processed};

const LIST_SIZE_MAX: usize = 16_384;
const FIELDS_MAX: usize = 128;

/// The party that caused the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum During {
    Receive,
    Cancel,
    Close,
}

impl Referee {
    /// `rest` is the input after the event.
    pub fn on_event(&mut self, event: &Event<'_, StreamId>, during: During, rest: &[u8]) {
        match *event {
            Event::Answered { tag, ref answer } => self.on_answer(tag, answer),
            Event::Ended { tag, end } => self.on_end(tag, end, during),
            Event::Settings => assert!(self.server.ready),
            Event::GoAway { last_id, debug, .. } => {
                assert_eq!(self.server.goaway, Some(last_id));
                assert!(debug.len() <= 1_024);
            }
            Event::Pong(_) => {}
            Event::Fault(fault) => self.on_fault(fault, rest),
        }
    }

    fn on_fault(&mut self, fault: ConnectionError, rest: &[u8]) {
        assert!(self.fault.is_none(), "a second fault");
        self.check_fault(fault, rest);
        self.fault = Some(fault);
        for stream in self.streams.values_mut() {
            stream.cut |= !stream.begun;
        }
    }

    fn on_answer(&mut self, id: StreamId, answer: &Answer<'_>) {
        assert!(self.awaited.remove(&id), "a second end of {id}");
        let stream = &self.streams[&id];
        assert!(stream.headers_read, "an answer to what was not asked");
        let (status, fields) = stream.answer.as_ref().expect("the final HEADERS came");
        assert_eq!(answer.status, *status);
        let list_size: usize = fields.iter().map(|(name, value)| field_size(name, value)).sum();
        assert!(list_size <= LIST_SIZE_MAX && fields.len() <= FIELDS_MAX, "more headers than we take");
        for (name, value) in [
            ("apns-id", answer.apns_id),
            ("apns-unique-id", answer.unique_id),
            ("apns-channel-id", answer.channel_id),
            ("apns-request-id", answer.request_id),
            ("retry-after", answer.retry_after),
        ] {
            let sent = fields.iter().find(|field| field.0 == name.as_bytes()).map(|field| &field.1[..]);
            assert_eq!(value, sent, "{name}");
        }
        assert!(answer.body.len() <= self.body_max);
        assert!(stream.data.starts_with(answer.body));
        if answer.complete {
            assert!(stream.server_ended);
            assert_eq!(answer.body.len(), stream.data.len());
        }
    }

    fn on_end(&mut self, id: StreamId, end: End, during: During) {
        assert!(self.awaited.remove(&id), "a second end of {id}");
        let stream = &self.streams[&id];
        let maybe = end.processed == Processed::Maybe;
        let reset = stream.server_reset;
        let proven = match end.cause {
            Cause::Refused => !maybe && reset == Some(REFUSED_STREAM) && stream.headers_read,
            Cause::Reset(code) => maybe && reset == Some(code) && code != REFUSED_STREAM && stream.headers_read,
            Cause::AboveLastId => !maybe && self.server.goaway.is_some_and(|last_id| id > last_id),
            Cause::Malformed | Cause::HeadersTooLarge => maybe && stream.headers_read,
            Cause::WindowTooSmall => maybe && stream.headers_read && stream.sent < stream.body.len(),
            Cause::Cancelled => maybe && during == During::Cancel,
            Cause::Closed => maybe == stream.begun && during == During::Close,
        };
        assert!(proven, "stream {id} ended as {end:?} during {during:?}");
        // Only what belongs to the answer can spoil it.
        let by_message = self.server.last_head.is_some_and(|head| head.kind != kind::WINDOW_UPDATE);
        let may_have_answer = by_message && matches!(end.cause, Cause::Malformed | Cause::HeadersTooLarge);
        assert!(stream.answer.is_none() || may_have_answer, "the answer to {id} is lost: {end:?}");
    }
}
