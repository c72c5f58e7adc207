//! A referee who sees every byte of both sides and every event, knows the rules, and panics at a breach by the session.

mod client;
mod ends;
mod server;

pub use ends::During;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::naive_hpack::{Field, NaiveDecoder};
use http2::frame::{FrameHead, HEAD_LENGTH, StreamId};
use http2::{Config, ConnectionError};

const TABLE_SIZE: usize = 4_096;
const WINDOW: i64 = 65_535;

/// Every byte of the first flight but the preface is judged as frames.
pub struct Referee {
    body_max: usize,
    streams: BTreeMap<StreamId, Stream>,
    /// Requests whose end the caller waits for.
    awaited: BTreeSet<StreamId>,
    next_id: StreamId,
    /// Useless frames that the server may send in all, and resets that the session may.
    useless_max: u64,
    resets_max: u64,
    client: ClientHalf,
    server: ServerHalf,
    fault: Option<ConnectionError>,
}

/// The state that the server knows from what it has read.
struct ClientHalf {
    preface_read: usize,
    frames: Frames,
    frame_count: usize,
    last_id: StreamId,
    decoder: NaiveDecoder,
    /// As the server counts them.
    open: BTreeSet<StreamId>,
    /// Settings in force: those the client has acknowledged.
    limit: u32,
    initial_window: i64,
    window: i64,
    /// Increments of the connection's window, without the first.
    granted: usize,
    resets: u64,
    going_away: bool,
    /// A GOAWAY with an error.
    gone: bool,
}

/// The part of the server's output that the session has taken in.
struct ServerHalf {
    frames: Frames,
    frame_count: usize,
    /// Frames that do nothing for any request.
    useless: u64,
    ready: bool,
    block: Option<Block>,
    decoder: NaiveDecoder,
    settings_unacked: VecDeque<Vec<(u16, u32)>>,
    pings_unanswered: VecDeque<Vec<u8>>,
    data_received: usize,
    goaway: Option<StreamId>,
    judgement: Judgement,
    last_head: Option<FrameHead>,
}

/// A field block that goes on.
struct Block {
    stream: StreamId,
    end_stream: bool,
    fragments: Vec<u8>,
    continuations: usize,
}

/// Of what the server sent since the session was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Judgement {
    Legal,
    /// The wire alone does not show it.
    Unclear,
    /// The connection must end.
    Illegal,
}

#[derive(Default)]
struct Stream {
    wanted: Vec<Field>,
    body: Vec<u8>,
    /// The first and the last byte of HEADERS were written.
    begun: bool,
    headers_read: bool,
    /// A GOAWAY or a fault came before it had begun.
    cut: bool,
    sent: usize,
    data_frames: usize,
    client_ended: bool,
    client_reset: bool,
    /// Increments less DATA; INITIAL_WINDOW_SIZE comes on top.
    window: i64,
    granted: usize,
    /// The final HEADERS.
    answer: Option<(u16, Vec<Field>)>,
    data: Vec<u8>,
    data_received: usize,
    server_ended: bool,
    server_reset: Option<u32>,
}

impl Referee {
    pub fn new(config: &Config) -> Self {
        let client = ClientHalf {
            preface_read: 0,
            frames: Frames::default(),
            frame_count: 0,
            last_id: 0,
            decoder: NaiveDecoder::new(TABLE_SIZE),
            open: BTreeSet::new(),
            limit: config.streams_max,
            initial_window: WINDOW,
            window: WINDOW,
            granted: 0,
            resets: 0,
            going_away: false,
            gone: false,
        };
        let server = ServerHalf {
            frames: Frames::default(),
            frame_count: 0,
            useless: 0,
            ready: false,
            block: None,
            decoder: NaiveDecoder::new(TABLE_SIZE),
            settings_unacked: VecDeque::new(),
            pings_unanswered: VecDeque::new(),
            data_received: 0,
            goaway: None,
            judgement: Judgement::Legal,
            last_head: None,
        };
        Self {
            body_max: config.body_max,
            streams: BTreeMap::new(),
            awaited: BTreeSet::new(),
            next_id: config.first_id,
            useless_max: 10_000,
            resets_max: 100,
            client,
            server,
            fault: None,
        }
    }

    pub fn awaited(&self) -> usize {
        self.awaited.len()
    }

    pub fn awaits(&self, id: StreamId) -> bool {
        self.awaited.contains(&id)
    }

    pub fn next_id(&self) -> StreamId {
        self.next_id
    }

    pub fn fault(&self) -> Option<&ConnectionError> {
        self.fault.as_ref()
    }

    /// The caller allows more.
    pub fn on_refill(&mut self, useless: u32, resets: u32) {
        self.useless_max += u64::from(useless);
        self.resets_max += u64::from(resets);
    }

    /// The session has started a request.
    pub fn on_request(&mut self, id: StreamId, wanted: Vec<Field>, body: &[u8]) {
        assert_eq!(id, self.next_id, "ids count up");
        self.next_id += 2;
        self.useless_max += 8;
        assert!(self.fault.is_none() && self.server.goaway.is_none() && self.server.ready);
        self.streams.insert(id, Stream { wanted, body: body.to_vec(), ..Stream::default() });
        self.awaited.insert(id);
    }
}

/// Bytes cut into frames.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    at: usize,
}

impl Frames {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes of an incomplete frame.
    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn next(&mut self) -> Option<(FrameHead, Vec<u8>)> {
        let head = head(self.rest())?;
        let payload = self.rest().get(HEAD_LENGTH..HEAD_LENGTH + head.length)?.to_vec();
        self.at += HEAD_LENGTH + head.length;
        Some((head, payload))
    }
}

fn head(bytes: &[u8]) -> Option<FrameHead> {
    bytes.first_chunk().map(FrameHead::parse)
}

/// The head of a frame that begins in one slice and may go on in the other.
fn head_across(first: &[u8], second: &[u8]) -> Option<FrameHead> {
    let bytes: Vec<_> = first.iter().chain(second).copied().take(HEAD_LENGTH).collect();
    head(&bytes)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}
