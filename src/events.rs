//! What operators read afterwards, dead tokens and the disconnection log: made here, kept by the store.

pub mod disconnection;
pub mod feedback;
pub mod unwritten;

use crate::model::{AppKey, Disconnection, Feedback};
use crate::store::{self, Counts, Cursor, Page, StoreError};
use std::sync::Arc;
use unwritten::Unwritten;

/// Records events and gives them back. Clones are handles to the same lists.
#[derive(Clone)]
pub struct Events {
    store: Arc<dyn store::Events>,
    unwritten: Unwritten,
}

impl Events {
    pub fn new(store: Arc<dyn store::Events>) -> Self {
        Self { store, unwritten: Unwritten::default() }
    }

    /// Resolves once all of it is durable; to be awaited before a caller is told the outcomes it stems from.
    /// Incidents of one batch that have the same app, reason and status become one entry that counts those affected.
    pub async fn record(&self, feedback: Vec<Feedback>, disconnections: Vec<Disconnection>) -> Result<(), StoreError> {
        if feedback.is_empty() && disconnections.is_empty() {
            return Ok(());
        }
        self.store.record(feedback, disconnection::fold_incidents(disconnections)).await
    }

    /// What waits until the store can be written, see [`Self::write_later`].
    pub fn unwritten(&self) -> &Unwritten {
        &self.unwritten
    }

    /// At most `limit` dead tokens behind the cursor.
    pub async fn feedback(&self, app: &AppKey, after: Cursor, limit: usize) -> Result<Page<Feedback>, StoreError> {
        self.store.feedback(app.clone(), after, limit).await
    }

    /// At most `limit` entries of the disconnection log behind the cursor.
    pub async fn disconnections(
        &self,
        app: &AppKey,
        after: Cursor,
        limit: usize,
    ) -> Result<Page<Disconnection>, StoreError> {
        self.store.disconnections(app.clone(), after, limit).await
    }

    /// Forgets the feedback up to and with the cursor: how many entries that were.
    pub async fn acknowledge_feedback(&self, app: &AppKey, through: Cursor) -> Result<u64, StoreError> {
        self.store.acknowledge_feedback(app.clone(), through).await
    }

    /// Forgets the disconnections up to and with the cursor: how many entries that were.
    pub async fn acknowledge_disconnections(&self, app: &AppKey, through: Cursor) -> Result<u64, StoreError> {
        self.store.acknowledge_disconnections(app.clone(), through).await
    }

    /// Whether what is recorded would be kept.
    pub async fn can_record(&self) -> Result<(), StoreError> {
        self.store.try_writing().await
    }

    /// How many entries wait to be acknowledged.
    pub async fn counts(&self, app: &AppKey) -> Result<Counts, StoreError> {
        self.store.counts(app.clone()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppId, AppleReason, Environment};
    use crate::store::Memory;

    #[tokio::test]
    async fn what_was_recorded_is_listed_until_it_is_acknowledged() {
        let events = Events::new(Arc::new(Memory::new()));
        let app = AppKey::new(AppId::new("shop").unwrap(), Environment::Production);
        let reason = "Unregistered".to_owned();
        let dead = Feedback { app: app.clone(), token: "00fc".to_owned(), reason, timestamp: 1.0 };
        let ended = disconnection::of_connection(&app, &AppleReason::Shutdown.into(), 2, 1.0).unwrap();
        events.record(vec![dead.clone()], vec![ended.clone(), ended.clone()]).await.unwrap();
        events.record(vec![], vec![]).await.unwrap();

        let feedback = events.feedback(&app, Cursor::START, 10).await.unwrap();
        let log = events.disconnections(&app, Cursor::START, 10).await.unwrap();
        assert_eq!(feedback.entries, [dead]);
        assert_eq!(log.entries, [Disconnection { affected: 4, ..ended }]);
        assert_eq!(events.counts(&app).await.unwrap(), Counts { feedback: 1, disconnections: 1 });

        assert_eq!(events.acknowledge_feedback(&app, feedback.cursor).await.unwrap(), 1);
        assert_eq!(events.acknowledge_disconnections(&app, log.cursor).await.unwrap(), 1);
        assert_eq!(events.counts(&app).await.unwrap(), Counts::default());
    }
}
