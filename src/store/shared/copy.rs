//! The copy of the apps in this node's database, which follows Redis.

use crate::model::AppKey;
use crate::store::redis::Redis;
use crate::store::sqlite::Differences;
use crate::store::{Apps, Changes, CopyState, Epoch, Revision, Sqlite, StoreError};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Apps of one read and write.
pub(super) const PAGE: usize = 256;
/// Without any change, the time of the copy is written again after so many seconds.
const CONFIRM_SECONDS: f64 = 50.0;

pub(super) struct Copy {
    redis: Arc<Redis>,
    local: Arc<Sqlite>,
    /// The state that was written last; `None` before the first look.
    state: Mutex<Option<CopyState>>,
}

impl Copy {
    pub fn new(redis: Arc<Redis>, local: Arc<Sqlite>) -> Self {
        Self { redis, local, state: Mutex::default() }
    }

    /// Brings the copy up to the newest change of the store, if the store still has this epoch.
    pub async fn follow(&self, epoch: Epoch, now: f64) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        if state.is_none() {
            *state = self.local.copy_state().await?;
        }
        let known = state.filter(|state| state.epoch == epoch);
        let since = known.map_or(Revision::NONE, |state| state.revision);
        let changes = self.redis.changes(since, PAGE).await?;
        let went_back = changes.revision < since && changes.len() < PAGE;
        if changes.epoch != epoch || went_back {
            // The registry finds it, and decides.
            return Ok(());
        }
        let is_due = known.is_none_or(|state| !(0.0..CONFIRM_SECONDS).contains(&(now - state.at)));
        if known.is_some() && changes.is_empty() && !is_due {
            return Ok(());
        }
        let is_whole = known.is_none() || since < changes.forgotten;
        let reached = if is_whole { self.bring_all(epoch).await? } else { self.bring(changes, epoch).await? };
        let Some((revision, removed)) = reached else { return Ok(()) };
        let entries = if is_due || is_whole { Some(self.redis.fingerprints().await?) } else { None };
        let new = CopyState { epoch, revision, at: now };
        let last = Differences { removed, entries, state: Some(new), ..Differences::default() };
        self.local.apply_to_copy(last).await?;
        *state = Some(new);
        Ok(())
    }

    /// Copies all apps. Returns the revision reached, and the apps that are gone; `None` if the store began another epoch
    /// meanwhile.
    async fn bring_all(&self, epoch: Epoch) -> Result<Option<(Revision, Vec<AppKey>)>, StoreError> {
        let mut gone = self.keys().await?;
        let changes = self.redis.changes(Revision::NONE, PAGE).await?;
        let reached = self
            .bring_noting(changes, epoch, |key| {
                gone.remove(key);
            })
            .await?;
        Ok(reached.map(|revision| (revision, gone.into_iter().collect())))
    }

    /// Copies these changes and those after them. Returns the revision reached; `None` if the store began another epoch
    /// meanwhile.
    async fn bring(&self, changes: Changes, epoch: Epoch) -> Result<Option<(Revision, Vec<AppKey>)>, StoreError> {
        let reached = self.bring_noting(changes, epoch, |_| {}).await?;
        Ok(reached.map(|revision| (revision, Vec::new())))
    }

    async fn bring_noting(
        &self,
        mut changes: Changes,
        epoch: Epoch,
        mut note: impl FnMut(&AppKey),
    ) -> Result<Option<Revision>, StoreError> {
        let mut since = Revision::NONE;
        loop {
            if changes.epoch != epoch || changes.revision < since {
                return Ok(None);
            }
            let is_last = changes.len() < PAGE;
            since = changes.revision;
            changes.changed.iter().for_each(|app| note(&app.key));
            if !changes.is_empty() {
                let (changed, removed) = (changes.changed, changes.removed);
                self.local.apply_to_copy(Differences { changed, removed, ..Differences::default() }).await?;
            }
            if is_last {
                return Ok(Some(since));
            }
            changes = self.redis.changes(since, PAGE).await?;
        }
    }

    /// The apps of the copy.
    async fn keys(&self) -> Result<HashSet<AppKey>, StoreError> {
        let (mut keys, mut after) = (HashSet::new(), None);
        loop {
            let page = self.local.list(after, PAGE).await?;
            after = page.last().map(|app| app.key.clone());
            keys.extend(page.into_iter().map(|app| app.key));
            if after.is_none() {
                return Ok(keys);
            }
        }
    }
}
