//! Carries out verdicts: what each answer, and each end without one, does to a lane's work.

use super::throttle::fingerprint;
use super::work::Work;
use crate::apns::response::{self, Response};
use crate::delivery::job::Ticket;
use crate::delivery::verdict::{self, Beyond, Fate, Pause};
use crate::delivery::{backoff, refusal};
use crate::model::{AppleReason, NodeReason, OutcomeKind, Reason};
use crate::registry::App;
use http2::{Answer, End, Processed};
use std::time::Duration;

/// How often at most the operator is told of provider tokens that change too often.
const UPDATES_TOLD_EVERY: Duration = Duration::from_secs(60);

impl Work {
    /// Apple answered to a request that was made under the app's credential, or `former`ly was it: whether its connection
    /// must be left.
    #[must_use]
    pub fn answered(&mut self, ticket: Ticket, answer: &Answer<'_>, former: bool) -> bool {
        self.tally.answered(self.ms().wrapping_sub(ticket.begun));
        if answer.status == 200 {
            self.health.answered();
            self.judged(ticket);
            if !self.throttle.is_empty() {
                self.throttle.accepted(fingerprint(self.token(ticket)));
            }
            self.settle(ticket, OutcomeKind::Accepted, Some(200), None);
            return false;
        }
        let response = response::read(answer);
        let verdict = verdict::answered(&response, ticket.attempts);
        let verdict = if former { verdict.of_former_credential() } else { verdict };
        self.weigh(ticket, &response, verdict.beyond, verdict.fate);
        match verdict.fate {
            Fate::Done(_) if verdict.beyond == Beyond::DeadToken => self.settle_dead(ticket, response),
            Fate::Done(kind) => self.settle(ticket, kind, Some(response.status), response.reason),
            Fate::Resend => {
                // What the credential may be to blame for is resent once at most: a worn-out token costs nobody's budget.
                let is_free = response.status == 403;
                self.heard(ticket, response);
                if is_free || self.budget.spend() {
                    self.resend(ticket, NodeReason::GoneAway);
                } else {
                    self.give_up(ticket, NodeReason::GoneAway);
                }
            }
            Fate::Later(pause) => self.not_now(ticket, response, pause),
        }
        verdict.beyond == Beyond::LeaveConnection
    }

    /// What an answer says of the app as a whole.
    fn weigh(&mut self, ticket: Ticket, response: &Response, beyond: Beyond, fate: Fate) {
        if beyond == Beyond::CredentialBroken {
            self.credential_refused(response.reason.as_ref());
        } else if response.status >= 500 {
            if self.health.service_failed(self.now.instant) {
                let what = "most of Apple's answers are 5xx: stopped until a probe is judged";
                tracing::error!(app = %self.app.key, status = response.status, "{what}");
                self.complain(what.to_owned());
            }
            return;
        } else if response.reason == Some(AppleReason::TooManyProviderTokenUpdates.into()) {
            self.too_many_updates();
        }
        self.health.answered();
        if fate == Fate::Done(OutcomeKind::Rejected) {
            self.judged(ticket);
        }
    }

    fn judged(&mut self, ticket: Ticket) {
        if self.health.judged(ticket) {
            tracing::info!(app = %self.app.key, "Apple judges this app's notifications again");
        }
    }

    fn not_now(&mut self, ticket: Ticket, response: Response, pause: Pause) {
        let now = self.now.instant;
        let asked = Duration::from_secs(response.retry_after_seconds.unwrap_or(0).into());
        let pause = match pause {
            Pause::Service => backoff::later(ticket.attempts, fastrand::f64()).max(asked),
            Pause::Token => {
                let token = fingerprint(self.token(ticket));
                self.throttle.rejected(token, asked, now, fastrand::f64()).duration_since(now)
            }
        };
        self.heard(ticket, response);
        if self.budget.spend() {
            self.postpone(ticket, pause, NodeReason::BreakerOpen.into());
        } else {
            self.give_up(ticket, NodeReason::BreakerOpen);
        }
    }

    fn heard(&mut self, ticket: Ticket, response: Response) {
        self.job(ticket).heard(ticket.item, response.status, response.reason);
    }

    /// An attempt ended without an answer. What is resent is free once and then paid for like any retry: a peer that takes
    /// nothing must not multiply the traffic.
    pub fn unanswered(&mut self, ticket: Ticket, end: &End) {
        let retry_unknown = self.job(ticket).retry_unknown;
        let (verdict, reason) = verdict::unanswered(end, retry_unknown);
        if verdict.fate == Fate::Resend && end.processed == Processed::Maybe {
            self.job(ticket).risk(ticket.item);
        }
        match verdict.fate {
            Fate::Done(kind) => self.settle(ticket, kind, None, Some(reason.into())),
            Fate::Resend | Fate::Later(_) if ticket.attempts <= 1 || self.budget.spend() => self.resend(ticket, reason),
            Fate::Resend | Fate::Later(_) => self.give_up(ticket, reason),
        }
    }

    /// The time of this attempt's job is over: no further attempt.
    pub fn cut_off(&mut self, ticket: Ticket, end: &End) {
        match verdict::unanswered(end, false).0.fate {
            Fate::Done(kind) => self.settle(ticket, kind, None, Some(NodeReason::DeadlinePassed.into())),
            Fate::Resend | Fate::Later(_) => self.give_up(ticket, NodeReason::DeadlinePassed),
        }
    }

    /// Apple's answer, or its GOAWAY, blames the credential.
    pub fn credential_refused(&mut self, reason: Option<&Reason>) {
        self.credential_failed(|app| match reason {
            Some(Reason::Apple(reason)) => refusal::sentence(*reason, app),
            Some(reason) => format!("Apple refuses the app's credential ({reason}): provision the app again"),
            None => "Apple refuses the app's credential, and gives no reason: provision the app again".to_owned(),
        });
    }

    /// The credential does not work: what waits ends at once, and only a rare probe goes out from now on. Returns whether
    /// that is news; then the operator reads the sentence.
    pub fn credential_failed(&mut self, sentence: impl FnOnce(&App) -> String) -> bool {
        let is_news = self.health.credential_failed(self.now.instant, fastrand::f64);
        if is_news {
            let what = sentence(&self.app);
            tracing::error!(app = %self.app.key, "{what}");
            self.complain(what);
        }
        is_news
    }

    /// Apple finds that provider tokens change too often. It says so to all that is in flight, and the operator once a minute.
    fn too_many_updates(&mut self) {
        let now = self.now.instant;
        if self.updates_told.is_none_or(|told| now >= told + UPDATES_TOLD_EVERY) {
            self.updates_told = Some(now);
            let what = refusal::sentence(AppleReason::TooManyProviderTokenUpdates, &self.app);
            tracing::warn!(app = %self.app.key, "{what}");
            self.complain(what);
        }
    }
}
