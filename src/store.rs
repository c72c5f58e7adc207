//! The stored data: the contracts of a store, and the stores that implement them.

mod apps;
mod cursor;
mod disconnections;
pub mod error;
mod feedback;
pub mod members;
pub mod memory;
pub mod opening;
pub mod redis;
pub mod shared;
pub mod sqlite;
pub mod transfer;

#[cfg(test)]
mod contract;

pub use apps::{AppRecord, Apps, Changes, EntryRecord, Expect, Kept, REMOVED_MAX, Recovery, Revision};
pub use cursor::{Cursor, Epoch};
pub use disconnections::{DISCONNECTIONS_MAX, DisconnectionLog};
pub use error::StoreError;
pub use feedback::FeedbackLog;
use feedback::{DOUBTFUL, is_doubtful};
pub use memory::Memory;
pub use opening::{Opened, Settings, open};
pub use shared::Shared;
pub use sqlite::{CopyState, Sqlite};
pub use transfer::Transfer;

use crate::model::{AppKey, Records};
use std::pin::Pin;
use std::sync::Arc;

/// The result of a store's operation. Once it resolves, the change outlives the process.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// All contracts of a node's store.
pub trait Store: Apps + Events {}

impl<S: Apps + Events> Store for S {}

/// Dead tokens and the disconnection log, per app. Each entry has a position. Positions only grow, also over restarts.
/// A cursor that this store did not return in its current epoch is refused with [`StoreError::ForeignCursor`]: with it
/// a reader would miss entries, and would acknowledge unread entries.
pub trait Events: FeedbackLog + DisconnectionLog + Durability {
    /// Stores all of the records or none. Of a token's feedback only the entry with the newest timestamp is kept. It
    /// takes a new position, so that an acknowledgement of an older cursor cannot delete it. The newest
    /// [`DISCONNECTIONS_MAX`] disconnections of each app are kept. While an app has a quarantine, its feedback that
    /// `is_doubtful` is held back. Returns the number of entries held back.
    fn record(&self, records: Arc<Records>) -> Pending<'_, u64>;

    fn counts(&self, app: AppKey) -> Pending<'_, Counts>;
}

/// Checks of the store's health.
pub trait Durability: Send + Sync {
    /// Writes without a change of data, to check that writing works.
    fn try_writing(&self) -> Pending<'_, ()>;

    /// Checks, without writing, that the store's file is still the one that was opened.
    fn look(&self) -> Pending<'_, ()>;
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub entries: Vec<T>,
    /// The cursor after the last entry; of an empty page, the requested cursor.
    pub cursor: Cursor,
}

impl<T> Page<T> {
    /// Creates a page of entries with their positions in this epoch; `after` is the position before them.
    fn new(positioned: Vec<(i64, T)>, epoch: Epoch, after: i64) -> Self {
        let last = positioned.last().map_or(after, |(position, _)| *position);
        Self { entries: positioned.into_iter().map(|(_, entry)| entry).collect(), cursor: epoch.cursor(last) }
    }
}

/// The numbers of entries that are not acknowledged, and of entries held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub feedback: u64,
    pub held: u64,
    pub disconnections: u64,
}
