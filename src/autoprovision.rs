//! The apps of the configuration: provisioned at start, replaced and removed when the configuration changes.

mod fingerprint;

use crate::clock::Clock;
use crate::credentials::paths::read_trusted;
use crate::credentials::{Credential, CredentialError, Material, Secret, import};
use crate::drain::Drain;
use crate::model::AppKey;
use crate::registry::choice::{self, Asked};
use crate::registry::{Provision, ProvisionError, Registry, topic};
use crate::store::{EntryRecord, Expect, Revision, StoreError};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// An app of `[[autoprovision]]` in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredApp {
    /// The entry's place in the configuration, for faults.
    pub place: String,
    pub key: AppKey,
    pub credential: CredentialFile,
    pub passphrase: Option<Passphrase>,
    pub topic: Option<String>,
    /// The entry comes from a file of pyapns 0.5, which had no topics.
    pub even_without_topic: bool,
    /// The time limit for connecting to Apple, in seconds.
    pub timeout_seconds: u32,
    pub lanes: u16,
}

/// The credential's file. Any path is allowed, since the operator names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialFile {
    /// PEM or PKCS#12.
    Certificate(PathBuf),
    /// Apple's `.p8`.
    Key { file: PathBuf, key_id: String, team_id: String },
}

/// The passphrase of an encrypted credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passphrase {
    Text(Secret),
    /// The content of the file without a line break at its end.
    File(PathBuf),
}

impl CredentialFile {
    pub fn file(&self) -> &Path {
        match self {
            Self::Certificate(file) | Self::Key { file, .. } => file,
        }
    }
}

impl ConfiguredApp {
    /// The files that the entry names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let passphrase = match &self.passphrase {
            Some(Passphrase::File(file)) => Some(file.as_path()),
            Some(Passphrase::Text(_)) | None => None,
        };
        std::iter::once(self.credential.file()).chain(passphrase)
    }

    /// Checks that the app can be provisioned. An expired certificate is no fault. A credential that 0.6 accepted and
    /// the API refuses today is returned as a warning. Blocks, for up to seconds where the credential is encrypted.
    pub fn validate(&self, clock: &Clock) -> Result<Option<AppFault>, AppFault> {
        let (content, passphrase) = self.read_files()?;
        let opened = import::open(content, passphrase.as_ref()).map_err(|error| self.credential_fault(&error))?;
        let (material, now) = (self.provision_with(opened).material, clock.unix_seconds());
        let asked = Asked { key: &self.key, topic: self.topic.as_deref(), now };
        let (credential, warning) = match choice::choose(&material, asked) {
            Ok(chosen) => (chosen.credential, None),
            Err(refused) => {
                let first = Credential::parse(&material).map_err(|error| self.credential_fault(&error))?;
                (first, Some(self.fault(format_args!("{}: {refused}", self.credential.file().display()))))
            }
        };
        match credential.check(self.key.environment, now) {
            Ok(()) | Err(CredentialError::Expired { .. }) => {}
            Err(refused) => return Err(self.credential_fault(&refused)),
        }
        match topic::check(self.topic.as_deref(), &credential, &self.key.id) {
            Err(ProvisionError::TopicMissing { .. }) if self.even_without_topic => Ok(warning),
            // The configuration's reader reports it.
            Err(ProvisionError::BadTopic) => Ok(warning),
            checked => checked.map(|()| warning).map_err(|refused| self.fault(refused)),
        }
    }

    fn fault(&self, what: impl ToString) -> AppFault {
        AppFault { place: self.place.clone(), what: format!("{}: {}", self.key, what.to_string()) }
    }

    fn credential_fault(&self, error: &CredentialError) -> AppFault {
        let file = self.credential.file().display();
        match error {
            CredentialError::PassphraseMissing => {
                self.fault(format_args!("{file} is encrypted: give its `passphrase_file`, or its `passphrase`"))
            }
            error => self.fault(format_args!("{file}: {error}")),
        }
    }

    /// Reads the entry's files.
    async fn load_files(&self, drain: &Drain) -> Result<LoadedFiles, AppFault> {
        let entry = self.clone();
        let read = drain.spawn_blocking(move || entry.read_files()).await;
        // The panic hook logs the panic without its message, which may hold a secret.
        let (content, passphrase) = read.unwrap_or_else(|_| Err(self.fault("reading its files failed")))?;
        Ok(LoadedFiles { fingerprint: fingerprint::of(self, &content), content, passphrase })
    }

    /// Opens the credential and returns the request to provision the app.
    async fn provision_request(&self, files: LoadedFiles, drain: &Drain) -> Result<Provision, AppFault> {
        let opened = import::open_in_turn(files.content, files.passphrase, drain).await;
        let opened = opened.map_err(|error| self.credential_fault(&error))?;
        Ok(Provision { entry: Some(files.fingerprint), ..self.provision_with(opened) })
    }

    /// Reads the credential file and the passphrase. Blocks for as long as the disk does.
    fn read_files(&self) -> Result<(Secret, Option<Secret>), AppFault> {
        let read = |file: &Path| read_trusted(file).map_err(|error| self.fault(error));
        let passphrase = match &self.passphrase {
            Some(Passphrase::File(file)) => Some(without_line_break(&read(file)?)),
            Some(Passphrase::Text(text)) => Some(text.clone()),
            None => None,
        };
        Ok((read(self.credential.file())?, passphrase))
    }

    fn provision_with(&self, opened: Secret) -> Provision {
        let (material, certificate_path) = match &self.credential {
            CredentialFile::Certificate(path) => {
                (Material::Certificate { pem: opened }, Some(path.display().to_string()))
            }
            CredentialFile::Key { key_id, team_id, .. } => {
                (Material::Key { p8: opened, key_id: key_id.clone(), team_id: team_id.clone() }, None)
            }
        };
        Provision {
            certificate_path,
            topic: self.topic.clone(),
            timeout_seconds: self.timeout_seconds,
            lanes: self.lanes,
            even_without_topic: self.even_without_topic,
            ..Provision::new(self.key.clone(), material)
        }
    }
}

