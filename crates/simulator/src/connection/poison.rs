//! Poisoned connections, which answer every request alike, and error budgets, which rejections use up.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Session;
use super::arrival::Arrival;
use super::record::AnswerId;
use crate::rules::{Rejection, Verdict, verdict};
use crate::script::{GoAway, When};

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Returns the answer that a poisoned connection gives to every request.
    pub fn poisoned(&mut self) -> Option<Rejection> {
        self.poison.take_if(|(until, _)| until.is_some_and(|until| until <= Instant::now()));
        self.poison.as_ref().map(|(_, rejection)| rejection.clone())
    }

    pub fn answer_scripted(&mut self, arrival: Arrival, id: AnswerId, rejection: Rejection, fault: &str) {
        let verdict = Err(rejection);
        self.record(&arrival, &id, Some(&verdict), Some(fault));
        self.decided(&verdict);
        self.answer(arrival, id, verdict);
    }

    /// Applies a verdict to the connection's stream limit and error budget.
    pub fn decided(&mut self, verdict: &Verdict) {
        self.adjust_stream_limit(verdict::status(verdict));
        let Err(rejection) = verdict else { return };
        let Some(budget) = &self.active.script.script.error_budget else { return };
        if self.spent.count(rejection.status, &rejection.reason, budget) && self.is_open() {
            let (code, debug, kind) = (budget.code, budget.debug.clone(), budget.kind);
            self.end(&GoAway { code, debug, ..GoAway::new(When::Now, kind) });
        }
    }
}
