//! The disconnection log: a stream per app, whichever node wrote an entry.

use super::Redis;
use super::reply::{epoch, number, odd, read};
use super::scripts::{LOG_ACKNOWLEDGE, LOG_PAGE};
use crate::model::{AppKey, Disconnection};
use crate::store::disconnections::StoredDisconnection;
use crate::store::{Cursor, DisconnectionLog, Page, Pending, StoreError};

/// Entries that one call returns: they have a few kilobytes each.
const STEP: usize = 100;

/// An entry as it is stored.
pub(super) fn stored(entry: &Disconnection) -> Result<String, StoreError> {
    serde_json::to_string(&StoredDisconnection::from(entry)).map_err(|error| odd(&error.to_string()))
}

fn entry_of(app: &AppKey, stored: &str) -> Result<Disconnection, StoreError> {
    let stored: StoredDisconnection<'_> = serde_json::from_str(stored).map_err(|_| odd("a disconnection"))?;
    Ok(stored.of(app))
}

impl DisconnectionLog for Redis {
    fn disconnections(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Disconnection>> {
        Box::pin(async move {
            let (mut of, mut position) = after.parts();
            let mut entries = Vec::new();
            loop {
                let step = STEP.min(limit - entries.len());
                let mut call = LOG_PAGE.prepare_invoke();
                call.key(self.keys.meta()).key(self.keys.log(&app));
                call.arg(of.number()).arg(position).arg(step);
                let page: Option<Vec<String>> = read(self.run(&call).await?)?;
                let page = page.ok_or(StoreError::ForeignCursor)?;
                let (now, found) = page.split_first().ok_or_else(|| odd("a page of the log"))?;
                of = epoch(now)?;
                for one in found.chunks_exact(2) {
                    position = number(&one[0])?;
                    entries.push((position, entry_of(&app, &one[1])?));
                }
                if found.len() < 2 * step || entries.len() == limit {
                    return Ok(Page::new(entries, of, position));
                }
            }
        })
    }

    fn acknowledge_disconnections(&self, app: AppKey, through: Cursor) -> Pending<'_, u64> {
        Box::pin(async move {
            let (of, position) = through.parts();
            let mut call = LOG_ACKNOWLEDGE.prepare_invoke();
            call.key(self.keys.meta()).key(self.keys.log(&app)).arg(of.number()).arg(position);
            let gone: Option<u64> = read(self.run(&call).await?)?;
            gone.ok_or(StoreError::ForeignCursor)
        })
    }
}
