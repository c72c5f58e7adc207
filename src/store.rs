//! The data that must outlive the process: contracts in the domain's words, and the stores that keep it.

mod apps;
mod cursor;
mod disconnections;
pub mod error;
mod feedback;
pub mod memory;
pub mod sqlite;

#[cfg(test)]
mod contract;

pub use apps::{AppRecord, Apps, Changes, EntryRecord, Expect, Kept, Revision};
pub use cursor::{Cursor, Epoch};
pub use disconnections::{DISCONNECTIONS_MAX, DisconnectionLog};
pub use error::StoreError;
pub use feedback::FeedbackLog;
use feedback::{DOUBTFUL, is_doubtful};
pub use memory::Memory;
pub use sqlite::Sqlite;

use crate::model::{AppKey, Records};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

/// The result of a store's operation. Once it resolves, the change outlives the process.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Everything a node keeps.
pub trait Store: Apps + Events {}

impl<S: Apps + Events> Store for S {}

/// Dead tokens and the disconnection log, per app. Each entry has a position, and positions only grow, over restarts
/// too. A cursor that this store did not give out in its present epoch is refused with [`StoreError::ForeignCursor`]:
/// its reader would be shown nothing of what is here, and would clear what nobody read.
pub trait Events: FeedbackLog + DisconnectionLog + Durability {
    /// Keeps all of it or nothing. Of a token's feedback only the newest by its own timestamp is kept, and takes a
    /// new position, so that an acknowledgement through an older cursor cannot lose it. Of the disconnections the
    /// newest [`DISCONNECTIONS_MAX`] per app are kept. Feedback that `is_doubtful` is held back while its app has a
    /// hold; how many entries that were is returned.
    fn record(&self, records: Arc<Records>) -> Pending<'_, u64>;

    fn counts(&self, app: AppKey) -> Pending<'_, Counts>;
}

/// Checks of whether what is written is kept.
pub trait Durability: Send + Sync {
    /// Writes as everything else is written, but changes nothing: whether it can be done.
    fn try_writing(&self) -> Pending<'_, ()>;

    /// Looks, without writing, whether what is kept is still where it was when the store was opened.
    fn look(&self) -> Pending<'_, ()>;
}

/// Where a store is.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// Made if it does not exist.
    pub data_dir: &'a Path,
}

/// A store that is open.
pub struct Opened {
    pub store: Arc<dyn Store>,
    /// Other nodes change it too: what they changed is read again and again.
    pub shared: bool,
    /// Sentences for the operator about the state in which the store was found.
    pub notices: Vec<String>,
}

/// Opens the store that the settings name, and keeps every other process out of it. Blocks.
pub fn open(settings: Settings<'_>) -> Result<Opened, StoreError> {
    let store = Sqlite::open(settings.data_dir)?;
    let notices = store.notices().to_vec();
    Ok(Opened { store: Arc::new(store), shared: false, notices })
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

/// The numbers of entries that wait to be acknowledged or are held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub feedback: u64,
    pub held: u64,
    pub disconnections: u64,
}
