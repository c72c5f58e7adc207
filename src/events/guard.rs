//! The mass-removal guard: detects a spike of answers that suggests a wrong environment or topic. Pure.
//!
//! Callers delete the tokens in the feedback. `BadDeviceToken` may be a valid token of the other environment, so that a
//! credential in the wrong environment could make its owner delete every device.

use crate::model::{AppleReason, Outcome, Quarantine, Reason};
use std::collections::VecDeque;

/// The number of an app's newest answers that are observed.
const ANSWERS_MAX: u32 = 1_000;
/// The minimum number of suspect answers of a spike, which must also be more than one in five.
const SUSPECTS_MIN: u32 = 50;
const ANSWERS_PER_SUSPECT: u32 = 5;

/// The numbers of a spike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BadTokenSpike {
    pub suspects: u32,
    /// The number of answers.
    pub answers: u32,
}

/// Observes one app's answers.
#[derive(Debug, Default)]
pub struct Guard {
    /// The newest answers, oldest first, as runs: true for suspect answers, and the length of the run.
    runs: VecDeque<(bool, u32)>,
    seen: BadTokenSpike,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Observing,
    /// A spike that was not reported yet.
    Detected(BadTokenSpike),
    /// The spike was reported, and its quarantine is being written.
    Reported,
    Quarantined(Quarantine),
}

impl BadTokenSpike {
    /// The reason of the quarantine, for people.
    pub fn sentence(self) -> String {
        let Self { suspects, answers } = self;
        format!(
            "{suspects} of the last {answers} answers were BadDeviceToken or DeviceTokenNotForTopic: check that environment, \
             topic and tokens belong together, then release or drop the held feedback"
        )
    }
}

/// Returns true if an answer may mean a wrong environment or topic.
pub fn is_suspect(outcome: &Outcome) -> bool {
    use AppleReason::{BadDeviceToken, DeviceTokenNotForTopic};
    matches!(outcome.reason, Some(Reason::Apple(BadDeviceToken | DeviceTokenNotForTopic)))
}

impl Guard {
    /// A guard whose app has a quarantine already.
    pub fn quarantined(quarantine: Quarantine) -> Self {
        Self { state: State::Quarantined(quarantine), ..Self::default() }
    }

    /// Observes `count` consecutive answers of one kind.
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

    /// Returns a spike once, so that its quarantine can be written.
    pub fn take_spike(&mut self) -> Option<BadTokenSpike> {
        let State::Detected(spike) = self.state else { return None };
        self.state = State::Reported;
        Some(spike)
    }

    /// Records the written quarantine, or that it could not be written: then later answers are observed again.
    pub fn set_quarantine(&mut self, quarantine: Option<Quarantine>) {
        *self = quarantine.map_or_else(Self::default, Self::quarantined);
    }

    /// Starts afresh after the held feedback was released or dropped.
    pub fn resolved(&mut self) {
        *self = Self::default();
    }

    /// The app's quarantine, if there is one.
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
    fn fifty_suspects_that_are_more_than_a_fifth_are_a_spike() {
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
        assert_eq!(spike(&drop_by_drop(4)), None, "a constant one in five is not a spike");
        assert!(spike(&drop_by_drop(3)).is_some());
        assert_eq!(spike(&[(true, 40), (false, 1_000), (true, 49)]), None, "long past suspects are forgotten");
        assert_eq!(spike(&[(false, 999), (true, 150), (false, 900), (true, 60)]), None);
        assert_eq!(spike(&[(false, 5_000), (true, 201)]), Some(BadTokenSpike { suspects: 201, answers: 1_000 }));
    }

    #[test]
    fn a_spike_in_the_middle_of_a_batch_is_detected() {
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