/// The content of an entry's files.
struct LoadedFiles {
    content: Secret,
    passphrase: Option<Secret>,
    fingerprint: String,
}

/// The revisions of the apps at one time.
struct Known(HashMap<AppKey, Revision>);

impl Known {
    fn expect(&self, key: &AppKey) -> Expect {
        self.0.get(key).copied().map_or(Expect::Absent, Expect::Is)
    }
}

/// The reason that a configured app cannot be provisioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppFault {
    pub place: String,
    pub what: String,
}

/// Applies the configured apps to the registry. An app that was changed or deleted over the API after its entry was
/// applied stays so until the entry, or a file it names, changes.
pub struct Autoprovision {
    registry: Registry,
    clock: Clock,
    drain: Drain,
    /// The entries of the last configuration that this process applied.
    applied: Mutex<HashSet<AppKey>>,
}

impl Autoprovision {
    /// `drain` runs the blocking work: reading files and opening credentials.
    pub fn new(registry: Registry, clock: Clock, drain: Drain) -> Self {
        Self { registry, clock, drain, applied: Mutex::default() }
    }

    /// Provisions every entry that is new or changed, and removes the apps of removed entries. Returns the faults; an
    /// app with a fault stays as it was.
    ///
    /// The entries in a shared store may be those of other nodes. Of them only those are removed that this process
    /// found in an earlier configuration: none at start.
    pub async fn apply(&self, entries: &[ConfiguredApp]) -> Result<Vec<AppFault>, StoreError> {
        let known = self.known();
        let before = self.registry.entries().await?;
        let named: HashSet<&AppKey> = entries.iter().map(|entry| &entry.key).collect();
        for key in before.keys().filter(|key| !named.contains(key) && self.is_own(key)) {
            self.remove(key).await?;
        }
        *self.applied.lock().unwrap_or_else(PoisonError::into_inner) = named.into_iter().cloned().collect();
        let mut faults = Vec::new();
        for entry in entries {
            match entry.load_files(&self.drain).await {
                Ok(files) => {
                    let expect = known.as_ref().map_or(Expect::Any, |known| known.expect(&entry.key));
                    faults.extend(self.apply_one(entry, files, before.get(&entry.key), expect).await?);
                }
                Err(fault) => faults.push(fault),
            }
        }
        Ok(faults)
    }

    /// The apps before the entries of the store are read; `None` if no other node changes them.
    fn known(&self) -> Option<Known> {
        let revisions = || self.registry.list().iter().map(|app| (app.key.clone(), app.revision)).collect();
        self.registry.is_shared().then(|| Known(revisions()))
    }

