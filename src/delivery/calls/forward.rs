//! Calls in a cluster: the node that owns the app makes them, so that only one node has connections for them.

use super::lanes::Origin;
use super::{CallLanes, CallRefused, CallResult, CallResults, Caller};
use crate::apns::channels::Call;
use crate::clock::Clock;
use crate::delivery::metrics::CallMetrics;
use crate::delivery::peer::link::exchange::{CallEnd, CallTicket, ForwardedCalls};
use crate::delivery::peer::peers::Peers;
use crate::delivery::peer::wire::Refusal;
use crate::delivery::send::{Refused, Sending};
use crate::drain::Drain;
use crate::model::{NodeReason, Outcome, OutcomeKind};
use crate::registry::App;
use crate::subject;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Gives calls to the owner of their app, and makes those in this node that the owner does not take.
pub struct ForwardingCaller {
    pub here: Arc<CallLanes>,
    pub peers: Arc<Peers>,
    pub metrics: CallMetrics,
    pub clock: Clock,
    pub drain: Drain,
}

/// Calls that a peer has.
struct Given {
    here: Arc<CallLanes>,
    metrics: CallMetrics,
    clock: Clock,
    app: Arc<App>,
    calls: Arc<[Call]>,
    sending: Sending,
    taken: Instant,
}

impl Caller for ForwardingCaller {
    fn call(&self, app: Arc<App>, calls: Vec<Call>, sending: Sending) -> Result<CallResults, CallRefused> {
        // A frame has at least one call.
        let owner = if calls.is_empty() { None } else { self.peers.call_owner(&app.key) };
        let Some(owner) = owner else { return self.here.call_here(&app, calls, sending, Origin::Caller) };
        let room = self.here.hold(&app, &calls)?;
        let calls: Arc<[Call]> = calls.into();
        let (ticket, end) = CallTicket::new();
        let (of_app, of_calls, subject) = (Arc::clone(&app), Arc::clone(&calls), subject::current());
        owner.call(ForwardedCalls { app: of_app, calls: of_calls, sending, subject, end: ticket });
        let (here, metrics, clock) = (Arc::clone(&self.here), self.metrics.clone(), self.clock.clone());
        let given = Given { here, metrics, clock, app, calls, sending, taken: Instant::now() };
        let (reply, results) = oneshot::channel();
        let lost = (given.calls.len(), self.clock.clone());
        // A task, so that what the peer does not take is made, though the caller has gone.
        self.drain.spawn("forwarded", async move {
            let end = end.await.unwrap_or(CallEnd::Unknown(NodeReason::PeerLost));
            // A lane of this node takes its own.
            drop(room);
            let _ = reply.send(given.finish(end).await);
        });
        Ok(Box::pin(async move {
            let (count, clock) = lost;
            results.await.unwrap_or_else(|_| {
                vec![ended(OutcomeKind::Unknown, NodeReason::ConnectionLost, clock.unix_time()); count]
            })
        }))
    }
}

impl Given {
    async fn finish(self, end: CallEnd) -> Vec<CallResult> {
        match end {
            CallEnd::Answered(results) => self.count(results),
            CallEnd::Refused(refusal) => {
                let why = match refusal {
                    Refusal::Leaving => NodeReason::ShuttingDown,
                    _ => NodeReason::Overloaded,
                };
                self.end_all(OutcomeKind::NotSent, why)
            }
            CallEnd::NotMade => self.make_here(Origin::Caller).await,
            CallEnd::Unknown(_) if self.calls.iter().all(|call| call.may_repeat(self.sending.retry_unknown)) => {
                self.make_here(Origin::Repeat).await
            }
            CallEnd::Unknown(why) => self.end_all(OutcomeKind::Unknown, why),
        }
    }

    async fn make_here(self, origin: Origin) -> Vec<CallResult> {
        match self.here.call_here(&self.app, self.calls.to_vec(), self.sending, origin) {
            Ok(results) => results.await,
            Err(refused) => {
                let is_repeat = origin == Origin::Repeat && !self.calls.iter().all(Call::is_reading);
                let kind = if is_repeat { OutcomeKind::Unknown } else { OutcomeKind::NotSent };
                let why = match refused {
                    CallRefused::Refused(Refused::ShuttingDown) => NodeReason::ShuttingDown,
                    CallRefused::Refused(_) => NodeReason::Overloaded,
                    CallRefused::NoGateway { .. } => NodeReason::CannotConnect,
                };
                let detail = Arc::from(refused.to_string());
                let results = self.end_all(kind, why).into_iter();
                results.map(|result| CallResult { detail: Some(Arc::clone(&detail)), ..result }).collect()
            }
        }
    }

    fn end_all(self, kind: OutcomeKind, why: NodeReason) -> Vec<CallResult> {
        let result = ended(kind, why, self.clock.unix_time());
        let results = vec![result; self.calls.len()];
        self.count(results)
    }

    /// Counts results that no lane of this node has counted.
    fn count(&self, results: Vec<CallResult>) -> Vec<CallResult> {
        let took = Instant::now().saturating_duration_since(self.taken);
        for (call, CallResult { outcome, .. }) in self.calls.iter().zip(&results) {
            self.metrics.ended(call.name(), outcome.kind, outcome.reason.as_ref(), took);
        }
        results
    }
}

fn ended(kind: OutcomeKind, why: NodeReason, timestamp: f64) -> CallResult {
    let outcome = Outcome { kind, status: None, reason: Some(why.into()), timestamp, attempts: 0 };
    CallResult { outcome, reply: None, detail: None }
}
