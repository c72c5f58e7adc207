//! Events that wait in a node's copy for the shared store, in their order.

use super::super::Pending;
use super::Sqlite;
use rusqlite::{Connection, Result};

/// Bytes of entries in one answer, about.
const PAGE_BYTES: usize = 1 << 20;

/// An entry with its position.
pub type Spooled = (i64, String);

impl Sqlite {
    /// Appends an entry. Once it resolves, the entry is on disk. Returns its position.
    pub fn spool(&self, entry: String) -> Pending<'_, i64> {
        let append = move |connection: &Connection| {
            connection.prepare_cached("INSERT INTO spool (entry) VALUES (?1)")?.insert([&entry])
        };
        Box::pin(self.writer.write(Vec::new(), append))
    }

    /// The oldest entries after a position.
    pub fn spooled(&self, after: i64) -> Pending<'_, Vec<Spooled>> {
        Box::pin(self.reader.read(move |connection| page(connection, after)))
    }

    /// The entries that begin with a text.
    pub fn spooled_with(&self, prefix: &'static str) -> Pending<'_, Vec<String>> {
        Box::pin(self.reader.read(move |connection| {
            let sql = "SELECT entry FROM spool WHERE substr(entry, 1, ?1) = ?2 ORDER BY position";
            let mut select = connection.prepare_cached(sql)?;
            select.query_map((prefix.len() as i64, prefix), |row| row.get(0))?.collect()
        }))
    }

    /// Deletes the entries up to and including a position.
    pub fn unspool(&self, through: i64) -> Pending<'_, ()> {
        let delete = move |connection: &Connection| {
            connection.prepare_cached("DELETE FROM spool WHERE position <= ?1")?.execute([through]).map(drop)
        };
        Box::pin(self.writer.write(Vec::new(), delete))
    }

    /// The number of entries, and their bytes.
    pub fn spool_usage(&self) -> Pending<'_, (u64, u64)> {
        Box::pin(self.reader.read(usage))
    }

    /// The same, with the number of entries that begin with a text, after all changes that were begun before.
    pub fn count_spooled(&self, prefix: &'static str) -> Pending<'_, (u64, u64, u64)> {
        let count = move |connection: &Connection| -> Result<_> {
            let (entries, bytes) = usage(connection)?;
            let sql = "SELECT count(*) FROM spool WHERE substr(entry, 1, ?1) = ?2";
            let found: i64 = connection.query_row(sql, (prefix.len() as i64, prefix), |row| row.get(0))?;
            Ok((entries, bytes, found.unsigned_abs()))
        };
        Box::pin(self.writer.write(Vec::new(), count))
    }
}

fn page(connection: &Connection, after: i64) -> Result<Vec<Spooled>> {
    let mut select =
        connection.prepare_cached("SELECT position, entry FROM spool WHERE position > ?1 ORDER BY position")?;
    let mut rows = select.query([after])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let entry: String = row.get(1)?;
        bytes += entry.len();
        found.push((row.get(0)?, entry));
    }
    Ok(found)
}

fn usage(connection: &Connection) -> Result<(u64, u64)> {
    let sql = "SELECT count(*), COALESCE(sum(octet_length(entry)), 0) FROM spool";
    let numbers: (i64, i64) = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((numbers.0.unsigned_abs(), numbers.1.unsigned_abs()))
}
