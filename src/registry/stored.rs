//! Apps as the store keeps them: opened, read, and put into memory.

use super::app::App;
use super::choice::{self, Asked};
use super::{Inner, topic};
use crate::credentials::sealed::{self, Opened};
use crate::credentials::{Credential, CredentialError, Material, Unopened};
use crate::store::AppRecord;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// A cache of parsed credentials by digest. One signing key often serves all apps of a team, and parsing it takes
/// almost a millisecond.
pub(super) type Parsed = HashMap<String, Arc<Credential>>;

/// The reason that a stored credential is of no use.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Unopened(#[from] Unopened),
    #[error(transparent)]
    Refused(#[from] CredentialError),
}

impl Inner {
    /// Reads a record's credential. One that cannot be read becomes [`Credential::Unusable`], with a line in the log.
    pub(super) fn read(&self, record: &AppRecord, parsed: &mut Parsed) -> Arc<Credential> {
        self.try_reading(record, parsed).unwrap_or_else(|why| {
            tracing::error!(app = %record.key, "this app cannot send: {why}");
            Arc::new(Credential::Unusable { why: why.to_string() })
        })
    }

    fn try_reading(&self, record: &AppRecord, parsed: &mut Parsed) -> Result<Arc<Credential>, Unusable> {
        let Opened { material, .. } = sealed::open(&self.keyring, &record.key, &record.credential)?;
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
        Ok(match parsed.entry(known) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(new) => Arc::clone(new.insert(Arc::new(read()?))),
        })
    }

    /// The record with its credential under the keyring's first key; `None` if it is so already, or does not open.
    pub(super) fn resealed(&self, record: AppRecord) -> Option<AppRecord> {
        if sealed::key_of(&record.credential) == Some(self.keyring.first().id()) {
            return None;
        }
        let Opened { material, .. } = sealed::open(&self.keyring, &record.key, &record.credential).ok()?;
        Some(AppRecord { credential: sealed::seal(&self.keyring, &record.key, &material), ..record })
    }

    /// Puts a provisioned app into memory, in place of the one under its key.
    pub(super) fn enter(&self, record: &AppRecord, credential: Arc<Credential>) -> Arc<App> {
        let generation = self.last_generation.fetch_add(1, Ordering::Relaxed) + 1;
        self.insert(app_of(record, credential, generation))
    }

    /// Puts a stored app into memory. One that was only sealed again keeps its generation: its connections stay. So does one
    /// that only has another revision, if the store `is_moving` to another history.
    pub(super) fn enter_stored(&self, record: &AppRecord, credential: Arc<Credential>, is_moving: bool) -> Arc<App> {
        let is_kept =
            |before: &Arc<App>| (is_moving || before.has_another_seal(record)) && before.is_like(record, &credential);
        let before = self.get(&record.key).filter(is_kept);
        match before {
            Some(before) => self.insert(app_of(record, Arc::clone(&before.credential), before.generation)),
            None => self.enter(record, credential),
        }
    }

    fn insert(&self, app: App) -> Arc<App> {
        let app = Arc::new(app);
        let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        apps.insert(app.key.clone(), Arc::clone(&app));
        app
    }
}

impl App {
    /// True if the record is sealed with another key.
    fn has_another_seal(&self, record: &AppRecord) -> bool {
        let key = sealed::key_of(&record.credential);
        key.is_some() && key != self.sealed_under
    }

    /// True if the record is this app with the same credential and settings.
    fn is_like(&self, record: &AppRecord, credential: &Credential) -> bool {
        let summary = credential.summary();
        credential.unusable().is_none()
            && summary == self.credential.summary()
            && (self.lanes, self.timeout_seconds) == (record.lanes, record.timeout_seconds)
            && self.topic == topic_of(record, credential)
            && self.certificate_echo == echo_of(record, summary.fingerprint)
    }
}

fn app_of(record: &AppRecord, credential: Arc<Credential>, generation: u64) -> App {
    let has_topic = topic::of(record.topic.as_deref(), &credential, &record.key.id).is_some();
    if !has_topic && credential.unusable().is_none() {
        tracing::warn!(app = %record.key, "Apple will refuse what is sent for this app: it has no topic but its id, which is no bundle id; provision it again with `topic`");
    }
    let topic = topic_of(record, &credential).to_owned();
    App {
        key: record.key.clone(),
        push_type: topic::push_type(&topic, &credential),
        certificate_echo: echo_of(record, credential.summary().fingerprint),
        sealed_under: sealed::key_of(&record.credential),
        credential,
        topic,
        timeout_seconds: record.timeout_seconds,
        lanes: record.lanes,
        generation,
        revision: record.revision,
    }
}

fn topic_of<'a>(record: &'a AppRecord, credential: &'a Credential) -> &'a str {
    let id = &record.key.id;
    topic::of(record.topic.as_deref(), credential, id).unwrap_or(id.as_str())
}

fn echo_of(record: &AppRecord, fingerprint: String) -> String {
    record.certificate_path.clone().unwrap_or(fingerprint)
}
