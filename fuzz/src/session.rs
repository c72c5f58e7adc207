//! A session between a caller and a server who both do what the input says, with a referee beside it.

use super::hpack_encoder::wanted;
use super::input::Input;
use super::referee::{During, Referee};
use http2::frame::{FrameHead, STREAM_ID_MAX, StreamId, flag, kind};
use http2::{Blocked, Config, ConnectionError, End, Event, Head, Method, Request, Session};

/// The first byte of a call, modulo `CALLS`, and what follows it.
pub mod call {
    /// The shape of one request.
    pub const REQUEST: u8 = 0;
    /// The shape of many requests, and how many.
    pub const REQUESTS: u8 = 1;
    /// A stream, and how many from there on.
    pub const CANCEL: u8 = 2;
    pub const HAND_ALL: u8 = 3;
    /// Share of the output, in 255ths.
    pub const HAND: u8 = 4;
    /// Which, and a number.
    pub const OTHER: u8 = 5;
    /// The server's bytes, as they are.
    pub const BYTES: u8 = 6;
    /// Type, flags, stream and payload of a frame.
    pub const FRAME: u8 = 7;
    /// Type, flags, stream, length and the byte that fills the payload.
    pub const LONG_FRAME: u8 = 8;
    /// Number of repetitions of the last frame.
    pub const REPEAT: u8 = 9;
    /// Number of entries, and the entry.
    pub const SETTINGS: u8 = 10;
    /// Type, stream and number: RST_STREAM and WINDOW_UPDATE.
    pub const NUMBER_FRAME: u8 = 11;
    /// Stream, code and debug data.
    pub const GOAWAY: u8 = 12;
    /// Stream, flags and which of `ANSWERS`.
    pub const ANSWER: u8 = 13;
}
const CALLS: u8 = 14;

/// Field blocks that touch no table.
const ANSWERS: [&[u8]; 8] = [
    b"\x88",
    b"\x8c",
    b"\x08\x03410\x00\x07apns-id\x08123e4567",
    b"\x08\x03103",
    b"\x8c\x0f\x0d\x0222",
    b"\x89",
    b"\x00\x07trailer\x01x",
    b"\x08\x03429\x0f\x26\x0230\x00\x0eapns-unique-id\x0242",
];

/// Bytes served by one input at most, other work counted as bytes too, so that no input takes long.
const WORK_MAX: usize = 800_000;
/// A read is cut into this many pieces at most.
const PIECES_MAX: usize = 256;

/// An input is two bytes of settings (see `Run::new`) and a list of calls. However the server's bytes are cut into reads, the
/// same must happen.
pub fn session(input: &[u8]) {
    let mut input = Input::new(input);
    let (cut, shape) = (usize::from(input.byte()) + 1, input.byte());
    let in_pieces = Run::new(cut, shape).play(input);
    assert_eq!(Run::new(usize::MAX, shape).play(input), in_pieces, "the cuts show");
}

/// An event without what it borrows, which the referee has judged.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Answered { tag: StreamId, length: usize, complete: bool },
    Ended { tag: StreamId, end: End },
    Settings,
    GoAway { last_id: StreamId, code: u32 },
    Pong(u64),
    Fault(ConnectionError),
}

