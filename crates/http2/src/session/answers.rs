//! HEADERS, CONTINUATION and DATA: builds one answer per request from frames (RFC 9113 8.1).

use super::event::ConnectionError;
use super::message::Judged;
use super::receive::StreamState;
use super::{Body, Cause, RawEvent, Session};
use crate::frame::{ErrorCode, FrameHead, StreamId, flag};

const BLOCK_MAX: usize = 16_384;
const CONTINUATIONS_MAX: u32 = 8;
const INTERIM_MAX: u8 = 8;
const PRIORITY_LENGTH: usize = 5;

/// A field block that did not end with its HEADERS frame.
#[derive(Default)]
pub struct OpenBlock {
    headers: Option<FrameHead>,
    pub(super) fragments: Vec<u8>,
    continuations: u32,
}

impl OpenBlock {
    /// The only stream that may send now.
    pub fn stream(&self) -> Option<StreamId> {
        self.headers.map(|head| head.stream)
    }

    fn append(&mut self, fragment: &[u8]) -> Result<(), ConnectionError> {
        if self.fragments.len() + fragment.len() > BLOCK_MAX || self.continuations > CONTINUATIONS_MAX {
            return Err(ConnectionError::calm("a field block without end"));
        }
        self.fragments.extend_from_slice(fragment);
        Ok(())
    }
}

impl<T> Session<T> {
    pub(super) fn on_headers(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Option<RawEvent<T>>, ConnectionError> {
        let state = self.stream_state(head.stream)?;
        let mut fragment = unpadded(head, payload)?;
        if head.has(flag::PRIORITY) {
            fragment = fragment
                .get(PRIORITY_LENGTH..)
                .ok_or(ConnectionError::frame_size("HEADERS too short for its flags"))?;
        }
        if state == StreamState::Closed {
            self.budget.spend()?;
        }
        if head.has(flag::END_HEADERS) {
            return self.on_block(head.stream, head.has(flag::END_STREAM), fragment);
        }
        self.block.headers = Some(head);
        self.block.append(fragment)?;
        Ok(None)
    }

    pub(super) fn on_continuation(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Option<RawEvent<T>>, ConnectionError> {
        let Some(headers) = self.block.headers else {
            return Err(ConnectionError::protocol("CONTINUATION of nothing"));
        };
        self.budget.spend()?;
        self.block.continuations += 1;
        self.block.append(payload)?;
        if !head.has(flag::END_HEADERS) {
            return Ok(None);
        }
        let block = std::mem::take(&mut self.block);
        self.on_block(headers.stream, headers.has(flag::END_STREAM), &block.fragments)
    }

    /// Every block is decoded, also of ended streams: both sides' tables must stay equal.
    fn on_block(
        &mut self,
        id: StreamId,
        end_stream: bool,
        block: &[u8],
    ) -> Result<Option<RawEvent<T>>, ConnectionError> {
        let message = &mut self.message;
        message.clear();
        self.decoder.decode(block, |name, value| message.on_field(name, value))?;
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(None);
        };
        if stream.tag.is_none() {
            return Ok(self.on_ignored(id, end_stream));
        }
        if let Some(answer) = stream.answer {
            return Ok(self.on_trailers(id, answer, end_stream));
        }
        let event = match self.message.judge() {
            Judged::Final if end_stream && self.message.has_all_content() => self.answer(id, Body::Gathered),
            Judged::Final if !end_stream => {
                stream.answer = Some(self.partial.insert(&mut self.message));
                None
            }
            Judged::Interim if !end_stream && stream.interim < INTERIM_MAX => {
                stream.interim += 1;
                self.budget.spend()?;
                None
            }
            Judged::TooLarge => self.reset(id, end_stream, ErrorCode::Cancel, Cause::HeadersTooLarge),
            _ => self.reset(id, end_stream, ErrorCode::Protocol, Cause::Malformed),
        };
        Ok(event)
    }

    fn on_trailers(&mut self, id: StreamId, answer: u32, end_stream: bool) -> Option<RawEvent<T>> {
        match self.message.judge_as_trailers() {
            Judged::Final if end_stream && self.partial.get_mut(answer).has_all_content() => {
                self.answer(id, Body::Gathered)
            }
            Judged::TooLarge => self.reset(id, end_stream, ErrorCode::Cancel, Cause::HeadersTooLarge),
            _ => self.reset(id, end_stream, ErrorCode::Protocol, Cause::Malformed),
        }
    }

    pub(super) fn on_data(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<RawEvent<T>>, ConnectionError> {
        let (id, end_stream) = (head.stream, head.has(flag::END_STREAM));
        let state = self.stream_state(id)?;
        let data = unpadded(head, payload)?;
        // First of all, even for a faulty stream: credit that is not returned starves the connection.
        if let Some(increment) = self.receive_window.take_from_connection(payload.len()) {
            self.output.window_update(0, increment);
        }
        if state == StreamState::Closed || (data.is_empty() && !end_stream) {
            self.budget.spend()?;
        }
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(None);
        };
        if stream.tag.is_none() {
            return Ok(self.on_ignored(id, end_stream));
        }
        let Some(answer) = stream.answer else {
            return Ok(self.reset(id, end_stream, ErrorCode::Protocol, Cause::Malformed));
        };
        let message = self.partial.get_mut(answer);
        message.received += data.len();
        if message.window.take_from_stream(payload.len()).is_err() {
            return Ok(self.reset_keeping_status(id, end_stream, ErrorCode::FlowControl, Cause::Malformed));
        }
        let room = self.config.body_max - message.body.len();
        if data.len() > room {
            message.body.extend_from_slice(&data[..room]);
            return Ok(self.reset_keeping_status(id, end_stream, ErrorCode::Cancel, Cause::Malformed));
        }
        if end_stream {
            return Ok(self.on_last_data(id, answer, payload, data));
        }
        message.body.extend_from_slice(data);
        if self.config.body_max >= super::window::WINDOW_DEFAULT as usize
            && let Some(increment) = message.window.due_for_stream()
        {
            self.output.window_update(id, increment);
        }
        Ok(None)
    }

    /// A body in one frame is borrowed from its place.
    fn on_last_data(&mut self, id: StreamId, answer: u32, payload: &[u8], data: &[u8]) -> Option<RawEvent<T>> {
        let message = self.partial.get_mut(answer);
        if !message.has_all_content() {
            return self.reset(id, true, ErrorCode::Protocol, Cause::Malformed);
        }
        if message.body.is_empty() {
            // PADDED puts the length of the padding before the data.
            let start = usize::from(data.len() < payload.len());
            return self.answer(id, Body::Frame(start..start + data.len()));
        }
        message.body.extend_from_slice(data);
        self.answer(id, Body::Gathered)
    }

    /// A frame of a stream whose end was returned to the caller.
    fn on_ignored(&mut self, id: StreamId, end_stream: bool) -> Option<RawEvent<T>> {
        if end_stream {
            self.streams.remove(id);
        }
        None
    }
}

/// The payload without its padding (RFC 9113 6.1).
fn unpadded(head: FrameHead, payload: &[u8]) -> Result<&[u8], ConnectionError> {
    if !head.has(flag::PADDED) {
        return Ok(payload);
    }
    let (&padding, rest) =
        payload.split_first().ok_or(ConnectionError::frame_size("a padded frame without padding length"))?;
    let length = rest.len().checked_sub(usize::from(padding));
    length.map(|length| &rest[..length]).ok_or(ConnectionError::protocol("a frame with more padding than payload"))
}
