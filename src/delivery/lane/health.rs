//! The breaker of an app: it opens when Apple refuses the credential, or the gateway fails. Pure.
//!
//! While the app is stopped, waiting notifications end immediately, and one notification at a time is sent as a probe.
//! Only the probe's answer starts the app again: other requests may have been in flight since before the failure.

use crate::delivery::backoff;
use crate::delivery::job::ItemRef;
use crate::model::NodeReason;
use std::time::Duration;
use tokio::time::Instant;

/// The breaker opens after this many answers, half of them 5xx, within twice this time (the current half and the last).
const ANSWERS_MIN: u32 = 20;
const HALF_WINDOW: Duration = Duration::from_secs(5);
/// It also opens after this many failed connections in a row, over at least this time.
const CONNECTS_MIN: u32 = 3;
const CONNECTS_FAIL_FOR: Duration = Duration::from_secs(10);
/// Failures further apart than this, twice the longest back-off, do not count as one streak.
const STREAK_ENDS_AFTER: Duration = Duration::from_secs(120);
/// The interval between probes of a failing gateway.
const PROBE_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Apple refuses the app's credential.
    Credential,
    /// The gateway cannot be reached, or mostly answers 5xx.
    Gateway,
}

#[derive(Debug, Clone, Copy)]
struct OpenBreaker {
    reason: StopReason,
    /// The time of the next probe.
    until: Instant,
    failures: u32,
    probe: Option<(u32, u32)>,
}

/// A series of failed connections.
#[derive(Debug, Clone, Copy)]
struct FailureStreak {
    since: Instant,
    last: Instant,
    count: u32,
}

/// The breaker of an app.
#[derive(Debug)]
pub struct Health {
    stop: Option<OpenBreaker>,
    /// The good and bad answers of the current half and of the one before.
    answers: [(u32, u32); 2],
    half_window_began: Instant,
    streak: Option<FailureStreak>,
}

impl Health {
    pub fn new(now: Instant) -> Self {
        Self { stop: None, answers: [(0, 0); 2], half_window_began: now, streak: None }
    }

    /// Advances the time; call it once a turn.
    pub fn on_time(&mut self, now: Instant) {
        let past = now.duration_since(self.half_window_began);
        if past >= HALF_WINDOW {
            let before = if past < 2 * HALF_WINDOW { self.answers[0] } else { (0, 0) };
            (self.answers, self.half_window_began) = ([(0, 0), before], now);
        }
    }

    /// The reason that the app is stopped, if it is.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.stop.map(|stop| stop.reason)
    }

    /// The reason of the waiting notifications that end.
    pub fn reason(&self) -> Option<NodeReason> {
        self.stop_reason().map(|reason| match reason {
            StopReason::Credential => NodeReason::CredentialError,
            StopReason::Gateway => NodeReason::BreakerOpen,
        })
    }

    /// Returns true if not even a probe may be sent now.
    pub fn is_shut(&self, now: Instant) -> bool {
        self.stop.is_some_and(|stop| now < stop.until)
    }

    /// Returns true if open connections are useless: Apple may check a credential only once per connection.
    pub fn must_reconnect(&self, now: Instant) -> bool {
        self.stop_reason() == Some(StopReason::Credential) && self.is_shut(now)
    }

    /// The time of the next probe.
    pub fn opens_at(&self) -> Option<Instant> {
        self.stop.map(|stop| stop.until)
    }

    /// Records a sent notification; if the app is stopped, it is the probe.
    pub fn mark_sent(&mut self, item_ref: ItemRef, now: Instant, jitter: impl FnOnce() -> f64) {
        if let Some(stop) = &mut self.stop {
            stop.probe = Some((item_ref.job, item_ref.item));
            if stop.reason == StopReason::Credential {
                stop.failures = stop.failures.saturating_add(1);
            }
            stop.until = now + pause(stop, jitter);
        }
    }

    /// Records an answer other than 5xx.
    pub fn answered(&mut self) {
        self.answers[0].0 = self.answers[0].0.saturating_add(1);
    }

    /// Records that Apple accepted or rejected this notification, which means that it accepts the credential. Returns
    /// true if the notification was the probe, which starts the app again.
    #[must_use]
    pub fn judged(&mut self, item_ref: ItemRef) -> bool {
        let healed = self.stop.is_some_and(|stop| stop.probe == Some((item_ref.job, item_ref.item)));
        if healed {
            self.reset();
        }
        healed
    }

    /// Records a 5xx. Returns true if the breaker opens.
    #[must_use]
    pub fn service_failed(&mut self, now: Instant) -> bool {
        self.answers[0].1 = self.answers[0].1.saturating_add(1);
        let [(good, bad), (good_before, bad_before)] = self.answers;
        let (good, bad) = (good.saturating_add(good_before), bad.saturating_add(bad_before));
        let too_much = bad >= good && good.saturating_add(bad) >= ANSWERS_MIN;
        too_much && self.stop.is_none() && self.stop_for(StopReason::Gateway, now, || 1.0)
    }

    /// Records a connection that worked.
    pub fn connected(&mut self) {
        self.streak = None;
    }

    /// Records a failed connection; none can be opened before `retry_at`. Returns true if the breaker opens.
    #[must_use]
    pub fn connect_failed(&mut self, now: Instant, retry_at: Option<Instant>) -> bool {
        let before = self.streak.filter(|streak| now < streak.last + STREAK_ENDS_AFTER);
        let FailureStreak { since, count, .. } = before.unwrap_or(FailureStreak { since: now, last: now, count: 0 });
        let count = count.saturating_add(1);
        self.streak = Some(FailureStreak { since, last: now, count });
        let too_much = count >= CONNECTS_MIN && now.duration_since(since) >= CONNECTS_FAIL_FOR;
        if !too_much || self.stop_reason() == Some(StopReason::Credential) {
            return false;
        }
        let is_news = self.stop_for(StopReason::Gateway, now, || 1.0);
        if let Some(stop) = &mut self.stop {
            stop.until = stop.until.max(retry_at.unwrap_or(now));
        }
        is_news
    }

    /// Records that Apple refuses the credential. Returns true if it did not before.
    #[must_use]
    pub fn credential_failed(&mut self, now: Instant, jitter: impl FnOnce() -> f64) -> bool {
        if self.stop_reason() == Some(StopReason::Credential) && self.is_shut(now) {
            return false;
        }
        self.stop_for(StopReason::Credential, now, jitter)
    }

    /// Resets the state, because the app was provisioned again.
    pub fn reset(&mut self) {
        (self.stop, self.streak, self.answers) = (None, None, [(0, 0); 2]);
    }

    fn stop_for(&mut self, reason: StopReason, now: Instant, jitter: impl FnOnce() -> f64) -> bool {
        let before = self.stop.filter(|stop| stop.reason == reason);
        let failures = before.map_or(1, |stop| stop.failures.saturating_add(1));
        let mut stop = OpenBreaker { reason, until: now, failures, probe: None };
        stop.until = now + pause(&stop, jitter);
        self.stop = Some(stop);
        before.is_none()
    }
}

