//! Judges what the server sends: its legality, and its effects on streams and limits.

use super::{Block, Judgement, Referee, head_across, number};
use http2::ConnectionError;
use http2::frame::{ErrorCode, FrameHead, PAYLOAD_MAX, STREAM_ID_MAX, StreamId, flag, kind};

const BLOCK_MAX: usize = 16_384;
const CONTINUATIONS_MAX: usize = 8;
const SETTINGS_MAX: usize = 32;
const WINDOW_MAX: i64 = (1 << 31) - 1;

/// Fewer frames never add up to a flood.
const FLOOD: usize = 1_000;

impl Referee {
    /// The session took `bytes` in.
    pub fn server_wrote(&mut self, bytes: &[u8]) {
        self.server.frames.push(bytes);
        while self.server.judgement < Judgement::Illegal
            && let Some((head, payload)) = self.server.frames.next()
        {
            self.server.frame_count += 1;
            self.server.last_head = Some(head);
            let judgement = self.judge_head(head).max(self.judge(head, &payload));
            self.server.judgement = self.server.judgement.max(judgement);
            if judgement < Judgement::Illegal {
                self.note(head, &payload);
            }
        }
        self.judge_next(&[]);
    }

    /// The session took in all there was and goes on: it was legal, and no stream is overlooked.
    pub fn check_settled(&mut self) {
        let is_legal = self.server.judgement < Judgement::Illegal;
        assert!(is_legal, "the session accepts what is illegal, at or after {:?}", self.server.last_head);
        self.server.judgement = Judgement::Legal;
        assert!(self.server.useless <= self.useless_max, "a flood is not stopped");
        for id in &self.awaited {
            let stream = &self.streams[id];
            assert!(!stream.server_ended, "stream {id} was answered");
            assert!(stream.server_reset.is_none(), "stream {id} was reset");
            assert!(self.server.goaway.is_none_or(|last_id| *id <= last_id), "stream {id} is above the last id");
        }
    }

    /// The session gave up with `rest` untouched, whose first bytes may be the reason.
    pub(super) fn check_fault(&mut self, fault: ConnectionError, rest: &[u8]) {
        self.judge_next(rest);
        let flooded = fault.code() == ErrorCode::EnhanceYourCalm && self.server.frame_count >= FLOOD;
        assert!(
            flooded || self.server.judgement > Judgement::Legal,
            "{fault:?} without a reason after {:?}",
            self.server.last_head
        );
    }

    /// Judges the next frame by its head alone.
    fn judge_next(&mut self, rest: &[u8]) {
        if let Some(head) = head_across(self.server.frames.rest(), rest) {
            self.server.judgement = self.server.judgement.max(self.judge_head(head));
        }
    }

    fn judge_head(&self, head: FrameHead) -> Judgement {
        let interrupts = |block: &Block| (head.kind, head.stream) != (kind::CONTINUATION, block.stream);
        let is_first = !self.server.ready && (head.kind != kind::SETTINGS || head.has(flag::ACK));
        illegal_if(self.server.block.as_ref().is_some_and(interrupts) || head.length > PAYLOAD_MAX || is_first)
    }

    fn judge(&self, head: FrameHead, payload: &[u8]) -> Judgement {
        let FrameHead { stream, length, .. } = head;
        match head.kind {
            kind::DATA => self.judge_stream(stream).max(illegal_if(unpadded(head, payload).is_none())),
            kind::HEADERS => self.judge_stream(stream).max(illegal_if(fragment(head, payload).is_none())),
            kind::PRIORITY => illegal_if(stream == 0 || length != 5),
            kind::RST_STREAM => self.judge_stream(stream).max(illegal_if(length != 4)),
            kind::SETTINGS if head.has(flag::ACK) => illegal_if(stream != 0 || length != 0),
            kind::SETTINGS => illegal_if(stream != 0 || !length.is_multiple_of(6)).max(self.judge_settings(payload)),
            kind::PUSH_PROMISE => Judgement::Illegal,
            kind::PING => illegal_if(stream != 0 || length != 8),
            kind::GOAWAY => illegal_if(stream != 0 || length < 8),
            kind::WINDOW_UPDATE if length != 4 => Judgement::Illegal,
            kind::WINDOW_UPDATE if stream != 0 => self.judge_stream(stream),
            kind::WINDOW_UPDATE => {
                let increment = number(payload) & STREAM_ID_MAX;
                // The session counts bodies as sent that still wait.
                let may_overflow = self.client.window + i64::from(increment) > WINDOW_MAX;
                illegal_if(increment == 0).max(unclear_if(may_overflow))
            }
            kind::CONTINUATION => illegal_if(self.server.block.is_none()),
            _ => Judgement::Legal,
        }
    }

    fn judge_stream(&self, id: StreamId) -> Judgement {
        let Some(stream) = self.streams.get(&id) else {
            // Ids below the first one count as closed (RFC 9113 5.1.1).
            return illegal_if(id.is_multiple_of(2) || id >= self.next_id);
        };
        match self.awaited.contains(&id) {
            _ if stream.headers_read => Judgement::Legal,
            true => Judgement::Illegal,
            // The test cannot see if the session still has it.
            false => Judgement::Unclear,
        }
    }

