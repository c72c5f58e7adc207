//! Chance: random requests, cancels, frames and partial writes against a naive second account of the rules.
//!
//! The account has two halves: `Books` predicts each event of the client from section 5's table, and `Server` reads the
//! client's bytes as a strict peer would, with its own windows and limits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::super::{Cause, Processed};
use super::support::*;
use crate::frame::{FrameHead, HEAD_LENGTH, StreamId, flag, kind};
use crate::hpack::Decoder;

const LIMIT: u32 = 6;
const INITIAL_WINDOW: u32 = 1_500;

/// `which` chooses among the streams there are; now and then it is taken for an id itself, mostly an illegal one.
#[derive(Debug, Clone)]
enum Step {
    Request { body: usize },
    Cancel { which: u16 },
    Hand { share: u8 },
    Headers { which: u16, end: bool },
    Data { which: u16, length: usize, end: bool },
    Reset { which: u16, code: u32 },
    StreamWindow { which: u16, increment: u32 },
    ConnectionWindow { increment: u32 },
    Settings { limit: Option<u32>, initial_window: Option<u32> },
    Ping,
    GoAway { which: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    let which = any::<u16>;
    prop_oneof![
        16 => (0..4_000_usize).prop_map(|body| Request { body }),
        1 => which().prop_map(|which| Cancel { which }),
        16 => any::<u8>().prop_map(|share| Hand { share }),
        10 => (which(), any::<bool>()).prop_map(|(which, end)| Headers { which, end }),
        6 => (which(), 0..300_usize, any::<bool>()).prop_map(|(which, length, end)| Data { which, length, end }),
        2 => (which(), prop::sample::select(vec![0, 7, 8, 99])).prop_map(|(which, code)| Reset { which, code }),
        6 => (which(), prop::sample::select(vec![1, 100, 900, 5_000]))
            .prop_map(|(which, increment)| StreamWindow { which, increment }),
        5 => (1..8_000_u32).prop_map(|increment| ConnectionWindow { increment }),
        2 => (prop::option::of(0..9_u32), prop::option::of(0..3_000_u32))
            .prop_map(|(limit, initial_window)| Settings { limit, initial_window }),
        2 => Just(Ping),
        1 => which().prop_map(|which| GoAway { which }),
    ]
}

/// A stream as the client should see it.
struct Open {
    tag: u32,
    start: u64,
    headers_end: u64,
    answer: Option<String>,
    awaited: bool,
}

#[derive(Default)]
struct Books {
    open: BTreeMap<StreamId, Open>,
    next_id: StreamId,
    handed: u64,
    limit: u32,
    resets_left: usize,
    goaway: Option<StreamId>,
}

/// The expected effect of a frame on a stream.
enum Met {
    Fault,
    Closed,
    Open,
}

impl Books {
    fn meet(&self, id: StreamId) -> Met {
        match self.open.get(&id) {
            _ if id & 1 == 0 || id >= self.next_id => Met::Fault,
            None => Met::Closed,
            Some(open) if self.handed < open.headers_end => Met::Fault,
            Some(_) => Met::Open,
        }
    }

    /// Section 5: what an end means for a stream, given what it would mean without an answer.
    fn end(open: &Open, otherwise: Seen) -> Option<Seen> {
        let answered = open.answer.as_ref().map(|body| cut(open.tag, 200, body));
        open.awaited.then(|| answered.unwrap_or(otherwise))
    }

    fn give_up(&mut self, id: StreamId, still_counted: bool) {
        if self.resets_left == 0 && still_counted {
            let open = self.open.get_mut(&id).unwrap();
            (open.awaited, open.answer) = (false, None);
        } else {
            self.resets_left = self.resets_left.saturating_sub(1);
            self.open.remove(&id);
        }
    }

    /// `None` means a fault.
    fn on_headers(&mut self, id: StreamId, end: bool, body_waits: bool) -> Option<Vec<Seen>> {
        match self.meet(id) {
            Met::Fault => return None,
            Met::Closed => return Some(vec![]),
            Met::Open => {}
        }
        let open = self.open.get_mut(&id).unwrap();
        let tag = open.tag;
        if !open.awaited {
            if end {
                self.open.remove(&id);
            }
            return Some(vec![]);
        }
        // A second block with a status is not a trailer.
        if open.answer.is_some() {
            self.give_up(id, body_waits || !end);
            return Some(vec![unknown(tag, Cause::Malformed)]);
        }
        if !end {
            open.answer = Some(String::new());
            return Some(vec![]);
        }
        if body_waits {
            self.give_up(id, true);
        } else {
            self.open.remove(&id);
        }
        Some(vec![answered(tag, 200, "")])
    }

