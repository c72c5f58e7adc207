//! What must outlive the process: contracts in the domain's words, and the stores that keep them.

mod cursor;
pub mod error;
pub mod memory;
pub mod sqlite;

#[cfg(test)]
mod contract;

pub use cursor::{Cursor, Epoch};
pub use error::StoreError;
pub use memory::Memory;
pub use sqlite::Sqlite;

use crate::model::{AppKey, AppleReason, Disconnection, Feedback, Hold, Records, Settlement};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Disconnections kept per app: the newest.
pub const DISCONNECTIONS_MAX: usize = 5_000;

/// What every operation of a store returns; once it resolves, what it did outlives the process.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Everything a node keeps.
pub trait Store: Apps + Events {}

impl<S: Apps + Events> Store for S {}

/// The provisioned apps.
pub trait Apps: Send + Sync {
    /// Keeps an app, in place of what was kept under its key, and the entry that made it.
    fn put(&self, app: AppRecord) -> Pending<'_, ()>;

    /// Keeps all of these apps or none of them. What they replace is gone from the disk, too, once it resolves.
    fn put_all(&self, apps: Vec<AppRecord>) -> Pending<'_, ()>;

    fn get(&self, key: AppKey) -> Pending<'_, Option<AppRecord>>;

    /// Forgets an app and its events: whether there was one.
    fn delete(&self, key: AppKey) -> Pending<'_, bool>;

    /// At most `limit` apps behind a key, sorted by key.
    fn list(&self, after: Option<AppKey>, limit: usize) -> Pending<'_, Vec<AppRecord>>;

    /// The configuration's entries that apps were made by: of each app the newest. An entry stays when its app is changed
    /// or deleted.
    fn entries(&self) -> Pending<'_, Vec<EntryRecord>>;

    /// Gives an entry that is kept another fingerprint; its app stays as it is.
    fn file_entry(&self, key: AppKey, fingerprint: String) -> Pending<'_, ()>;

    /// Forgets an entry, and the app with its events if it is still the one the entry made: whether it was.
    fn delete_entry(&self, key: AppKey) -> Pending<'_, bool>;
}

/// Dead tokens and the disconnection log, per app. Each entry has a position, and positions only grow, over restarts
/// too. A cursor that this store did not give out in its present epoch is refused with [`StoreError::ForeignCursor`]: its
/// reader would be shown nothing of what is here, and would clear what nobody read.
pub trait Events: Send + Sync {
    /// Keeps all of it or nothing. Of a token's feedback only the newest by its own timestamp is kept, and takes a
    /// new position, so that an acknowledgement through an older cursor cannot lose it. Of the disconnections the
    /// newest [`DISCONNECTIONS_MAX`] per app are kept. Feedback that `is_doubtful` is held back while its app has a
    /// hold; how many entries that were is returned.
    fn record(&self, records: Arc<Records>) -> Pending<'_, u64>;

    /// Holds back the app's doubtful feedback from now on, and what of it waits to be acknowledged: how many entries
    /// that were. A hold that stands already stays as it is.
    fn hold(&self, app: AppKey, hold: Hold) -> Pending<'_, u64>;

    /// The holds of all apps.
    fn holds(&self) -> Pending<'_, Vec<(AppKey, Hold)>>;

    /// Ends the app's hold, if it has one: how many entries were held. What is released takes a new position, and does
    /// not replace what is newer.
    fn settle(&self, app: AppKey, settlement: Settlement) -> Pending<'_, u64>;

    /// At most `limit` entries behind the cursor, oldest position first.
    fn feedback(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Feedback>>;

    /// At most `limit` entries behind the cursor, oldest position first.
    fn disconnections(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Disconnection>>;

    /// Forgets the feedback up to and with the cursor: how many entries that were.
    fn acknowledge_feedback(&self, app: AppKey, through: Cursor) -> Pending<'_, u64>;

    /// Forgets the disconnections up to and with the cursor: how many entries that were.
    fn acknowledge_disconnections(&self, app: AppKey, through: Cursor) -> Pending<'_, u64>;

    fn counts(&self, app: AppKey) -> Pending<'_, Counts>;

    /// Writes as everything else is written, but changes nothing: whether it can be done.
    fn try_writing(&self) -> Pending<'_, ()>;

    /// Looks, without writing, whether what is kept is still where it was when the store was opened.
    fn look(&self) -> Pending<'_, ()>;
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

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub entries: Vec<T>,
    /// Behind the last entry; where the page is empty, the place it was asked for.
    pub cursor: Cursor,
}

impl<T> Page<T> {
    /// Entries with their positions in this epoch; `after` is the position that they are behind.
    fn new(positioned: Vec<(i64, T)>, epoch: Epoch, after: i64) -> Self {
        let last = positioned.last().map_or(after, |(position, _)| *position);
        Self { entries: positioned.into_iter().map(|(_, entry)| entry).collect(), cursor: epoch.cursor(last) }
    }
}

/// How many entries wait to be acknowledged, and how many are held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub feedback: u64,
    pub held: u64,
    pub disconnections: u64,
}

/// Whether an entry may stem from a wrong environment or topic, and not from a dead token.
fn is_doubtful(entry: &Feedback) -> bool {
    entry.reason == DOUBTFUL
}

/// The reason of doubtful feedback.
const DOUBTFUL: &str = AppleReason::BadDeviceToken.as_str();
