//! The contract of a send: how a batch is sent, why it is refused, and the outcomes that its caller waits for.

use super::split;
use crate::model::{Batch, NodeReason, Outcome, OutcomeKind};
use crate::registry::App;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The way in which a batch is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Sending {
    /// Every outcome is there by then; nothing is written after it.
    pub deadline: Instant,
    /// Resend what Apple may have got already; a duplicate is then possible.
    pub retry_unknown: bool,
}

/// Why a batch was not taken. Nothing of it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("too much is in flight for this app: send again in {retry_after_seconds} s")]
    AppOverloaded { retry_after_seconds: u32 },
    #[error("too much is in flight on this node: send again in {retry_after_seconds} s")]
    NodeOverloaded { retry_after_seconds: u32 },
    #[error("the node is shutting down: send to another one, or again later")]
    ShuttingDown,
}

/// A batch and what became of it.
#[derive(Debug)]
pub struct Sent {
    pub batch: Arc<Batch>,
    /// In request order, one for each notification.
    pub outcomes: Vec<Outcome>,
}

impl Refused {
    /// The reason of a notification that ends so.
    pub fn reason(self) -> NodeReason {
        match self {
            Self::AppOverloaded { .. } | Self::NodeOverloaded { .. } => NodeReason::Overloaded,
            Self::ShuttingDown => NodeReason::ShuttingDown,
        }
    }
}

/// The end of a part that a lane or a peer took: its outcomes. A peer may still refuse it; nothing of it was sent then.
pub type Reply = Result<Sent, Refused>;

/// The outcomes of a batch, to be waited for: of one lane, or of several and put together again in request order.
/// Resolves to a refusal only for a batch of one part that a peer refused.
#[derive(Debug)]
pub struct Answer {
    /// For the log.
    app: Arc<App>,
    batch: Arc<Batch>,
    awaits: Awaits,
}

/// The answer to one part, and where its notifications stand in the whole.
pub type Awaited = (oneshot::Receiver<Reply>, Vec<u32>);

#[derive(Debug)]
enum Awaits {
    Lane(oneshot::Receiver<Reply>),
    Lanes { parts: Vec<Awaited>, outcomes: Vec<Outcome> },
}

impl Answer {
    /// That of one lane to the whole batch.
    pub fn of_lane(app: Arc<App>, batch: Arc<Batch>, answer: oneshot::Receiver<Reply>) -> Self {
        Self { app, batch, awaits: Awaits::Lane(answer) }
    }

    /// Those of several lanes to a part each.
    pub fn of_lanes(app: Arc<App>, batch: Arc<Batch>, parts: Vec<Awaited>) -> Self {
        let outcomes = lost(batch.len());
        Self { app, batch, awaits: Awaits::Lanes { parts, outcomes } }
    }
}

impl Future for Answer {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        let Self { app, batch, awaits } = &mut *self;
        let outcomes = match awaits {
            Awaits::Lane(answer) => match ready!(Pin::new(answer).poll(cx)) {
                Ok(reply) => return Poll::Ready(reply),
                Err(_) => {
                    log_lost(app, batch.len());
                    lost(batch.len())
                }
            },
            Awaits::Lanes { parts, outcomes } => {
                // One after the other: the answer is only there when all of them are.
                while let Some((answer, positions)) = parts.last_mut() {
                    match ready!(Pin::new(answer).poll(cx)) {
                        Ok(Ok(sent)) => split::merge_outcomes(sent.outcomes, positions, outcomes),
                        Ok(Err(refused)) => {
                            split::merge_outcomes(
                                not_sent(positions.len(), refused.reason(), 0.0),
                                positions,
                                outcomes,
                            );
                        }
                        Err(_) => log_lost(app, positions.len()),
                    }
                    parts.pop();
                }
                std::mem::take(outcomes)
            }
        };
        Poll::Ready(Ok(Sent { batch: Arc::clone(batch), outcomes }))
    }
}

