//! The apps of this node, as every request finds them: kept in the store, read from memory.

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
use crate::store::{AppRecord, Apps, EntryRecord, Expect, Revision, StoreError};
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
/// Apps that are read from the store at once.
const LOADED_AT_ONCE: usize = 256;

/// A provisioned app. It never changes: a change makes another one with a higher `generation`, and whoever still
/// holds this one finishes what is in flight under the old credential. What serves an app (a lane, a pool) compares
/// the generation of the app it was made for with that of the app a request carries.
#[derive(Debug)]
pub struct App {
    pub key: AppKey,
    pub credential: Arc<Credential>,
    /// The base topic: see [`topic::of`].
    pub topic: String,
    /// Of notifications that name none, where the topic decides it: see [`topic::push_type`].
    pub push_type: Option<PushType>,
    /// For connecting to Apple.
    pub timeout_seconds: u32,
    pub lanes: u16,
    /// The value of `certificate` in the API: the path as given, else the fingerprint.
    pub certificate_echo: String,
    /// Grows with every provisioning on this node, whatever the app.
    pub generation: u64,
}

impl App {
    /// Why nothing can be sent for it at this time (UNIX seconds), if so.
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
    /// The path the material was read from, if it was.
    pub certificate_path: Option<String>,
    pub topic: Option<String>,
    pub timeout_seconds: u32,
    pub lanes: u16,
    /// The fingerprint of the configuration's entry that asks for it; `None` = a caller of the API does.
    pub entry: Option<String>,
    /// An expired certificate is taken, too: the app is there and says so.
    pub even_expired: bool,
    /// A certificate that is refused today, and was not by 0.6, is taken, too, with a line in the log.
    pub even_unfit: bool,
    /// An app without a topic is taken, too, as old configurations have them: its id is the topic.
    pub even_without_topic: bool,
}

impl Provision {
    /// With every option at its default.
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
    /// Sorted, so that a page of them is found at once.
    apps: RwLock<BTreeMap<AppKey, Arc<App>>>,
    /// One change at a time, so that store and memory see the same order.
    change: Mutex<()>,
    last_generation: AtomicU64,
}

