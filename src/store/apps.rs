//! The contract of the provisioned apps.

use super::Pending;
use crate::model::AppKey;
use std::fmt;
use zeroize::Zeroizing;

/// The provisioned apps.
pub trait Apps: Send + Sync {
    /// Stores an app and the entry that created it. Replaces the app of its key.
    fn put(&self, app: AppRecord) -> Pending<'_, ()>;

    /// Stores all of these apps or none. Once it resolves, the replaced data is erased from the disk too.
    fn put_all(&self, apps: Vec<AppRecord>) -> Pending<'_, ()>;

    fn get(&self, key: AppKey) -> Pending<'_, Option<AppRecord>>;

    /// Deletes an app and its events. Returns true if the app existed.
    fn delete(&self, key: AppKey) -> Pending<'_, bool>;

    /// Returns at most `limit` apps after a key, sorted by key.
    fn list(&self, after: Option<AppKey>, limit: usize) -> Pending<'_, Vec<AppRecord>>;

    /// Returns the newest configuration entry of each app. An entry stays when its app is changed or deleted.
    fn entries(&self) -> Pending<'_, Vec<EntryRecord>>;

    /// Replaces the fingerprint of a stored entry. Its app stays unchanged.
    fn file_entry(&self, key: AppKey, fingerprint: String) -> Pending<'_, ()>;

    /// Deletes an entry. Also deletes the app and its events, unless the app was changed since the entry created it.
    /// Returns true if it deleted the app.
    fn delete_entry(&self, key: AppKey) -> Pending<'_, bool>;
}

/// A stored app. The credential is a blob that only `credentials` can read.
#[derive(Clone, PartialEq)]
pub struct AppRecord {
    pub key: AppKey,
    pub credential: Zeroizing<Vec<u8>>,
    /// The path of the credential, if it was given as a path.
    pub certificate_path: Option<String>,
    /// The configured topic; `None` = derived from the credential.
    pub topic: Option<String>,
    pub timeout_seconds: u32,
    pub lanes: u16,
    /// The fingerprint of the configuration's entry that created the app; `None` = created over the API.
    pub entry: Option<String>,
}

impl fmt::Debug for AppRecord {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "AppRecord({}, credential of {} bytes)", self.key, self.credential.len())
    }
}

/// A consistent snapshot of a store's apps and entries.
#[derive(Debug, Default)]
pub struct Kept {
    pub apps: Vec<AppRecord>,
    /// The result of [`Apps::entries`].
    pub entries: Vec<EntryRecord>,
}

/// A stored entry of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRecord {
    /// The key of the app that it created.
    pub key: AppKey,
    pub fingerprint: String,
    /// The app exists unchanged: no caller of the API has changed or deleted it since.
    pub app_is_its_own: bool,
}
