//! The SQL of held feedback.

use super::super::DOUBTFUL;
use super::apps;
use super::feedback::names;
use crate::model::{AppKey, Feedback, Quarantine, Resolution};
use rusqlite::{Connection, Result, params};

const BEGIN: &str = "INSERT OR IGNORE INTO holds (app_id, environment, since, why) VALUES (?1, ?2, ?3, ?4)";

/// A newer entry replaces the token's older one.
const HOLD_BACK: &str = "INSERT INTO held_feedback (app_id, environment, token, reason, timestamp)
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (app_id, environment, token)
    DO UPDATE SET reason = excluded.reason, timestamp = excluded.timestamp WHERE excluded.timestamp > timestamp";

/// Moves the unacknowledged entries. An entry that is held already is not newer than its listed one.
const HOLD_WAITING: &str = "INSERT OR REPLACE INTO held_feedback (app_id, environment, token, reason, timestamp)
    SELECT app_id, environment, token, reason, timestamp FROM feedback
    WHERE app_id = ?1 AND environment = ?2 AND reason = ?3";

const TAKE_AWAY: &str = "DELETE FROM feedback WHERE app_id = ?1 AND environment = ?2 AND reason = ?3";

const RELEASE: &str = "INSERT OR REPLACE INTO feedback (app_id, environment, token, reason, timestamp)
    SELECT app_id, environment, token, reason, timestamp FROM held_feedback AS held
    WHERE app_id = ?1 AND environment = ?2 AND NOT EXISTS (
        SELECT 1 FROM feedback AS kept WHERE kept.app_id = held.app_id AND kept.environment = held.environment
            AND kept.token = held.token AND kept.timestamp >= held.timestamp)";

/// Returns true if the app has a quarantine.
pub(super) fn is_quarantined(connection: &Connection, app: &AppKey) -> Result<bool> {
    let (id, environment) = names(app);
    connection.prepare_cached("SELECT 1 FROM holds WHERE app_id = ?1 AND environment = ?2")?.exists([id, environment])
}

/// Returns a function that holds an entry back.
pub(super) fn hold_back(connection: &Connection) -> Result<impl FnMut(&Feedback) -> Result<()>> {
    let mut insert = connection.prepare_cached(HOLD_BACK)?;
    Ok(move |entry: &Feedback| {
        let (id, environment) = names(&entry.app);
        insert.execute(params![id, environment, entry.token, entry.reason, entry.timestamp]).map(drop)
    })
}

pub(super) fn begin(connection: &Connection, app: &AppKey, quarantine: &Quarantine) -> Result<u64> {
    let (id, environment) = names(app);
    connection.execute(BEGIN, params![id, environment, quarantine.since, quarantine.why])?;
    connection.execute(HOLD_WAITING, [id, environment, DOUBTFUL])?;
    Ok(connection.execute(TAKE_AWAY, [id, environment, DOUBTFUL])? as u64)
}

pub(super) fn list(connection: &Connection) -> Result<Vec<(AppKey, Quarantine)>> {
    let mut select = connection.prepare_cached("SELECT * FROM holds")?;
    let read = select
        .query_map([], |row| Ok((apps::key(row)?, Quarantine { since: row.get("since")?, why: row.get("why")? })))?;
    read.collect()
}

pub(super) fn resolve(connection: &Connection, app: &AppKey, resolution: Resolution) -> Result<u64> {
    let (id, environment) = names(app);
    if resolution == Resolution::Release {
        connection.execute(RELEASE, [id, environment])?;
    }
    let of_app = "WHERE app_id = ?1 AND environment = ?2";
    let held = connection.execute(&format!("DELETE FROM held_feedback {of_app}"), [id, environment])?;
    connection.execute(&format!("DELETE FROM holds {of_app}"), [id, environment])?;
    Ok(held as u64)
}
