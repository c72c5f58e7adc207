//! The contract of the provisioned apps.

use super::{CopyState, Epoch, Pending, StoreError};
use crate::model::AppKey;
use std::fmt;
use zeroize::Zeroizing;

/// The number of the newest removals that [`Apps::changes`] names. A store may keep a tenth more; it forgets older ones.
pub const REMOVED_MAX: usize = if cfg!(test) { 40 } else { 10_000 };

/// The provisioned apps.
///
/// Every change of an app gives it a [`Revision`] that the store has given to no other change, not even before it was
/// restored from a backup. A write whose caller saw no answer may have happened, and may be sent again: a record that
/// is stored already, byte for byte, changes nothing.
pub trait Apps: Send + Sync {
    /// Stores an app and the entry that created it. Replaces the app of its key. Returns the app's revision. The
    /// record's own revision is ignored. Refused with [`StoreError::Conflict`] if the app is not as expected, unless
    /// the stored record equals this one in everything but its revision: then its present revision is returned.
    fn put(&self, app: AppRecord, expect: Expect) -> Pending<'_, Revision>;

    /// Seals again: stores each of these apps that is stored under its own `revision`, skips all others, and returns
    /// the number that it stored. Each gets a new revision, so that copies of the store follow. If it fails, nothing is
    /// changed. Once it resolves, the replaced data is erased from the disk too.
    fn put_all(&self, apps: Vec<AppRecord>) -> Pending<'_, u64>;

    fn get(&self, key: AppKey) -> Pending<'_, Option<AppRecord>>;

    /// Deletes an app and its events, and returns the revision of the removal; `None` if there was no app, whatever was
    /// expected. Refused with [`StoreError::Conflict`] if the app is not as expected.
    fn delete(&self, key: AppKey, expect: Expect) -> Pending<'_, Option<Revision>>;

    /// Returns at most `limit` apps after a key, sorted by key.
    fn list(&self, after: Option<AppKey>, limit: usize) -> Pending<'_, Vec<AppRecord>>;

    /// At most `limit` (1 or more) apps that were changed or removed after a revision, those that changed first. Each app
    /// is named once, as it is now.
    fn changes(&self, since: Revision, limit: usize) -> Pending<'_, Changes>;

    /// Returns the newest configuration entry of each app. An entry stays when its app is changed or deleted.
    fn entries(&self) -> Pending<'_, Vec<EntryRecord>>;

    /// Replaces the fingerprint of a stored entry. Its app and its revision stay unchanged.
    fn file_entry(&self, key: AppKey, fingerprint: String) -> Pending<'_, ()>;

    /// Deletes an entry. Also deletes the app and its events, unless the app was changed since the entry created it.
    /// Returns true if it deleted the app. The removal of the app has a revision, like that of [`Self::delete`].
    fn delete_entry(&self, key: AppKey) -> Pending<'_, bool>;
}

/// The place of a change in the sequence of all changes of apps in a store. It grows with every change of any app, and
/// names one state of one app. Opaque to callers of the API, who compare it for equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(i64);

impl Revision {
    /// Before the first change.
    pub const NONE: Self = Self(0);

    /// Converts the number that a store keeps.
    pub fn stored(number: i64) -> Self {
        Self(number)
    }

    /// The number that a store keeps.
    pub fn number(self) -> i64 {
        self.0
    }

    /// Reads what [`fmt::Display`] wrote; `None` for what is no revision.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).map(Self)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The condition of a change: the state in which its caller saw the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No condition.
    Any,
    /// The app is stored under this revision.
    Is(Revision),
    /// There is no such app.
    Absent,
}

impl Expect {
    /// Refuses if the app is not as expected; `stored` is its revision, if there is one.
    pub fn check(self, stored: Option<Revision>) -> Result<(), StoreError> {
        let is_met = match self {
            Self::Any => true,
            Self::Is(revision) => stored == Some(revision),
            Self::Absent => stored.is_none(),
        };
        if is_met { Ok(()) } else { Err(StoreError::Conflict { revision: stored }) }
    }
}

/// The newest state of apps that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// All changes up to here are in this answer or in an earlier one. With fewer apps than asked for it is the store's
    /// newest revision; it lies before the revision that was asked for if the store has lost changes.
    pub revision: Revision,
    /// The history of the store. Revisions of another epoch say nothing about this one.
    pub epoch: Epoch,
    /// The histories that this one takes the place of, as an operator decided: newest first.
    pub succeeds: Vec<Epoch>,
    pub changed: Vec<AppRecord>,
    pub removed: Vec<AppKey>,
    /// Removals up to here may be forgotten: a reader that knows no later change compares all apps.
    pub forgotten: Revision,
}

impl Changes {
    /// The number of apps in the answer.
    pub fn len(&self) -> usize {
        self.changed.len() + self.removed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The apps in the answer.
    pub fn keys(&self) -> impl Iterator<Item = &AppKey> {
        self.changed.iter().map(|app| &app.key).chain(&self.removed)
    }

    /// The app that changed last.
    pub fn last(&self) -> Option<&AppKey> {
        let changed = self.changed.last().filter(|app| app.revision == self.revision);
        changed.map(|app| &app.key).or(self.removed.last())
    }
}

/// The means to recover the apps of a shared store that has lost them.
pub trait Recovery: Send + Sync {
    /// The state of the shared store that this node has a copy of; `None` if it has no copy.
    fn copy_state(&self) -> Pending<'_, Option<CopyState>>;

    /// At most `limit` apps of the copy after a key, sorted by key.
    fn copied(&self, after: Option<AppKey>, limit: usize) -> Pending<'_, Vec<AppRecord>>;

    /// Gives the shared store the entries of the copy that it lacks.
    fn restore_entries(&self) -> Pending<'_, ()>;

    /// Keeps the sealed constant by which nodes check their keys, if the shared store has none.
    fn restore_check(&self, sealed: Vec<u8>) -> Pending<'_, ()>;

    /// Declares that the history `present` of the shared store takes the place of `replaced`, and returns the store's epoch
    /// then. If both are the same, the store begins a new epoch. If the store has another epoch than `present`, nothing is
    /// changed.
    fn succeed(&self, present: Epoch, replaced: Epoch) -> Pending<'_, Epoch>;
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
    /// The revision that it was read under; a store ignores it in [`Apps::put`].
    pub revision: Revision,
}

impl AppRecord {
    /// True if the records differ in nothing but their revisions.
    pub fn is_same(&self, other: &Self) -> bool {
        let Self { key, credential, certificate_path, topic, timeout_seconds, lanes, entry, revision: _ } = self;
        (key, credential, certificate_path) == (&other.key, &other.credential, &other.certificate_path)
            && (topic, timeout_seconds, lanes) == (&other.topic, &other.timeout_seconds, &other.lanes)
            && entry == &other.entry
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_reads_back_as_it_was_written_and_nothing_else_does() {
        for number in [0, 1, 42, i64::MAX] {
            let revision = Revision::stored(number);
            assert_eq!(Revision::parse(&revision.to_string()), Some(revision));
        }
        for text in ["", "-1", "+1", " 1", "1 ", "x", "1x", "0x1", "9223372036854775808"] {
            assert_eq!(Revision::parse(text), None, "{text}");
        }
    }
}
