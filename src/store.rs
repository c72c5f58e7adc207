//! What must outlive the process: contracts in the domain's words, and the stores that keep them.

pub mod error;
pub mod memory;
pub mod sqlite;

#[cfg(test)]
mod contract;

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

    /// The configuration's entries that apps were made by: of each app the newest, with its fingerprint. An entry stays
    /// when its app is changed or deleted.
    fn entries(&self) -> Pending<'_, Vec<(AppKey, String)>>;

    /// Forgets an entry, and the app with its events if it is still the one the entry made: whether it was.
    fn delete_entry(&self, key: AppKey) -> Pending<'_, bool>;
}

/// Dead tokens and the disconnection log, per app. Each entry has a position, and positions only grow, over restarts
/// too.
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

    /// The newest positions that were ever given, to whatever app: no cursor can be behind them.
    fn newest(&self) -> Pending<'_, Newest>;

    /// Writes as everything else is written, but changes nothing: whether it can be done.
    fn try_writing(&self) -> Pending<'_, ()>;
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
    pub entries: Vec<(AppKey, String)>,
}

/// A place in a list of events. Opaque to callers: they hand back what they were given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(i64);

impl Cursor {
    /// Before the first entry.
    pub const START: Self = Self(0);

    /// Reads what a caller hands back; `None` for what no store gave out.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).map(Self)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, out)
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub entries: Vec<T>,
    /// Behind the last entry; where the page is empty, the cursor it was asked with.
    pub cursor: Cursor,
}

impl<T> Page<T> {
    fn new(positioned: Vec<(Cursor, T)>, after: Cursor) -> Self {
        let cursor = positioned.last().map_or(after, |(position, _)| *position);
        Self { entries: positioned.into_iter().map(|(_, entry)| entry).collect(), cursor }
    }
}

/// Of each list, the position that was given last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Newest {
    pub feedback: Cursor,
    pub disconnections: Cursor,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_it_was_written_and_nothing_else_does() {
        assert_eq!(Cursor::parse(&Cursor(42).to_string()), Some(Cursor(42)));
        for odd in ["", "-1", "+1", " 1", "x", "9223372036854775808"] {
            assert_eq!(Cursor::parse(odd), None, "{odd}");
        }
    }
}