    fn on_data(&mut self, id: StreamId, data: &str, end: bool, body_waits: bool) -> Option<Vec<Seen>> {
        match self.meet(id) {
            Met::Fault => return None,
            Met::Closed => return Some(vec![]),
            Met::Open => {}
        }
        let open = self.open.get_mut(&id).unwrap();
        let tag = open.tag;
        match &mut open.answer {
            _ if !open.awaited => {
                if end {
                    self.open.remove(&id);
                }
                Some(vec![])
            }
            None => {
                self.give_up(id, body_waits || !end);
                Some(vec![unknown(tag, Cause::Malformed)])
            }
            Some(body) => {
                body.push_str(data);
                if !end {
                    return Some(vec![]);
                }
                let whole = body.clone();
                if body_waits {
                    self.give_up(id, true);
                } else {
                    self.open.remove(&id);
                }
                Some(vec![answered(tag, 200, &whole)])
            }
        }
    }

    fn on_reset(&mut self, id: StreamId, code: u32) -> Option<Vec<Seen>> {
        match self.meet(id) {
            Met::Fault => return None,
            Met::Closed => return Some(vec![]),
            Met::Open => {}
        }
        let open = self.open.remove(&id).unwrap();
        let otherwise =
            if code == 7 { not_sent(open.tag, Cause::Refused) } else { unknown(open.tag, Cause::Reset(code)) };
        Some(Self::end(&open, otherwise).into_iter().collect())
    }

    fn on_goaway(&mut self, last_id: StreamId) -> Vec<Seen> {
        if self.goaway.is_some_and(|before| last_id > before) {
            return vec![];
        }
        self.goaway = Some(last_id);
        let above = self.open.split_off(&(last_id + 1));
        let ends = above.values().filter_map(|open| Self::end(open, not_sent(open.tag, Cause::AboveLastId)));
        [Seen::GoAway { last_id, code: 0, debug: vec![] }].into_iter().chain(ends).collect()
    }

    fn on_close(&mut self) -> Vec<Seen> {
        let open = std::mem::take(&mut self.open);
        let ends = open.values().filter_map(|open| {
            let begun = self.handed > open.start;
            let end = if begun { unknown } else { not_sent };
            Self::end(open, end(open.tag, Cause::Closed))
        });
        ends.collect()
    }
}

#[derive(Default)]
struct ServersStream {
    /// Window updates less DATA; the initial window comes on top.
    window: i64,
    client_ended: bool,
    server_ended: bool,
}

/// A peer that checks what it reads.
struct Server {
    unread: Vec<u8>,
    decoder: Decoder,
    streams: BTreeMap<StreamId, ServersStream>,
    last_id: StreamId,
    ignored_above: StreamId,
    unacked: VecDeque<(Option<u32>, Option<u32>)>,
    limit: u32,
    initial_window: u32,
    window: i64,
    goaways: usize,
    resets: BTreeSet<StreamId>,
}

impl Server {
    fn new() -> Self {
        Self {
            unread: Vec::new(),
            decoder: Decoder::new(4_096),
            streams: BTreeMap::new(),
            last_id: 0,
            ignored_above: StreamId::MAX,
            unacked: VecDeque::new(),
            limit: LIMIT,
            initial_window: INITIAL_WINDOW,
            window: 65_535,
            goaways: 0,
            resets: BTreeSet::new(),
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        while let Some(head) = self.unread.first_chunk().map(FrameHead::parse)
            && self.unread.len() >= HEAD_LENGTH + head.length
        {
            let frame: Vec<_> = self.unread.drain(..HEAD_LENGTH + head.length).collect();
            self.on_frame(head, &frame[HEAD_LENGTH..]);
        }
    }

    fn on_frame(&mut self, head: FrameHead, payload: &[u8]) {
        assert_eq!(self.goaways, 0, "something follows the GOAWAY");
        let id = head.stream;
        match head.kind {
            kind::HEADERS => {
                assert!(id % 2 == 1 && id > self.last_id, "ids grow");
                self.last_id = id;
                assert_eq!(decode(&mut self.decoder, payload).len(), 7);
                if id > self.ignored_above {
                    return;
                }
                assert!(self.streams.len() < self.limit as usize, "more streams than allowed");
                self.streams.insert(id, ServersStream::default());
            }
            kind::DATA => {
                self.window -= payload.len() as i64;
                assert!(self.window >= 0, "more than the connection's window");
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.window -= payload.len() as i64;
                    let fits = payload.is_empty() || stream.window + i64::from(self.initial_window) >= 0;
                    assert!(fits, "more than the stream's window");
                }
            }
            kind::RST_STREAM => {
                assert!(id <= self.last_id, "a reset of an idle stream");
                assert!(self.resets.insert(id), "two resets of one stream");
                self.streams.remove(&id);
            }
            kind::SETTINGS => {
                let (limit, initial_window) = self.unacked.pop_front().expect("an ACK of nothing");
                self.limit = limit.unwrap_or(self.limit);
                self.initial_window = initial_window.unwrap_or(self.initial_window);
            }
            kind::GOAWAY => self.goaways += 1,
            kind::PING | kind::WINDOW_UPDATE => assert_eq!(id, 0),
            other => panic!("a client sends no frame of kind {other}"),
        }
        if matches!(head.kind, kind::HEADERS | kind::DATA) && head.has(flag::END_STREAM) {
            self.ended(id, |stream| stream.client_ended = true);
        }
    }

