//! The mass-removal guard: tells a spike of answers that speaks of a wrong environment or topic from a few dead tokens.
//! Pure.
//!
//! Callers delete the tokens they find in the feedback. `BadDeviceToken` may be a good token of the other environment,
//! so that a credential in the wrong place would cost its owner every device.

use crate::model::{AppleReason, Outcome, Quarantine, Reason};
use std::collections::VecDeque;

/// The answers that are looked at: an app's newest.
const ANSWERS_MAX: u32 = 1_000;
/// This many of them at least, and more than one in five, make a spike.
const SUSPECTS_MIN: u32 = 50;
const ANSWERS_PER_SUSPECT: u32 = 5;

/// A spike as it was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BadTokenSpike {
    pub suspects: u32,
    /// Of so many answers.
    pub answers: u32,
}

/// Watches over one app's answers.
#[derive(Debug, Default)]
pub struct Guard {
    /// The newest answers, oldest first: whether they are suspect, and how many follow one another.
    runs: VecDeque<(bool, u32)>,
    seen: BadTokenSpike,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Observing,
    /// A spike that nobody has heard of yet.
    Detected(BadTokenSpike),
    /// It was told, and is being written down.
    Reported,
    Quarantined(Quarantine),
}

impl BadTokenSpike {
    /// For those who read of it.
    pub fn sentence(self) -> String {
        let Self { suspects, answers } = self;
        format!(
            "{suspects} of the last {answers} answers were BadDeviceToken or DeviceTokenNotForTopic: check that environment, \
             topic and tokens belong together, then release or drop what is held"
        )
    }
}

/// True if an answer may mean a wrong environment or topic.
pub fn is_suspect(outcome: &Outcome) -> bool {
    use AppleReason::{BadDeviceToken, DeviceTokenNotForTopic};
    matches!(outcome.reason, Some(Reason::Apple(BadDeviceToken | DeviceTokenNotForTopic)))
}

impl Guard {
    /// One that holds back already.
    pub fn quarantined(quarantine: Quarantine) -> Self {
        Self { state: State::Quarantined(quarantine), ..Self::default() }
    }

    /// Apple gave `count` answers in a row of one kind.
    pub fn observe(&mut self, suspect: bool, count: u32) {
        if !matches!(self.state, State::Observing) || count == 0 {
            return;
        }
        let count = count.min(ANSWERS_MAX);
        match self.runs.back_mut() {
            Some((kind, length)) if *kind == suspect => *length += count,
            _ => self.runs.push_back((suspect, count)),
        }
        self.count(suspect, i64::from(count));
        while self.seen.answers > ANSWERS_MAX {
            self.forget(self.seen.answers - ANSWERS_MAX);
        }
        let BadTokenSpike { suspects, answers } = self.seen;
        if suspects >= SUSPECTS_MIN && suspects * ANSWERS_PER_SUSPECT > answers {
            self.state = State::Detected(self.seen);
        }
    }

    fn forget(&mut self, most: u32) {
        let Some((suspect, length)) = self.runs.front_mut() else { return };
        let (suspect, gone) = (*suspect, most.min(*length));
        *length -= gone;
        if *length == 0 {
            self.runs.pop_front();
        }
        self.count(suspect, -i64::from(gone));
    }

    fn count(&mut self, suspect: bool, change: i64) {
        let add = |number: u32| u32::try_from(i64::from(number) + change).unwrap_or_default();
        self.seen.answers = add(self.seen.answers);
        if suspect {
            self.seen.suspects = add(self.seen.suspects);
        }
    }

    /// A spike, once, to be written down.
    pub fn take_spike(&mut self) -> Option<BadTokenSpike> {
        let State::Detected(spike) = self.state else { return None };
        self.state = State::Reported;
        Some(spike)
    }

    /// The quarantine stands, or could not be written: then the answers to come are watched as before.
    pub fn set_quarantine(&mut self, quarantine: Option<Quarantine>) {
        *self = quarantine.map_or_else(Self::default, Self::quarantined);
    }

    /// Starts again after the held feedback was released or dropped.
    pub fn resolved(&mut self) {
        *self = Self::default();
    }

    /// Since when and why the app's doubtful feedback is held back, if it is.
    pub fn quarantine(&self) -> Option<&Quarantine> {
        match &self.state {
            State::Quarantined(quarantine) => Some(quarantine),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spike(runs: &[(bool, u32)]) -> Option<BadTokenSpike> {
        let mut guard = Guard::default();
        runs.iter().for_each(|(suspect, count)| guard.observe(*suspect, *count));
        guard.take_spike()
    }

    #[test]
    fn fifty_suspects_that_are_more_than_a_fifth_are_a_wave() {
        assert_eq!(spike(&[(true, 49)]), None);
        assert_eq!(spike(&[(true, 50)]), Some(BadTokenSpike { suspects: 50, answers: 50 }));
        assert_eq!(spike(&[(false, 200), (true, 50)]), None, "20 % are not more than 20 %");
        assert_eq!(spike(&[(false, 200), (true, 51)]), Some(BadTokenSpike { suspects: 51, answers: 251 }));
        assert_eq!(spike(&[(false, 1_000), (true, 200)]), None);
        let after_many = [(false, 1_000_000), (true, 1), (false, 1_000_000), (true, 1)];
        assert_eq!(spike(&after_many), None);
    }

    #[test]
    fn only_the_last_thousand_answers_count() {
        let drop_by_drop = |good: u32| (0..300).flat_map(move |_| [(false, good), (true, 1)]).collect::<Vec<_>>();
        assert_eq!(spike(&drop_by_drop(4)), None, "one in five for ever is none");
        assert!(spike(&drop_by_drop(3)).is_some());
        assert_eq!(spike(&[(true, 40), (false, 1_000), (true, 49)]), None, "long past suspects are forgotten");
        assert_eq!(spike(&[(false, 999), (true, 150), (false, 900), (true, 60)]), None);
        assert_eq!(spike(&[(false, 5_000), (true, 201)]), Some(BadTokenSpike { suspects: 201, answers: 1_000 }));
    }

    #[test]
    fn a_wave_in_the_middle_of_a_batch_is_not_washed_away_by_its_end() {
        assert!(spike(&[(true, 300), (false, 9_000)]).is_some());
    }

    #[test]
    fn a_spike_is_reported_once_and_again_only_after_it_was_resolved() {
        let quarantine = Quarantine { since: 1.0, why: "a spike".to_owned() };
        let mut guard = Guard::default();
        guard.observe(true, 60);
        assert!(guard.take_spike().is_some());
        guard.observe(true, 60);
        assert_eq!((guard.take_spike(), guard.quarantine()), (None, None));
        guard.set_quarantine(None);
        guard.observe(true, 60);
        assert!(guard.take_spike().is_some(), "what could not be written is tried again");
        guard.set_quarantine(Some(quarantine.clone()));
        guard.observe(true, 60);
        assert_eq!((guard.take_spike(), guard.quarantine()), (None, Some(&quarantine)));
        guard.resolved();
        assert_eq!((guard.take_spike(), guard.quarantine()), (None, None));
        guard.observe(true, 60);
        assert!(guard.take_spike().is_some());
    }
}
