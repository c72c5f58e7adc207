//! Calls on a link: the peer makes them once, and an end without an answer says if it may have.

use super::*;
use crate::apns::channels::{Call, Reply};
use crate::delivery::calls::CallResult;
use crate::delivery::peer::wire::calls::{CallAnswer, encode_result};
use crate::model::StoragePolicy;

type Waiting = oneshot::Receiver<CallEnd>;

impl Trial {
    /// Gives the link a call that ends in 30 seconds.
    fn call(&mut self) -> Waiting {
        self.call_of(1)
    }

    /// The same with so many calls.
    fn call_of(&mut self, count: usize) -> Waiting {
        let (end, waiting) = CallTicket::new();
        let sending = Sending { deadline: self.now + 30 * SECOND, retry_unknown: false };
        let (app, calls) = (Arc::clone(&self.app), vec![Call::Create(StoragePolicy::NoMessage); count].into());
        self.exchange.ask(Question::Calls(ForwardedCalls { app, calls, sending, subject: None, end }), self.now);
        waiting
    }

    fn result(&mut self, id: u64, answer: &CallAnswer) -> Result<(), Mismatch> {
        self.receive(|bytes| wire::put_result(bytes, id, &encode_result(answer)))
    }
}

fn end(waiting: &mut Waiting) -> Option<CallEnd> {
    waiting.try_recv().ok()
}

fn done() -> CallResult {
    CallResult { outcome: accepted(), reply: Some(Reply::Done), detail: None }
}

#[test]
fn the_peers_results_are_those_of_the_calls_and_a_late_one_does_no_harm() {
    let mut trial = Trial::up();
    let (mut one, mut other) = (trial.call(), trial.call());
    trial.carry(usize::MAX);
    let ids = trial.called.clone();
    trial.result(ids[1], &Ok(vec![done()])).expect("a good RESULT");
    assert_eq!((end(&mut one), end(&mut other)), (None, Some(CallEnd::Answered(vec![done()]))));
    trial.result(ids[1], &Ok(vec![done()])).expect("it comes twice");
    let refusal = Refusal::AppOverloaded { retry_after_seconds: 1 };
    trial.result(ids[0], &Err(refusal)).expect("a good RESULT");
    assert_eq!(end(&mut one), Some(CallEnd::Refused(refusal)));
    assert!(trial.exchange.is_idle());
}

#[test]
fn a_result_of_another_length_or_for_a_call_that_never_came_is_an_error_of_the_peer() {
    for results in [vec![], vec![done(); 2]] {
        let mut trial = Trial::up();
        let _waiting = trial.call();
        trial.carry(usize::MAX);
        let id = trial.called[0];
        assert!(trial.result(id, &Ok(results)).is_err());
    }
    let mut trial = Trial::up();
    let _waiting = trial.call();
    assert!(trial.result(trial.exchange.next_id - 1, &Ok(vec![done()])).is_err(), "TLS has none of it");
    assert!(trial.result(1_000, &Ok(vec![done()])).is_err());
}

#[test]
fn a_lost_link_leaves_unknown_what_the_peer_may_have_and_unmade_what_it_has_not() {
    let mut trial = Trial::up();
    let mut got = trial.call();
    trial.carry(20);
    let mut waits = trial.call();
    trial.exchange.closed(trial.now, 0.5);
    assert_eq!(end(&mut got), Some(CallEnd::Unknown(NodeReason::PeerLost)), "one byte is enough");
    assert_eq!(end(&mut waits), Some(CallEnd::NotMade));
    assert_eq!(end(&mut trial.call()), Some(CallEnd::NotMade), "nobody is there");
}

