//! The provisioned apps: written to the store, read from memory.

pub mod choice;
mod error;
mod expiry;
pub mod topic;

pub use error::ProvisionError;

use crate::clock::Clock;
use crate::credentials::sealed::{self, Opened};
use crate::credentials::{Credential, CredentialError, Keyring, Material, Unopened};
use crate::drain::Drain;
use crate::model::{AppKey, PushType};
use crate::store::{AppRecord, Apps, EntryRecord, StoreError};
use choice::Asked;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

pub const TIMEOUT_SECONDS_DEFAULT: u32 = 15;
pub const TIMEOUT_SECONDS_MAX: u32 = 300;
pub const LANES_DEFAULT: u16 = 1;
pub const LANES_MAX: u16 = 64;
/// The number of apps in one read from the store.
const LOADED_AT_ONCE: usize = 256;

/// A provisioned app. It is immutable: a change creates a new `App` with a higher `generation`, and requests in flight
/// finish with the old credential. A lane or a pool compares the generation of its app with the generation in a
/// request.
#[derive(Debug)]
pub struct App {
    pub key: AppKey,
    pub credential: Arc<Credential>,
    /// The base topic, from [`topic::of`].
    pub topic: String,
    /// The push type of notifications without one, if the topic decides it (from [`topic::push_type`]).
    pub push_type: Option<PushType>,
    /// The time limit for connecting to Apple.
    pub timeout_seconds: u32,
    pub lanes: u16,
    /// The value of `certificate` in the API: the given path, else the fingerprint.
    pub certificate_echo: String,
    /// Grows with every provisioning of any app on this node.
    pub generation: u64,
}

impl App {
    /// The reason that the app cannot send at this time (UNIX seconds), if so.
    pub fn credential_error(&self, now: u64) -> Option<String> {
        let unusable = self.credential.unusable().map(str::to_owned);
        unusable.or_else(|| self.credential.check(self.key.environment, now).err().map(|error| error.to_string()))
    }
}

/// A request to provision an app.
#[derive(Debug, Clone)]
pub struct Provision {
    pub key: AppKey,
    pub material: Material,
    /// The path of the material, if it was given as a path.
    pub certificate_path: Option<String>,
    pub topic: Option<String>,
    pub timeout_seconds: u32,
    pub lanes: u16,
    /// The fingerprint of the configuration's entry; `None` = provisioned over the API.
    pub entry: Option<String>,
    /// Accepts an expired certificate: the app then exists and reports it.
    pub even_expired: bool,
    /// Accepts a certificate that 0.6 accepted and the API refuses today, and logs an error.
    pub even_unfit: bool,
    /// Accepts an app without a topic, as old configurations have them: the app id is the topic.
    pub even_without_topic: bool,
}

impl Provision {
    /// A request with the default of every option.
    pub fn new(key: AppKey, material: Material) -> Self {
        Self {
            key,
            material,
            certificate_path: None,
            topic: None,
            timeout_seconds: TIMEOUT_SECONDS_DEFAULT,
            lanes: LANES_DEFAULT,
            entry: None,
            even_expired: false,
            even_unfit: false,
            even_without_topic: false,
        }
    }
}

/// Creates, changes, removes and finds apps. Clones are handles to the same registry.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
    drain: Drain,
}

struct Inner {
    store: Arc<dyn Apps>,
    keyring: Keyring,
    clock: Clock,
    /// Sorted, so that a page is found without a scan.
    apps: RwLock<BTreeMap<AppKey, Arc<App>>>,
    /// Allows one change at a time, so that store and memory have the same order.
    change: Mutex<()>,
    last_generation: AtomicU64,
}

