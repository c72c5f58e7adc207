//! The start of a node beside a shared store that does not answer, and the recovery of a shared store that has lost apps.

use super::sync::{AT_ONCE, Position};
use super::{Registry, finished};
use crate::clock::Clock;
use crate::credentials::{Keyring, check};
use crate::drain::Drain;
use crate::store::{Apps, Epoch, Expect, Recovery, Revision, StoreError};
use std::sync::Arc;

/// The registry of a node that has started.
pub struct Loaded {
    pub registry: Registry,
    /// The time of the copy that the node had, UNIX seconds; `None` if it had none.
    pub copied_at: Option<f64>,
    /// The reason that the shared store could not be read.
    pub failure: Option<StoreError>,
}

/// An operator's decision on a shared store that has lost apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recover {
    /// The store gets the apps of this node's copy. Of an app that both have, the one that changed last stays.
    WriteBack,
    /// All nodes take the apps that the store has, and no others.
    Accept,
}

/// The result of a recovery, or of sealing again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Apps that were written to the store: those of the copy, or those whose credential was sealed again.
    pub written: u64,
    /// Apps that the node has then.
    pub apps: u64,
    /// Those of them whose credential is still sealed under another key, after sealing again: it does not open, or somebody
    /// provisioned the app meanwhile.
    pub left: u64,
}

impl Registry {
    /// Loads the apps of this node's copy, and then the changes of the shared store. A store that does not answer, or has
    /// lost apps, leaves the node with its copy.
    pub async fn load_with_copy(
        store: Arc<dyn Apps>,
        recovery: Arc<dyn Recovery>,
        keyring: Keyring,
        clock: Clock,
        drain: Drain,
    ) -> Result<Loaded, StoreError> {
        let registry = Self::empty(store, true, Some(Arc::clone(&recovery)), keyring, clock, drain);
        let copied_at = registry.enter_copy(&*recovery).await?;
        let failure = registry.sync().await.err();
        Ok(Loaded { registry, copied_at, failure })
    }

    /// The epoch of the store whose apps are in memory; `None` before anything was read.
    pub async fn epoch(&self) -> Option<Epoch> {
        self.inner.change.lock().await.epoch
    }

    /// Puts the apps of the copy into memory. Returns the time of the copy.
    async fn enter_copy(&self, recovery: &dyn Recovery) -> Result<Option<f64>, StoreError> {
        let Some(state) = recovery.copy_state().await? else { return Ok(None) };
        let mut position = self.inner.change.lock().await;
        let (mut after, mut parsed) = (None, super::stored::Parsed::default());
        loop {
            let page = recovery.copied(after, AT_ONCE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            let (read, next) = self.read_all(page, parsed).await?;
            parsed = next;
            for (record, credential) in read {
                position.note(record.revision, &record.key);
                self.inner.enter(&record, credential);
            }
            position.reached(state.epoch, state.revision);
        }
        Ok(Some(state.at))
    }

    /// Ends the state in which the shared store has lost apps, or another store is in its place. Does nothing otherwise. A
    /// caller that disconnects does not stop it. After an error, it can be called again.
    pub async fn recover(&self, how: Recover) -> Result<Recovered, StoreError> {
        let registry = self.clone();
        let recovering = async move {
            let mut position = registry.inner.change.lock().await;
            registry.recover_at(&mut position, how).await
        };
        finished(self.drain.spawn("recover", recovering)).await
    }

    /// Seals all stored credentials under the first key of this node, for an operator who changes the key of a cluster. A
    /// caller that disconnects does not stop it. After an error, it can be called again.
    pub async fn reseal_shared(&self) -> Result<Recovered, StoreError> {
        let registry = self.clone();
        let sealing = async move {
            let mut position = registry.inner.change.lock().await;
            if registry.inner.recovery.is_none() {
                return Err(StoreError::NotShared);
            }
            position.refuse_without_key()?;
            registry.pull(&mut position).await?;
            let written = registry.reseal().await?;
            registry.pull(&mut position).await?;
            let (apps, first) = (registry.list(), registry.inner.keyring.first().id());
            let left = apps.iter().filter(|app| app.sealed_under != Some(first)).count() as u64;
            Ok(Recovered { written, apps: apps.len() as u64, left })
        };
        finished(self.drain.spawn("reseal", sealing)).await
    }

    async fn recover_at(&self, position: &mut Position, how: Recover) -> Result<Recovered, StoreError> {
        let recovery = self.inner.recovery.as_deref().ok_or(StoreError::NotShared)?;
        let mut recovered = Recovered::default();
        position.refuse_without_key()?;
        match self.pull(position).await {
            Err(StoreError::ForeignRegistry) => {
                let present = self.inner.store.changes(Revision::NONE, 1).await?.epoch;
                let known = position.epoch.unwrap_or(present);
                if how == Recover::WriteBack {
                    recovered.written = self.write_back(recovery).await?;
                }
                recovery.restore_check(check::seal(&self.inner.keyring)).await?;
                // Another epoch makes all nodes compare all apps: an app that a snapshot brings back has an old revision.
                recovery.succeed(present, known).await?;
                self.pull(position).await?;
                tracing::warn!(?how, written = recovered.written, "an operator has recovered the registry");
            }
            pulled => pulled?,
        }
        recovered.apps = self.list().len() as u64;
        Ok(recovered)
    }

    /// Gives the store the apps of the copy that it lacks, or has from an earlier time. Returns their number.
    async fn write_back(&self, recovery: &dyn Recovery) -> Result<u64, StoreError> {
        let (mut written, mut after) = (0, None);
        loop {
            let page = recovery.copied(after, AT_ONCE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for app in page {
                let expect = match self.inner.store.get(app.key.clone()).await? {
                    None => Expect::Absent,
                    Some(stored) if stored.revision < app.revision => Expect::Is(stored.revision),
                    Some(_) => continue,
                };
                match self.inner.store.put(app, expect).await {
                    Ok(_) => written += 1,
                    // A caller has just provisioned it.
                    Err(StoreError::Conflict { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        recovery.restore_entries().await?;
        Ok(written)
    }
}
