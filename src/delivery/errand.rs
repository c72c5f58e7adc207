//! A batch, or a part of one, on its way to the lane that sends it, wherever that is: in this node or in a peer.

use super::admission::Room;
use super::job::Job;
use super::metrics::Told;
use super::send::{self, Refused, Reply, Sending, Sent};
use crate::model::{Batch, NodeReason, Outcome, OutcomeKind};
use crate::registry::App;
use crate::subject::Subject;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A batch or a part of one, with the caller that waits for its outcomes.
pub struct Errand {
    pub app: Arc<App>,
    /// Its number among the app's lanes, from 0.
    pub lane: u16,
    pub batch: Arc<Batch>,
    pub sending: Sending,
    pub reply: oneshot::Sender<Reply>,
    pub room: Room,
    /// Counts the outcomes, if this node took the batch from its caller; `None` if a peer did.
    pub told: Option<Arc<Told>>,
}

impl Errand {
    /// The job of a lane of this node.
    pub fn into_job(self, taken: Instant) -> Job {
        let mut job = Job::new(self.app, self.batch, taken, self.sending, self.reply, self.room);
        job.is_counted = self.told.is_some();
        job
    }
}

/// An errand that leaves this node, and what is known of its way so far.
pub struct Forwarded {
    pub errand: Errand,
    /// The time when it was taken from its caller.
    pub taken: Instant,
    /// The request that it belongs to, for the log of the peer.
    pub subject: Option<Subject>,
    /// Peers that it was given to so far.
    pub routes: u8,
    /// A peer that took some of it may have sent it.
    pub is_maybe_sent: bool,
    /// Its part of the link's bytes and places, while a link has it.
    pub seat: Option<super::peer::link::Seat>,
}

impl Forwarded {
    pub fn new(errand: Errand, taken: Instant, subject: Option<Subject>) -> Self {
        Self { errand, taken, subject, routes: 0, is_maybe_sent: false, seat: None }
    }

    /// The job of a lane of this node, for what no peer takes.
    pub fn into_job(self) -> Job {
        let mut job = self.errand.into_job(self.taken);
        if self.is_maybe_sent {
            job.mark_all_maybe_delivered();
        }
        job
    }

    /// Counts the outcomes and answers the caller with them, one for each notification. If an earlier peer may have sent
    /// the errand, an outcome other than accepted becomes unknown.
    pub fn end(self, mut outcomes: Vec<Outcome>) {
        if self.is_maybe_sent {
            for outcome in &mut outcomes {
                if outcome.kind != OutcomeKind::Accepted {
                    outcome.kind = OutcomeKind::Unknown;
                }
            }
        }
        let Errand { app, batch, reply, told, .. } = self.errand;
        if let Some(told) = told {
            let took = Instant::now().saturating_duration_since(self.taken);
            told.end(&app.key, &outcomes, u32::try_from(took.as_millis()).unwrap_or(u32::MAX));
        }
        let _ = reply.send(Ok(Sent { batch, outcomes }));
    }

    /// Ends it: provably nothing of it was sent, unless an earlier peer did. `timestamp` is in UNIX seconds.
    pub fn end_not_sent(self, reason: NodeReason, timestamp: f64) {
        let outcomes = send::not_sent(self.errand.batch.len(), reason, timestamp);
        self.end(outcomes);
    }

    /// Ends it: a peer took some of it, and no answer came.
    pub fn end_unknown(mut self, reason: NodeReason, timestamp: f64) {
        self.is_maybe_sent = true;
        self.end_not_sent(reason, timestamp);
    }

    /// Ends it with a refusal. The caller of a batch of one part gets the refusal itself; otherwise it is the outcome of
    /// this part's notifications.
    pub fn end_refused(self, refused: Refused, timestamp: f64) {
        match self.errand.room {
            Room::Own(_) if !self.is_maybe_sent => {
                let _ = self.errand.reply.send(Err(refused));
            }
            _ => self.end_not_sent(refused.reason(), timestamp),
        }
    }
}
