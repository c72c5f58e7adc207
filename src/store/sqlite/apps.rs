//! The SQL of the provisioned apps.

use super::feedback::newest;
use super::{AppRecord, Changes, EntryRecord, Epoch, Expect, Revision, StoreError, meta};
use crate::model::{AppId, AppKey, Environment};
use crate::store::REMOVED_MAX;
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, Error, OptionalExtension, Row, params};
use std::ops::Range;
use zeroize::Zeroizing;

/// Changes with their apps, those that changed first. An app's own revision is that of its newest change.
pub(super) const CHANGES: &str =
    "SELECT app_changes.*, credential, certificate_path, topic, timeout_seconds, lanes, entry
    FROM app_changes LEFT JOIN apps USING (app_id, environment)
    WHERE app_changes.revision > ?1 ORDER BY app_changes.revision LIMIT ?2";

/// The number of revisions that a store skips when it begins a new epoch: more than it made since any backup, and others
/// in each of two copies.
const SKIPPED: Range<i64> = 1 << 32..1 << 40;

pub(super) fn put(connection: &Connection, app: &AppRecord, expect: Expect) -> Result<Revision, StoreError> {
    let stored = get(connection, &app.key)?;
    if let Some(stored) = &stored
        && stored.is_same(app)
    {
        return Ok(stored.revision);
    }
    expect.check(stored.map(|stored| stored.revision))?;
    Ok(write(connection, app)?)
}

/// Keeps those of the apps that are stored under their own revision, and returns their number.
pub(super) fn put_all(connection: &Connection, apps: &[AppRecord]) -> rusqlite::Result<u64> {
    let mut kept = 0;
    for app in apps {
        if stored_revision(connection, &app.key)? == Some(app.revision) {
            write(connection, app)?;
            kept += 1;
        }
    }
    Ok(kept)
}

fn write(connection: &Connection, app: &AppRecord) -> rusqlite::Result<Revision> {
    let revision = note_change(connection, &app.key)?;
    write_under(connection, app, revision)?;
    Ok(revision)
}

/// Keeps an app as another store has it: under its own revision.
pub(super) fn copy(connection: &Connection, app: &AppRecord) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO app_changes (revision, app_id, environment) VALUES (?1, ?2, ?3)";
    let change = params![app.revision.number(), app.key.id.as_str(), app.key.environment.as_str()];
    connection.prepare_cached(sql)?.execute(change)?;
    write_under(connection, app, app.revision)
}

/// Deletes an app that another store has no longer, and keeps no trace of it.
pub(super) fn forget(connection: &Connection, key: &AppKey) -> rusqlite::Result<()> {
    remove(connection, key)?;
    let sql = "DELETE FROM app_changes WHERE app_id = ?1 AND environment = ?2";
    connection.prepare_cached(sql)?.execute([key.id.as_str(), key.environment.as_str()]).map(drop)
}

fn write_under(connection: &Connection, app: &AppRecord, revision: Revision) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO apps
        (app_id, environment, credential, certificate_path, topic, timeout_seconds, lanes, entry, revision)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    connection.prepare_cached(sql)?.execute(params![
        app.key.id.as_str(),
        app.key.environment.as_str(),
        app.credential.as_slice(),
        app.certificate_path,
        app.topic,
        app.timeout_seconds,
        app.lanes,
        app.entry,
        revision.number(),
    ])?;
    if let Some(entry) = &app.entry {
        let sql = "INSERT OR REPLACE INTO entries (app_id, environment, fingerprint) VALUES (?1, ?2, ?3)";
        let key = (app.key.id.as_str(), app.key.environment.as_str(), entry);
        connection.prepare_cached(sql)?.execute(key)?;
    }
    Ok(())
}

/// Notes that an app changes, or goes, and returns the revision of it.
fn note_change(connection: &Connection, key: &AppKey) -> rusqlite::Result<Revision> {
    let sql = "INSERT OR REPLACE INTO app_changes (app_id, environment) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.insert([key.id.as_str(), key.environment.as_str()]).map(Revision::stored)
}