impl Registry {
    /// Loads the apps of the store. An app with an unreadable credential is loaded as unusable and logged, so that the
    /// other apps work. An app with an expired certificate is loaded: Apple's answers tell its callers. A credential
    /// that is not sealed under the keyring's first key is sealed again.
    pub async fn load(store: Arc<dyn Apps>, keyring: Keyring, clock: Clock, drain: Drain) -> Result<Self, StoreError> {
        let inner = Inner {
            store,
            keyring,
            clock,
            apps: RwLock::default(),
            change: Mutex::default(),
            last_generation: AtomicU64::default(),
        };
        let (mut resealed, mut parsed, mut after) = (Vec::new(), Parsed::default(), None);
        loop {
            let records = inner.store.list(after, LOADED_AT_ONCE).await?;
            let Some(last) = records.last() else { break };
            after = Some(last.key.clone());
            for mut record in records {
                if let Some(sealed) = inner.load(&record, &mut parsed) {
                    record.credential = sealed;
                    resealed.push(record);
                }
            }
        }
        if !resealed.is_empty() {
            let (count, key) = (resealed.len(), inner.keyring.first().id());
            match inner.store.put_all(resealed).await {
                Ok(()) => tracing::info!(count, %key, "sealed stored credentials under the first key"),
                // The credentials can be opened, so that a full disk does not stop deliveries.
                Err(error @ StoreError::Full) => {
                    tracing::error!(%error, count, %key, "stored credentials could not be sealed under the first key; the next start tries again");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Self { inner: Arc::new(inner), drain })
    }

    /// The current app of a key.
    pub fn get(&self, key: &AppKey) -> Option<Arc<App>> {
        self.inner.apps.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
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
        let material = choice::kept(&credential, wanted.material)?;
        let record = AppRecord {
            credential: sealed::seal(&self.inner.keyring, &wanted.key, &material),
            key: wanted.key,
            certificate_path: wanted.certificate_path,
            topic: wanted.topic,
            timeout_seconds: wanted.timeout_seconds,
            lanes: wanted.lanes,
            entry: wanted.entry,
        };
        let inner = self.inner.clone();
        let change = self.drain.spawn("provision", async move {
            let _one_at_a_time = inner.change.lock().await;
            inner.store.put(record.clone()).await?;
            Ok::<_, StoreError>(inner.enter(&record, Arc::new(credential)))
        });
        Ok(finished(change).await?)
    }

    /// Removes an app and its events. Returns true if the app existed. A caller that disconnects does not stop the
    /// change.
    pub async fn remove(&self, key: &AppKey) -> Result<bool, StoreError> {
        let (inner, key) = (self.inner.clone(), key.clone());
        finished(self.drain.spawn("remove", async move {
            let _one_at_a_time = inner.change.lock().await;
            let stored = inner.store.delete(key.clone()).await?;
            let known = inner.apps.write().unwrap_or_else(PoisonError::into_inner).remove(&key).is_some();
            Ok(stored || known)
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
            let _one_at_a_time = inner.change.lock().await;
            let removed = inner.store.delete_entry(key.clone()).await?;
            if removed {
                inner.apps.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
            }
            Ok(removed)
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

    /// Loads a stored app into memory. Returns its blob sealed again, if necessary.
    fn load(&self, record: &AppRecord, parsed: &mut Parsed) -> Option<Zeroizing<Vec<u8>>> {
        let Read { credential, sealed_anew } = self.read(record, parsed).unwrap_or_else(|why| {
            tracing::error!(app = %record.key, "this app cannot send: {why}");
            Read { credential: Arc::new(Credential::Unusable { why: why.to_string() }), sealed_anew: None }
        });
        self.enter(record, credential);
        sealed_anew
    }

    fn read(&self, record: &AppRecord, parsed: &mut Parsed) -> Result<Read, Unusable> {
        let Opened { material, stale } = sealed::open(&self.keyring, &record.key, &record.credential)?;
        // A credential stored by 0.6 may have several certificates, and may be refused today. It is loaded
        // nevertheless.
        let asked = Asked { key: &record.key, topic: record.topic.as_deref(), now: self.clock.unix_seconds() };
        let read = || match choice::choose(&material, asked) {
            Ok(chosen) => Ok(chosen.tell(&record.key)),
            Err(refused) => {
                let first = Credential::parse(&material)?;
                tracing::warn!(app = %record.key, "the app keeps its stored credential, which this version would refuse: {refused}");
                Ok::<_, CredentialError>(first)
            }
        };
        let known = match &material {
            Material::Certificate { .. } => format!("{} {:?} {:?}", material.digest(), record.topic, record.key),
            Material::Key { .. } => material.digest(),
        };
        let credential = match parsed.entry(known) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(new) => Arc::clone(new.insert(Arc::new(read()?))),
        };
        let sealed_anew = stale.then(|| sealed::seal(&self.keyring, &record.key, &material));
        Ok(Read { credential, sealed_anew })
    }

    /// Adds the app to memory.
    fn enter(&self, record: &AppRecord, credential: Arc<Credential>) -> Arc<App> {
        let id = &record.key.id;
        let topic = topic::of(record.topic.as_deref(), &credential, id).unwrap_or_else(|| {
            if credential.unusable().is_none() {
                tracing::warn!(app = %record.key, "Apple will refuse this app's notifications: its only topic is its id, which is not a bundle id; provision it again with `topic`");
            }
            id.as_str()
        });
        let topic = topic.to_owned();
        let echo = record.certificate_path.clone().unwrap_or_else(|| credential.summary().fingerprint);
        let app = Arc::new(App {
            key: record.key.clone(),
            push_type: topic::push_type(&topic, &credential),
            credential,
            topic,
            timeout_seconds: record.timeout_seconds,
            lanes: record.lanes,
            certificate_echo: echo,
            generation: self.last_generation.fetch_add(1, Ordering::Relaxed) + 1,
        });
        let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        apps.insert(app.key.clone(), app.clone());
        app
    }
}

/// A cache of parsed credentials by digest. One signing key often serves all apps of a team, and parsing it takes
/// almost a millisecond.
type Parsed = HashMap<String, Arc<Credential>>;

/// A stored credential, and its blob sealed again if it is not under the first key.
struct Read {
    credential: Arc<Credential>,
    sealed_anew: Option<Zeroizing<Vec<u8>>>,
}

/// The reason that a stored credential cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Unopened(#[from] Unopened),
    #[error(transparent)]
    Refused(#[from] CredentialError),
}

#[cfg(test)]
impl App {
    /// A sandbox app with a signing key.
    pub(crate) fn sample() -> Self {
        use crate::credentials::Secret;
        let p8 = Secret::from(rcgen::KeyPair::generate().expect("a key").serialize_pem());
        let material = Material::Key { p8, key_id: "KEY1234567".into(), team_id: "TEAM123456".into() };
        Self {
            key: AppKey::new(crate::model::AppId::new("shop").expect("an id"), crate::model::Environment::Sandbox),
            credential: Arc::new(Credential::parse(&material).expect("a key")),
            push_type: None,
            topic: "com.example.shop".to_owned(),
            timeout_seconds: TIMEOUT_SECONDS_DEFAULT,
            lanes: 1,
            certificate_echo: String::new(),
            generation: 1,
        }
    }
}

#[cfg(test)]
mod tests;
