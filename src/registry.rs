//! The provisioned apps: written to the store, read from memory.

mod app;
pub mod choice;
mod error;
mod expiry;
mod recovery;
mod removal;
mod stored;
mod sync;
pub mod topic;

pub use app::{App, LANES_DEFAULT, LANES_MAX, Provision, TIMEOUT_SECONDS_DEFAULT, TIMEOUT_SECONDS_MAX};
pub use error::ProvisionError;
pub use recovery::{Loaded, Recover, Recovered};
pub use removal::{Removal, Removals};

use crate::clock::Clock;
use crate::credentials::{Credential, CredentialError, Keyring, sealed};
use crate::drain::Drain;
use crate::model::AppKey;
use crate::store::{AppRecord, Apps, EntryRecord, Expect, Recovery, Revision, StoreError};
use choice::Asked;
use removal::Notice;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use sync::Position;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Creates, changes, removes and finds apps. Clones are handles to the same registry.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
    drain: Drain,
}

struct Inner {
    store: Arc<dyn Apps>,
    /// Other nodes change the store too.
    is_shared: bool,
    /// The means to recover the apps of a shared store.
    recovery: Option<Arc<dyn Recovery>>,
    keyring: Keyring,
    clock: Clock,
    /// Sorted, so that a page is found without a scan.
    apps: RwLock<BTreeMap<AppKey, Arc<App>>>,
    /// Allows one change at a time, so that store and memory have the same order.
    change: Mutex<Position>,
    syncs_begun: AtomicU64,
    last_generation: AtomicU64,
    removals: Notice,
}

impl Registry {
    /// Loads the apps of the store. An app with an unreadable credential is loaded as unusable and logged, so that the
    /// other apps work. An app with an expired certificate is loaded: Apple's answers tell its callers. A credential
    /// that is not sealed under the keyring's first key is sealed again.
    pub async fn load(store: Arc<dyn Apps>, keyring: Keyring, clock: Clock, drain: Drain) -> Result<Self, StoreError> {
        let registry = Self::read(store, false, keyring, clock, drain).await?;
        let key = registry.inner.keyring.first().id();
        match registry.reseal().await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(count, %key, "sealed stored credentials under the first key");
                registry.sync().await?;
            }
            // They open as they are, and a full disk is no reason to send nothing.
            Err(error @ StoreError::Full) => {
                tracing::error!(%error, %key, "stored credentials are not sealed under the first key: tried again at the next start");
            }
            Err(error) => return Err(error),
        }
        Ok(registry)
    }

    /// Reads the apps of a store that other nodes change too, as [`Self::load`] does; [`Self::sync`] follows their
    /// changes. Nothing is sealed again: nodes whose keys are in another order would do it in turn for ever.
    pub async fn load_shared(
        store: Arc<dyn Apps>,
        keyring: Keyring,
        clock: Clock,
        drain: Drain,
    ) -> Result<Self, StoreError> {
        Self::read(store, true, keyring, clock, drain).await
    }

    async fn read(
        store: Arc<dyn Apps>,
        is_shared: bool,
        keyring: Keyring,
        clock: Clock,
        drain: Drain,
    ) -> Result<Self, StoreError> {
        let registry = Self::empty(store, is_shared, None, keyring, clock, drain);
        registry.sync().await?;
        Ok(registry)
    }

    /// One that has read nothing yet.
    fn empty(
        store: Arc<dyn Apps>,
        is_shared: bool,
        recovery: Option<Arc<dyn Recovery>>,
        keyring: Keyring,
        clock: Clock,
        drain: Drain,
    ) -> Self {
        let inner = Inner {
            store,
            is_shared,
            recovery,
            keyring,
            clock,
            apps: RwLock::default(),
            change: Mutex::default(),
            syncs_begun: AtomicU64::default(),
            last_generation: AtomicU64::default(),
            removals: Notice::default(),
        };
        Self { inner: Arc::new(inner), drain }
    }

    /// True if other nodes change the store too.
    pub fn is_shared(&self) -> bool {
        self.inner.is_shared
    }

    /// The keys of stored credentials.
    pub fn keyring(&self) -> &Keyring {
        &self.inner.keyring
    }

    /// The apps that are removed from now on, by this node or another. While a reader exists, a removal waits for it.
    pub fn removals(&self) -> Removals {
        self.inner.removals.reader()
    }

    /// The current app of a key.
    pub fn get(&self, key: &AppKey) -> Option<Arc<App>> {
        self.inner.get(key)
    }

    /// All apps, sorted by key.
    pub fn list(&self) -> Vec<Arc<App>> {
        self.page(None, usize::MAX, |_| true)
    }

    /// Returns at most `limit` of the wanted apps after a key, sorted by key.
    pub fn page(&self, after: Option<&AppKey>, limit: usize, wanted: impl Fn(&AppKey) -> bool) -> Vec<Arc<App>> {
        let apps = self.inner.apps.read().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(Unbounded, Excluded);
        let apps = apps.range::<AppKey, _>((from, Unbounded)).filter(|(key, _)| wanted(key)).take(limit);
        apps.map(|(_, app)| Arc::clone(app)).collect()
    }

    /// Checks and stores an app, and then replaces the app in memory. A caller that disconnects does not stop the
    /// change.
    pub async fn provision(&self, wanted: Provision) -> Result<Arc<App>, ProvisionError> {
        let credential = self.inner.check(&wanted)?;
        let expect = wanted.expect;
        let material = choice::kept(&credential, wanted.material)?;
        let record = AppRecord {
            credential: sealed::seal(&self.inner.keyring, &wanted.key, &material),
            key: wanted.key,
            certificate_path: wanted.certificate_path,
            topic: wanted.topic,
            timeout_seconds: wanted.timeout_seconds,
            lanes: wanted.lanes,
            entry: wanted.entry,
            revision: Revision::NONE,
        };
        let inner = self.inner.clone();
        let change = self.drain.spawn("provision", async move {
            let mut position = inner.change.lock().await;
            position.refuse_changes()?;
            let revision = inner.store.put(record.clone(), expect).await?;
            position.note(revision, &record.key);
            Ok::<_, StoreError>(inner.enter(&AppRecord { revision, ..record }, Arc::new(credential)))
        });
        Ok(finished(change).await?)
    }

    /// Removes an app and its events. Returns true if the app existed. A caller that disconnects does not stop the
    /// change.
    pub async fn remove(&self, key: &AppKey, expect: Expect) -> Result<bool, StoreError> {
        let (inner, key) = (self.inner.clone(), key.clone());
        finished(self.drain.spawn("remove", async move {
            let mut position = inner.change.lock().await;
            position.refuse_changes()?;
            let removal = inner.store.delete(key.clone(), expect).await?;
            if let Some(revision) = removal {
                position.note(revision, &key);
            }
            Ok(inner.take_out(&key).await || removal.is_some())
        }))
        .await
    }

    /// The configuration's entries that were applied, by app.
    pub async fn entries(&self) -> Result<HashMap<AppKey, EntryRecord>, StoreError> {
        let entries = self.inner.store.entries().await?;
        Ok(entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect())
    }

    /// Replaces the fingerprint of an applied entry. Its app stays unchanged.
    pub async fn file_entry(&self, key: &AppKey, fingerprint: String) -> Result<(), StoreError> {
        self.inner.store.file_entry(key.clone(), fingerprint).await
    }

    /// Removes the app and events of an entry that was removed from the configuration, unless the app was changed over
    /// the API. Returns true if it removed the app.
    pub async fn remove_entry(&self, key: &AppKey) -> Result<bool, StoreError> {
        let (inner, key) = (self.inner.clone(), key.clone());
        finished(self.drain.spawn("remove", async move {
            let position = inner.change.lock().await;
            position.refuse_changes()?;
            let was_removed = inner.store.delete_entry(key.clone()).await?;
            if was_removed {
                inner.take_out(&key).await;
            }
            Ok(was_removed)
        }))
        .await
    }
}

