//! The one door of delivery: a valid batch goes in, an outcome for each of its notifications comes out.

use super::admission::Pool;
use super::job::Job;
use super::lanes::{Lanes, NotTaken};
use super::status::Seen;
use crate::model::{AppKey, Batch, NodeReason, Outcome, OutcomeKind};
use crate::registry::App;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How a batch is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Sending {
    /// Every outcome is there by then; nothing is written after it.
    pub deadline: Instant,
    /// Resend what Apple may have got already; a duplicate is then possible.
    pub retry_unknown: bool,
}

/// A batch and what became of it.
#[derive(Debug)]
pub struct Sent {
    pub batch: Arc<Batch>,
    /// In request order, one for each notification.
    pub outcomes: Vec<Outcome>,
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

/// Bounds on what is in flight, in bytes of request bodies.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub node_bytes: usize,
    pub app_bytes: usize,
}

/// After how long a refused caller may try again.
const RETRY_AFTER_SECONDS: u32 = 1;

/// See the module.
pub struct Intake {
    lanes: Lanes,
    limits: Limits,
    node: Arc<Pool>,
    apps: Mutex<HashMap<AppKey, Arc<Pool>>>,
}

impl Intake {
    pub fn new(lanes: Lanes, limits: Limits) -> Self {
        let node = Pool::shown_by(limits.node_bytes, lanes.metrics().queue_bytes.clone());
        Self { lanes, limits, node, apps: Mutex::default() }
    }

    /// Sends a batch and waits for all its outcomes. A caller that stops waiting stops nothing.
    pub async fn send(&self, app: Arc<App>, batch: Batch, sending: Sending) -> Result<Sent, Refused> {
        Ok(self.submit(app, Arc::new(batch), sending)?.await)
    }

    /// Takes a batch, or refuses it at once; what was taken is sent, whether anybody waits for the answer or not.
    pub fn submit(&self, app: Arc<App>, batch: Arc<Batch>, sending: Sending) -> Result<Answer, Refused> {
        let bytes = batch.bytes_held();
        let retry_after_seconds = RETRY_AFTER_SECONDS;
        let of_node = self.node.take(bytes).ok_or(Refused::NodeOverloaded { retry_after_seconds })?;
        let of_app = self.pool(&app.key).take(bytes).ok_or(Refused::AppOverloaded { retry_after_seconds })?;
        let (reply, answer) = oneshot::channel();
        let kept = Arc::clone(&batch);
        let job = Job::new(app, batch, Instant::now(), sending, reply, [of_node, of_app]);
        let (metrics, count) = (self.lanes.metrics(), kept.len());
        metrics.queued.add(count as i64);
        if let Err(refusal) = self.lanes.submit(job) {
            metrics.queued.sub(count as i64);
            return Err(match refusal {
                NotTaken::Full(_) => Refused::AppOverloaded { retry_after_seconds },
                NotTaken::Closed(_) => Refused::ShuttingDown,
            });
        }
        metrics.taken.inc_by(count as u64);
        Ok(Answer { answer, batch: kept })
    }

    /// How the app's sending is.
    pub fn seen(&self, app: &App) -> Seen {
        self.lanes.metrics().board.seen(app)
    }

    /// The app is gone: what is in flight finishes, its connections close.
    pub fn remove(&self, key: &AppKey) {
        self.lanes.remove(key);
        self.apps.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Takes nothing more; what was taken is finished.
    pub fn close(&self) {
        self.lanes.close();
    }

    fn pool(&self, key: &AppKey) -> Arc<Pool> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        match apps.get(key) {
            Some(pool) => Arc::clone(pool),
            None => Arc::clone(apps.entry(key.clone()).or_insert_with(|| Pool::new(self.limits.app_bytes))),
        }
    }
}

/// The outcomes of a batch, to be waited for.
#[derive(Debug)]
pub struct Answer {
    answer: oneshot::Receiver<Sent>,
    batch: Arc<Batch>,
}

impl Future for Answer {
    type Output = Sent;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Sent> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(answer.unwrap_or_else(|_| lost(Arc::clone(&self.batch))))
    }
}

/// The lane went down without a word (a bug of ours): nobody knows what Apple got.
fn lost(batch: Arc<Batch>) -> Sent {
    let count = batch.len();
    tracing::error!(count, "a lane ended without answering");
    let outcome = Outcome {
        kind: OutcomeKind::Unknown,
        status: None,
        reason: Some(NodeReason::ConnectionLost.into()),
        timestamp: 0.0,
        attempts: 1,
    };
    Sent { batch, outcomes: vec![outcome; count] }
}
