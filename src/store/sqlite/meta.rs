//! Facts about the database itself: whose it is, and whether it is whole.

use super::super::{Epoch, Revision};
use rusqlite::{Connection, OptionalExtension, Result};

/// The epoch of the shared store that a database is a node's copy of; absent from one that stands for itself.
const COPY_OF: &str = "copy_of";
/// The source of an unfinished copy.
const UNFINISHED: &str = "unfinished_copy";
/// The newest revision of the shared store that is in the copy.
const COPIED_REVISION: &str = "copied_revision";
/// The time at which the copy was compared with the shared store, UNIX seconds.
const COPIED_AT: &str = "copied_at";
/// The newest revision of a removal that is forgotten.
const FORGOTTEN: &str = "forgotten_removal";

/// Whose the apps in a database are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Those of a node that uses the database alone.
    Own,
    /// A node's copy of what the shared store of this epoch has.
    CopyOf(Epoch),
}

pub(super) fn ownership(connection: &Connection) -> Result<Ownership> {
    let epoch = get(connection, COPY_OF)?.and_then(|text| text.parse().ok()).map(Epoch::stored);
    Ok(epoch.map_or(Ownership::Own, Ownership::CopyOf))
}

pub(super) fn set_copy_of(connection: &Connection, epoch: Epoch) -> Result<()> {
    set(connection, COPY_OF, Some(&epoch.number().to_string()))
}

/// The state of the shared store that the database has a copy of; `None` before the first whole copy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CopyState {
    pub epoch: Epoch,
    pub revision: Revision,
    /// UNIX seconds.
    pub at: f64,
}

pub(super) fn copy_state(connection: &Connection) -> Result<Option<CopyState>> {
    let Ownership::CopyOf(epoch) = ownership(connection)? else { return Ok(None) };
    let revision = get(connection, COPIED_REVISION)?.and_then(|text| Revision::parse(&text));
    let at = get(connection, COPIED_AT)?.and_then(|text| text.parse().ok());
    Ok(revision.zip(at).map(|(revision, at)| CopyState { epoch, revision, at }))
}

pub(super) fn set_copy_state(connection: &Connection, state: CopyState) -> Result<()> {
    set_copy_of(connection, state.epoch)?;
    set(connection, COPIED_REVISION, Some(&state.revision.to_string()))?;
    set(connection, COPIED_AT, Some(&state.at.to_string()))
}

pub(super) fn unfinished_copy(connection: &Connection) -> Result<Option<String>> {
    get(connection, UNFINISHED)
}

pub(super) fn mark_copy(connection: &Connection, source: Option<&str>) -> Result<()> {
    set(connection, UNFINISHED, source)
}

pub(super) fn forgotten_removal(connection: &Connection) -> Result<Revision> {
    Ok(get(connection, FORGOTTEN)?.and_then(|text| Revision::parse(&text)).unwrap_or_default())
}

pub(super) fn set_forgotten_removal(connection: &Connection, revision: Revision) -> Result<()> {
    set(connection, FORGOTTEN, Some(&revision.to_string()))
}

/// Returns true if no table has a row that somebody could miss.
pub(super) fn is_empty(connection: &Connection) -> Result<bool> {
    for table in ["apps", "entries", "holds", "held_feedback", "feedback", "disconnection_blocks", "spool"] {
        if connection.prepare(&format!("SELECT 1 FROM {table} LIMIT 1"))?.exists([])? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn get(connection: &Connection, name: &str) -> Result<Option<String>> {
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
}

fn set(connection: &Connection, name: &str, value: Option<&str>) -> Result<()> {
    match value {
        Some(value) => connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", [name, value]),
        None => connection.execute("DELETE FROM meta WHERE name = ?1", [name]),
    }
    .map(drop)
}