impl Registry {
    /// Reads the apps that the store keeps. One whose credential cannot be read is there without it, with a line in
    /// the log: the others must work. An expired one is there: Apple's answers say so to those who use it. What is
    /// not sealed under the keyring's first key is sealed anew.
    pub async fn load(store: Arc<dyn Apps>, keyring: Keyring, clock: Clock, drain: Drain) -> Result<Self, StoreError> {
        let inner = Inner {
            store,
            keyring,
            clock,
            apps: RwLock::default(),
            change: Mutex::default(),
            last_generation: AtomicU64::default(),
        };
        let (mut anew, mut parsed, mut after) = (Vec::new(), Parsed::default(), None);
        loop {
            let records = inner.store.list(after, LOADED_AT_ONCE).await?;
            let Some(last) = records.last() else { break };
            after = Some(last.key.clone());
            for mut record in records {
                if let Some(sealed) = inner.load(&record, &mut parsed) {
                    record.credential = sealed;
                    anew.push(record);
                }
            }
        }
        if !anew.is_empty() {
            let (count, key) = (anew.len(), inner.keyring.first().id());
            match inner.store.put_all(anew).await {
                Ok(_) => tracing::info!(count, %key, "sealed stored credentials under the first key"),
                // They open as they are, and a full disk is no reason to send nothing.
                Err(error @ StoreError::Full) => {
                    tracing::error!(%error, count, %key, "stored credentials are not sealed under the first key: tried again at the next start");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Self { inner: Arc::new(inner), drain })
    }

    /// The app as it is now.
    pub fn get(&self, key: &AppKey) -> Option<Arc<App>> {
        self.inner.apps.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// All apps, sorted by key.
    pub fn list(&self) -> Vec<Arc<App>> {
        self.page(None, usize::MAX, |_| true)
    }

    /// At most `limit` of the wanted apps after a key, sorted by key.
    pub fn page(&self, after: Option<&AppKey>, limit: usize, wanted: impl Fn(&AppKey) -> bool) -> Vec<Arc<App>> {
        let apps = self.inner.apps.read().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(Unbounded, Excluded);
        let apps = apps.range::<AppKey, _>((from, Unbounded)).filter(|(key, _)| wanted(key)).take(limit);
        apps.map(|(_, app)| Arc::clone(app)).collect()
    }

    /// Checks, stores, and only then puts an app in place of the one under its key. A caller that hangs up does not
    /// stop it.
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
            revision: Revision::NONE,
        };
        let inner = self.inner.clone();
        let change = self.drain.spawn("provision", async move {
            let _one_at_a_time = inner.change.lock().await;
            inner.store.put(record.clone(), Expect::Any).await?;
            Ok::<_, StoreError>(inner.enter(&record, Arc::new(credential)))
        });
        Ok(finished(change).await?)
    }

    /// Removes an app and its events: whether there was one. A caller that hangs up does not stop it.
    pub async fn remove(&self, key: &AppKey) -> Result<bool, StoreError> {
        let (inner, key) = (self.inner.clone(), key.clone());
        finished(self.drain.spawn("remove", async move {
            let _one_at_a_time = inner.change.lock().await;
            let stored = inner.store.delete(key.clone(), Expect::Any).await?.is_some();
            let known = inner.apps.write().unwrap_or_else(PoisonError::into_inner).remove(&key).is_some();
            Ok(stored || known)
        }))
        .await
    }

    /// The configuration's entries that were carried out, by the app each made.
    pub async fn entries(&self) -> Result<HashMap<AppKey, EntryRecord>, StoreError> {
        let entries = self.inner.store.entries().await?;
        Ok(entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect())
    }

    /// Gives an entry that was carried out another fingerprint; its app stays as it is.
    pub async fn file_entry(&self, key: &AppKey, fingerprint: String) -> Result<(), StoreError> {
        self.inner.store.file_entry(key.clone(), fingerprint).await
    }

    /// An entry has left the configuration: removes the app, and its events, if nobody has changed it since the entry
    /// made it. Whether it was removed.
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

/// A change that panicked, or that the runtime's end cut off, reads like a closed store.
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
                tracing::error!(app = %wanted.key, "took the first certificate of the file, as 0.6 did, and Apple may refuse it: {refused}");
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

    /// Puts a stored app into memory; its blob sealed anew, if that is due.
    fn load(&self, record: &AppRecord, parsed: &mut Parsed) -> Option<Zeroizing<Vec<u8>>> {
        let Read { credential, sealed_anew } = self.read(record, parsed).unwrap_or_else(|why| {
            tracing::error!(app = %record.key, "nothing can be sent for this app: {why}");
            Read { credential: Arc::new(Credential::Unusable { why: why.to_string() }), sealed_anew: None }
        });
        self.enter(record, credential);
        sealed_anew
    }

    fn read(&self, record: &AppRecord, parsed: &mut Parsed) -> Result<Read, Unusable> {
        let Opened { material, stale } = sealed::open(&self.keyring, &record.key, &record.credential)?;
        // What was stored by 0.6 may hold several certificates, and may be refused today: it loads all the same.
        let asked = Asked { key: &record.key, topic: record.topic.as_deref(), now: self.clock.unix_seconds() };
        let read = || match choice::choose(&material, asked) {
            Ok(chosen) => Ok(chosen.tell(&record.key)),
            Err(refused) => {
                let first = Credential::parse(&material)?;
                tracing::warn!(app = %record.key, "the app keeps the credential that it has, and it would be refused today: {refused}");
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

    /// Puts the app into memory.
    fn enter(&self, record: &AppRecord, credential: Arc<Credential>) -> Arc<App> {
        let id = &record.key.id;
        let topic = topic::of(record.topic.as_deref(), &credential, id).unwrap_or_else(|| {
            if credential.unusable().is_none() {
                tracing::warn!(app = %record.key, "Apple will refuse what is sent for this app: it has no topic but its id, which is no bundle id; provision it again with `topic`");
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

/// Credentials already read, by digest: one signing key often serves all apps of a team, and reading it costs most of a
/// millisecond.
type Parsed = HashMap<String, Arc<Credential>>;

/// A stored credential, and its blob under the first key if it is under another or none.
struct Read {
    credential: Arc<Credential>,
    sealed_anew: Option<Zeroizing<Vec<u8>>>,
}

/// Why a stored credential is of no use.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Unopened(#[from] Unopened),
    #[error(transparent)]
    Refused(#[from] CredentialError),
}

#[cfg(test)]
impl App {
    /// One with a signing key, in the sandbox.
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
