//! Carries out verdicts: what each answer, and each end without one, does to a lane's work.

use super::work::{Broken, Work};
use crate::apns::http2::{Answer, End};
use crate::apns::response;
use crate::delivery::backoff;
use crate::delivery::job::Ticket;
use crate::delivery::verdict::{self, Beyond, Fate};
use crate::model::{NodeReason, OutcomeKind, Reason};
use std::time::Duration;

impl Work {
    /// Apple answered: whether its connection must be left.
    #[must_use]
    pub fn answered(&mut self, ticket: Ticket, answer: &Answer<'_>) -> bool {
        if answer.status == 200 {
            self.broken = None;
            self.settle(ticket, OutcomeKind::Accepted, Some(200), None);
            return false;
        }
        let response = response::read(answer);
        let verdict = verdict::answered(&response, ticket.attempts);
        if verdict.beyond == Beyond::CredentialBroken {
            self.credential_failed(response.reason.clone());
        }
        match verdict.fate {
            Fate::Done(_) if verdict.beyond == Beyond::DeadToken => self.settle_dead(ticket, response),
            Fate::Done(kind) => self.settle(ticket, kind, Some(response.status), response.reason),
            Fate::Resend => {
                self.job(ticket).heard(ticket.item, response.status, response.reason);
                self.resend(ticket, NodeReason::GoneAway);
            }
            Fate::Later(pause) => {
                let asked = Duration::from_secs(response.retry_after_seconds.unwrap_or(0).into());
                let pause = backoff::later(pause, ticket.attempts, fastrand::f64()).max(asked);
                self.job(ticket).heard(ticket.item, response.status, response.reason);
                if self.budget.spend() {
                    self.postpone(ticket, pause, NodeReason::BreakerOpen);
                } else {
                    self.give_up(ticket, NodeReason::BreakerOpen);
                }
            }
        }
        verdict.beyond == Beyond::LeaveConnection
    }

    /// An attempt ended without an answer.
    pub fn unanswered(&mut self, ticket: Ticket, end: &End) {
        let retry_unknown = self.job(ticket).retry_unknown;
        let (verdict, reason) = verdict::unanswered(end, retry_unknown);
        match verdict.fate {
            Fate::Done(kind) => self.settle(ticket, kind, None, Some(reason.into())),
            Fate::Resend | Fate::Later(_) => self.resend(ticket, reason),
        }
    }

    /// The time of this attempt's job is over: no further attempt.
    pub fn cut_off(&mut self, ticket: Ticket, end: &End) {
        match verdict::unanswered(end, false).0.fate {
            Fate::Done(kind) => self.settle(ticket, kind, None, Some(NodeReason::DeadlinePassed.into())),
            Fate::Resend | Fate::Later(_) => self.give_up(ticket, NodeReason::DeadlinePassed),
        }
    }

    /// The credential does not work: what waits is told at once, and only a rare probe goes out from now on.
    pub fn credential_failed(&mut self, reason: Option<Reason>) {
        if self.broken.is_some_and(|broken| broken.until > self.now.instant) {
            return;
        }
        let failures = self.broken.map_or(1, |broken| broken.failures + 1);
        let until = self.now.instant + backoff::credential_probe(failures, fastrand::f64());
        let reason = reason.as_ref().map_or("no reason given", Reason::as_str);
        tracing::error!(reason, failures, "Apple refuses the app's credential: re-provision it");
        self.broken = Some(Broken { until, failures });
    }
}
