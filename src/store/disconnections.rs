//! The contract of the disconnection log.

use super::{Cursor, Page, Pending};
use crate::model::{AppKey, Disconnection};

/// Disconnections kept per app: the newest.
pub const DISCONNECTIONS_MAX: usize = 5_000;

/// The disconnection log of each app.
pub trait DisconnectionLog: Send + Sync {
    /// At most `limit` entries after the cursor, oldest position first.
    fn disconnections(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Disconnection>>;

    /// Forgets the disconnections up to and with the cursor: how many entries that were.
    fn acknowledge_disconnections(&self, app: AppKey, through: Cursor) -> Pending<'_, u64>;
}
