//! The table of ends, line by line, in virtual time. A separate decoder plays the peer.

mod calls;
mod model;
mod questions;
mod several;

use super::*;
use crate::budget::Budget;
use crate::delivery::admission::Room;
use crate::delivery::errand::Errand;
use crate::delivery::peer::greeting::Mismatch;
use crate::delivery::peer::link::liveness::UNREACHABLE_AFTER;
use crate::delivery::peer::wire::Limits;
use crate::delivery::peer::wire::{Features, Frame, Received, Refusal};
use crate::delivery::send::{Reply, Sending};
use crate::model::{Batch, Draft, OutcomeKind};
use crate::registry::App;
use crate::store::Epoch;
use std::sync::Arc;
use tokio::sync::oneshot;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const LIMITS: Limits = Limits { frame_bytes: 1 << 20, items: 1000 };

fn hello(node: &str, session: u128) -> Hello {
    Hello {
        versions: (wire::VERSION_MIN, wire::VERSION_MAX),
        features: Features::OURS,
        limits: LIMITS,
        ring: 0,
        session: NodeSession::from_bits(session),
        epoch: Epoch::stored(7),
        node: node.parse().expect("a name"),
    }
}

/// A link to the node `b`, whose other end is played by hand.
struct Trial {
    exchange: Exchange,
    app: Arc<App>,
    pool: Arc<Budget>,
    now: Instant,
    peer: Decoder,
    /// Ids of the BATCH frames that the peer has read whole, and of the PINGs that it has not answered.
    batches: Vec<u64>,
    pings: Vec<u64>,
    /// Ids of the CALL frames that the peer has read.
    called: Vec<u64>,
    /// Ids of the STATUS and WARM frames that the peer has read.
    asked: Vec<u64>,
    /// The numbers of notifications of those batches.
    sizes: Vec<usize>,
    /// The callers, so that none has left.
    callers: Vec<oneshot::Receiver<Reply>>,
}

impl Trial {
    /// A link without a connection.
    fn down() -> Self {
        let now = Instant::now();
        let peer = Member { node: "b".parse().expect("a name"), session: NodeSession::from_bits(2) };
        Self {
            exchange: Exchange::new(peer, now),
            app: Arc::new(App::sample()),
            pool: Budget::new(usize::MAX),
            now,
            peer: Decoder::new(LIMITS),
            batches: Vec::new(),
            pings: Vec::new(),
            called: Vec::new(),
            asked: Vec::new(),
            sizes: Vec::new(),
            callers: Vec::new(),
        }
    }

    /// A link to a peer that takes errands.
    fn up() -> Self {
        let mut trial = Self::down();
        trial.connect();
        assert!(trial.exchange.is_reachable());
        trial
    }

    fn connect(&mut self) {
        self.open();
        self.receive(|bytes| wire::put_hello(bytes, &hello("b", 2))).expect("a good HELLO");
        self.carry(usize::MAX);
        self.pong();
    }

    fn open(&mut self) {
        self.peer = Decoder::new(LIMITS);
        self.pings.clear();
        self.exchange.connecting();
        self.exchange.opened(hello("a", 1), self.now);
        self.carry(usize::MAX);
    }

    /// Gives the link an errand of so many notifications that ends in 30 seconds.
    fn push(&mut self, count: usize, retry_unknown: bool) {
        self.push_until(self.now + 30 * SECOND, count, retry_unknown);
    }

    fn push_until(&mut self, deadline: Instant, count: usize, retry_unknown: bool) {
        let mut batch = Batch::default();
        for _ in 0..count {
            batch.push(Draft { token: "00fc", payload: "{}", ..Draft::default() }, uuid::Uuid::new_v4).unwrap();
        }
        let (reply, caller) = oneshot::channel();
        self.callers.push(caller);
        let held = || self.pool.try_acquire(1).expect("room");
        let errand = Errand {
            app: Arc::clone(&self.app),
            lane: 0,
            batch: Arc::new(batch),
            sending: Sending { deadline, retry_unknown },
            reply,
            room: Room::Own([held(), held()]),
            told: None,
        };
        self.exchange.push(Forwarded::new(errand, self.now, None), self.now);
    }

