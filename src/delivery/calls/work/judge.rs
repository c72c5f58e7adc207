//! Applies the verdicts on answers, and on attempts without one, to a lane's calls.

use super::{CallId, Work};
use crate::apns::response::{self, Response};
use crate::delivery::calls::verdict;
use crate::delivery::job::ItemRef;
use crate::delivery::verdict::{self as verdicts, Disposition, SideEffect};
use crate::delivery::{backoff, refusal};
use crate::model::{NodeReason, OutcomeKind, Reason};
use crate::registry::App;
use http2::{Answer, End, Processed};
use std::time::Duration;

impl Work {
    /// Applies Apple's answer to a call. Returns true if the connection must be left.
    #[must_use]
    pub fn answered(&mut self, id: CallId, answer: &Answer<'_>) -> bool {
        let (now, pending) = (self.now, self.pending(id));
        self.metrics.calls.answered(now.duration_since(pending.begun));
        let response = response::of_answer(answer);
        let verdict = verdict::answered(&pending.order.call, &response, pending.attempts, pending.may_be_done);
        self.apply_to_app(id, &response, verdict.side_effect, verdict.disposition);
        let Response { status, reason, retry_after_seconds, .. } = response;
        match verdict.disposition {
            Disposition::Done(OutcomeKind::Accepted) => self.accepted(id, answer),
            Disposition::Done(kind) => self.end(id, kind, Some(status), reason, None),
            Disposition::Resend => {
                // A failure that the credential may have caused is resent at most once, and outside the retry budget.
                self.pending_mut(id).rejection = Some((status, reason));
                if status == 403 || self.retry_budget.spend() {
                    self.resend(id, NodeReason::GoneAway);
                } else {
                    self.fail_unsent(id, NodeReason::GoneAway);
                }
            }
            Disposition::Later(_) => {
                let asked = Duration::from_secs(retry_after_seconds.unwrap_or(0).into());
                let pause = backoff::later(self.pending(id).attempts, fastrand::f64()).max(asked);
                self.pending_mut(id).rejection = Some((status, reason));
                if self.retry_budget.spend() {
                    self.postpone(id, pause, NodeReason::BreakerOpen);
                } else {
                    self.fail_unsent(id, NodeReason::BreakerOpen);
                }
            }
        }
        verdict.side_effect == SideEffect::LeaveConnection
    }

    /// Ends a call that succeeded. An answer without its content is as good as none.
    fn accepted(&mut self, id: CallId, answer: &Answer<'_>) {
        let call = &self.pending(id).order.call;
        let is_reading = call.is_reading();
        match call.read(answer) {
            Some(reply) => self.end(id, OutcomeKind::Accepted, Some(answer.status), None, Some(reply)),
            None if is_reading && self.retry_budget.spend() => self.resend(id, NodeReason::MalformedAnswer),
            None => {
                let reason = NodeReason::MalformedAnswer.into();
                self.end(id, OutcomeKind::Unknown, Some(answer.status), Some(reason), None);
            }
        }
    }

    /// Applies an answer to the app as a whole.
    fn apply_to_app(&mut self, id: CallId, response: &Response, side_effect: SideEffect, disposition: Disposition) {
        let app = &self.app.key;
        if side_effect == SideEffect::CredentialBroken {
            self.credential_refused(response.reason.as_ref());
        } else if response.status >= 500 {
            if self.health.service_failed(self.now) {
                let what =
                    "most of Apple's answers to calls of channels are 5xx: calls are stopped until a probe succeeds";
                tracing::error!(%app, status = response.status, "{what}");
                self.note_error(what.to_owned());
            }
            return;
        }
        self.health.answered();
        let is_judged = matches!(disposition, Disposition::Done(OutcomeKind::Accepted | OutcomeKind::Rejected));
        if is_judged && self.health.judged(ItemRef::fresh(id, 0)) {
            tracing::info!(app = %self.app.key, "Apple accepts calls of channels again: they continue");
        }
    }

    /// Applies the end of an attempt without an answer. The first resend is free, and further ones count against the
    /// retry budget.
    pub fn unanswered(&mut self, id: CallId, end: &End) {
        let pending = self.pending_mut(id);
        let (call, attempts) = (&pending.order.call, pending.attempts);
        let may_repeat = call.may_repeat(pending.order.sending.retry_unknown);
        let is_maybe = end.processed == Processed::Maybe && !call.is_reading();
        let (verdict, reason) = verdicts::unanswered(end, may_repeat);
        match verdict.disposition {
            Disposition::Done(kind) => self.end(id, kind, None, Some(reason.into()), None),
            Disposition::Resend | Disposition::Later(_) => {
                pending.may_be_done |= is_maybe;
                if attempts <= 1 || self.retry_budget.spend() {
                    self.resend(id, reason);
                } else {
                    self.fail_unsent(id, reason);
                }
            }
        }
    }

    /// The deadline of this call has passed: no further attempt.
    pub fn cut_off(&mut self, id: CallId, end: &End) {
        let is_reading = self.pending(id).order.call.is_reading();
        match verdicts::unanswered(end, false).0.disposition {
            Disposition::Done(kind) if !is_reading => {
                self.end(id, kind, None, Some(NodeReason::DeadlinePassed.into()), None)
            }
            _ => self.fail_unsent(id, NodeReason::DeadlinePassed),
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

    /// Stops the calls of the app, because the credential does not work: waiting ones end, and only probes are sent.
    pub fn credential_failed(&mut self, sentence: impl FnOnce(&App) -> String) {
        if self.health.credential_failed(self.now, fastrand::f64) {
            let what = sentence(&self.app);
            tracing::error!(app = %self.app.key, "{what}");
            self.note_error(what);
        }
    }
}