fn pause(stop: &OpenBreaker, jitter: impl FnOnce() -> f64) -> Duration {
    match stop.reason {
        StopReason::Gateway => PROBE_EVERY,
        StopReason::Credential => backoff::credential_probe(stop.failures, jitter()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn item_ref(item: u32) -> ItemRef {
        ItemRef { attempts: 1, ..ItemRef::fresh(0, item) }
    }

    fn stopped_by_5xx(now: Instant) -> Health {
        let mut health = Health::new(now);
        assert_eq!((0..20).filter(|_| health.service_failed(now)).count(), 1, "it is news once");
        health
    }

    #[test]
    fn ten_5xx_of_twenty_answers_within_ten_seconds_stop_the_app() {
        let start = Instant::now();
        let mut health = Health::new(start);
        (0..10).for_each(|_| health.answered());
        assert!((0..9).all(|_| !health.service_failed(start)));
        health.on_time(start + 5 * SECOND);
        assert!(health.service_failed(start + 6 * SECOND));
        assert_eq!(health.reason(), Some(NodeReason::BreakerOpen));
        let mut calm = Health::new(start);
        assert!((0..19).all(|_| !calm.service_failed(start)));
        calm.on_time(start + 10 * SECOND);
        assert!(!calm.service_failed(start + 10 * SECOND), "what is long past does not count");
    }

    #[test]
    fn a_probe_is_sent_every_five_seconds_and_only_its_answer_starts_the_app() {
        let start = Instant::now();
        let mut health = stopped_by_5xx(start);
        assert!(health.is_shut(start + 4 * SECOND) && !health.is_shut(start + 5 * SECOND));
        health.mark_sent(item_ref(1), start + 5 * SECOND, || 1.0);
        assert!(health.is_shut(start + 9 * SECOND) && !health.is_shut(start + 10 * SECOND));
        assert!(!health.service_failed(start + 6 * SECOND), "no news");
        assert!(!health.judged(item_ref(2)) && health.judged(item_ref(1)));
        assert_eq!(health.stop_reason(), None);
    }

    #[test]
    fn a_gateway_that_is_unreachable_for_ten_seconds_stops_the_app_until_the_next_try() {
        let start = Instant::now();
        let mut health = Health::new(start);
        assert!(!health.connect_failed(start, None) && !health.connect_failed(start + 9 * SECOND, None));
        assert!(health.connect_failed(start + 10 * SECOND, Some(start + 40 * SECOND)));
        assert_eq!(health.opens_at(), Some(start + 40 * SECOND));
        assert!(!health.connect_failed(start + 41 * SECOND, None), "no news");
        assert!(health.is_shut(start + 45 * SECOND));
        health.connected();
        assert!(!health.connect_failed(start + 50 * SECOND, None));

        let mut rarely = Health::new(start);
        assert!((0..9).all(|hour| !rarely.connect_failed(start + hour * 3600 * SECOND, None)), "no streak");
    }

    #[test]
    fn a_credential_is_probed_with_growing_pauses() {
        let start = Instant::now();
        let mut health = stopped_by_5xx(start);
        assert!(health.credential_failed(start, || 1.0), "it matters more than the gateway's trouble");
        assert!(!health.credential_failed(start, || 1.0) && !health.connect_failed(start, None));
        assert_eq!(health.opens_at(), Some(start + 60 * SECOND));
        health.mark_sent(item_ref(1), start + 60 * SECOND, || 1.0);
        assert_eq!(health.opens_at(), Some(start + 180 * SECOND));
        assert!(!health.credential_failed(start + 61 * SECOND, || 1.0), "the probe's own answer");
        assert!(!health.credential_failed(start + 180 * SECOND, || 1.0), "no news");
        assert_eq!(health.opens_at(), Some(start + 420 * SECOND));
        health.reset();
        assert_eq!(health.reason(), None);
    }
}
