//! Checks of what the client writes: whole frames, in the right states, within the peer's limits, as requested.

use super::{Frames, Referee, Stream, head_across, number};
use http2::ConnectionError;
use http2::frame::{FrameHead, PAYLOAD_MAX, StreamId, flag, kind};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FIRST_INCREMENT: u32 = 983_041;
const DATA_FRAMES_MAX: usize = 64;

/// Credit due to the peer is less than this.
const UNGRANTED_MAX: usize = 524_288;

impl Referee {
    /// The transport took `bytes`; `waiting` is the output behind them.
    pub fn client_wrote(&mut self, bytes: &[u8], waiting: &[u8]) {
        let preface = &PREFACE[self.client.preface_read..];
        let (preface_now, bytes) = bytes.split_at(bytes.len().min(preface.len()));
        assert!(preface.starts_with(preface_now), "the preface comes first");
        self.client.preface_read += preface_now.len();
        self.client.frames.push(bytes);
        while let Some((head, payload)) = self.client.frames.next() {
            self.on_client_frame(head, &payload);
        }
        // A frame counts as begun with its first byte, though that may not yet tell which one it is.
        let rest = self.client.frames.rest();
        if !rest.is_empty()
            && let Some(head) = head_across(rest, waiting)
            && head.kind == kind::HEADERS
            && let Some(stream) = self.streams.get_mut(&head.stream)
        {
            stream.begun = true;
        }
    }

    /// After a fault: nothing but what was begun, replies, and one GOAWAY at the end.
    pub fn check_last_words(&self, waiting: &[u8], fault: &ConnectionError) {
        let preface_left = PREFACE.len() - self.client.preface_read;
        let mut frames = Frames::default();
        frames.push(&[self.client.frames.rest(), &waiting[preface_left..]].concat());
        let mut is_begun = !self.client.frames.rest().is_empty();
        let mut last = None;
        while let Some((head, payload)) = frames.next() {
            assert!(head.stream == 0 || is_begun, "a frame not begun is cut: {head:?}");
            is_begun = false;
            last = Some((head.kind, payload));
        }
        assert!(frames.rest().is_empty(), "the output ends inside a frame");
        assert_eq!(last, Some((kind::GOAWAY, u64::from(fault.code() as u32).to_be_bytes().to_vec())));
    }

    /// All output was written.
    pub fn check_drained(&self) {
        assert!(self.client.frames.rest().is_empty(), "the output ends inside a frame");
        if self.fault.is_none() {
            assert!(self.server.settings_unacked.is_empty() && self.server.pings_unanswered.is_empty());
            assert!(self.server.data_received - self.client.granted < UNGRANTED_MAX, "credit is kept back");
        } else {
            assert!(self.client.gone);
        }
    }

    fn on_client_frame(&mut self, head: FrameHead, payload: &[u8]) {
        assert!(!self.client.gone, "something follows the last GOAWAY");
        assert!(payload.len() <= PAYLOAD_MAX);
        let is_first = self.client.frame_count == 0;
        self.client.frame_count += 1;
        assert_eq!(is_first, head.kind == kind::SETTINGS && !head.has(flag::ACK), "SETTINGS once and first");
        match head.kind {
            kind::HEADERS => self.on_request_headers(head, payload),
            kind::DATA => self.on_request_data(head, payload),
            kind::RST_STREAM => {
                assert_eq!(payload.len(), 4);
                let stream = self.streams.get_mut(&head.stream).expect("a stream of ours");
                assert!(stream.headers_read, "a reset of an idle stream");
                assert!(!std::mem::replace(&mut stream.client_reset, true), "a second reset");
                self.client.open.remove(&head.stream);
                self.client.resets += 1;
                assert!(self.client.resets <= self.resets_max);
            }
            kind::SETTINGS => {
                assert_eq!(head.stream, 0);
                if head.has(flag::ACK) {
                    self.on_settings_ack();
                }
            }
            kind::PING => {
                assert_eq!((head.stream, payload.len()), (0, 8));
                if head.has(flag::ACK) {
                    assert_eq!(self.server.pings_unanswered.pop_front().as_deref(), Some(payload));
                }
            }
            kind::GOAWAY => {
                assert_eq!((head.stream, payload.len(), number(&payload[..4])), (0, 8, 0));
                self.client.going_away = true;
                self.client.gone = number(&payload[4..]) != 0;
            }
            kind::WINDOW_UPDATE => self.on_credit(head.stream, payload),
            other => panic!("a client sends no frame of type {other}"),
        }
    }

