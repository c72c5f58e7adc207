//! Questions to the peer, beside errands: the lanes that it holds, connections that it should open, figures of apps.

use super::{Exchange, ForwardedCalls, OUTBOX_BYTES};
use crate::delivery::peer::greeting::Mismatch;
use crate::delivery::peer::wire::{self, AppFigures, Features, Lane, StatusOf};
use crate::model::AppKey;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Questions of a link without an answer. Further ones are not asked.
const QUESTIONS_MAX: usize = 1_024;

/// A question, and where its answer goes. The sender is dropped if there is no answer.
pub enum Question {
    /// The lanes that the peer holds connections for.
    Held(oneshot::Sender<Vec<Lane>>),
    /// Those of these lanes that the peer could connect to Apple.
    Warm(Vec<Lane>, oneshot::Sender<Vec<Lane>>),
    /// The figures of these apps, without those that have no lane on the peer.
    Figures(Vec<AppKey>, oneshot::Sender<Vec<AppFigures>>),
    /// Calls for the peer to make.
    Calls(ForwardedCalls),
}

/// The place of an answer.
#[derive(Debug)]
pub(super) enum Waiter {
    Lanes(oneshot::Sender<Vec<Lane>>),
    Figures(oneshot::Sender<Vec<AppFigures>>),
}

impl Waiter {
    fn is_gone(&self) -> bool {
        match self {
            Self::Lanes(reply) => reply.is_closed(),
            Self::Figures(reply) => reply.is_closed(),
        }
    }
}

impl Exchange {
    /// Asks the peer. A peer is not asked that cannot be reached, leaves, or is of a release that does not know the
    /// question. It is not asked for figures while it takes no bytes: they are long, and nothing depends on them.
    pub fn ask(&mut self, question: Question, now: Instant) {
        if !self.is_reachable() || self.questions.len() >= QUESTIONS_MAX {
            return;
        }
        let id = self.next_id;
        let waiter = match question {
            Question::Calls(calls) => return self.call(calls, now),
            Question::Held(reply) => {
                self.outbox.append(|bytes| wire::put_status(bytes, id, &StatusOf::Held));
                Waiter::Lanes(reply)
            }
            Question::Warm(lanes, reply) => {
                self.outbox.append(|bytes| wire::put_warm(bytes, id, &lanes));
                Waiter::Lanes(reply)
            }
            Question::Figures(apps, reply) => {
                let is_known = self.agreed.is_some_and(|agreed| agreed.features.contains(Features::APP_FIGURES));
                if !is_known || self.outbox.pending().len() >= OUTBOX_BYTES {
                    return;
                }
                self.outbox.append(|bytes| wire::put_status(bytes, id, &StatusOf::Apps(apps)));
                Waiter::Figures(reply)
            }
        };
        self.next_id += 1;
        self.questions.insert(id, waiter);
        self.liveness.set_busy(true, now);
    }

    /// The answer to a question about lanes. One that nobody waits for any more is late, and does no harm.
    pub(super) fn told_lanes(&mut self, id: u64, lanes: Vec<Lane>) -> Result<(), Mismatch> {
        match self.waiter(id)? {
            Some(Waiter::Lanes(reply)) => drop(reply.send(lanes)),
            Some(_) => return Err(Mismatch::Unexpected),
            None => {}
        }
        Ok(())
    }

    /// The same about apps.
    pub(super) fn told_figures(&mut self, id: u64, figures: Vec<AppFigures>) -> Result<(), Mismatch> {
        match self.waiter(id)? {
            Some(Waiter::Figures(reply)) => drop(reply.send(figures)),
            Some(_) => return Err(Mismatch::Unexpected),
            None => {}
        }
        Ok(())
    }

    fn waiter(&mut self, id: u64) -> Result<Option<Waiter>, Mismatch> {
        match self.questions.remove(&id) {
            None if id >= self.next_id => Err(Mismatch::Unexpected),
            waiter => Ok(waiter),
        }
    }

    /// Forgets the questions whose askers have gone.
    pub(super) fn forget_unheard(&mut self) {
        self.questions.retain(|_, waiter| !waiter.is_gone());
    }
}