    /// True if a stored entry is one of this node's configuration, present or past.
    fn is_own(&self, key: &AppKey) -> bool {
        !self.registry.is_shared() || self.applied.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// Removes the app of an entry that has left the configuration, unless a caller has changed the app.
    async fn remove(&self, key: &AppKey) -> Result<(), StoreError> {
        if self.registry.remove_entry(key).await? {
            tracing::info!(app = %key, "removed the app: its entry was removed from the configuration");
        } else if self.registry.get(key).is_some() {
            // Logged once: the entry's record is deleted now.
            tracing::warn!(
                "app {key} stays: its entry was removed from the configuration, but the app was changed over the API"
            );
        }
        Ok(())
    }

    /// Provisions an entry unless it is unchanged. An unchanged entry's credential is not opened, so that checks newer
    /// than what is stored do not apply to it.
    async fn apply_one(
        &self,
        entry: &ConfiguredApp,
        files: LoadedFiles,
        before: Option<&EntryRecord>,
        expect: Expect,
    ) -> Result<Option<AppFault>, StoreError> {
        match before {
            Some(before) if before.fingerprint == files.fingerprint => Ok(None),
            Some(before) if fingerprint::has_another_scheme(&before.fingerprint) => {
                self.adopt_older_record(entry, files, before, expect).await?;
                Ok(None)
            }
            Some(_) | None => match entry.provision_request(files, &self.drain).await {
                Ok(request) => self.provision(entry, Provision { expect, ..request }).await,
                Err(fault) => Ok(Some(fault)),
            },
        }
    }

    /// Takes over an entry that another release applied, whose fingerprint has another scheme. The entry is applied
    /// again if its app is still the one it created. An app that a caller changed or removed stays so, and so does an
    /// app that this release would refuse. None of these prevents a start.
    async fn adopt_older_record(
        &self,
        entry: &ConfiguredApp,
        files: LoadedFiles,
        before: &EntryRecord,
        expect: Expect,
    ) -> Result<(), StoreError> {
        let (key, fingerprint) = (&entry.key, files.fingerprint.clone());
        let request = match entry.provision_request(files, &self.drain).await {
            Ok(request) => Provision { expect, ..request },
            Err(AppFault { place, what }) => {
                tracing::error!("{place}: an older release applied this entry, and its app stays as it is: {what}");
                return Ok(());
            }
        };
        let unchanged =
            fingerprint::of_0_6_0(entry, &request.material, request.certificate_path.as_ref()) == before.fingerprint;
        if unchanged || !before.app_is_its_own {
            if !unchanged {
                tracing::warn!(app = %key, "the app stays as it was changed over the API: its entry may have changed since an older release applied it, which cannot be detected");
            }
            return self.registry.file_entry(key, fingerprint).await;
        }
        if let Some(AppFault { place, what }) = self.provision(entry, request).await? {
            tracing::error!("{place}: an older release applied this entry, and its app stays as it is: {what}");
        }
        Ok(())
    }

    /// Provisions the app. If another node over the same store was first, it has most likely applied the same entry: one
    /// write is enough, since each makes every node open new connections.
    async fn provision(&self, entry: &ConfiguredApp, request: Provision) -> Result<Option<AppFault>, StoreError> {
        match self.write(entry, request.clone()).await {
            Err(StoreError::Conflict { .. }) => {
                self.registry.sync().await?;
                let applied = self.registry.entries().await?.remove(&entry.key).map(|applied| applied.fingerprint);
                let request = Provision { expect: Expect::Any, ..request };
                if applied == request.entry { Ok(None) } else { self.write(entry, request).await }
            }
            written => written,
        }
    }

    /// Writes the app. An expired certificate is accepted where no working credential is stored: the app then
    /// exists and reports its error. So is a credential that 0.6 accepted and the API refuses today, since a
    /// configuration that worked must keep working; a log line reports it.
    async fn write(&self, entry: &ConfiguredApp, request: Provision) -> Result<Option<AppFault>, StoreError> {
        let now = self.clock.unix_seconds();
        let works = self.registry.get(&entry.key).is_some_and(|app| app.credential_error(now).is_none());
        let provisioned =
            self.registry.provision(Provision { even_expired: !works, even_unfit: !works, ..request }).await;
        match provisioned {
            Ok(app) => {
                tracing::info!(app = %app.key, fingerprint = app.credential.summary().fingerprint, "provisioned from the configuration");
                if let Some(error) = app.credential_error(now) {
                    tracing::error!(app = %app.key, "nothing can be sent for this app: {error}");
                }
                Ok(None)
            }
            Err(ProvisionError::Store(error)) => Err(error),
            Err(refused) if refused.is_unfit() => {
                tracing::error!(app = %entry.key, "the app stays as it was: {}", entry.fault(refused).what);
                Ok(None)
            }
            Err(ProvisionError::Credential(error)) => Ok(Some(entry.credential_fault(&error))),
            Err(refused) => Ok(Some(entry.fault(refused))),
        }
    }
}

/// Removes the line break that editors and `echo` put at the end of a file.
fn without_line_break(text: &Secret) -> Secret {
    let text = text.expose();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    Secret::from(text.strip_suffix(b"\r").unwrap_or(text).to_vec())
}
