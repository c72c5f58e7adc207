//! An HTTP/2 connection to Apple as a pure state machine: bytes in, events out; requests in, bytes out.

mod answers;
mod bodies;
mod bounds;
mod end;
mod event;
mod flood_budget;
mod message;
mod output;
mod reader;
mod receive;
mod send;
mod settings;
mod streams;
mod window;

#[cfg(test)]
pub(super) mod tests;

use std::collections::VecDeque;
use std::ops::Range;

use self::answers::OpenBlock;
use self::bodies::WaitingBodies;
pub use self::event::{Answer, Blocked, Cause, ConnectionError, End, Event, Processed, Refused};
use self::flood_budget::FloodBudget;
use self::message::{Message, PartialAnswers};
use self::output::Output;
use self::reader::{Payload, Reader};
use self::settings::PeerSettings;
use self::streams::Streams;
use self::window::{SendWindow, WINDOW_DEFAULT};
use super::frame::StreamId;
use super::hpack::{Decoder, Encoder, TABLE_SIZE_DEFAULT};
use super::request::Request;

/// A session's limits; the defaults suit the sending of notifications.
#[derive(Debug, Clone)]
pub struct Config {
    /// The first stream id, an odd number. Values other than 1 are for tests of the last ids.
    pub first_id: StreamId,
    /// The maximum number of streams if the peer sets no limit.
    pub streams_max: u32,
    /// The maximum size of an answer's body, in bytes; the rest is dropped.
    pub body_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { first_id: 1, streams_max: 1_000, body_max: 16_384 }
    }
}

/// The client's half of one connection. `T` is what the caller attaches to a request; it comes back exactly once.
///
/// The caller's loop: write `output` and report it by `handed`; read, and call `receive` until it gives `None`; start
/// requests until one is blocked. It owns all timers: PING, the SETTINGS ACK, open field blocks, deadlines and refills.
/// After `Event::Fault`, a read or write error, or the end of the input it calls `closed` until that gives `None`.
pub struct Session<T> {
    config: Config,
    reader: Reader,
    output: Output,
    encoder: Encoder,
    decoder: Decoder,
    streams: Streams<T>,
    next_id: StreamId,
    bodies: WaitingBodies,
    block: OpenBlock,
    /// The last decoded block; while an event is borrowed, its answer.
    message: Message,
    partial: PartialAnswers,
    ends: VecDeque<(T, Option<u32>, End)>,
    peer: PeerSettings,
    send_window: SendWindow,
    receive_window: window::ReceiveWindow,
    budget: FloodBudget,
    pings_open: u32,
    /// Streams we cancelled since the peer last showed life.
    resets_unseen: usize,
    ready: bool,
    settings_acked: bool,
    shutting_down: bool,
    /// The last id of the peer's GOAWAY.
    goaway: Option<StreamId>,
    fault: Option<ConnectionError>,
    closed: bool,
}

/// An event without its borrows.
enum RawEvent<T> {
    /// The answer is in `Session::message`.
    Answered {
        tag: T,
        body: Body,
        complete: bool,
    },
    Ended {
        tag: T,
        end: End,
    },
    Settings,
    GoAway {
        last_id: StreamId,
        code: u32,
    },
    Pong(u64),
    Fault(ConnectionError),
}

/// The place of an answer's body.
enum Body {
    /// In the payload of the frame just read.
    Frame(Range<usize>),
    /// In `Session::message`.
    Gathered,
}

/// The maximum size of GOAWAY's debug data; the rest is dropped.
const DEBUG_MAX: usize = 1_024;

impl<T> Session<T> {
    /// Our first flight is in `output` already.
    pub fn new(config: Config) -> Self {
        Self {
            reader: Reader::default(),
            output: Output::with_first_flight(),
            encoder: Encoder::new(),
            decoder: Decoder::new(TABLE_SIZE_DEFAULT),
            streams: Streams::new(),
            next_id: config.first_id | 1,
            bodies: WaitingBodies::default(),
            block: OpenBlock::default(),
            message: Message::default(),
            partial: PartialAnswers::default(),
            ends: VecDeque::new(),
            peer: PeerSettings::new(config.streams_max),
            send_window: SendWindow::new(WINDOW_DEFAULT),
            receive_window: window::ReceiveWindow::default(),
            budget: FloodBudget::new(),
            pings_open: 0,
            resets_unseen: 0,
            ready: false,
            settings_acked: false,
            shutting_down: false,
            goaway: None,
            fault: None,
            closed: false,
            config,
        }
    }

