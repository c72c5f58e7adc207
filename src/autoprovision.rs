//! Apps that the operator's own configuration names: made at start, changed and removed as it changes.

use crate::clock::Clock;
use crate::credentials::paths::read_trusted;
use crate::credentials::{Credential, CredentialError, Material, Secret, import, sha256_hex};
use crate::delivery::Intake;
use crate::events::Events;
use crate::model::AppKey;
use crate::registry::{Provision, ProvisionError, Registry, topic};
use crate::store::StoreError;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// What the configuration says of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands, for faults.
    pub place: String,
    pub key: AppKey,
    pub credential: Named,
    pub passphrase: Option<Passphrase>,
    pub topic: Option<String>,
    /// It stands in a file of pyapns 0.5, which knew no topics.
    pub even_without_topic: bool,
    /// For connecting to Apple.
    pub timeout_seconds: u32,
    pub lanes: u16,
}

/// The file with the credential: trusted wherever it is, as it is the operator who names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// PEM or PKCS#12.
    Certificate(PathBuf),
    /// Apple's `.p8`.
    Key { file: PathBuf, key_id: String, team_id: String },
}

/// What opens an encrypted credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passphrase {
    Text(Secret),
    /// All of the file but a line break at its end.
    File(PathBuf),
}

impl Named {
    pub fn file(&self) -> &Path {
        match self {
            Self::Certificate(file) | Self::Key { file, .. } => file,
        }
    }
}

impl Entry {
    /// What has to be read for it.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let passphrase = match &self.passphrase {
            Some(Passphrase::File(file)) => Some(file.as_path()),
            Some(Passphrase::Text(_)) | None => None,
        };
        std::iter::once(self.credential.file()).chain(passphrase)
    }

    /// Whether it can be carried out, but for what only time shows: an expired certificate is no fault. Blocks, for up to
    /// seconds where the credential is encrypted.
    pub fn check(&self, clock: &Clock) -> Result<(), Fault> {
        let (content, passphrase) = self.read()?;
        let opened = import::open(content, passphrase.as_ref()).map_err(|error| self.refused(&error))?;
        let credential = Credential::parse(&self.asking_with(opened).material).map_err(|error| self.refused(&error))?;
        match credential.check(self.key.environment, clock.unix_seconds()) {
            Ok(()) | Err(CredentialError::Expired { .. }) => {}
            Err(refused) => return Err(self.refused(&refused)),
        }
        match topic::check(self.topic.as_deref(), &credential, &self.key.id) {
            Err(ProvisionError::TopicMissing { .. }) if self.even_without_topic => Ok(()),
            // Told where it is read.
            Err(ProvisionError::BadTopic) => Ok(()),
            checked => checked.map_err(|refused| self.fault(refused)),
        }
    }

    fn fault(&self, what: impl ToString) -> Fault {
        Fault { place: self.place.clone(), what: format!("{}: {}", self.key, what.to_string()) }
    }

    fn refused(&self, error: &CredentialError) -> Fault {
        let file = self.credential.file().display();
        match error {
            CredentialError::PassphraseMissing => {
                self.fault(format_args!("{file} is encrypted: give its `passphrase_file`, or its `passphrase`"))
            }
            error => self.fault(format_args!("{file}: {error}")),
        }
    }

    /// What it asks for, its files read.
    async fn wanted(&self) -> Result<Provision, Fault> {
        let entry = self.clone();
        let read = spawn_blocking(move || entry.read()).await;
        // A panic has its own line in the log; its message may hold what was read.
        let (content, passphrase) = read.unwrap_or_else(|_| Err(self.fault("reading its files failed")))?;
        let opened = import::open_in_turn(content, passphrase).await;
        Ok(self.asking_with(opened.map_err(|error| self.refused(&error))?))
    }

    /// Its credential as it stands in the file, and what opens it. Blocks for as long as the disk does.
    fn read(&self) -> Result<(Secret, Option<Secret>), Fault> {
        let read = |file: &Path| read_trusted(file).map_err(|error| self.fault(error));
        let passphrase = match &self.passphrase {
            Some(Passphrase::File(file)) => Some(without_line_break(&read(file)?)),
            Some(Passphrase::Text(text)) => Some(text.clone()),
            None => None,
        };
        Ok((read(self.credential.file())?, passphrase))
    }

    /// The fingerprint is over the opened credential, so that it tells nothing of a passphrase.
    fn asking_with(&self, opened: Secret) -> Provision {
        let (material, certificate_path) = match &self.credential {
            Named::Certificate(path) => (Material::Certificate { pem: opened }, Some(path.display().to_string())),
            Named::Key { key_id, team_id, .. } => {
                (Material::Key { p8: opened, key_id: key_id.clone(), team_id: team_id.clone() }, None)
            }
        };
        let beside = (&certificate_path, &self.topic, self.timeout_seconds, self.lanes);
        let entry = Some(sha256_hex(format!("{} {beside:?}", material.digest()).as_bytes()));
        Provision {
            certificate_path,
            topic: self.topic.clone(),
            timeout_seconds: self.timeout_seconds,
            lanes: self.lanes,
            entry,
            even_without_topic: self.even_without_topic,
            ..Provision::new(self.key.clone(), material)
        }
    }
}

