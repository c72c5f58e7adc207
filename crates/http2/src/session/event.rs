//! The session's reports to its caller: events, answers, and the ends of streams and connections.

use crate::frame::{ErrorCode, StreamId};
use crate::hpack::HpackError;

/// An event that received bytes caused. Its borrows live until the next call of the session.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a, T> {
    /// A request was answered; its stream has ended.
    Answered { tag: T, answer: Answer<'a> },
    /// A stream ended without an answer.
    Ended { tag: T, end: End },
    /// The peer's SETTINGS were applied; its ACK is in the output.
    Settings,
    /// The peer will process no stream above `last_id`; the ends of those streams follow. At most 1,024 bytes of `debug`.
    GoAway { last_id: StreamId, code: u32, debug: &'a [u8] },
    /// The answer to one of our PINGs.
    Pong(u64),
    /// The connection is lost. Our GOAWAY is in the output: flush it, close, and call `closed` for the streams still open.
    Fault(ConnectionError),
}

/// The peer's final HEADERS and the received part of the body. All of it is the peer's unchecked text.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub status: u16,
    pub apns_id: Option<&'a [u8]>,
    pub unique_id: Option<&'a [u8]>,
    pub channel_id: Option<&'a [u8]>,
    pub request_id: Option<&'a [u8]>,
    pub retry_after: Option<&'a [u8]>,
    pub body: &'a [u8],
    /// The peer ended the stream itself. If not, the status is valid but the body may be truncated.
    pub complete: bool,
}

/// The end of a stream that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub processed: Processed,
    pub cause: Cause,
}

/// The session's statement on an unanswered request: may the peer have acted on it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processed {
    /// Provably not: sending it again is safe.
    No,
    Maybe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The peer reset it with REFUSED_STREAM.
    Refused,
    /// Its id is above the last one of the peer's GOAWAY.
    AboveLastId,
    /// The peer reset it with this code.
    Reset(u32),
    /// The answer, or a frame of the stream, broke HTTP/2.
    Malformed,
    /// The answer's headers exceed our limit.
    HeadersTooLarge,
    /// The peer allows the body only in too small pieces.
    WindowTooSmall,
    /// The caller cancelled it.
    Cancelled,
    /// The connection is over.
    Closed,
}

/// The reason that a connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    #[error("the peer broke the rules of HTTP/2: {what} ({code:?}); only a new connection helps")]
    Peer { code: ErrorCode, what: &'static str },
    #[error(transparent)]
    Compression(#[from] HpackError),
}

impl ConnectionError {
    /// The code of the GOAWAY it causes.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Peer { code, .. } => *code,
            Self::Compression(_) => ErrorCode::Compression,
        }
    }

    pub(super) fn protocol(what: &'static str) -> Self {
        Self::Peer { code: ErrorCode::Protocol, what }
    }

    pub(super) fn frame_size(what: &'static str) -> Self {
        Self::Peer { code: ErrorCode::FrameSize, what }
    }

    pub(super) fn flow_control(what: &'static str) -> Self {
        Self::Peer { code: ErrorCode::FlowControl, what }
    }

    pub(super) fn calm(what: &'static str) -> Self {
        Self::Peer { code: ErrorCode::EnhanceYourCalm, what }
    }
}

/// A request that was not begun; not a byte of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused<T> {
    pub tag: T,
    pub why: Blocked,
}

/// The reason for which a request cannot start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// The peer's SETTINGS have not arrived yet.
    NotReady,
    /// The peer's limit of open streams is reached.
    Streams,
    /// The connection's flow-control window is smaller than the body.
    ConnectionWindow,
    /// Stream windows are smaller than bodies, and enough bodies are waiting already.
    StreamWindow,
    /// The output must be written completely first.
    Output,
    /// A GOAWAY of either side: no new streams here.
    Draining,
    /// No stream id is left on this connection.
    IdsUsedUp,
    /// The headers exceed the peer's limit or one frame. No other connection to it accepts them.
    HeadersTooLarge,
    /// The connection is over.
    Closed,
}