/// Reports a change that panicked, or that the end of the runtime cancelled, as a closed store.
async fn finished<T>(change: JoinHandle<Result<T, StoreError>>) -> Result<T, StoreError> {
    change.await.unwrap_or(Err(StoreError::Closed))
}

impl Inner {
    fn check(&self, wanted: &Provision) -> Result<Credential, ProvisionError> {
        let now = self.clock.unix_seconds();
        let asked = Asked { key: &wanted.key, topic: wanted.topic.as_deref(), now };
        let credential = match choice::choose(&wanted.material, asked) {
            Err(refused) if wanted.even_unfit => {
                let first = Credential::parse(&wanted.material)?;
                tracing::error!(app = %wanted.key, "uses the first certificate of the file, as 0.6 did; Apple may refuse it: {refused}");
                first
            }
            chosen => chosen?.tell(&wanted.key),
        };
        match credential.check(wanted.key.environment, now) {
            Err(CredentialError::Expired { .. }) if wanted.even_expired => {}
            checked => checked?,
        }
        match topic::check(wanted.topic.as_deref(), &credential, &wanted.key.id) {
            Err(ProvisionError::TopicMissing { .. }) if wanted.even_without_topic => {}
            checked => checked?,
        }
        if !(1..=TIMEOUT_SECONDS_MAX).contains(&wanted.timeout_seconds) {
            return Err(ProvisionError::BadTimeout);
        }
        if !(1..=LANES_MAX).contains(&wanted.lanes) {
            return Err(ProvisionError::BadLanes);
        }
        Ok(credential)
    }

    fn get(&self, key: &AppKey) -> Option<Arc<App>> {
        self.apps.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn forget(&self, key: &AppKey) -> bool {
        self.apps.write().unwrap_or_else(PoisonError::into_inner).remove(key).is_some()
    }
}

#[cfg(test)]
mod tests;
