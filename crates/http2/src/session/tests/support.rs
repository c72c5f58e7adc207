//! A server's bytes, and a client to feed them to.

use super::super::{Answer, Blocked, Cause, Config, ConnectionError, End, Event, Processed, Refused, Session};
use crate::frame::{ErrorCode, FrameHead, HEAD_LENGTH, StreamId, flag, kind};
use crate::hpack::Decoder;
use crate::request::{Head, Method, Request};
pub use crate::server_frames::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An event that borrows nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Answered { tag: u32, status: u16, apns_id: Option<String>, body: String, complete: bool },
    Ended { tag: u32, end: End },
    Settings,
    GoAway { last_id: StreamId, code: u32, debug: Vec<u8> },
    Pong(u64),
    Fault(ConnectionError),
}

impl From<Event<'_, u32>> for Seen {
    fn from(event: Event<'_, u32>) -> Self {
        match event {
            Event::Answered { tag, answer: Answer { status, apns_id, body, complete, .. } } => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                Self::Answered { tag, status, apns_id: apns_id.map(text), body: text(body), complete }
            }
            Event::Ended { tag, end } => Self::Ended { tag, end },
            Event::Settings => Self::Settings,
            Event::GoAway { last_id, code, debug } => Self::GoAway { last_id, code, debug: debug.to_vec() },
            Event::Pong(opaque) => Self::Pong(opaque),
            Event::Fault(fault) => Self::Fault(fault),
        }
    }
}

pub fn answered(tag: u32, status: u16, body: &str) -> Seen {
    Seen::Answered { tag, status, apns_id: None, body: body.into(), complete: true }
}

pub fn cut(tag: u32, status: u16, body: &str) -> Seen {
    Seen::Answered { tag, status, apns_id: None, body: body.into(), complete: false }
}

pub fn not_sent(tag: u32, cause: Cause) -> Seen {
    Seen::Ended { tag, end: End { processed: Processed::No, cause } }
}

pub fn unknown(tag: u32, cause: Cause) -> Seen {
    Seen::Ended { tag, end: End { processed: Processed::Maybe, cause } }
}

/// A frame the client wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrote {
    pub kind: u8,
    pub flags: u8,
    pub stream: StreamId,
    pub payload: Vec<u8>,
}

pub fn wrote(kind: u8, flags: u8, stream: StreamId, payload: &[u8]) -> Wrote {
    Wrote { kind, flags, stream, payload: payload.to_vec() }
}

pub fn wrote_reset(stream: StreamId, code: ErrorCode) -> Wrote {
    wrote(kind::RST_STREAM, 0, stream, &(code as u32).to_be_bytes())
}

pub fn wrote_goaway(code: ErrorCode) -> Wrote {
    wrote(kind::GOAWAY, 0, 0, &u64::from(code as u32).to_be_bytes())
}

pub fn wrote_settings_ack() -> Wrote {
    wrote(kind::SETTINGS, flag::ACK, 0, &[])
}

/// Cuts what the client wrote into frames; the preface is skipped.
pub fn frames(bytes: &[u8]) -> Vec<Wrote> {
    let mut bytes = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_LENGTH>() {
        let FrameHead { length, kind, flags, stream } = FrameHead::parse(head);
        frames.push(wrote(kind, flags, stream, &rest[..length]));
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "the output ends inside a frame");
    frames
}

/// The headers of a block written by a fresh encoder, or after all its earlier blocks passed the same decoder.
pub fn decode(decoder: &mut Decoder, block: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    decoder
        .decode(block, |name, value| fields.push((text(name), text(value))))
        .expect("our own blocks are well-formed");
    fields
}

pub fn head(method: Method) -> Head {
    Head::new(method, "api.push.apple.com", &[("apns-topic", "com.example.app"), ("apns-priority", "10")])
}

pub struct Client {
    pub session: Session<u32>,
    head: Head,
}

impl Client {
    /// Before the server's SETTINGS.
    pub fn new(config: Config) -> Self {
        Self { session: Session::new(config), head: head(Method::Post) }
    }

    /// After an exchange of SETTINGS, with nothing left to write.
    pub fn ready(entries: &[(u16, u32)]) -> Self {
        Self::ready_with(Config::default(), entries)
    }

    pub fn ready_with(config: Config, entries: &[(u16, u32)]) -> Self {
        let mut client = Self::new(config);
        assert_eq!(client.feed(&settings(entries)), [Seen::Settings]);
        assert_eq!(client.feed(&frame(kind::SETTINGS, flag::ACK, 0, &[])), []);
        client.drain();
        client
    }

    pub fn request(&mut self, tag: u32, body: &[u8]) -> Result<StreamId, Refused<u32>> {
        let request = Request {
            head: &self.head,
            path: [b"/3/device/", b"00fc13ad"],
            fields: &[("apns-id", b"123e4567-e89b-12d3-a456-426655440000")],
            body,
        };
        self.session.request(&request, tag)
    }

    /// Starts a request with a small body and writes it.
    pub fn send(&mut self, tag: u32) -> StreamId {
        let id = self.request(tag, b"{}").expect("a request can start");
        self.drain();
        id
    }

    /// Starts requests with the tags 1 to `count` and writes them: streams 1, 3, 5 and so on.
    pub fn send_many(&mut self, count: u32) {
        (1..=count).for_each(|tag| assert_eq!(self.send(tag), 2 * tag - 1));
    }

    pub fn refusal(&mut self, body: &[u8]) -> Option<Blocked> {
        self.request(999, body).err().map(|refused| refused.why)
    }

    /// Writes the waiting output.
    pub fn drain(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !self.session.output().is_empty() {
            let waiting = self.session.output().to_vec();
            self.session.handed(waiting.len());
            bytes.extend(waiting);
        }
        bytes
    }

    /// Writes the waiting output and splits it into frames.
    pub fn written(&mut self) -> Vec<Wrote> {
        frames(&self.drain())
    }

    pub fn feed(&mut self, mut input: &[u8]) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Some(event) = self.session.receive(&mut input) {
            seen.push(event.into());
        }
        assert!(input.is_empty(), "input is left though no event is");
        seen
    }

    pub fn cancel(&mut self, id: StreamId) -> Option<Seen> {
        self.session.cancel(id).map(Seen::from)
    }

    /// The transport is lost.
    pub fn close(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Some(event) = self.session.closed() {
            seen.push(event.into());
        }
        seen
    }

    /// Feeds bytes that must end the connection: one GOAWAY, then silence.
    #[track_caller]
    pub fn assert_fault(&mut self, input: &[u8], code: ErrorCode) {
        let seen = self.feed(input);
        assert!(matches!(seen.last(), Some(Seen::Fault(fault)) if fault.code() == code), "{code:?}: {seen:?}");
        assert!(self.drain().ends_with(&goaway(0, code as u32, b"")));
        assert_eq!(self.feed(&settings(&[])), [], "input after a fault is ignored");
        assert_eq!(self.session.output(), b"", "nothing follows the GOAWAY");
        assert_eq!(self.refusal(b"{}"), Some(Blocked::Closed));
    }
}
