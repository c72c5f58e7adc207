//! What wears a connection out: a poison that spoils every answer, rejections that use its budget up.

use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Session;
use super::arrival::Arrival;
use crate::rules::Rejection;
use crate::script::{GoAway, When};

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// What a poisoned connection answers to everything.
    pub fn poisoned(&mut self) -> Option<Rejection> {
        self.poison.take_if(|(until, _)| until.is_some_and(|until| until <= Instant::now()));
        self.poison.as_ref().map(|(_, rejection)| rejection.clone())
    }

    pub fn answer_scripted(&mut self, arrival: Arrival, id: HeaderValue, rejection: Rejection, fault: &str) {
        let verdict = Err(rejection);
        self.record(&arrival, &id, Some(&verdict), Some(fault));
        self.decided(&verdict);
        self.answer(arrival, id, verdict);
    }

    /// What a decision does to the connection: its stream limit, and its error budget.
    pub fn decided(&mut self, verdict: &Result<(), Rejection>) {
        self.choke_or_lift(verdict.as_ref().err().map_or(200, |rejection| rejection.status));
        let Err(rejection) = verdict else { return };
        let Some(budget) = &self.active.script.script.error_budget else { return };
        if self.spent.count(rejection.status, &rejection.reason, budget) && self.is_open() {
            let (code, debug, kind) = (budget.code, budget.debug.clone(), budget.kind);
            self.end(&GoAway { code, debug, ..GoAway::new(When::Now, kind) });
        }
    }
}
