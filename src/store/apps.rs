//! The contract of the provisioned apps.

use super::Pending;
use crate::model::AppKey;
use std::fmt;
use zeroize::Zeroizing;

/// The provisioned apps.
pub trait Apps: Send + Sync {
    /// Keeps an app, in place of what was kept under its key, and the entry that made it.
    fn put(&self, app: AppRecord) -> Pending<'_, ()>;

    /// Keeps all of these apps or none of them. What they replace is gone from the disk, too, once it resolves.
    fn put_all(&self, apps: Vec<AppRecord>) -> Pending<'_, ()>;

    fn get(&self, key: AppKey) -> Pending<'_, Option<AppRecord>>;

    /// Forgets an app and its events: whether there was one.
    fn delete(&self, key: AppKey) -> Pending<'_, bool>;

    /// At most `limit` apps after a key, sorted by key.
    fn list(&self, after: Option<AppKey>, limit: usize) -> Pending<'_, Vec<AppRecord>>;

    /// The configuration's entries that apps were made by: of each app the newest. An entry stays when its app is
    /// changed or deleted.
    fn entries(&self) -> Pending<'_, Vec<EntryRecord>>;

    /// Gives an entry that is kept another fingerprint; its app stays as it is.
    fn file_entry(&self, key: AppKey, fingerprint: String) -> Pending<'_, ()>;

    /// Forgets an entry, and the app with its events if it is still the one the entry made: whether it was.
    fn delete_entry(&self, key: AppKey) -> Pending<'_, bool>;
}

/// An app as it is kept. The credential is a blob that only `credentials` can read.
#[derive(Clone, PartialEq)]
pub struct AppRecord {
    pub key: AppKey,
    pub credential: Zeroizing<Vec<u8>>,
    /// The path the credential was given as, if it was one.
    pub certificate_path: Option<String>,
    /// As configured; `None` = follows from the credential.
    pub topic: Option<String>,
    pub timeout_seconds: u32,
    pub lanes: u16,
    /// The fingerprint of the configuration's entry that made it; `None` = made over the API.
    pub entry: Option<String>,
}

impl fmt::Debug for AppRecord {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "AppRecord({}, credential of {} bytes)", self.key, self.credential.len())
    }
}

/// The apps of a store, and the entries that made them, as they are at one time.
#[derive(Debug, Default)]
pub struct Kept {
    pub apps: Vec<AppRecord>,
    /// As [`Apps::entries`] gives them.
    pub entries: Vec<EntryRecord>,
}

/// An entry of the configuration as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRecord {
    /// Of the app it made.
    pub key: AppKey,
    pub fingerprint: String,
    /// The app is there as the entry made it: no caller of the API has changed or deleted it since.
    pub app_is_its_own: bool,
}
