//! Applies the verdicts on answers, and on attempts without one, to a lane's work.

use super::Work;
use crate::apns::response::{self, Response};
use crate::delivery::job::ItemRef;
use crate::delivery::lane::throttle::fingerprint;
use crate::delivery::verdict::{self, Disposition, Pause, SideEffect};
use crate::delivery::{backoff, refusal};
use crate::model::{AppleReason, NodeReason, OutcomeKind, Reason};
use crate::registry::App;
use http2::{Answer, End, Processed};
use std::time::Duration;

/// The interval between log lines about provider tokens that change too often.
const UPDATES_LOGGED_EVERY: Duration = Duration::from_secs(60);

impl Work {
    /// Applies Apple's answer to a request under the app's credential, or under its `former` one. Returns true if the
    /// connection must be left.
    #[must_use]
    pub fn answered(&mut self, item_ref: ItemRef, answer: &Answer<'_>, former: bool) -> bool {
        self.tally.answered(self.lane_ms().wrapping_sub(item_ref.begun));
        if answer.status == 200 {
            self.health.answered();
            self.judged(item_ref);
            if !self.throttle.is_empty() {
                self.throttle.accepted(fingerprint(self.token(item_ref)));
            }
            self.settle(item_ref, OutcomeKind::Accepted, Some(200), None);
            return false;
        }
        let response = response::of_answer(answer);
        let verdict = verdict::answered(&response, item_ref.attempts);
        let verdict = if former { verdict.of_former_credential() } else { verdict };
        self.apply_to_app(item_ref, &response, verdict.side_effect, verdict.disposition);
        match verdict.disposition {
            Disposition::Done(_) if verdict.side_effect == SideEffect::DeadToken => {
                self.settle_dead(item_ref, response)
            }
            Disposition::Done(kind) => self.settle(item_ref, kind, Some(response.status), response.reason),
            Disposition::Resend => {
                // A failure that the credential may have caused is resent at most once, and outside the retry budget:
                // the provider token may just have expired.
                let is_free = response.status == 403;
                self.note_rejection(item_ref, response);
                if is_free || self.retry_budget.spend() {
                    self.resend(item_ref, NodeReason::GoneAway);
                } else {
                    self.fail_unsent(item_ref, NodeReason::GoneAway);
                }
            }
            Disposition::Later(pause) => self.not_now(item_ref, response, pause),
        }
        verdict.side_effect == SideEffect::LeaveConnection
    }

    /// Applies an answer to the app as a whole.
    fn apply_to_app(
        &mut self,
        item_ref: ItemRef,
        response: &Response,
        side_effect: SideEffect,
        disposition: Disposition,
    ) {
        if side_effect == SideEffect::CredentialBroken {
            self.credential_refused(response.reason.as_ref());
        } else if response.status >= 500 {
            if self.health.service_failed(self.now.instant) {
                let what = "most of Apple's answers are 5xx: sending is stopped until a probe succeeds";
                tracing::error!(app = %self.app.key, status = response.status, "{what}");
                self.set_last_error(what.to_owned());
            }
            return;
        } else if response.reason == Some(AppleReason::TooManyProviderTokenUpdates.into()) {
            self.too_many_updates();
        }
        self.health.answered();
        if disposition == Disposition::Done(OutcomeKind::Rejected) {
            self.judged(item_ref);
        }
    }

    fn judged(&mut self, item_ref: ItemRef) {
        if self.health.judged(item_ref) {
            tracing::info!(app = %self.app.key, "Apple accepts this app's credential again: sending continues");
        }
    }

    fn not_now(&mut self, item_ref: ItemRef, response: Response, pause: Pause) {
        let now = self.now.instant;
        let asked = Duration::from_secs(response.retry_after_seconds.unwrap_or(0).into());
        let pause = match pause {
            Pause::Service => backoff::later(item_ref.attempts, fastrand::f64()).max(asked),
            Pause::Token => {
                let token = fingerprint(self.token(item_ref));
                self.throttle.rejected(token, asked, now, fastrand::f64()).duration_since(now)
            }
        };
        self.note_rejection(item_ref, response);
        if self.retry_budget.spend() {
            self.postpone(item_ref, pause, NodeReason::BreakerOpen.into());
        } else {
            self.fail_unsent(item_ref, NodeReason::BreakerOpen);
        }
    }

    fn note_rejection(&mut self, item_ref: ItemRef, response: Response) {
        self.job(item_ref).note_rejection(item_ref.item, response.status, response.reason);
    }

    /// Applies the end of an attempt without an answer. The first resend is free, and further ones count against the
    /// retry budget, so that a peer that processes nothing does not multiply the traffic.
    pub fn unanswered(&mut self, item_ref: ItemRef, end: &End) {
        let retry_unknown = self.job(item_ref).retry_unknown;
        let (verdict, reason) = verdict::unanswered(end, retry_unknown);
        if verdict.disposition == Disposition::Resend && end.processed == Processed::Maybe {
            self.job(item_ref).mark_maybe_delivered(item_ref.item);
        }
        match verdict.disposition {
            Disposition::Done(kind) => self.settle(item_ref, kind, None, Some(reason.into())),
            Disposition::Resend | Disposition::Later(_) if item_ref.attempts <= 1 || self.retry_budget.spend() => {
                self.resend(item_ref, reason)
            }
            Disposition::Resend | Disposition::Later(_) => self.fail_unsent(item_ref, reason),
        }
    }

    /// The deadline of this attempt's job has passed: no further attempt.
    pub fn cut_off(&mut self, item_ref: ItemRef, end: &End) {
        match verdict::unanswered(end, false).0.disposition {
            Disposition::Done(kind) => self.settle(item_ref, kind, None, Some(NodeReason::DeadlinePassed.into())),
            Disposition::Resend | Disposition::Later(_) => self.fail_unsent(item_ref, NodeReason::DeadlinePassed),
        }
    }

    /// Handles an answer or a GOAWAY that refuses the credential.
    pub fn credential_refused(&mut self, reason: Option<&Reason>) {
        self.credential_failed(|app| match reason {
            Some(Reason::Apple(reason)) => refusal::sentence(*reason, app),
            Some(reason) => format!("Apple refuses the app's credential ({reason}): provision the app again"),
            None => "Apple refuses the app's credential, and gives no reason: provision the app again".to_owned(),
        });
    }

    /// Stops the app, because the credential does not work: waiting notifications end, and only probes are sent.
    /// Returns true if the app was not stopped for this before; then it logs the sentence.
    pub fn credential_failed(&mut self, sentence: impl FnOnce(&App) -> String) -> bool {
        let is_news = self.health.credential_failed(self.now.instant, fastrand::f64);
        if is_news {
            let what = sentence(&self.app);
            tracing::error!(app = %self.app.key, "{what}");
            self.set_last_error(what);
        }
        is_news
    }

    /// Handles Apple's complaint that provider tokens change too often. All requests in flight get that answer; it is
    /// logged once a minute.
    fn too_many_updates(&mut self) {
        let now = self.now.instant;
        if self.updates_logged.is_none_or(|logged| now >= logged + UPDATES_LOGGED_EVERY) {
            self.updates_logged = Some(now);
            let what = refusal::sentence(AppleReason::TooManyProviderTokenUpdates, &self.app);
            tracing::warn!(app = %self.app.key, "{what}");
            self.set_last_error(what);
        }
    }
}