    fn on_request_headers(&mut self, head: FrameHead, block: &[u8]) {
        let id = head.stream;
        assert!(!self.client.going_away, "a stream after our GOAWAY");
        assert!(id > self.client.last_id, "ids grow");
        self.client.last_id = id;
        assert_eq!(head.flags & !flag::END_STREAM, flag::END_HEADERS, "a whole block and nothing else");
        let stream = self.streams.get_mut(&id).expect("a stream of ours");
        assert!(!stream.cut, "it was reported as not sent");
        assert!(self.client.decoder.decode(block).is_ok_and(|fields| fields == stream.wanted), "another request");
        (stream.begun, stream.headers_read) = (true, true);
        if self.server.goaway.is_none_or(|last_id| id <= last_id) {
            assert!(self.client.open.len() < self.client.limit as usize, "more streams than the peer allows");
            self.client.open.insert(id);
        }
        if head.has(flag::END_STREAM) {
            assert!(stream.body.is_empty());
            self.client_ended(id);
        }
    }

    fn on_request_data(&mut self, head: FrameHead, payload: &[u8]) {
        let stream = self.streams.get_mut(&head.stream).expect("a stream of ours");
        assert!(stream.headers_read && !stream.client_ended && !stream.client_reset);
        assert_eq!(head.flags & !flag::END_STREAM, 0);
        self.client.window -= payload.len() as i64;
        stream.window -= payload.len() as i64;
        assert!(self.client.window >= 0, "more than the connection's window");
        assert!(payload.is_empty() || stream.window + self.client.initial_window >= 0, "more than the stream's window");
        assert!(stream.body[stream.sent..].starts_with(payload), "another body");
        stream.sent += payload.len();
        stream.data_frames += 1;
        assert!(stream.data_frames <= DATA_FRAMES_MAX);
        assert_eq!(head.has(flag::END_STREAM), stream.sent == stream.body.len());
        if head.has(flag::END_STREAM) {
            self.client_ended(head.stream);
        }
    }

    fn client_ended(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.client_ended = true;
            if stream.server_ended {
                self.client.open.remove(&id);
            }
        }
    }

    /// From here on the client is held to the settings it acknowledges.
    fn on_settings_ack(&mut self) {
        let entries = self.server.settings_unacked.pop_front().expect("an ACK of nothing");
        for (id, value) in entries {
            match id {
                1 => self.client.decoder.set_limit(value as usize),
                3 => self.client.limit = value,
                4 => self.client.initial_window = i64::from(value),
                _ => {}
            }
        }
    }

    fn on_credit(&mut self, id: StreamId, payload: &[u8]) {
        assert_eq!(payload.len(), 4);
        let increment = number(payload);
        assert!((1..1 << 31).contains(&increment));
        if id != 0 {
            let Some(Stream { granted, data_received, headers_read: true, .. }) = self.streams.get_mut(&id) else {
                panic!("credit for an idle stream");
            };
            *granted += increment as usize;
            assert!(granted <= data_received, "more credit than was used");
        } else if self.client.frame_count == 2 {
            assert_eq!(increment, FIRST_INCREMENT);
        } else {
            self.client.granted += increment as usize;
            assert!(self.client.granted <= self.server.data_received, "more credit than was used");
        }
    }
}
