//! The store of a single node: one SQLite file in the data directory, one writer with group commit, one reader.

mod apps;
pub mod backup;
mod copy;
mod directory;
mod disconnections;
mod error;
mod feedback;
mod identity;
mod meta;
mod opening;
mod quarantine;
mod schema;
mod spool;
mod threads;
mod transfer;
mod wal;

use super::{
    AppRecord, Apps, Changes, Counts, Cursor, DisconnectionLog, Durability, EntryRecord, Epoch, Events, Expect,
    FeedbackLog, Kept, Page, Pending, Revision, StoreError,
};
use crate::model::{AppKey, Disconnection, Feedback, Quarantine, Records, Resolution};
pub use copy::Differences;
pub use directory::DATABASE_FILE;
pub use meta::{CopyState, Ownership};

use identity::Place;
use opening::Opened;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use threads::{After, Reader, Writer};

/// The SQLite store. A write resolves once it is on disk. Dropping the store waits until every accepted write is on
/// disk and the directory is unlocked.
pub struct Sqlite {
    // The fields are dropped in this order: the writer's thread holds the directory's lock.
    reader: Reader,
    writer: Writer,
    place: Place,
    epoch: Epoch,
    notices: Vec<String>,
}

impl Sqlite {
    /// Opens the store in `directory`, which is created if it does not exist, and locks it against other processes.
    /// Blocks.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let lock = directory::claim(directory)?;
        let file = directory::database(directory)?;
        let Opened { writer, reader, place, epoch, notices } = opening::open(&file)?;
        let failed = |source: std::io::Error| directory::unusable(directory, source);
        Ok(Self {
            reader: Reader::start(reader).map_err(failed)?,
            writer: Writer::start(writer, lock, place.clone()).map_err(failed)?,
            place,
            epoch,
            notices,
        })
    }

    /// Notices for the operator about the state of the store at opening.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }
}

/// Reads the apps in the store of `directory` while a node runs. Writes nothing. Blocks.
pub fn read_beside(directory: &Path) -> Result<Kept, StoreError> {
    let connection = opening::open_beside(&directory.join(directory::DATABASE_FILE))?;
    Ok(Kept { apps: apps::list(&connection, None, usize::MAX)?, entries: apps::entries(&connection)? })
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Sqlite")
    }
}

impl Apps for Sqlite {
    fn put(&self, app: AppRecord, expect: Expect) -> Pending<'_, Revision> {
        Box::pin(self.writer.change(After::Moved, move |connection| apps::put(connection, &app, expect)))
    }

    fn put_all(&self, apps: Vec<AppRecord>) -> Pending<'_, u64> {
        Box::pin(self.writer.change(After::Wiped, move |connection| apps::put_all(connection, &apps)))
    }

    fn get(&self, key: AppKey) -> Pending<'_, Option<AppRecord>> {
        Box::pin(self.reader.read(move |connection| apps::get(connection, &key)))
    }

    fn delete(&self, key: AppKey, expect: Expect) -> Pending<'_, Option<Revision>> {
        Box::pin(self.writer.change(After::Moved, move |connection| apps::delete(connection, &key, expect)))
    }

    fn list(&self, after: Option<AppKey>, limit: usize) -> Pending<'_, Vec<AppRecord>> {
        Box::pin(self.reader.read(move |connection| apps::list(connection, after.as_ref(), limit)))
    }

    fn changes(&self, since: Revision, limit: usize) -> Pending<'_, Changes> {
        let epoch = self.epoch;
        Box::pin(self.reader.read(move |connection| apps::changes(connection, epoch, since, limit)))
    }

    fn entries(&self) -> Pending<'_, Vec<EntryRecord>> {
        Box::pin(self.reader.read(apps::entries))
    }

    fn file_entry(&self, key: AppKey, fingerprint: String) -> Pending<'_, ()> {
        Box::pin(
            self.writer.write(Vec::new(), move |connection| apps::file_entry(connection, &key, fingerprint.as_str())),
        )
    }

    fn delete_entry(&self, key: AppKey) -> Pending<'_, bool> {
        Box::pin(self.writer.change(After::Moved, move |connection| apps::delete_entry(connection, &key)))
    }
}

impl Events for Sqlite {
    fn record(&self, records: Arc<Records>) -> Pending<'_, u64> {
        let of_apps = records.disconnections.chunk_by(|one, next| one.app == next.app);
        let grown = of_apps.map(|of_app| (of_app[0].app.clone(), of_app.len())).collect();
        Box::pin(self.writer.write(grown, move |connection| feedback::record(connection, &records)))
    }

    fn counts(&self, app: AppKey) -> Pending<'_, Counts> {
        Box::pin(self.reader.read(move |connection| feedback::counts(connection, &app)))
    }
}

impl FeedbackLog for Sqlite {
    fn quarantine(&self, app: AppKey, quarantine: Quarantine) -> Pending<'_, u64> {
        Box::pin(self.writer.write(Vec::new(), move |connection| quarantine::begin(connection, &app, &quarantine)))
    }

    fn quarantines(&self) -> Pending<'_, Vec<(AppKey, Quarantine)>> {
        Box::pin(self.reader.read(quarantine::list))
    }

    fn resolve(&self, app: AppKey, resolution: Resolution) -> Pending<'_, u64> {
        Box::pin(self.writer.write(Vec::new(), move |connection| quarantine::resolve(connection, &app, resolution)))
    }

    fn feedback(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Feedback>> {
        let epoch = self.epoch;
        Box::pin(self.reader.read(move |connection| feedback::feedback(connection, epoch, &app, after, limit)))
    }

    fn acknowledge_feedback(&self, app: AppKey, through: Cursor) -> Pending<'_, u64> {
        let epoch = self.epoch;
        let forget = move |connection: &_| feedback::forget_feedback(connection, epoch, &app, through);
        Box::pin(self.writer.write(Vec::new(), forget))
    }
}

impl DisconnectionLog for Sqlite {
    fn disconnections(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Disconnection>> {
        let epoch = self.epoch;
        Box::pin(self.reader.read(move |connection| disconnections::page(connection, epoch, &app, after, limit)))
    }

    fn acknowledge_disconnections(&self, app: AppKey, through: Cursor) -> Pending<'_, u64> {
        let epoch = self.epoch;
        Box::pin(
            self.writer.write(Vec::new(), move |connection| disconnections::forget(connection, epoch, &app, through)),
        )
    }
}

impl Durability for Sqlite {
    fn try_writing(&self) -> Pending<'_, ()> {
        Box::pin(self.writer.write(Vec::new(), schema::write_version))
    }

    fn look(&self) -> Pending<'_, ()> {
        // Runs in the reader's thread, so that a disk that does not answer blocks no thread that sends.
        let place = self.place.clone();
        Box::pin(self.reader.read(move |_| place.check()))
    }
}

#[cfg(test)]
mod tests;