    /// Reads frames up to the next event and advances `input` past them; `None` when all of it is consumed. Keeps the
    /// bytes of an incomplete frame. After a fault the input is ignored.
    pub fn receive<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Option<Event<'s, T>> {
        let (event, payload) = self.step(input)?;
        Some(self.lend(event, payload))
    }

    /// Refills the budget of useless frames by points, from the caller's timer (330 a second).
    pub fn refill(&mut self, points: u32) {
        self.budget.refill(points);
    }

    /// Allows more resets of ours, up to 100: from the caller's timer (100 in 30 seconds).
    pub fn refill_resets(&mut self, resets: u32) {
        self.budget.refill_resets(resets);
    }

    /// At 0 a cancelled stream keeps its slot, and the connection should be replaced.
    pub fn resets_left(&self) -> u32 {
        self.budget.resets_left()
    }

    /// The number of requests whose end was not returned yet.
    pub fn open(&self) -> usize {
        self.streams.awaited()
    }

    /// The open streams below `id`, in no particular order: the streams started before it. Scans all streams.
    pub fn open_before(&self, id: StreamId) -> impl Iterator<Item = StreamId> {
        let open = self.streams.iter().filter(move |stream| stream.id < id && stream.tag.is_some());
        open.map(|stream| stream.id)
    }

    /// Every open stream with the caller's tag. Scans all streams.
    pub fn open_streams(&self) -> impl Iterator<Item = (StreamId, &T)> {
        self.streams.iter().filter_map(|stream| stream.tag.as_ref().map(|tag| (stream.id, tag)))
    }

    /// The id the next request will have.
    pub fn next_id(&self) -> StreamId {
        self.next_id
    }

    /// The peer's SETTINGS have arrived.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// A GOAWAY of either side: open streams go on, and none begins. Once none is open, call `shut_down` and close.
    pub fn is_draining(&self) -> bool {
        self.goaway.is_some() || self.shutting_down
    }

    pub fn fault(&self) -> Option<&ConnectionError> {
        self.fault.as_ref()
    }

    /// The peer's MAX_CONCURRENT_STREAMS, or our limit if it sets none.
    pub fn stream_limit(&self) -> u32 {
        self.peer.stream_limit
    }

    /// Bodies wait for their stream's window, or for `output` to be written.
    pub fn bodies_wait(&self) -> bool {
        self.bodies.bytes > 0
    }

    /// The peer began a field block and did not end it. The caller's timer limits the time.
    pub fn block_open(&self) -> bool {
        self.block.stream().is_some()
    }

    /// The peer has acknowledged our SETTINGS.
    pub fn settings_acked(&self) -> bool {
        self.settings_acked
    }

    /// Frees the buffers that traffic has left; for a connection that is idle for a while.
    pub fn release(&mut self) {
        self.output.release();
        self.partial.release();
        if self.reader.kept_length() == 0 {
            self.reader.release();
        }
        self.message = Message::default();
    }

    /// The session is over: nothing is read or begun any more.
    fn is_over(&self) -> bool {
        self.closed || self.fault.is_some()
    }

    fn lend<'s, 'i: 's>(&'s self, event: RawEvent<T>, payload: Payload<'i>) -> Event<'s, T> {
        let payload = match payload {
            Payload::Lent(bytes) => bytes,
            Payload::Kept => self.reader.kept_payload(),
        };
        match event {
            RawEvent::Answered { tag, body, complete } => {
                let body = match body {
                    Body::Frame(range) => &payload[range],
                    Body::Gathered => &self.message.body,
                };
                Event::Answered { tag, answer: self.message.answer(body, complete) }
            }
            RawEvent::Ended { tag, end } => Event::Ended { tag, end },
            RawEvent::Settings => Event::Settings,
            RawEvent::GoAway { last_id, code } => {
                let debug = payload.get(8..).unwrap_or_default();
                Event::GoAway { last_id, code, debug: &debug[..debug.len().min(DEBUG_MAX)] }
            }
            RawEvent::Pong(opaque) => Event::Pong(opaque),
            RawEvent::Fault(fault) => Event::Fault(fault),
        }
    }
}