    fn judge_settings(&self, payload: &[u8]) -> Judgement {
        let entries = settings(payload);
        let is_illegal = |&(id, value): &(u16, u32)| match id {
            2 => value != 0,
            4 => i64::from(value) > WINDOW_MAX,
            5 => !(16_384..=16_777_215).contains(&value),
            _ => false,
        };
        let initial_window = entries.iter().filter(|(id, _)| *id == 4).map(|(_, value)| i64::from(*value)).max();
        let overflows = |initial: i64| self.streams.values().any(|stream| initial + stream.window > WINDOW_MAX);
        let may_overflow = initial_window.is_some_and(overflows);
        illegal_if(entries.len() > SETTINGS_MAX || entries.iter().any(is_illegal)).max(unclear_if(may_overflow))
    }

    fn note(&mut self, head: FrameHead, payload: &[u8]) {
        let id = head.stream;
        self.server.useless += u64::from(is_useless(head));
        match head.kind {
            kind::DATA => {
                self.server.data_received += payload.len();
                if let (Some(stream), Some(data)) = (self.streams.get_mut(&id), unpadded(head, payload)) {
                    stream.data_received += payload.len();
                    stream.data.extend_from_slice(data);
                    self.server_ended(id, head.has(flag::END_STREAM));
                }
            }
            kind::HEADERS => {
                let (end_stream, fragments) = (head.has(flag::END_STREAM), fragment(head, payload).unwrap_or_default());
                let block = Block { stream: id, end_stream, fragments: fragments.to_vec(), continuations: 0 };
                self.block_goes_on(block, head.has(flag::END_HEADERS));
            }
            kind::CONTINUATION => {
                if let Some(mut block) = self.server.block.take() {
                    block.fragments.extend_from_slice(payload);
                    block.continuations += 1;
                    self.block_goes_on(block, head.has(flag::END_HEADERS));
                }
            }
            kind::RST_STREAM => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.server_reset = stream.server_reset.or(Some(number(payload)));
                    self.client.open.remove(&id);
                }
            }
            kind::SETTINGS if !head.has(flag::ACK) => {
                self.server.ready = true;
                self.server.settings_unacked.push_back(settings(payload));
            }
            kind::PING if !head.has(flag::ACK) => self.server.pings_unanswered.push_back(payload.to_vec()),
            kind::GOAWAY => self.note_goaway(number(payload.get(..4).unwrap_or_default()) & STREAM_ID_MAX),
            kind::WINDOW_UPDATE => {
                let increment = i64::from(number(payload.get(..4).unwrap_or_default()) & STREAM_ID_MAX);
                match self.streams.get_mut(&id) {
                    None => self.client.window += increment,
                    Some(stream) => stream.window += increment,
                }
            }
            _ => {}
        }
    }

    fn note_goaway(&mut self, last_id: StreamId) {
        let last_id = self.server.goaway.map_or(last_id, |before| before.min(last_id));
        self.server.goaway = Some(last_id);
        self.client.open.retain(|&id| id <= last_id);
        for (_, stream) in self.streams.range_mut(last_id + 1..) {
            stream.cut |= !stream.begun;
        }
    }

    fn block_goes_on(&mut self, block: Block, is_whole: bool) {
        if block.fragments.len() > BLOCK_MAX || block.continuations > CONTINUATIONS_MAX {
            self.server.judgement = Judgement::Illegal;
        } else if !is_whole {
            self.server.block = Some(block);
        } else {
            self.note_block(&block);
        }
    }

    fn note_block(&mut self, block: &Block) {
        let Ok(fields) = self.server.decoder.decode(&block.fragments) else {
            self.server.judgement = Judgement::Illegal;
            return;
        };
        let Some(stream) = self.streams.get_mut(&block.stream) else { return };
        let status = fields.first().filter(|(name, _)| name == b":status").map(|(_, value)| value);
        let status = status.and_then(|value| std::str::from_utf8(value).ok()).and_then(|value| value.parse().ok());
        if let Some(status @ 200..) = status
            && stream.answer.is_none()
        {
            stream.answer = Some((status, fields));
        }
        self.server_ended(block.stream, block.end_stream);
    }

    fn server_ended(&mut self, id: StreamId, end_stream: bool) {
        if let Some(stream) = self.streams.get_mut(&id)
            && end_stream
        {
            stream.server_ended = true;
            if stream.client_ended {
                self.client.open.remove(&id);
            }
        }
    }
}

fn illegal_if(is_illegal: bool) -> Judgement {
    if is_illegal { Judgement::Illegal } else { Judgement::Legal }
}

fn unclear_if(is_unclear: bool) -> Judgement {
    if is_unclear { Judgement::Unclear } else { Judgement::Legal }
}

/// In any state of its stream.
fn is_useless(head: FrameHead) -> bool {
    match head.kind {
        kind::HEADERS | kind::RST_STREAM | kind::GOAWAY => false,
        kind::DATA => head.length == 0 && !head.has(flag::END_STREAM),
        kind::SETTINGS | kind::PING => !head.has(flag::ACK),
        _ => true,
    }
}

fn unpadded(head: FrameHead, payload: &[u8]) -> Option<&[u8]> {
    if !head.has(flag::PADDED) {
        return Some(payload);
    }
    let (&padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(padding))?)
}

fn fragment(head: FrameHead, payload: &[u8]) -> Option<&[u8]> {
    unpadded(head, payload)?.get(if head.has(flag::PRIORITY) { 5 } else { 0 }..)
}

fn settings(payload: &[u8]) -> Vec<(u16, u32)> {
    payload.chunks_exact(6).map(|entry| (number(&entry[..2]) as u16, number(&entry[2..]))).collect()
}