    fn ended(&mut self, id: StreamId, by: impl FnOnce(&mut ServersStream)) {
        if let Some(stream) = self.streams.get_mut(&id) {
            by(stream);
            if stream.client_ended && stream.server_ended {
                self.streams.remove(&id);
            }
        }
    }
}

struct Run {
    client: Client,
    books: Books,
    server: Server,
    /// The tags that were returned.
    tags: BTreeSet<u32>,
    next_tag: u32,
    /// Streams whose request is queued to its last byte.
    ended: BTreeSet<StreamId>,
    over: bool,
}

impl Run {
    fn new() -> Self {
        let client = Client::ready(&[(3, LIMIT), (4, INITIAL_WINDOW)]);
        let books = Books { next_id: 1, limit: LIMIT, resets_left: 100, ..Books::default() };
        let (tags, ended) = Default::default();
        Self { client, books, server: Server::new(), tags, next_tag: 1, ended, over: false }
    }

    /// Mostly a stream the server has seen whole.
    fn id(&self, which: u16) -> StreamId {
        if which.is_multiple_of(64) || self.server.last_id == 0 {
            return StreamId::from(which >> 6) % (self.books.next_id + 4);
        }
        let seen = self.server.last_id.div_ceil(2);
        2 * (StreamId::from(which) % seen.min(2 * LIMIT)) + 1 + 2 * seen.saturating_sub(2 * LIMIT)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Request { body } => self.request(body),
            Step::Cancel { which } => self.cancel(self.id(which)),
            Step::Hand { share } => self.hand(self.client.session.output().len() * usize::from(share) / 255),
            Step::Headers { which, end } => {
                let id = self.id(which);
                let expected = self.books.on_headers(id, end, self.body_waits(id));
                self.server_sends(&headers(id, u8::from(end), OK), expected, || Some((id, end)));
            }
            Step::Data { which, length, end } => {
                let (id, text) = (self.id(which), "y".repeat(length));
                let expected = self.books.on_data(id, &text, end, self.body_waits(id));
                self.server_sends(&data(id, u8::from(end), text.as_bytes()), expected, || Some((id, end)));
            }
            Step::Reset { which, code } => {
                let id = self.id(which);
                let expected = self.books.on_reset(id, code);
                self.server.streams.remove(&id);
                self.server_sends(&rst_stream(id, code), expected, || None);
            }
            Step::StreamWindow { which, increment } => {
                let id = self.id(which).max(1);
                let expected = (!matches!(self.books.meet(id), Met::Fault)).then(Vec::new);
                if let Some(stream) = self.server.streams.get_mut(&id) {
                    stream.window += i64::from(increment);
                }
                self.server_sends(&window_update(id, increment), expected, || None);
            }
            Step::ConnectionWindow { increment } => {
                self.server.window += i64::from(increment);
                self.server_sends(&window_update(0, increment), Some(vec![]), || None);
            }
            Step::Settings { limit, initial_window } => {
                self.server.unacked.push_back((limit, initial_window));
                self.books.limit = limit.unwrap_or(self.books.limit);
                let entries: Vec<_> =
                    limit.map(|limit| (3, limit)).into_iter().chain(initial_window.map(|window| (4, window))).collect();
                self.server_sends(&settings(&entries), Some(vec![Seen::Settings]), || None);
            }
            Step::Ping => self.server_sends(&ping(0, 1), Some(vec![]), || None),
            Step::GoAway { which } => {
                let last_id = self.id(which);
                let expected = self.books.on_goaway(last_id);
                self.server.ignored_above = self.server.ignored_above.min(last_id);
                self.server.streams.retain(|&id, _| id <= last_id);
                self.server_sends(&goaway(last_id, 0, b""), Some(expected), || None);
            }
        }
        let bound = 2 * 16_393 + 17 * 1_000;
        assert!(self.client.session.output().len() <= bound, "the output is bounded");
    }

