//! Notice of removed apps: whatever serves an app ends with it, wherever the removal came from.

use crate::model::AppKey;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Removals that may wait for their reader. More wait with those who remove.
const WAITING_MAX: usize = 64;

/// The app that was removed. Dropping it says that everything which served the app has been ended; until then the
/// registry changes no app.
#[derive(Debug)]
pub struct Removal {
    pub key: AppKey,
    _ended: oneshot::Sender<()>,
}

/// The removals of a registry, for one reader.
#[derive(Debug)]
pub struct Removals(mpsc::Receiver<Removal>);

impl Removals {
    /// The next removal; `None` once the registry has been dropped.
    pub async fn next(&mut self) -> Option<Removal> {
        self.0.recv().await
    }
}

/// The registry's side. Without a reader nothing waits.
#[derive(Debug, Default)]
pub(super) struct Notice(Mutex<Option<mpsc::Sender<Removal>>>);

impl Notice {
    /// Makes the reader's side, in place of an earlier one.
    pub(super) fn reader(&self) -> Removals {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Removals(receiver)
    }

    /// Resolves once the reader has dealt with the removal, or if there is none.
    pub(super) async fn give(&self, key: AppKey) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(sender) = sender else { return };
        let (ended, is_ended) = oneshot::channel();
        if sender.send(Removal { key, _ended: ended }).await.is_ok() {
            // It is dropped without a word.
            let _ = is_ended.await;
        }
    }
}
