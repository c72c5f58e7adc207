//! Random orders of events: every errand ends once, and what a peer may have got is never reported as not sent.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

#[derive(Debug, Clone, Copy)]
pub enum Event {
    Push { milliseconds: u64, retry_unknown: bool },
    Carry(usize),
    Pong,
    Answer(usize),
    Refuse(usize, bool),
    Leave,
    Close,
    Connect,
    Garbage,
    Wait(u64),
}

pub fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1_u64..5_000, any::<bool>())
            .prop_map(|(milliseconds, retry_unknown)| Event::Push { milliseconds, retry_unknown }),
        6 => (0_usize..2_000).prop_map(Event::Carry),
        2 => Just(Event::Pong),
        4 => (0_usize..8).prop_map(Event::Answer),
        2 => (0_usize..8, any::<bool>()).prop_map(|(at, leaving)| Event::Refuse(at, leaving)),
        1 => Just(Event::Leave),
        1 => Just(Event::Close),
        2 => Just(Event::Connect),
        1 => Just(Event::Garbage),
        4 => (0_u64..2_000).prop_map(Event::Wait),
    ]
}

/// The ends of the errands, in order of arrival.
#[derive(Default)]
pub struct Books {
    pushed: usize,
    ended: HashSet<usize>,
    /// By the id of its frame.
    seen: HashSet<usize>,
    /// The peer sent none of these, since it leaves.
    refused: HashSet<usize>,
}

impl Books {
    fn file(&mut self, trial: &mut Trial) {
        // An errand is known by its number of notifications, which no other one has.
        for (forwarded, end) in trial.exchange.take_ended() {
            let errand = forwarded.errand.batch.len();
            assert!(self.ended.insert(errand), "errand {errand} ended twice");
            let proves_unsent = match end {
                End::Elsewhere => !forwarded.is_maybe_sent && !self.refused.contains(&errand),
                End::NotSent(_) => true,
                End::Here | End::Refused(_) | End::Answered(_) | End::Unknown(_) => false,
            };
            assert!(!(proves_unsent && self.seen.contains(&errand)), "the peer has errand {errand}: {end:?}");
        }
    }
}

pub fn happen(event: Event, trial: &mut Trial, books: &mut Books) {
    let at = |list: &[u64], at: usize| (!list.is_empty()).then(|| list[at % list.len()]);
    let is_up = trial.exchange.phase() == Phase::Up;
    match event {
        Event::Push { milliseconds, retry_unknown } => {
            books.pushed += 1;
            trial.push_until(trial.now + Duration::from_millis(milliseconds), books.pushed, retry_unknown);
        }
        Event::Carry(most) => trial.carry(most),
        Event::Pong => trial.pong(),
        Event::Answer(which) if is_up => {
            if let Some(id) = at(&trial.batches, which) {
                // A late or wrong one is refused or ignored.
                let _ = trial.answer(id, which + 1);
            }
        }
        Event::Refuse(which, leaving) if is_up => {
            if let Some(id) = at(&trial.batches, which) {
                let errand = trial.exchange.items.get(&id).map(|item| item.forwarded.errand.batch.len());
                books.refused.extend(errand.filter(|_| leaving));
                let overloaded = Refusal::NodeOverloaded { retry_after_seconds: 1 };
                trial.refuse(id, if leaving { Refusal::Leaving } else { overloaded });
            }
        }
        Event::Leave if is_up => trial.receive(wire::put_leaving).expect("a good LEAVING"),
        Event::Close => {
            trial.exchange.closed(trial.now, 0.5);
            trial.batches.clear();
        }
        Event::Garbage if is_up => {
            let _ = trial.receive(|bytes| bytes.extend([0xff; 32]));
            trial.exchange.closed(trial.now, 0.5);
            trial.batches.clear();
        }
        Event::Connect if matches!(trial.exchange.phase(), Phase::Down { .. }) => trial.connect(),
        Event::Wait(milliseconds) => {
            trial.now += Duration::from_millis(milliseconds);
            if trial.exchange.elapse(trial.now) == Finding::Dead {
                trial.exchange.closed(trial.now, 0.5);
                trial.batches.clear();
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_errand_ends_once_and_none_that_the_peer_has_is_reported_as_not_sent(
        events in prop::collection::vec(event(), 1..120),
    ) {
        let mut trial = Trial::up();
        let mut books = Books::default();
        for event in events {
            happen(event, &mut trial, &mut books);
            books.seen.extend(trial.sizes.drain(..));
            books.file(&mut trial);
        }
        // Whatever happened, the deadlines end the rest.
        trial.now += 10 * SECOND;
        trial.exchange.elapse(trial.now);
        books.file(&mut trial);
        prop_assert_eq!(books.ended.len(), books.pushed);
        prop_assert!(trial.exchange.is_idle());
        prop_assert!(trial.exchange.due.is_empty() && trial.exchange.waiting.is_empty());
    }
}
