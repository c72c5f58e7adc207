//! A node's copy of the apps in the shared store.

use super::super::{AppRecord, Pending};
use super::meta::{self, CopyState};
use super::threads::After;
use super::{Sqlite, apps};
use crate::model::AppKey;
use rusqlite::{Connection, Result};

/// Differences between the copy and the shared store.
#[derive(Debug, Default)]
pub struct Differences {
    pub changed: Vec<AppRecord>,
    pub removed: Vec<AppKey>,
    /// All fingerprints of entries in the shared store, to replace those of the copy.
    pub entries: Option<Vec<(AppKey, String)>>,
    /// The state of the shared store that the copy has with these differences; `None` if more follow.
    pub state: Option<CopyState>,
}

impl Sqlite {
    /// The state of the shared store that the copy has; `None` if there is no copy yet.
    pub fn copy_state(&self) -> Pending<'_, Option<CopyState>> {
        Box::pin(self.reader.read(meta::copy_state))
    }

    /// Applies the differences, all or none. An app that was removed loses its events too.
    pub fn apply_to_copy(&self, differences: Differences) -> Pending<'_, ()> {
        let is_change = !differences.changed.is_empty() || !differences.removed.is_empty();
        let after = if is_change { After::Moved } else { After::Nothing };
        Box::pin(self.writer.change(after, move |connection| apply(connection, &differences)))
    }
}

fn apply(connection: &Connection, differences: &Differences) -> Result<()> {
    let Differences { changed, removed, entries, state } = differences;
    removed.iter().try_for_each(|key| apps::forget(connection, key))?;
    changed.iter().try_for_each(|app| apps::copy(connection, app))?;
    if let Some(entries) = entries {
        connection.execute("DELETE FROM entries", [])?;
        super::transfer::put_entries(connection, entries)?;
    }
    state.map_or(Ok(()), |state| meta::set_copy_state(connection, state))
}
