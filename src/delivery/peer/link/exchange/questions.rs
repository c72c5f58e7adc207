//! Questions to the peer, beside errands: the lanes that it holds, and connections that it should open.

use super::Exchange;
use crate::delivery::peer::greeting::Mismatch;
use crate::delivery::peer::wire::{self, Lane, StatusOf};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A question that is answered with lanes.
#[derive(Debug)]
pub enum Ask {
    /// The lanes that the peer holds connections for.
    Held,
    /// Those of these lanes that the peer could connect to Apple.
    Warm(Vec<Lane>),
}

/// A question, and where its answer goes. The sender is dropped if there is no answer.
#[derive(Debug)]
pub struct Question {
    pub ask: Ask,
    pub reply: oneshot::Sender<Vec<Lane>>,
}

impl Exchange {
    /// Asks the peer. A peer that cannot be reached, or leaves, is not asked.
    pub fn ask(&mut self, Question { ask, reply }: Question, now: Instant) {
        if !self.is_reachable() {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.outbox.append(|bytes| match &ask {
            Ask::Held => wire::put_status(bytes, id, &StatusOf::Held),
            Ask::Warm(lanes) => wire::put_warm(bytes, id, lanes),
        });
        self.questions.insert(id, reply);
        self.liveness.set_busy(true, now);
    }

    /// The answer to a question. One that nobody waits for any more is late, and does no harm.
    pub(super) fn told(&mut self, id: u64, lanes: Vec<Lane>) -> Result<(), Mismatch> {
        match self.questions.remove(&id) {
            Some(reply) => drop(reply.send(lanes)),
            None if id < self.next_id => {}
            None => return Err(Mismatch::Unexpected),
        }
        Ok(())
    }

    /// Forgets the questions whose askers have gone.
    pub(super) fn forget_unheard(&mut self) {
        self.questions.retain(|_, reply| !reply.is_closed());
    }
}
