//! The one door to sending.

use crate::model::{Batch, Outcome};
use crate::registry::App;
use std::sync::Arc;
use tokio::time::Instant;

/// Takes batches and answers with what became of them.
#[derive(Debug, Clone, Copy)]
pub struct Intake;

/// How a batch is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Sending {
    /// Nothing is written after this.
    pub deadline: Instant,
    /// Whether what Apple may have is sent again.
    pub retry_unknown: bool,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Sent {
    pub batch: Arc<Batch>,
    /// One a notification, in request order.
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

impl Intake {
    pub async fn send(&self, _app: Arc<App>, _batch: Batch, _sending: Sending) -> Result<Sent, Refused> {
        Err(Refused::ShuttingDown)
    }
}