fn stored_revision(connection: &Connection, key: &AppKey) -> rusqlite::Result<Option<Revision>> {
    let sql = "SELECT revision FROM apps WHERE app_id = ?1 AND environment = ?2";
    let mut select = connection.prepare_cached(sql)?;
    let revision = |row: &Row<'_>| row.get(0).map(Revision::stored);
    select.query_row([key.id.as_str(), key.environment.as_str()], revision).optional()
}

/// Leaves out some revisions: those that another history of the store may have given to other changes.
pub(super) fn skip_revisions(connection: &Connection) -> rusqlite::Result<()> {
    let skipped = fastrand::i64(SKIPPED);
    connection.execute("UPDATE sqlite_sequence SET seq = seq + ?1 WHERE name = 'app_changes'", [skipped]).map(drop)
}

pub(super) fn changes(
    connection: &Connection,
    epoch: Epoch,
    since: Revision,
    limit: usize,
) -> rusqlite::Result<Changes> {
    let newest = Revision::stored(newest(connection, "app_changes")?);
    let forgotten = meta::forgotten_removal(connection)?;
    let (succeeds, changed, removed) = (Vec::new(), Vec::new(), Vec::new());
    let mut changes = Changes { revision: newest, epoch, succeeds, changed, removed, forgotten };
    let mut select = connection.prepare_cached(CHANGES)?;
    let mut rows = select.query(params![since.number(), i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut last = Revision::NONE;
    while let Some(row) = rows.next()? {
        last = Revision::stored(row.get("revision")?);
        match row.get_ref("credential")? {
            ValueRef::Null => changes.removed.push(key(row)?),
            _ => changes.changed.push(read(row)?),
        }
    }
    // The writer may have added some since the newest revision was read.
    changes.revision = if changes.len() < limit { newest.max(last) } else { last };
    Ok(changes)
}

pub(super) fn get(connection: &Connection, key: &AppKey) -> rusqlite::Result<Option<AppRecord>> {
    let sql = "SELECT * FROM apps WHERE app_id = ?1 AND environment = ?2";
    let mut select = connection.prepare_cached(sql)?;
    select.query_row([key.id.as_str(), key.environment.as_str()], read).optional()
}

pub(super) fn delete(connection: &Connection, key: &AppKey, expect: Expect) -> Result<Option<Revision>, StoreError> {
    let stored = stored_revision(connection, key)?;
    if stored.is_some() {
        expect.check(stored)?;
    }
    remove(connection, key)?;
    Ok(if stored.is_some() { Some(note_removal(connection, key)?) } else { None })
}

/// Notes that an app goes, and forgets the oldest removals now and then.
fn note_removal(connection: &Connection, key: &AppKey) -> rusqlite::Result<Revision> {
    let revision = note_change(connection, key)?;
    let removals = "SELECT (SELECT count(*) FROM app_changes) - (SELECT count(*) FROM apps)";
    let count: i64 = connection.prepare_cached(removals)?.query_row([], |row| row.get(0))?;
    if count > (REMOVED_MAX + REMOVED_MAX / 10) as i64 {
        let oldest = "SELECT app_changes.revision FROM app_changes LEFT JOIN apps USING (app_id, environment)
            WHERE apps.revision IS NULL ORDER BY app_changes.revision DESC LIMIT 1 OFFSET ?1";
        let forgotten: i64 = connection.query_row(oldest, [REMOVED_MAX as i64], |row| row.get(0))?;
        let sql = "DELETE FROM app_changes WHERE revision <= ?1
            AND NOT EXISTS (SELECT 1 FROM apps WHERE apps.revision = app_changes.revision)";
        connection.execute(sql, [forgotten])?;
        meta::set_forgotten_removal(connection, Revision::stored(forgotten))?;
    }
    Ok(revision)
}

/// Deletes the app's rows.
fn remove(connection: &Connection, key: &AppKey) -> rusqlite::Result<()> {
    let key = [key.id.as_str(), key.environment.as_str()];
    for table in ["feedback", "held_feedback", "holds", "disconnection_blocks", "apps"] {
        connection.execute(&format!("DELETE FROM {table} WHERE app_id = ?1 AND environment = ?2"), key)?;
    }
    Ok(())
}

pub(super) fn entries(connection: &Connection) -> rusqlite::Result<Vec<EntryRecord>> {
    let sql = "SELECT entries.*, apps.entry IS NOT NULL AS app_is_its_own
        FROM entries LEFT JOIN apps USING (app_id, environment)";
    let entry = |row: &Row<'_>| {
        let (fingerprint, app_is_its_own) = (row.get("fingerprint")?, row.get("app_is_its_own")?);
        Ok(EntryRecord { key: key(row)?, fingerprint, app_is_its_own })
    };
    connection.prepare_cached(sql)?.query_map([], entry)?.collect()
}

pub(super) fn file_entry(connection: &Connection, key: &AppKey, fingerprint: &str) -> rusqlite::Result<()> {
    let named = (fingerprint, key.id.as_str(), key.environment.as_str());
    for sql in [
        "UPDATE entries SET fingerprint = ?1 WHERE app_id = ?2 AND environment = ?3",
        "UPDATE apps SET entry = ?1 WHERE app_id = ?2 AND environment = ?3 AND entry IS NOT NULL",
    ] {
        connection.execute(sql, named)?;
    }
    Ok(())
}

pub(super) fn delete_entry(connection: &Connection, key: &AppKey) -> rusqlite::Result<bool> {
    let named = [key.id.as_str(), key.environment.as_str()];
    connection.execute("DELETE FROM entries WHERE app_id = ?1 AND environment = ?2", named)?;
    let made = get(connection, key)?.is_some_and(|app| app.entry.is_some());
    if made {
        remove(connection, key)?;
        note_removal(connection, key)?;
    }
    Ok(made)
}

/// Keys sort `sandbox` before `production` of the same id.
pub(super) fn list(connection: &Connection, after: Option<&AppKey>, limit: usize) -> rusqlite::Result<Vec<AppRecord>> {
    let sql = "SELECT * FROM apps WHERE app_id >= ?1 AND (app_id > ?1 OR environment < ?2)
        ORDER BY app_id, environment DESC LIMIT ?3";
    // An empty id sorts before every id.
    let (id, environment) = after.map_or(("", ""), |key| (key.id.as_str(), key.environment.as_str()));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection.prepare_cached(sql)?.query_map(params![id, environment, limit], read)?.collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<AppRecord> {
    Ok(AppRecord {
        key: key(row)?,
        credential: Zeroizing::new(row.get("credential")?),
        certificate_path: row.get("certificate_path")?,
        topic: row.get("topic")?,
        timeout_seconds: row.get("timeout_seconds")?,
        lanes: row.get("lanes")?,
        entry: row.get("entry")?,
        revision: match row.get("revision") {
            // The store of a running node of an older release, which is only read.
            Err(Error::InvalidColumnName(_)) => Revision::NONE,
            revision => Revision::stored(revision?),
        },
    })
}

pub(super) fn key(row: &Row<'_>) -> rusqlite::Result<AppKey> {
    let (id, environment) = (row.get_ref("app_id")?.as_str()?, row.get_ref("environment")?.as_str()?);
    let odd = |column: usize, what: String| Error::FromSqlConversionFailure(column, Type::Text, what.into());
    let environment = Environment::parse(environment).ok_or_else(|| odd(1, format!("environment {environment}")))?;
    let id = AppId::stored(id).map_err(|bad| odd(0, bad.to_string()))?;
    Ok(AppKey::new(id, environment))
}
