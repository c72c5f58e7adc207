//! The SQL of the provisioned apps.

use super::{AppRecord, EntryRecord};
use crate::model::{AppId, AppKey, Environment};
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Result, Row, params};
use zeroize::Zeroizing;

pub(super) fn put(connection: &Connection, app: &AppRecord) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO apps
        (app_id, environment, credential, certificate_path, topic, timeout_seconds, lanes, entry)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    connection.prepare_cached(sql)?.execute(params![
        app.key.id.as_str(),
        app.key.environment.as_str(),
        app.credential.as_slice(),
        app.certificate_path,
        app.topic,
        app.timeout_seconds,
        app.lanes,
        app.entry,
    ])?;
    if let Some(entry) = &app.entry {
        let sql = "INSERT OR REPLACE INTO entries (app_id, environment, fingerprint) VALUES (?1, ?2, ?3)";
        let key = (app.key.id.as_str(), app.key.environment.as_str(), entry);
        connection.prepare_cached(sql)?.execute(key)?;
    }
    Ok(())
}

pub(super) fn get(connection: &Connection, key: &AppKey) -> Result<Option<AppRecord>> {
    let sql = "SELECT * FROM apps WHERE app_id = ?1 AND environment = ?2";
    let mut select = connection.prepare_cached(sql)?;
    select.query_row([key.id.as_str(), key.environment.as_str()], read).optional()
}

pub(super) fn delete(connection: &Connection, key: &AppKey) -> Result<bool> {
    let key = [key.id.as_str(), key.environment.as_str()];
    let mut apps = 0;
    for table in ["feedback", "held_feedback", "holds", "disconnection_blocks", "apps"] {
        apps = connection.execute(&format!("DELETE FROM {table} WHERE app_id = ?1 AND environment = ?2"), key)?;
    }
    Ok(apps > 0)
}

pub(super) fn entries(connection: &Connection) -> Result<Vec<EntryRecord>> {
    let sql = "SELECT entries.*, apps.entry IS NOT NULL AS app_is_its_own
        FROM entries LEFT JOIN apps USING (app_id, environment)";
    let entry = |row: &Row<'_>| {
        let (fingerprint, app_is_its_own) = (row.get("fingerprint")?, row.get("app_is_its_own")?);
        Ok(EntryRecord { key: key(row)?, fingerprint, app_is_its_own })
    };
    connection.prepare_cached(sql)?.query_map([], entry)?.collect()
}

pub(super) fn file_entry(connection: &Connection, key: &AppKey, fingerprint: &str) -> Result<()> {
    let named = (fingerprint, key.id.as_str(), key.environment.as_str());
    for sql in [
        "UPDATE entries SET fingerprint = ?1 WHERE app_id = ?2 AND environment = ?3",
        "UPDATE apps SET entry = ?1 WHERE app_id = ?2 AND environment = ?3 AND entry IS NOT NULL",
    ] {
        connection.execute(sql, named)?;
    }
    Ok(())
}

pub(super) fn delete_entry(connection: &Connection, key: &AppKey) -> Result<bool> {
    let named = [key.id.as_str(), key.environment.as_str()];
    connection.execute("DELETE FROM entries WHERE app_id = ?1 AND environment = ?2", named)?;
    let made = get(connection, key)?.is_some_and(|app| app.entry.is_some());
    if made { delete(connection, key) } else { Ok(false) }
}

/// Keys sort `sandbox` before `production` of the same id.
pub(super) fn list(connection: &Connection, after: Option<&AppKey>, limit: usize) -> Result<Vec<AppRecord>> {
    let sql = "SELECT * FROM apps WHERE app_id >= ?1 AND (app_id > ?1 OR environment < ?2)
        ORDER BY app_id, environment DESC LIMIT ?3";
    // An empty id sorts before every id.
    let (id, environment) = after.map_or(("", ""), |key| (key.id.as_str(), key.environment.as_str()));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection.prepare_cached(sql)?.query_map(params![id, environment, limit], read)?.collect()
}

fn read(row: &Row<'_>) -> Result<AppRecord> {
    Ok(AppRecord {
        key: key(row)?,
        credential: Zeroizing::new(row.get("credential")?),
        certificate_path: row.get("certificate_path")?,
        topic: row.get("topic")?,
        timeout_seconds: row.get("timeout_seconds")?,
        lanes: row.get("lanes")?,
        entry: row.get("entry")?,
    })
}

pub(super) fn key(row: &Row<'_>) -> Result<AppKey> {
    let (id, environment) = (row.get_ref("app_id")?.as_str()?, row.get_ref("environment")?.as_str()?);
    let odd = |column: usize, what: String| Error::FromSqlConversionFailure(column, Type::Text, what.into());
    let environment = Environment::parse(environment).ok_or_else(|| odd(1, format!("environment {environment}")))?;
    let id = AppId::stored(id).map_err(|bad| odd(0, bad.to_string()))?;
    Ok(AppKey::new(id, environment))
}