    fn request(&mut self, body: usize) {
        let start = self.books.handed + self.client.session.output().len() as u64;
        let tag = self.next_tag;
        match self.client.request(tag, &vec![b'x'; body]) {
            Ok(id) => {
                assert_eq!(id, self.books.next_id);
                assert!(self.books.goaway.is_none() && self.books.open.len() < self.books.limit as usize);
                self.books.next_id += 2;
                self.next_tag += 1;
                let at = (start - self.books.handed) as usize;
                let head = self.client.session.output()[at..].first_chunk().map(FrameHead::parse).unwrap();
                let headers_end = start + (HEAD_LENGTH + head.length) as u64;
                let open = Open { tag, start, headers_end, answer: None, awaited: true };
                self.books.open.insert(id, open);
                self.note_ended();
            }
            Err(refused) => assert_eq!(refused.tag, tag),
        }
    }

    fn cancel(&mut self, id: StreamId) {
        let seen = self.client.cancel(id);
        let expected = self.books.open.get(&id).and_then(|open| Books::end(open, unknown(open.tag, Cause::Cancelled)));
        assert_eq!(seen, expected);
        if expected.is_some() {
            self.books.give_up(id, true);
        }
        self.note(seen.into_iter().collect());
    }

    fn hand(&mut self, count: usize) {
        let bytes = self.client.session.output()[..count].to_vec();
        self.client.session.handed(count);
        self.books.handed += count as u64;
        self.server.read(&bytes);
        self.note_ended();
    }

    fn server_sends(
        &mut self,
        frame: &[u8],
        expected: Option<Vec<Seen>>,
        ends: impl FnOnce() -> Option<(StreamId, bool)>,
    ) {
        if let Some((id, true)) = ends() {
            self.server.ended(id, |stream| stream.server_ended = true);
        }
        let seen = self.client.feed(frame);
        match expected {
            Some(expected) => assert_eq!(seen, expected),
            None => {
                assert!(matches!(seen[..], [Seen::Fault(_)]), "{seen:?}");
                self.over = true;
                let handed = self.books.handed;
                // Dropped frames were not begun, although the GOAWAY takes their offsets.
                self.books.open.values_mut().filter(|open| open.start >= handed).for_each(|open| open.start = u64::MAX);
            }
        }
        self.note(seen);
        self.note_ended();
    }

    /// Each tag ends once.
    fn note(&mut self, seen: Vec<Seen>) {
        for event in seen {
            if let Seen::Answered { tag, .. } | Seen::Ended { tag, .. } = event {
                assert!(self.tags.insert(tag), "a second end for {tag}");
            }
        }
    }

    fn body_waits(&self, id: StreamId) -> bool {
        self.books.open.contains_key(&id) && !self.ended.contains(&id)
    }

    /// Reads END_STREAM from the output, after the frame that was begun.
    fn note_ended(&mut self) {
        let begun = self.server.unread.len();
        let bytes = [&self.server.unread[..], self.client.session.output()].concat();
        assert!(begun <= bytes.len());
        let done = frames(&bytes)
            .into_iter()
            .filter(|frame| matches!(frame.kind, kind::HEADERS | kind::DATA) && frame.flags & flag::END_STREAM != 0);
        self.ended.extend(done.map(|frame| frame.stream));
    }

    fn finish(mut self) {
        if self.over {
            assert_eq!(self.client.feed(&settings(&[])), []);
            self.hand(self.client.session.output().len());
            assert_eq!(self.server.goaways, 1);
        }
        let expected = self.books.on_close();
        let seen = self.client.close();
        assert_eq!(seen, expected);
        // The tags 1, 2, 3 … went to the streams 1, 3, 5 …
        let seen_by_server = self.server.last_id.div_ceil(2);
        let belied = |event: &Seen| matches!(event, Seen::Ended { tag, end } if end.processed == Processed::No && *tag <= seen_by_server);
        assert!(!seen.iter().any(belied), "not sent, though the server has it");
        self.note(seen);
        assert_eq!(self.tags.len() as u32, self.next_tag - 1, "every request has its end");
        assert_eq!((self.client.close(), self.client.session.open()), (vec![], 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chance_finds_no_way_around_the_table(steps in prop::collection::vec(step(), 1..200)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
            if run.over {
                break;
            }
        }
        run.finish();
    }
}