/// One entry that cannot be carried out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub place: String,
    pub what: String,
}

/// Makes the apps of this node what the configuration's entries say. An app that was changed or deleted over the API since
/// its entry was carried out stays so until the entry, or a file it names, is another.
pub struct Autoprovision {
    registry: Registry,
    intake: Arc<Intake>,
    events: Events,
    clock: Clock,
}

impl Autoprovision {
    pub fn new(registry: Registry, intake: Arc<Intake>, events: Events, clock: Clock) -> Self {
        Self { registry, intake, events, clock }
    }

    /// Carries out every entry that is new or another than before, removes what the missing ones made, and gives the
    /// faults: what one stands in the way of stays as it was.
    pub async fn apply(&self, entries: &[Entry]) -> Result<Vec<Fault>, StoreError> {
        let before = self.registry.entries().await?;
        let named: HashSet<&AppKey> = entries.iter().map(|entry| &entry.key).collect();
        for key in before.keys().filter(|key| !named.contains(key)) {
            if self.registry.remove_entry(key).await? {
                self.intake.remove(key);
                self.events.forget(key);
                tracing::info!(app = %key, "removed the app: its entry has left the configuration");
            } else if self.registry.get(key).is_some() {
                // Told once: the entry is forgotten now.
                tracing::warn!(
                    "app {key} stays: it was changed over the API, and its entry has left the configuration"
                );
            }
        }
        let mut faults = Vec::new();
        for entry in entries {
            match entry.wanted().await {
                Ok(wanted) if wanted.entry.as_ref() == before.get(&entry.key) => {}
                Ok(wanted) => faults.extend(self.carry_out(entry, wanted).await?),
                Err(fault) => faults.push(fault),
            }
        }
        Ok(faults)
    }

    /// An expired certificate is taken where there is nothing better: the app is there and says what is wrong.
    async fn carry_out(&self, entry: &Entry, wanted: Provision) -> Result<Option<Fault>, StoreError> {
        let now = self.clock.unix_seconds();
        let works = self.registry.get(&entry.key).is_some_and(|app| app.credential_error(now).is_none());
        let done = self.registry.provision(Provision { even_expired: !works, ..wanted }).await;
        match done {
            Ok(app) => {
                tracing::info!(app = %app.key, fingerprint = app.credential.summary().fingerprint, "provisioned from the configuration");
                if let Some(error) = app.credential_error(now) {
                    tracing::error!(app = %app.key, "nothing can be sent for this app: {error}");
                }
                Ok(None)
            }
            Err(ProvisionError::Store(error)) => Err(error),
            Err(ProvisionError::Credential(error)) => Ok(Some(entry.refused(&error))),
            Err(refused) => Ok(Some(entry.fault(refused))),
        }
    }
}

/// Editors and `echo` end a file with one.
fn without_line_break(text: &Secret) -> Secret {
    let text = text.expose();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    Secret::from(text.strip_suffix(b"\r").unwrap_or(text).to_vec())
}
