//! The SQL of feedback, and of recording a group of events.

use super::super::is_doubtful;
use super::{Counts, Cursor, Epoch, Page, StoreError, disconnections, quarantine};
use crate::model::{AppKey, Feedback, Records};
use rusqlite::{Connection, OptionalExtension, Result, params};
use std::collections::HashMap;

/// A newer entry replaces the token's older one and takes a new position; an older or equal one changes nothing.
const KEEP_NEWEST: &str = "INSERT OR REPLACE INTO feedback (app_id, environment, token, reason, timestamp)
    SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (
        SELECT 1 FROM feedback WHERE app_id = ?1 AND environment = ?2 AND token = ?3 AND timestamp >= ?5)";

/// The table that counts the positions of feedback.
const LIST: &str = "feedback";

/// An app's log is trimmed after this many new entries, because finding its end takes time in proportion to its length.
const TRIM_EVERY: usize = 1_000;

/// The maximum number of apps with a tracked growth.
const KNOWN_MAX: usize = 10_000;

/// The growth of each log since its last trimming. An untracked log is trimmed immediately.
#[derive(Default)]
pub(super) struct Growth(HashMap<AppKey, usize>);

/// The number of rows after which the thread yields its core. Writing takes no longer, and other threads wait less.
const ROWS_IN_A_ROW: usize = 16;

fn give_way(row: usize) {
    if row % ROWS_IN_A_ROW == ROWS_IN_A_ROW - 1 {
        std::thread::yield_now();
    }
}

/// Stores the records, and returns the number of entries that were held back.
pub(super) fn record(connection: &Connection, records: &Records) -> Result<u64> {
    let mut keep = connection.prepare_cached(KEEP_NEWEST)?;
    let mut held = 0;
    for of_app in records.feedback.chunk_by(|one, next| one.app == next.app) {
        let app = &of_app[0].app;
        let quarantined = of_app.iter().any(is_doubtful) && quarantine::is_quarantined(connection, app)?;
        let mut hold_back = quarantine::hold_back(connection)?;
        for (at, entry) in of_app.iter().enumerate() {
            give_way(at);
            if quarantined && is_doubtful(entry) {
                hold_back(entry)?;
                held += 1;
                continue;
            }
            let (id, environment) = names(app);
            keep.execute(params![id, environment, entry.token, entry.reason, entry.timestamp])?;
        }
    }
    disconnections::append(connection, &records.disconnections)?;
    Ok(held)
}

impl Growth {
    /// Adds to the growth of an app's log, and trims the log if necessary.
    pub(super) fn note(&mut self, connection: &Connection, app: AppKey, entries: usize) -> Result<()> {
        let grown = self.0.get(&app).map_or(TRIM_EVERY, |grown| grown + entries);
        if grown >= TRIM_EVERY {
            disconnections::trim(connection, &app)?;
        }
        if self.0.len() >= KNOWN_MAX {
            self.0.clear();
        }
        self.0.insert(app, grown % TRIM_EVERY);
        Ok(())
    }
}

pub(super) fn feedback(
    connection: &Connection,
    epoch: Epoch,
    app: &AppKey,
    after: Cursor,
    limit: usize,
) -> std::result::Result<Page<Feedback>, StoreError> {
    let after = epoch.position(after, newest(connection, LIST)?)?;
    Ok(Page::new(behind(connection, app, after, limit)?, epoch, after))
}

/// Returns at most `limit` entries after a position, each with its position.
fn behind(connection: &Connection, app: &AppKey, position: i64, limit: usize) -> Result<Vec<(i64, Feedback)>> {
    let sql =
        "SELECT * FROM feedback WHERE app_id = ?1 AND environment = ?2 AND position > ?3 ORDER BY position LIMIT ?4";
    let (id, environment) = names(app);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut select = connection.prepare_cached(sql)?;
    let rows = select.query_map(params![id, environment, position, limit], |row| {
        let entry = Feedback {
            app: app.clone(),
            token: row.get("token")?,
            reason: row.get("reason")?,
            timestamp: row.get("timestamp")?,
        };
        Ok((row.get("position")?, entry))
    })?;
    rows.collect()
}

pub(super) fn forget_feedback(
    connection: &Connection,
    epoch: Epoch,
    app: &AppKey,
    through: Cursor,
) -> std::result::Result<u64, StoreError> {
    let through = epoch.position(through, newest(connection, LIST)?)?;
    let sql = "DELETE FROM feedback WHERE app_id = ?1 AND environment = ?2 AND position <= ?3";
    let (id, environment) = names(app);
    Ok(connection.prepare_cached(sql)?.execute(params![id, environment, through])? as u64)
}

pub(super) fn counts(connection: &Connection, app: &AppKey) -> Result<Counts> {
    Ok(Counts {
        feedback: count(connection, "feedback", app)?,
        held: count(connection, "held_feedback", app)?,
        disconnections: disconnections::count(connection, app)?,
    })
}

/// The last position in a list, of any app; 0 if it never had an entry.
pub(super) fn newest(connection: &Connection, list: &str) -> Result<i64> {
    let mut select = connection.prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = ?1")?;
    Ok(select.query_row([list], |row| row.get(0)).optional()?.unwrap_or(0))
}

fn count(connection: &Connection, table: &str, app: &AppKey) -> Result<u64> {
    let sql = format!("SELECT COUNT(*) FROM {table} WHERE app_id = ?1 AND environment = ?2");
    let (id, environment) = names(app);
    let count: i64 = connection.prepare_cached(&sql)?.query_row([id, environment], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

pub(super) fn names(app: &AppKey) -> (&str, &'static str) {
    (app.id.as_str(), app.environment.as_str())
}