/// The outcomes of notifications that no attempt was made for. `timestamp` is in UNIX seconds.
pub fn not_sent(count: usize, reason: NodeReason, timestamp: f64) -> Vec<Outcome> {
    let kind = OutcomeKind::NotSent;
    vec![Outcome { kind, status: None, reason: Some(reason.into()), timestamp, attempts: 0 }; count]
}

fn log_lost(app: &App, count: usize) {
    tracing::error!(app = %app.key, count, "a lane task died without answering: Apple may have received its notifications");
}

/// The outcomes of a lane task that died (a bug): Apple may have received these notifications.
fn lost(count: usize) -> Vec<Outcome> {
    let outcome = Outcome {
        kind: OutcomeKind::Unknown,
        status: None,
        reason: Some(NodeReason::ConnectionLost.into()),
        timestamp: 0.0,
        attempts: 1,
    };
    vec![outcome; count]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Draft;

    fn batch(count: usize) -> Arc<Batch> {
        let mut batch = Batch::default();
        for _ in 0..count {
            batch.push(Draft { token: "00fc", payload: "{}", ..Draft::default() }, uuid::Uuid::new_v4).unwrap();
        }
        Arc::new(batch)
    }

    fn app() -> Arc<App> {
        Arc::new(App::sample())
    }

    fn accepted(timestamp: f64) -> Outcome {
        Outcome { kind: OutcomeKind::Accepted, status: Some(200), reason: None, timestamp, attempts: 1 }
    }

    fn kinds_and_times(sent: &Sent) -> Vec<(OutcomeKind, f64)> {
        sent.outcomes.iter().map(|outcome| (outcome.kind, outcome.timestamp)).collect()
    }

    #[tokio::test]
    async fn an_answer_of_several_lanes_is_there_when_the_last_of_them_is() {
        let (batch, part) = (batch(3), batch(1));
        let (one, from_one) = oneshot::channel();
        let (other, from_other) = oneshot::channel();
        let mut answer =
            Answer::of_lanes(app(), Arc::clone(&batch), vec![(from_one, vec![1]), (from_other, vec![0, 2])]);
        other.send(Ok(Sent { batch: Arc::clone(&part), outcomes: vec![accepted(0.0), accepted(2.0)] })).unwrap();
        let now = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut answer).poll(cx).is_ready())).await;
        assert!(!now, "one is missing");
        one.send(Ok(Sent { batch: part, outcomes: vec![accepted(1.0)] })).unwrap();
        let sent = answer.await.unwrap();
        assert!(Arc::ptr_eq(&sent.batch, &batch));
        assert_eq!(kinds_and_times(&sent), [0.0, 1.0, 2.0].map(|at| (OutcomeKind::Accepted, at)));
    }

    #[tokio::test]
    async fn what_a_lane_lost_is_unknown_and_the_others_outcomes_stand() {
        let (one, from_one) = oneshot::channel();
        let (_, from_other) = oneshot::channel();
        let answer = Answer::of_lanes(app(), batch(2), vec![(from_one, vec![1]), (from_other, vec![0])]);
        one.send(Ok(Sent { batch: batch(1), outcomes: vec![accepted(1.0)] })).unwrap();
        assert_eq!(
            kinds_and_times(&answer.await.unwrap()),
            [(OutcomeKind::Unknown, 0.0), (OutcomeKind::Accepted, 1.0)]
        );
        let (_, from_lane) = oneshot::channel();
        assert_eq!(
            kinds_and_times(&Answer::of_lane(app(), batch(1), from_lane).await.unwrap()),
            [(OutcomeKind::Unknown, 0.0)]
        );
    }

    #[tokio::test]
    async fn an_answer_of_no_lane_is_empty() {
        assert!(Answer::of_lanes(app(), batch(0), Vec::new()).await.unwrap().outcomes.is_empty());
    }
}
