//! The contract of the disconnection log.

use super::{Cursor, Page, Pending};
use crate::model::{AppKey, Disconnection};

/// The maximum number of disconnections per app: the newest are kept.
pub const DISCONNECTIONS_MAX: usize = 5_000;

/// The disconnection log of each app.
pub trait DisconnectionLog: Send + Sync {
    /// Returns at most `limit` entries after the cursor, oldest position first.
    fn disconnections(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Disconnection>>;

    /// Deletes the disconnections up to and including the cursor. Returns their number.
    fn acknowledge_disconnections(&self, app: AppKey, through: Cursor) -> Pending<'_, u64>;
}
