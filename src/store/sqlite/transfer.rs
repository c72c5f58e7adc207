//! The operations that only a copy of the whole store needs.

use super::super::{Epoch, Transfer};
use super::feedback::names;
use super::meta::{self, Ownership};
use super::threads::After;
use super::{Pending, Sqlite};
use crate::model::{AppKey, Feedback};
use rusqlite::{Connection, Result, params};

/// Entries of held feedback in one answer.
const HELD_PAGE: usize = 500;

impl Sqlite {
    pub fn ownership(&self) -> Pending<'_, Ownership> {
        Box::pin(self.reader.read(meta::ownership))
    }

    /// Makes it the copy of the shared store of this epoch.
    pub fn set_copy_of(&self, epoch: Epoch) -> Pending<'_, ()> {
        Box::pin(self.writer.write(Vec::new(), move |connection| meta::set_copy_of(connection, epoch)))
    }
}

impl Transfer for Sqlite {
    fn is_empty(&self) -> Pending<'_, bool> {
        Box::pin(self.reader.read(meta::is_empty))
    }

    fn held(&self, app: AppKey, from: Option<String>) -> Pending<'_, (Vec<Feedback>, Option<String>)> {
        Box::pin(self.reader.read(move |connection| held(connection, &app, from.as_deref().unwrap_or_default())))
    }

    fn put_entries(&self, entries: Vec<(AppKey, String)>) -> Pending<'_, ()> {
        Box::pin(self.writer.write(Vec::new(), move |connection| put_entries(connection, &entries)))
    }

    fn unfinished_copy(&self) -> Pending<'_, Option<String>> {
        Box::pin(self.reader.read(meta::unfinished_copy))
    }

    fn mark_copy(&self, source: Option<String>) -> Pending<'_, ()> {
        // At the end of a copy the database file alone is to hold it all.
        Box::pin(self.writer.change(After::Moved, move |connection| meta::mark_copy(connection, source.as_deref())))
    }
}

fn held(connection: &Connection, app: &AppKey, after: &str) -> Result<(Vec<Feedback>, Option<String>)> {
    let (id, environment) = names(app);
    let sql = "SELECT token, reason, timestamp FROM held_feedback
        WHERE app_id = ?1 AND environment = ?2 AND token > ?3 ORDER BY token LIMIT ?4";
    let mut select = connection.prepare_cached(sql)?;
    let rows = select.query_map(params![id, environment, after, HELD_PAGE as i64], |row| {
        Ok(Feedback { app: app.clone(), token: row.get(0)?, reason: row.get(1)?, timestamp: row.get(2)? })
    })?;
    let entries: Vec<_> = rows.collect::<Result<_>>()?;
    let next = entries.last().filter(|_| entries.len() == HELD_PAGE).map(|entry| entry.token.clone());
    Ok((entries, next))
}

pub(super) fn put_entries(connection: &Connection, entries: &[(AppKey, String)]) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO entries (app_id, environment, fingerprint) VALUES (?1, ?2, ?3)";
    let mut put = connection.prepare_cached(sql)?;
    entries.iter().try_for_each(|(app, fingerprint)| {
        let (id, environment) = names(app);
        put.execute([id, environment, fingerprint]).map(drop)
    })
}
