//! The registry follows the store: at start, and where other nodes change the store too.

use super::stored::Parsed;
use super::{Inner, Registry};
use crate::credentials::Credential;
use crate::model::AppKey;
use crate::store::{AppRecord, Epoch, Revision, StoreError};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Apps that are read from the store at once.
const AT_ONCE: usize = 256;

/// The part of the store's history that is in memory.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// `None` before anything was read.
    epoch: Option<Epoch>,
    revision: Revision,
    /// The number of the last synchronisation that succeeded.
    succeeded: u64,
    /// The last synchronisation found another history.
    is_foreign: bool,
}

impl Position {
    /// Refuses changes of a store that is not the one whose apps are in memory.
    pub(super) fn refuse_foreign(&self) -> Result<(), StoreError> {
        if self.is_foreign { Err(StoreError::ForeignRegistry) } else { Ok(()) }
    }
}

impl Registry {
    /// Brings the changes of other nodes into memory: every change that the store had when this was called. Calls at
    /// the same time share one synchronisation. If the store began another epoch or has lost changes, memory stays as
    /// it is, and the error is [`StoreError::ForeignRegistry`].
    pub async fn sync(&self) -> Result<(), StoreError> {
        let begun = self.inner.syncs_begun.load(Ordering::SeqCst);
        let mut position = self.inner.change.lock().await;
        if position.succeeded > begun {
            return Ok(());
        }
        let number = self.inner.syncs_begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.pull(&mut position).await?;
        position.succeeded = number;
        Ok(())
    }

    /// Seals again, under the keyring's first key, what is stored under another key or in clear text, and returns the
    /// number of apps. An app that another node changes meanwhile is left to that node.
    pub async fn reseal(&self) -> Result<u64, StoreError> {
        let first = self.inner.keyring.first().id();
        if self.list().iter().all(|app| app.sealed_under == Some(first)) {
            return Ok(0);
        }
        let (mut after, mut stale) = (None, Vec::new());
        loop {
            let records = self.inner.store.list(after, AT_ONCE).await?;
            let Some(last) = records.last() else { break };
            after = Some(last.key.clone());
            stale.extend(records.into_iter().filter_map(|record| self.inner.resealed(record)));
        }
        if stale.is_empty() { Ok(0) } else { self.inner.store.put_all(stale).await }
    }

    /// Enters the changes after `position`, page by page, and moves it.
    pub(super) async fn pull(&self, position: &mut Position) -> Result<(), StoreError> {
        let inner = &self.inner;
        let mut parsed = Parsed::default();
        loop {
            let changes = inner.store.changes(position.revision, AT_ONCE).await?;
            let is_of_history = position.epoch.is_none_or(|epoch| epoch == changes.epoch);
            position.is_foreign = !is_of_history || changes.revision < position.revision;
            position.refuse_foreign()?;
            let is_last = changes.len() < AT_ONCE;
            let is_new = |record: &AppRecord| inner.get(&record.key).is_none_or(|app| app.revision != record.revision);
            let fresh: Vec<_> = changes.changed.into_iter().filter(is_new).collect();
            if !fresh.is_empty() {
                let read;
                (read, parsed) = self.read_all(fresh, parsed).await?;
                for (record, credential) in read {
                    inner.enter_stored(&record, credential);
                }
            }
            for key in changes.removed {
                inner.take_out(&key).await;
            }
            (position.epoch, position.revision) = (Some(changes.epoch), changes.revision);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Opens and reads records on a thread for blocking work: a signing key takes most of a millisecond.
    async fn read_all(
        &self,
        records: Vec<AppRecord>,
        mut parsed: Parsed,
    ) -> Result<(Vec<(AppRecord, Arc<Credential>)>, Parsed), StoreError> {
        let inner = Arc::clone(&self.inner);
        let reading = self.drain.spawn_blocking(move || {
            let read = |record: AppRecord| {
                let credential = inner.read(&record, &mut parsed);
                (record, credential)
            };
            let read = records.into_iter().map(read).collect();
            (read, parsed)
        });
        // The panic hook logs a panic.
        reading.await.map_err(|_| StoreError::Closed)
    }
}

impl Inner {
    /// Removes an app from memory, and waits until nothing serves it any more. Returns true if it was there.
    pub(super) async fn take_out(&self, key: &AppKey) -> bool {
        let was_there = self.forget(key);
        if was_there {
            self.removals.give(key.clone()).await;
        }
        was_there
    }
}
