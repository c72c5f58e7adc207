//! The registry follows the store: at start, and where other nodes change the store too.

use super::stored::Parsed;
use super::{Inner, Registry};
use crate::credentials::Credential;
use crate::model::AppKey;
use crate::store::{AppRecord, Changes, Epoch, Revision, StoreError};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The number of apps in one read from the store.
pub(super) const AT_ONCE: usize = 256;

/// The part of the store's history that is in memory.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// `None` before anything was read.
    pub(super) epoch: Option<Epoch>,
    revision: Revision,
    /// The newest change that is in memory. A store that has lost any change in memory has lost this one.
    newest: Option<(Revision, AppKey)>,
    /// The number of the last synchronisation that succeeded.
    succeeded: u64,
    /// The last synchronisation found another history, or this one without its newest changes.
    is_foreign: bool,
    /// The store was found without changes that are in memory, and all apps have to be compared.
    has_lost: bool,
    /// The store may have forgotten removals that memory lacks, and all apps have to be compared.
    has_gap: bool,
    /// Apps in memory that the store has lost.
    lost: BTreeSet<AppKey>,
    /// The store's history takes the place of another one: all apps have other revisions there, and most are the same.
    is_moving: bool,
    /// The node seals with a key that other nodes do not have.
    lacks_key: bool,
}

impl Position {
    /// The position of apps that are in memory as the store had them at this revision.
    pub(super) fn reached(&mut self, epoch: Epoch, revision: Revision) {
        (self.epoch, self.revision) = (Some(epoch), revision);
    }

    /// Moves to another history, which takes the place of this one. The apps are kept until all were compared.
    fn move_to(&mut self, epoch: Epoch) {
        let (succeeded, lacks_key) = (self.succeeded, self.lacks_key);
        *self = Self { epoch: Some(epoch), has_gap: true, is_moving: true, succeeded, lacks_key, ..Self::default() };
    }

    /// Refuses changes that other nodes could not use, and those of a store that is foreign.
    pub(super) fn refuse_changes(&self) -> Result<(), StoreError> {
        self.refuse_without_key()?;
        self.refuse_foreign()
    }

    /// Refuses if other nodes could not open what is sealed here.
    pub(super) fn refuse_without_key(&self) -> Result<(), StoreError> {
        if self.lacks_key { Err(StoreError::KeyMissing) } else { Ok(()) }
    }

    /// Refuses changes of a store that is not the one whose apps are in memory.
    fn refuse_foreign(&self) -> Result<(), StoreError> {
        if self.is_foreign || !self.lost.is_empty() { Err(StoreError::ForeignRegistry) } else { Ok(()) }
    }

    /// Notes a change that is in memory.
    pub(super) fn note(&mut self, revision: Revision, key: &AppKey) {
        if self.newest.as_ref().is_none_or(|(newest, _)| *newest < revision) {
            self.newest = Some((revision, key.clone()));
        }
    }

    /// The revision from which on the newest change in memory is among the changes of the store, if it is not lost.
    fn before_newest(&self) -> Revision {
        let before = self.newest.as_ref().map_or(self.revision, |(newest, _)| Revision::stored(newest.number() - 1));
        before.min(self.revision)
    }

    /// Compares the history with that of an answer, after which `newest` or a later one is the store's newest revision.
    fn check(&mut self, changes: &Changes, newest: Revision) -> Result<(), StoreError> {
        let is_of_history = self.epoch.is_none_or(|epoch| epoch == changes.epoch);
        let went_back = newest < self.revision;
        self.has_lost |= went_back;
        self.has_gap |= self.epoch.is_some() && self.revision < changes.forgotten;
        self.is_foreign = !is_of_history || went_back;
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

    /// Makes no changes from now on, since other nodes could not open what is sealed here.
    pub async fn refuse_changes(&self) {
        self.inner.change.lock().await.lacks_key = true;
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

    /// Enters the changes after `position`, page by page, and moves it. Apps that the store has lost stay in memory.
    pub(super) async fn pull(&self, position: &mut Position) -> Result<(), StoreError> {
        let mut parsed = Parsed::default();
        let mut since = position.before_newest();
        let mut expected = position.newest.as_ref().map(|(_, key)| key.clone());
        loop {
            let changes = self.inner.store.changes(since, AT_ONCE).await?;
            if position.epoch.is_some_and(|epoch| epoch != changes.epoch && changes.succeeds.contains(&epoch)) {
                tracing::info!("the shared store has taken the place of the one that this node knew");
                position.move_to(changes.epoch);
                (since, expected) = (Revision::NONE, None);
                continue;
            }
            let is_last = changes.len() < AT_ONCE;
            position.check(&changes, if is_last { changes.revision } else { position.revision })?;
            for key in changes.keys() {
                position.lost.remove(key);
                expected.take_if(|expected| expected == key);
            }
            if let Some(last) = changes.last() {
                position.note(changes.revision, last);
            }
            let (epoch, reached) = (changes.epoch, changes.revision);
            parsed = self.enter_changed(changes.changed, parsed, position.is_moving).await?;
            for key in changes.removed {
                self.inner.take_out(&key).await;
            }
            since = reached;
            (position.epoch, position.revision) = (Some(epoch), reached.max(position.revision));
            if is_last {
                break;
            }
        }
        // A removal that is forgotten is no loss.
        position.has_lost |= expected.is_some() && !position.has_gap;
        if position.has_lost || position.has_gap {
            self.compare(position, parsed).await?;
        }
        position.refuse_foreign()
    }

    /// Reads all apps of the store, and enters what differs. Apps that only memory has were removed meanwhile, unless the
    /// store has lost changes.
    async fn compare(&self, position: &mut Position, mut parsed: Parsed) -> Result<(), StoreError> {
        let mut missing: BTreeSet<AppKey> = self.list().iter().map(|app| app.key.clone()).collect();
        let mut since = Revision::NONE;
        loop {
            let changes = self.inner.store.changes(since, AT_ONCE).await?;
            let is_last = changes.len() < AT_ONCE;
            position.check(&changes, if is_last { changes.revision } else { position.revision })?;
            since = changes.revision;
            for app in &changes.changed {
                missing.remove(&app.key);
            }
            parsed = self.enter_changed(changes.changed, parsed, position.is_moving).await?;
            if is_last {
                break;
            }
        }
        if position.has_lost {
            position.lost = missing;
        } else {
            for key in missing.difference(&position.lost) {
                self.inner.take_out(key).await;
            }
        }
        (position.has_lost, position.has_gap, position.is_moving) = (false, false, false);
        Ok(())
    }

    /// Enters those of the apps that are not in memory as they are. If the store `is_moving`, an app that differs only in its
    /// revision keeps its connections.
    async fn enter_changed(
        &self,
        changed: Vec<AppRecord>,
        parsed: Parsed,
        is_moving: bool,
    ) -> Result<Parsed, StoreError> {
        let inner = &self.inner;
        let is_new = |record: &AppRecord| inner.get(&record.key).is_none_or(|app| app.revision != record.revision);
        let fresh: Vec<_> = changed.into_iter().filter(is_new).collect();
        if fresh.is_empty() {
            return Ok(parsed);
        }
        let (read, parsed) = self.read_all(fresh, parsed).await?;
        for (record, credential) in read {
            inner.enter_stored(&record, credential, is_moving);
        }
        Ok(parsed)
    }

    /// Opens and reads records on a thread for blocking work: a signing key takes most of a millisecond.
    pub(super) async fn read_all(
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
