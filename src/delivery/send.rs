//! The contract of a send: its options, the reasons to refuse it, and its outcomes.

use super::metrics::Told;
use super::split;
use crate::model::{Batch, NodeReason, Outcome, OutcomeKind};
use crate::registry::App;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The options of a send.
#[derive(Debug, Clone, Copy)]
pub struct Sending {
    /// The deadline: every outcome is known by then, and nothing is written after it.
    pub deadline: Instant,
    /// Resend notifications that Apple may have received; duplicates are then possible.
    pub retry_unknown: bool,
}

/// The reason that a batch was refused. Nothing of it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("too much is in flight for this app: send again in {retry_after_seconds} s")]
    AppOverloaded { retry_after_seconds: u32 },
    #[error("too much is in flight on this node: send again in {retry_after_seconds} s")]
    NodeOverloaded { retry_after_seconds: u32 },
    #[error("the node is shutting down: send to another node, or again later")]
    ShuttingDown,
}

/// A batch with its outcomes.
#[derive(Debug)]
pub struct Sent {
    pub batch: Arc<Batch>,
    /// One outcome per notification, in request order.
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

/// The future outcomes of a batch, from one lane or from several, merged in request order.
/// Resolves to a refusal only for a batch of one part that a peer refused.
pub struct Answer {
    /// For the log.
    app: Arc<App>,
    batch: Arc<Batch>,
    /// Counts what the lanes do not; `None` for the batch of a peer.
    told: Option<Arc<Told>>,
    awaits: Awaits,
}

/// A lane's answer to a part, with the positions of its notifications in the batch.
pub type Awaited = (oneshot::Receiver<Reply>, Vec<u32>);

#[derive(Debug)]
enum Awaits {
    Lane(oneshot::Receiver<Reply>),
    Lanes { parts: Vec<Awaited>, outcomes: Vec<Outcome> },
}

impl Answer {
    /// The answer of one lane to the whole batch.
    pub fn of_lane(
        app: Arc<App>,
        batch: Arc<Batch>,
        answer: oneshot::Receiver<Reply>,
        told: Option<Arc<Told>>,
    ) -> Self {
        Self { app, batch, told, awaits: Awaits::Lane(answer) }
    }

    /// The answers of several lanes to a part each.
    pub fn of_lanes(app: Arc<App>, batch: Arc<Batch>, parts: Vec<Awaited>, told: Option<Arc<Told>>) -> Self {
        let outcomes = lost(batch.len());
        Self { app, batch, told, awaits: Awaits::Lanes { parts, outcomes } }
    }
}

impl Future for Answer {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        let Self { app, batch, told, awaits } = &mut *self;
        let outcomes = match awaits {
            Awaits::Lane(answer) => match ready!(Pin::new(answer).poll(cx)) {
                Ok(reply) => return Poll::Ready(reply),
                Err(_) => {
                    note_lost(app, batch.len(), told.as_deref());
                    lost(batch.len())
                }
            },
            Awaits::Lanes { parts, outcomes } => {
                // One after the other, since all of them are needed.
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
                        Err(_) => note_lost(app, positions.len(), told.as_deref()),
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

fn note_lost(app: &App, count: usize, told: Option<&Told>) {
    if let Some(told) = told {
        told.end_taken(&app.key, &lost(count), 0);
    }
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
    async fn the_answer_of_several_lanes_is_complete_when_the_last_of_them_answers() {
        let (batch, part) = (batch(3), batch(1));
        let (one, from_one) = oneshot::channel();
        let (other, from_other) = oneshot::channel();
        let mut answer =
            Answer::of_lanes(app(), Arc::clone(&batch), vec![(from_one, vec![1]), (from_other, vec![0, 2])], None);
        other.send(Ok(Sent { batch: Arc::clone(&part), outcomes: vec![accepted(0.0), accepted(2.0)] })).unwrap();
        let now = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut answer).poll(cx).is_ready())).await;
        assert!(!now, "one is missing");
        one.send(Ok(Sent { batch: part, outcomes: vec![accepted(1.0)] })).unwrap();
        let sent = answer.await.unwrap();
        assert!(Arc::ptr_eq(&sent.batch, &batch));
        assert_eq!(kinds_and_times(&sent), [0.0, 1.0, 2.0].map(|at| (OutcomeKind::Accepted, at)));
    }

    #[tokio::test]
    async fn the_items_of_a_dead_lane_are_unknown_and_the_outcomes_of_other_lanes_are_kept() {
        let (one, from_one) = oneshot::channel();
        let (_, from_other) = oneshot::channel();
        let answer = Answer::of_lanes(app(), batch(2), vec![(from_one, vec![1]), (from_other, vec![0])], None);
        one.send(Ok(Sent { batch: batch(1), outcomes: vec![accepted(1.0)] })).unwrap();
        assert_eq!(
            kinds_and_times(&answer.await.unwrap()),
            [(OutcomeKind::Unknown, 0.0), (OutcomeKind::Accepted, 1.0)]
        );
        let (_, from_lane) = oneshot::channel();
        assert_eq!(
            kinds_and_times(&Answer::of_lane(app(), batch(1), from_lane, None).await.unwrap()),
            [(OutcomeKind::Unknown, 0.0)]
        );
    }

    #[tokio::test]
    async fn an_answer_of_no_lane_is_empty() {
        assert!(Answer::of_lanes(app(), batch(0), Vec::new(), None).await.unwrap().outcomes.is_empty());
    }
}