    /// Lets TLS take at most so many bytes, which the peer reads.
    fn carry(&mut self, most: usize) {
        let mut left = most;
        loop {
            let bytes = self.exchange.fill(self.now);
            let count = bytes.len().min(left);
            let bytes = bytes[..count].to_vec();
            if count == 0 {
                return;
            }
            self.exchange.taken(count, self.now);
            left -= count;
            let mut input = bytes.as_slice();
            while let Some(Received { id, frame }) = self.peer.next(&mut input).expect("frames") {
                match frame {
                    Frame::Batch(_, batch) => {
                        self.batches.push(id);
                        self.sizes.push(batch.len());
                    }
                    Frame::Ping => self.pings.push(id),
                    Frame::Call(_) => self.called.push(id),
                    Frame::Status(_) | Frame::Warm(_) => self.asked.push(id),
                    Frame::Hello(hello) => {
                        let agreed = Agreed { version: 1, features: hello.features, limits: LIMITS };
                        self.peer.agree(agreed);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn receive(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Mismatch> {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.exchange.received(&bytes, self.now)
    }

    /// The peer answers the PINGs that it has got.
    fn pong(&mut self) {
        for id in std::mem::take(&mut self.pings) {
            self.receive(|bytes| wire::put_pong(bytes, id, 1_000_000)).expect("a good PONG");
        }
    }

    fn answer(&mut self, id: u64, count: usize) -> Result<(), Mismatch> {
        self.receive(|bytes| wire::put_outcomes(bytes, id, &vec![accepted(); count]))
    }

    fn refuse(&mut self, id: u64, refusal: Refusal) {
        self.receive(|bytes| wire::put_refused(bytes, id, refusal)).expect("a good REFUSED");
    }

    /// Moves time on, step by step as timers do, while the peer is silent; returns the finding.
    fn wait(&mut self, span: Duration) -> Finding {
        let end = self.now + span;
        let mut finding = Finding::Alive;
        while let Some(next) = self.exchange.next_time(self.now).filter(|next| *next <= end) {
            assert!(next > self.now || self.exchange.phase() != Phase::Up, "time stands still");
            self.now = next.max(self.now + MILLISECOND).min(end);
            finding = self.exchange.elapse(self.now);
            self.carry(usize::MAX);
        }
        self.now = end;
        finding
    }

    fn ends(&mut self) -> Vec<End> {
        self.exchange.take_ended().into_iter().map(|(_, end)| end).collect()
    }
}

fn accepted() -> Outcome {
    Outcome { kind: OutcomeKind::Accepted, status: Some(200), reason: None, timestamp: 7.0, attempts: 1 }
}

#[test]
fn the_peers_outcomes_are_the_errands() {
    let mut trial = Trial::up();
    trial.push(2, false);
    trial.push(1, false);
    trial.carry(usize::MAX);
    let ids = trial.batches.clone();
    trial.answer(ids[1], 1).expect("good outcomes");
    assert_eq!(trial.ends(), [End::Answered(vec![accepted()])]);
    trial.answer(ids[0], 2).expect("good outcomes");
    assert_eq!(trial.ends(), [End::Answered(vec![accepted(); 2])]);
    assert!(trial.exchange.is_idle());
}

#[test]
fn while_there_is_no_connection_every_errand_takes_another_way() {
    let mut trial = Trial::down();
    trial.push(1, false);
    assert_eq!(trial.ends(), [End::Elsewhere]);
    trial.open();
    trial.push(1, false);
    assert_eq!(trial.ends(), [End::Elsewhere], "HELLO has not come");
    trial.receive(|bytes| wire::put_hello(bytes, &hello("b", 2))).expect("a good HELLO");
    trial.push(1, false);
    assert_eq!(trial.ends(), [End::Elsewhere], "PONG has not come");
    trial.carry(usize::MAX);
    trial.pong();
    trial.push(1, false);
    assert_eq!(trial.ends(), []);
}

#[test]
fn from_a_silent_peer_what_was_not_written_takes_another_way_and_the_rest_waits() {
    let mut trial = Trial::up();
    trial.push(1, false);
    trial.carry(usize::MAX);
    assert_eq!(trial.wait(UNREACHABLE_AFTER - MILLISECOND), Finding::Alive);
    trial.push(1, false);
    trial.now += MILLISECOND;
    assert_eq!(trial.exchange.elapse(trial.now), Finding::Unreachable);
    assert_eq!((trial.ends(), trial.exchange.items.len()), (vec![End::Elsewhere], 1));
    assert!(!trial.exchange.is_reachable());
    trial.push(1, false);
    assert_eq!(trial.ends(), [End::Elsewhere]);
    // It was only slow.
    trial.pong();
    assert!(trial.exchange.is_reachable());
    let id = trial.batches[0];
    trial.answer(id, 1).expect("good outcomes");
    assert_eq!(trial.ends(), [End::Answered(vec![accepted()])]);
}

#[test]
fn what_a_blocked_socket_has_not_taken_is_withdrawn_and_takes_another_way() {
    let mut trial = Trial::up();
    (0..3).for_each(|_| trial.push(1, false));
    // TLS takes all of the first frame, and one byte of the second.
    let bytes = trial.exchange.fill(trial.now).len();
    trial.carry(bytes / 3 + 1);
    trial.now += UNREACHABLE_AFTER;
    assert_eq!(trial.exchange.elapse(trial.now), Finding::Unreachable);
    assert_eq!((trial.ends(), trial.exchange.items.len()), (vec![End::Elsewhere], 2));
    trial.carry(usize::MAX);
    assert_eq!(trial.batches.len(), 2, "the third is not sent after all");
}

#[test]
fn a_dead_peer_leaves_what_it_may_have_unknown_and_what_it_cannot_have_takes_another_way() {
    for retry_unknown in [false, true] {
        let mut trial = Trial::up();
        trial.push(1, retry_unknown);
        let bytes = trial.exchange.fill(trial.now).len();
        trial.push(1, retry_unknown);
        // One byte is enough for doubt.
        trial.carry(bytes.min(1));
        trial.exchange.closed(trial.now, 0.0);
        let ended = trial.exchange.take_ended();
        let ends: Vec<_> = ended.iter().map(|(forwarded, end)| (forwarded.is_maybe_sent, end)).collect();
        let unknown = End::Unknown(NodeReason::PeerLost);
        match retry_unknown {
            false => assert_eq!(ends, [(false, &End::Elsewhere), (false, &unknown)]),
            true => assert_eq!(ends, [(false, &End::Elsewhere), (true, &End::Elsewhere)]),
        }
    }
}

#[test]
fn a_peer_that_is_silent_for_three_seconds_is_dead() {
    let mut trial = Trial::up();
    trial.push(1, false);
    trial.carry(usize::MAX);
    assert_eq!(trial.wait(3 * SECOND - MILLISECOND), Finding::Unreachable);
    assert_eq!(trial.wait(MILLISECOND), Finding::Dead);
    assert_eq!(trial.ends(), []);
}

#[test]
fn a_peer_that_answers_pings_may_take_its_time() {
    let mut trial = Trial::up();
    trial.push(1, false);
    trial.carry(usize::MAX);
    for _ in 0..50 {
        assert_eq!(trial.wait(SECOND / 2), Finding::Alive);
        trial.pong();
    }
    assert!(trial.exchange.is_reachable() && trial.ends().is_empty());
}

#[test]
fn an_idle_link_is_checked_every_five_seconds() {
    let mut trial = Trial::up();
    assert_eq!((trial.wait(5 * SECOND), trial.pings.len()), (Finding::Alive, 1));
    trial.pong();
    assert_eq!(trial.wait(7 * SECOND), Finding::Unreachable, "2 seconds after the next PING");
    assert!(!trial.exchange.is_reachable());
}

#[test]
fn a_refusal_is_proof_that_nothing_was_sent() {
    let overloaded = Refused::AppOverloaded { retry_after_seconds: 3 };
    for (refusal, end) in [
        (Refusal::Leaving, End::Elsewhere),
        (Refusal::UnknownApp, End::Here),
        (Refusal::Malformed, End::Here),
        (Refusal::AppOverloaded { retry_after_seconds: 3 }, End::Refused(overloaded)),
        (
            Refusal::NodeOverloaded { retry_after_seconds: 1 },
            End::Refused(Refused::NodeOverloaded { retry_after_seconds: 1 }),
        ),
    ] {
        let mut trial = Trial::up();
        trial.push(1, false);
        trial.carry(usize::MAX);
        let id = trial.batches[0];
        trial.refuse(id, refusal);
        assert_eq!(trial.ends(), [end], "{refusal:?}");
    }
}

#[test]
fn at_the_deadline_what_was_not_written_is_not_sent_and_the_rest_is_unknown_a_little_later() {
    let mut trial = Trial::up();
    let deadline = trial.now + SECOND;
    trial.push_until(deadline, 1, true);
    trial.carry(usize::MAX);
    trial.push_until(deadline, 1, true);
    trial.now = deadline;
    trial.exchange.elapse(trial.now);
    assert_eq!(trial.ends(), [End::NotSent(NodeReason::DeadlinePassed)]);
    trial.now = deadline + ANSWER_GRACE - MILLISECOND;
    trial.exchange.elapse(trial.now);
    assert_eq!(trial.ends(), []);
    trial.now = deadline + ANSWER_GRACE;
    trial.exchange.elapse(trial.now);
    assert_eq!(trial.ends(), [End::Unknown(NodeReason::DeadlinePassed)]);
    let id = trial.batches[0];
    trial.answer(id, 1).expect("a late answer does no harm");
    assert_eq!(trial.ends(), []);
}

#[test]
fn a_leaving_peer_gets_nothing_new_and_its_last_answers_count() {
    let mut trial = Trial::up();
    trial.push(1, false);
    trial.carry(usize::MAX);
    trial.push(1, false);
    trial.receive(wire::put_leaving).expect("a good LEAVING");
    assert_eq!(trial.ends(), [End::Elsewhere]);
    assert!(!trial.exchange.is_reachable() && !trial.exchange.is_finished());
    let id = trial.batches[0];
    trial.answer(id, 1).expect("good outcomes");
    assert_eq!(trial.ends(), [End::Answered(vec![accepted()])]);
    assert!(trial.exchange.is_finished());
}

#[test]
fn a_leaving_peer_costs_no_errand_however_many_were_on_their_way_to_its_link() {
    let mut trial = Trial::up();
    trial.receive(wire::put_leaving).expect("a good LEAVING");
    (0..200).for_each(|_| trial.push(1, false));
    let elsewhere = |trial: &mut Trial| trial.ends().iter().filter(|end| **end == End::Elsewhere).count();
    assert_eq!(elsewhere(&mut trial), 200);
    trial.exchange.closed(trial.now, 0.0);
    (0..200).for_each(|_| trial.push(1, false));
    assert_eq!(elsewhere(&mut trial), 200, "the link is closed, and the ring not yet made again");
    // The next connection is to a peer that takes errands.
    trial.connect();
    assert!(trial.exchange.is_reachable());
}

#[test]
fn a_peer_that_says_much_and_never_pong_costs_no_memory() {
    let mut trial = Trial::up();
    for _ in 0..10_000 {
        trial.wait(SECOND / 2);
        trial.answer(1, 1).expect("an answer to an errand that has ended");
    }
    assert!(trial.exchange.pings.len() <= PINGS_MAX, "{}", trial.exchange.pings.len());
    trial.pong();
    assert!(trial.exchange.is_reachable());
}

#[test]
fn only_the_member_itself_is_a_peer() {
    let other_epoch = Hello { epoch: Epoch::stored(8), ..hello("b", 2) };
    let future = Hello { versions: (9, 10), ..hello("b", 2) };
    for (theirs, why) in
        [(hello("b", 3), "session"), (hello("c", 2), "session"), (other_epoch, "epoch"), (future, "version")]
    {
        let mut trial = Trial::down();
        trial.open();
        let refused = trial.receive(|bytes| wire::put_hello(bytes, &theirs)).expect_err(why);
        assert_eq!(refused.label(), why);
        assert!(!trial.exchange.is_reachable());
    }
}

#[test]
fn an_answer_that_cannot_be_one_ends_the_connection() {
    let mut trial = Trial::up();
    trial.push(2, false);
    trial.carry(usize::MAX);
    let id = trial.batches[0];
    assert_eq!(trial.answer(id, 1), Err(Mismatch::Unexpected), "an outcome is missing");
    assert_eq!(trial.answer(id + 1, 1), Err(Mismatch::Unexpected), "nothing has this id");
    trial.push(1, false);
    assert_eq!(trial.answer(id + 1, 1), Err(Mismatch::Unexpected), "TLS has nothing of it");
    assert_eq!(trial.receive(wire::put_leaving), Ok(()));
    assert_eq!(trial.receive(|bytes| wire::put_ping(bytes, 1)), Err(Mismatch::Unexpected));
    assert!(trial.receive(|bytes| bytes.extend([0xff; 64])).is_err());
}

#[test]
fn connections_are_opened_ever_more_slowly_until_one_pong() {
    let mut trial = Trial::down();
    for milliseconds in [250, 500, 1000, 1000] {
        assert_eq!(trial.exchange.next_time(trial.now).filter(|next| *next <= trial.now), Some(trial.now));
        trial.exchange.connecting();
        trial.exchange.closed(trial.now, 0.0);
        let until = trial.now + milliseconds * MILLISECOND;
        assert_eq!(trial.exchange.phase(), Phase::Down { until });
        trial.now = until;
    }
    trial.connect();
    trial.exchange.closed(trial.now, 0.0);
    assert_eq!(trial.exchange.phase(), Phase::Down { until: trial.now + 250 * MILLISECOND });
}

#[test]
fn changes_of_way_are_paid_from_a_budget() {
    let mut trial = Trial::down();
    (0..100).for_each(|_| trial.push(1, false));
    let ends = trial.ends();
    let elsewhere = ends.iter().filter(|end| **end == End::Elsewhere).count();
    assert_eq!(elsewhere, 20, "ten at the start, and a tenth");
    assert!(ends.iter().all(|end| matches!(end, End::Elsewhere | End::NotSent(NodeReason::PeerLost))));
    trial.connect();
    trial.push(1, true);
    trial.carry(usize::MAX);
    trial.exchange.closed(trial.now, 0.0);
    assert_eq!(trial.ends(), [End::Unknown(NodeReason::PeerLost)], "and so are resends");
}

#[test]
fn a_batch_that_is_too_large_for_the_peer_is_sent_here() {
    let mut trial = Trial::up();
    trial.push(1001, false);
    trial.push(1, false);
    trial.carry(usize::MAX);
    assert_eq!((trial.ends(), trial.batches.len()), (vec![End::Here], 1));
}

#[test]
fn a_node_that_must_end_ends_everything_truthfully() {
    let mut trial = Trial::up();
    trial.push(1, true);
    trial.carry(usize::MAX);
    trial.push(1, true);
    trial.exchange.finish(trial.now);
    let why = NodeReason::ShuttingDown;
    assert_eq!(trial.ends(), [End::Unknown(why), End::NotSent(why)]);
    assert!(trial.exchange.is_idle());
}