impl From<Event<'_, StreamId>> for Seen {
    fn from(event: Event<'_, StreamId>) -> Self {
        match event {
            Event::Answered { tag, answer } => {
                Self::Answered { tag, length: answer.body.len(), complete: answer.complete }
            }
            Event::Ended { tag, end } => Self::Ended { tag, end },
            Event::Settings => Self::Settings,
            Event::GoAway { last_id, code, .. } => Self::GoAway { last_id, code },
            Event::Pong(opaque) => Self::Pong(opaque),
            Event::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// Tags are the ids that the streams should have.
struct Run {
    session: Session<StreamId>,
    referee: Referee,
    heads: [Head; 3],
    /// Bytes per read.
    cut: usize,
    last_frame: Vec<u8>,
    work: usize,
    /// All output is written before the transport ends.
    drains: bool,
    seen: Vec<Seen>,
    written: Vec<u8>,
    /// The unwritten output after a fault.
    last_words: Option<Vec<u8>>,
}

impl Run {
    fn new(cut: usize, shape: u8) -> Self {
        let config = Config {
            streams_max: [1_000, 100, 3, 1][usize::from(shape & 3)],
            body_max: [16_384, 100_000, 100, 0][usize::from(shape >> 2 & 3)],
            first_id: if shape & 16 == 0 { 1 } else { STREAM_ID_MAX - 8 },
        };
        let heads = [
            Head::new(
                Method::Post,
                "api.push.apple.com",
                &[("authorization", &"j".repeat(184)), ("apns-topic", "com.example.app"), ("apns-priority", "10")],
            ),
            Head::new(Method::Get, "a", &[]),
            Head::new(Method::Post, "a", &[("authorization", &"k".repeat(2_000)), ("apns-topic", &"t".repeat(1_500))]),
        ];
        let referee = Referee::new(&config);
        let mut run = Self {
            session: Session::new(config),
            referee,
            heads,
            cut,
            last_frame: Vec::new(),
            work: 0,
            drains: shape & 64 == 0,
            seen: Vec::new(),
            written: Vec::new(),
            last_words: None,
        };
        if shape & 32 == 0 {
            run.serve(&frame(kind::SETTINGS, 0, 0, &[]));
            run.serve(&frame(kind::SETTINGS, flag::ACK, 0, &[]));
            run.hand(usize::MAX);
        }
        run
    }

    fn play(mut self, mut input: Input<'_>) -> (Vec<Seen>, Vec<u8>) {
        while !input.is_empty() && self.work < WORK_MAX {
            self.call(&mut input);
            self.check();
        }
        self.finish();
        (self.seen, self.written)
    }

    fn call(&mut self, input: &mut Input<'_>) {
        match input.byte() % CALLS {
            call::REQUEST => self.requests(1, input),
            call::REQUESTS => {
                let count = input.byte();
                self.requests(count, input);
            }
            call::CANCEL => self.cancel(self.stream(input.byte()), input.byte()),
            call::HAND_ALL => self.hand(usize::MAX),
            call::HAND => self.hand(self.session.output().len() * usize::from(input.byte()) / 255),
            call::OTHER => self.other(input.byte(), input.number()),
            call::BYTES => self.serve(input.text()),
            call::FRAME => {
                let (kind, flags, stream) = (input.byte(), input.byte(), self.stream(input.byte()));
                self.serve(&frame(kind, flags, stream, input.text()));
            }
            call::LONG_FRAME => {
                let (kind, flags, stream) = (input.byte(), input.byte(), self.stream(input.byte()));
                let length = input.length();
                self.serve(&frame(kind, flags, stream, &vec![input.byte(); length]));
            }
            call::REPEAT => {
                let count = usize::from(input.byte());
                let count = count.min((WORK_MAX - self.work.min(WORK_MAX)) / self.last_frame.len().max(1));
                self.work += 32 * count;
                self.feed(&self.last_frame.repeat(count));
            }
            call::SETTINGS => {
                let count = input.byte() % 40;
                let entry = |_| [&[0, input.byte()][..], &input.number().to_be_bytes()].concat();
                let entries: Vec<_> = (0..count).flat_map(entry).collect();
                self.serve(&frame(kind::SETTINGS, 0, 0, &entries));
            }
            call::NUMBER_FRAME => {
                let kind = if input.byte() & 1 == 0 { kind::RST_STREAM } else { kind::WINDOW_UPDATE };
                let stream = self.stream(input.byte());
                self.serve(&frame(kind, 0, stream, &input.number().to_be_bytes()));
            }
            call::GOAWAY => {
                let (last_id, code) = (self.stream(input.byte()), input.number());
                let payload = [&last_id.to_be_bytes()[..], &code.to_be_bytes(), input.text()].concat();
                self.serve(&frame(kind::GOAWAY, 0, 0, &payload));
            }
            call::ANSWER.. => {
                let (stream, flags, which) = (self.stream(input.byte()), input.byte(), input.byte());
                let block = ANSWERS[usize::from(which) % ANSWERS.len()];
                self.serve(&frame(kind::HEADERS, flag::END_HEADERS | flags & flag::END_STREAM, stream, block));
            }
        }
    }

    /// 0, one of the last or first streams, or one that was never opened.
    fn stream(&self, which: u8) -> StreamId {
        let (which, next) = (StreamId::from(which), self.referee.next_id());
        let id = match which {
            0 => 0,
            1..0x80 => next.saturating_sub(2 * which),
            0x80..0xc0 => next + (which - 0x80),
            _ => 1 + 2 * (which - 0xc0),
        };
        id & STREAM_ID_MAX
    }

    fn requests(&mut self, count: u8, input: &mut Input<'_>) {
        let shape = usize::from(input.byte());
        let body: Vec<_> = (0..input.length()).map(|at| at as u8).collect();
        let token = vec![b't'; if shape & 4 == 0 { 64 } else { input.length() }];
        let fields: [(_, &[u8]); 2] =
            [("apns-id", b"123e4567-e89b-12d3-a456-426655440000"), ("apns-collapse-id", b"c")];
        for _ in 0..count.max(1) {
            let request = Request {
                head: &self.heads[(shape & 3) % 3],
                path: [b"/3/device/", &token],
                fields: &fields[..(shape >> 3 & 3) % 3],
                body: &body,
            };
            self.work += 400 + body.len() / 8;
            let (id, waiting, slots) = (self.session.next_id(), self.session.output().len(), self.session.slots_free());
            match self.session.request(&request, id) {
                Ok(opened) => {
                    assert!(opened == id && slots > 0 && self.session.output().len() > waiting);
                    self.referee.on_request(id, wanted(&request), &body);
                }
                Err(refused) => {
                    assert_eq!((refused.tag, self.session.next_id()), (id, id));
                    assert_eq!(self.session.output().len(), waiting, "not a byte of it is written");
                    let is_over = self.referee.fault().is_some();
                    assert_eq!(is_over, refused.why == Blocked::Closed);
                    assert!(slots == 0 || refused.why != Blocked::Streams);
                    return;
                }
            }
        }
    }

    fn cancel(&mut self, from: StreamId, count: u8) {
        for nth in 0..StreamId::from(count).max(1) {
            let id = from.saturating_add(2 * nth);
            let is_due = self.referee.awaits(id) && self.referee.fault().is_none();
            let event = self.session.cancel(id);
            assert_eq!(event.is_some(), is_due, "a cancel of stream {id}");
            if let Some(event) = event {
                self.referee.on_event(&event, During::Cancel, &[]);
                self.seen.push(event.into());
            }
        }
    }

    fn other(&mut self, which: u8, number: u32) {
        match which % 6 {
            0 => self.session.ping(u64::from(number)),
            1 => self.session.shut_down(),
            2 => self.session.release(),
            3 => {
                self.session.refill(number);
                self.referee.on_refill(number, 0);
            }
            4 => {
                self.session.refill_resets(number);
                self.referee.on_refill(0, number);
            }
            _ => {
                let ids: Vec<_> = self.session.open_before(number).collect();
                assert!(ids.iter().all(|&id| id < number && self.referee.awaits(id)));
            }
        }
        self.work += 20;
    }

    fn hand(&mut self, count: usize) {
        let count = count.min(self.session.output().len());
        let bytes = self.session.output()[..count].to_vec();
        self.session.handed(count);
        self.referee.client_wrote(&bytes, self.session.output());
        self.written.extend(bytes);
    }

    fn serve(&mut self, frame: &[u8]) {
        self.feed(frame);
        self.last_frame = frame.to_vec();
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.work += bytes.len() + 1;
        for piece in bytes.chunks(self.cut.max(bytes.len() / PIECES_MAX).max(1)) {
            self.receive(piece);
        }
        if self.referee.fault().is_none() {
            self.referee.check_settled();
        }
    }

    fn receive(&mut self, mut input: &[u8]) {
        loop {
            let before = input;
            let event = self.session.receive(&mut input);
            if self.referee.fault().is_none() {
                self.referee.server_wrote(&before[..before.len() - input.len()]);
            }
            let Some(event) = event else { break };
            self.referee.on_event(&event, During::Receive, input);
            let seen = Seen::from(event);
            if let Seen::Fault(fault) = seen {
                let waiting = self.session.output();
                self.referee.check_last_words(waiting, &fault);
                self.last_words = Some(waiting.to_vec());
            }
            self.seen.push(seen);
        }
        assert!(input.is_empty(), "input is left though no event is");
    }

    fn check(&self) {
        assert_eq!(self.session.open(), self.referee.awaited());
        assert_eq!(self.session.next_id(), self.referee.next_id());
        assert_eq!(self.session.fault(), self.referee.fault());
        if let Some(last_words) = &self.last_words {
            assert!(last_words.ends_with(self.session.output()), "silence after a fault");
            assert_eq!(self.session.slots_free(), 0);
        }
        self.session.check_bounds();
    }

    /// The transport is lost, after all output or with some of it unwritten.
    fn finish(&mut self) {
        if self.drains || self.last_words.is_some() {
            while !self.session.output().is_empty() {
                self.hand(usize::MAX);
            }
            self.referee.check_drained();
        }
        while let Some(event) = self.session.closed() {
            self.referee.on_event(&event, During::Close, &[]);
            self.seen.push(event.into());
        }
        assert_eq!((self.session.open(), self.referee.awaited()), (0, 0), "every request has its end");
        let mut late = &frame(kind::SETTINGS, 0, 0, &[])[..];
        assert!(self.session.receive(&mut late).is_none() && late.is_empty());
    }
}

/// A payload of 2^24 bytes and more has no length; there is none.
pub fn frame(kind: u8, flags: u8, stream: StreamId, payload: &[u8]) -> Vec<u8> {
    let head = FrameHead { length: payload.len(), kind, flags, stream };
    [&head.bytes()[..], payload].concat()
}
