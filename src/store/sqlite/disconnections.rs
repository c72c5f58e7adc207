//! The disconnection log, stored in blocks. A failed batch adds hundreds of entries, and a row for each would cost
//! several times as much.

use super::super::DISCONNECTIONS_MAX;
use super::super::disconnections::StoredDisconnection;
use super::feedback::{names, newest};
use super::{Cursor, Epoch, Page, StoreError};
use crate::model::{AppKey, Disconnection};
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Result, Row, params};
use std::thread;

/// The number of entries of a block: small, so that reading a page and trimming touch few other entries.
const BLOCK_MAX: usize = 100;

/// The table that counts the positions of disconnections.
const LIST: &str = "disconnection_blocks";

/// A block has the position of its last entry; earlier entries have the positions before it.
const APPEND: &str = "INSERT INTO disconnection_blocks (position, app_id, environment, entries, log)
    SELECT ?3 + COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'disconnection_blocks'), 0), ?1, ?2, ?3, ?4";

struct Block {
    last: i64,
    entries: Vec<StoredDisconnection<'static>>,
}

impl Block {
    fn read(row: &Row<'_>) -> Result<Self> {
        let unreadable = |error| Error::FromSqlConversionFailure(1, Type::Text, Box::new(error));
        let entries = serde_json::from_str(row.get_ref("log")?.as_str()?).map_err(unreadable)?;
        Ok(Self { last: row.get("position")?, entries })
    }

    /// The block's entries after a position, each with its position.
    fn behind(self, position: i64) -> impl Iterator<Item = (i64, StoredDisconnection<'static>)> {
        let before = self.last.saturating_sub_unsigned(self.entries.len() as u64);
        let positions = (1..).map(move |place| before + place);
        positions.zip(self.entries).filter(move |(place, _)| *place > position)
    }
}

fn text(entries: &[StoredDisconnection<'_>]) -> Result<String> {
    serde_json::to_string(entries).map_err(|error| Error::ToSqlConversionFailure(Box::new(error)))
}

pub(super) fn append(connection: &Connection, entries: &[Disconnection]) -> Result<()> {
    let mut append = connection.prepare_cached(APPEND)?;
    for of_app in entries.chunk_by(|one, next| one.app == next.app) {
        let (id, environment) = names(&of_app[0].app);
        for block in of_app.chunks(BLOCK_MAX) {
            let kept: Vec<StoredDisconnection<'_>> = block.iter().map(StoredDisconnection::from).collect();
            append.execute(params![id, environment, block.len() as i64, text(&kept)?])?;
            thread::yield_now();
        }
    }
    Ok(())
}

pub(super) fn page(
    connection: &Connection,
    epoch: Epoch,
    app: &AppKey,
    after: Cursor,
    limit: usize,
) -> std::result::Result<Page<Disconnection>, StoreError> {
    let after = epoch.position(after, newest(connection, LIST)?)?.max(surplus(connection, app)?);
    Ok(Page::new(behind(connection, app, after, limit)?, epoch, after))
}

/// Returns at most `limit` entries after a position, each with its position.
fn behind(connection: &Connection, app: &AppKey, position: i64, limit: usize) -> Result<Vec<(i64, Disconnection)>> {
    let (id, environment) = names(app);
    let mut select = connection.prepare_cached(
        "SELECT position, log FROM disconnection_blocks
        WHERE app_id = ?1 AND environment = ?2 AND position > ?3 ORDER BY position",
    )?;
    let mut blocks = select.query(params![id, environment, position])?;
    let mut entries = Vec::new();
    while entries.len() < limit
        && let Some(row) = blocks.next()?
    {
        let behind = Block::read(row)?.behind(position).take(limit - entries.len());
        entries.extend(behind.map(|(position, kept)| (position, kept.of(app))));
    }
    Ok(entries)
}

/// Deletes an app's blocks without any of the newest [`DISCONNECTIONS_MAX`] entries.
pub(super) fn trim(connection: &Connection, app: &AppKey) -> Result<()> {
    forget_blocks(connection, app, surplus(connection, app)?).map(drop)
}

/// The position up to which an app's entries exceed the maximum and count as deleted; 0 if none do.
fn surplus(connection: &Connection, app: &AppKey) -> Result<i64> {
    let (id, environment) = names(app);
    let mut select = connection.prepare_cached(
        "SELECT position, entries FROM disconnection_blocks
        WHERE app_id = ?1 AND environment = ?2 ORDER BY position DESC",
    )?;
    let mut newest_first = select.query(params![id, environment])?;
    let mut kept = 0;
    while let Some(row) = newest_first.next()? {
        let (last, entries): (i64, i64) = (row.get(0)?, row.get(1)?);
        kept += entries;
        let too_many = kept - DISCONNECTIONS_MAX as i64;
        if too_many > 0 {
            return Ok(last - entries + too_many);
        }
    }
    Ok(0)
}

/// Deletes the entries up to and including the cursor. Returns their number, without entries over the maximum.
pub(super) fn forget(
    connection: &Connection,
    epoch: Epoch,
    app: &AppKey,
    through: Cursor,
) -> std::result::Result<u64, StoreError> {
    let through = epoch.position(through, newest(connection, LIST)?)?;
    cut(connection, app, surplus(connection, app)?)?;
    Ok(cut(connection, app, through)?)
}

fn cut(connection: &Connection, app: &AppKey, through: i64) -> Result<u64> {
    let gone = forget_blocks(connection, app, through)?;
    let (id, environment) = names(app);
    let sql = "SELECT position, log FROM disconnection_blocks
        WHERE app_id = ?1 AND environment = ?2 AND position > ?3 ORDER BY position LIMIT 1";
    let next = connection.prepare_cached(sql)?.query_row(params![id, environment, through], Block::read).optional()?;
    let Some(block) = next else { return Ok(gone) };
    let (last, all) = (block.last, block.entries.len());
    let rest: Vec<StoredDisconnection<'_>> = block.behind(through).map(|(_, kept)| kept).collect();
    if rest.len() < all {
        let sql = "UPDATE disconnection_blocks SET entries = ?2, log = ?3 WHERE position = ?1";
        connection.prepare_cached(sql)?.execute(params![last, rest.len() as i64, text(&rest)?])?;
    }
    Ok(gone + (all - rest.len()) as u64)
}

/// Deletes the blocks up to and including a position. Returns the number of their entries.
fn forget_blocks(connection: &Connection, app: &AppKey, through: i64) -> Result<u64> {
    let (id, environment) = names(app);
    let sql = "DELETE FROM disconnection_blocks WHERE app_id = ?1 AND environment = ?2 AND position <= ?3
        RETURNING entries";
    let mut delete = connection.prepare_cached(sql)?;
    let entries = delete.query_map(params![id, environment, through], |row| row.get::<_, i64>(0))?;
    entries.map(|entries| entries.map(i64::unsigned_abs)).sum()
}

pub(super) fn count(connection: &Connection, app: &AppKey) -> Result<u64> {
    let (id, environment) = names(app);
    let sql = "SELECT COALESCE(SUM(entries), 0) FROM disconnection_blocks WHERE app_id = ?1 AND environment = ?2";
    let count: i64 = connection.prepare_cached(sql)?.query_row([id, environment], |row| row.get(0))?;
    Ok(count.unsigned_abs().min(DISCONNECTIONS_MAX as u64))
}