#[test]
fn a_silent_peer_is_left_with_what_it_has_until_the_link_ends_or_the_deadline_passes() {
    let mut trial = Trial::up();
    let mut waiting = trial.call();
    trial.carry(usize::MAX);
    assert_eq!(trial.wait(UNREACHABLE_AFTER), Finding::Unreachable);
    assert_eq!(end(&mut waiting), None);
    for _ in 0..40 {
        trial.pong();
        trial.wait(SECOND);
    }
    assert_eq!(end(&mut waiting), Some(CallEnd::Unknown(NodeReason::DeadlinePassed)));
    let id = trial.called[0];
    trial.result(id, &Ok(vec![done()])).expect("late");
}

#[test]
fn a_peer_that_leaves_finishes_its_calls_and_gets_no_more_and_batches_around_them_stay_whole() {
    let mut trial = Trial::up();
    let mut got = trial.call();
    trial.carry(usize::MAX);
    let mut unsent = trial.call();
    trial.push(1, false);
    let _ = trial.exchange.fill(trial.now);
    let mut behind = trial.call();
    trial.receive(wire::put_leaving).expect("a good LEAVING");
    assert_eq!((end(&mut unsent), end(&mut behind)), (Some(CallEnd::NotMade), Some(CallEnd::NotMade)));
    assert_eq!((end(&mut got), trial.exchange.is_finished()), (None, false));
    assert_eq!(end(&mut trial.call()), Some(CallEnd::NotMade));
    trial.carry(usize::MAX);
    let id = trial.called[0];
    trial.result(id, &Ok(vec![done()])).expect("a good RESULT");
    assert_eq!((end(&mut got), trial.exchange.is_finished()), (Some(CallEnd::Answered(vec![done()])), true));
}

#[test]
fn frames_behind_a_call_that_was_taken_back_are_read_whole() {
    let mut trial = Trial::up();
    trial.push(1, false);
    let _ = trial.exchange.fill(trial.now);
    let mut first = trial.call();
    trial.push(2, false);
    let _ = trial.exchange.fill(trial.now);
    let mut second = trial.call();
    trial.carry(20);
    // The socket takes nothing more: what has not left goes another way.
    let mut finding = Finding::Alive;
    while finding == Finding::Alive {
        trial.now += 100 * MILLISECOND;
        let _ = trial.exchange.fill(trial.now);
        finding = trial.exchange.elapse(trial.now);
    }
    assert_eq!((end(&mut first), end(&mut second)), (Some(CallEnd::NotMade), Some(CallEnd::NotMade)));
    assert_eq!(trial.ends(), [End::Elsewhere]);
    trial.carry(usize::MAX);
    assert_eq!((trial.sizes.clone(), trial.called.len()), (vec![1], 0), "the batch that was on its way");
}

#[test]
fn a_peer_of_a_release_before_calls_is_not_called() {
    let mut trial = Trial::down();
    trial.open();
    let old = Hello { features: Features::NONE, ..hello("b", 2) };
    trial.receive(|bytes| wire::put_hello(bytes, &old)).expect("a good HELLO");
    trial.carry(usize::MAX);
    trial.pong();
    assert!(trial.exchange.is_reachable());
    assert_eq!(end(&mut trial.call()), Some(CallEnd::NotMade));
    trial.carry(usize::MAX);
    assert!(trial.called.is_empty() && trial.exchange.is_reachable());
}

#[test]
fn more_calls_than_the_peer_takes_are_not_sent_and_not_made_there() {
    let most = LIMITS.items as usize;
    let mut trial = Trial::up();
    let (mut fits, mut long) = (trial.call_of(most), trial.call_of(most + 1));
    trial.carry(usize::MAX);
    assert_eq!((end(&mut fits), end(&mut long)), (None, Some(CallEnd::NotMade)));
    assert_eq!(trial.called.len(), 1);
}

#[test]
fn calls_end_when_the_node_does() {
    let mut trial = Trial::up();
    let mut got = trial.call();
    trial.carry(usize::MAX);
    let mut waits = trial.call();
    trial.exchange.finish(trial.now);
    assert_eq!(end(&mut got), Some(CallEnd::Unknown(NodeReason::ShuttingDown)));
    assert_eq!(end(&mut waits), Some(CallEnd::NotMade));
}
