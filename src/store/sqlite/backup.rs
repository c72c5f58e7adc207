//! Copies a store to one file, while a node may be writing to it.

use super::identity::BACKUP;
use super::opening::{BUSY_TIMEOUT, wants_room};
use super::{StoreError, directory, schema};
use rusqlite::backup::{self, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The reason that no backup was made. No partial file is left.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("there is no store in {folder}: give the node's data directory (--data-dir or --config)")]
    NoStore { folder: PathBuf },
    #[error("{path} exists already, and a backup never overwrites a file: choose another name")]
    Exists { path: PathBuf },
    #[error("{path} cannot be written: {source}")]
    Target { path: PathBuf, source: io::Error },
    #[error("the disk with {path} is full: make room, or choose another disk")]
    TargetFull { path: PathBuf },
    #[error("{path} is locked by a node that was started on a full disk: make room, restart the node, and try again")]
    Held { path: PathBuf },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A completed backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    pub apps: u64,
    pub bytes: u64,
}

/// Copies the store of a data directory into a new file that only its owner may read. The copy is a checked snapshot,
/// while a node may be writing. The node that opens it first begins a new epoch. Blocks.
pub fn backup(folder: &Path, to: &Path) -> Result<Made, BackupError> {
    let target = |source: io::Error| of_target(to, source);
    if fs::symlink_metadata(to).is_ok() {
        return Err(BackupError::Exists { path: to.to_owned() });
    }
    let from = folder.join(directory::DATABASE_FILE);
    if !from.exists() {
        return Err(BackupError::NoStore { folder: folder.to_owned() });
    }
    let source = open(&from).map_err(|error| of_source(&from, error))?;
    schema::refuse_newer(&source, &from)?;
    if schema::version(&source).map_err(|error| of_source(&from, error))? == 0 {
        return Err(BackupError::NoStore { folder: folder.to_owned() });
    }
    let unfinished = Unfinished::beside(to).map_err(target)?;
    let apps = copy(&source, &from, &unfinished.0, to)?;
    let bytes = fs::metadata(&unfinished.0).map_err(target)?.len();
    unfinished.put_in_place(to).map_err(target)?;
    Ok(Made { apps, bytes })
}

fn open(from: &Path) -> rusqlite::Result<Connection> {
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    source.busy_timeout(BUSY_TIMEOUT)?;
    schema::version(&source)?;
    Ok(source)
}

/// Copies, marks and checks. Returns the number of apps.
fn copy(source: &Connection, from: &Path, unfinished: &Path, to: &Path) -> Result<u64, BackupError> {
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => BackupError::TargetFull { path: to.to_owned() },
        _ => BackupError::Store(StoreError::at(error, from)),
    };
    let mut target = Connection::open_with_flags(unfinished, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    // In one step: between smaller steps, each write of the node would restart the copy.
    match backup::Backup::new(source, &mut target).and_then(|copy| copy.step(-1)).map_err(failed)? {
        StepResult::Done => {}
        _ => return Err(BackupError::Held { path: from.to_owned() }),
    }
    let finish = |target: &Connection| {
        // A single file, without a write-ahead log beside it.
        target.pragma_update(None, "journal_mode", "DELETE")?;
        target.pragma_update(None, "application_id", BACKUP)
    };
    finish(&target).map_err(failed)?;
    schema::refuse_damaged(&target, from)?;
    let apps: i64 = target.query_row("SELECT COUNT(*) FROM apps", [], |row| row.get(0)).map_err(failed)?;
    target.close().map_err(|(_, error)| failed(error))?;
    Ok(apps.unsigned_abs())
}

fn of_source(from: &Path, error: rusqlite::Error) -> BackupError {
    if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) {
        return BackupError::Held { path: from.to_owned() };
    }
    if wants_room(&error) {
        let folder = from.parent().unwrap_or(from);
        return BackupError::Store(directory::unusable(folder, ErrorKind::StorageFull.into()));
    }
    BackupError::Store(StoreError::at(error, from))
}

fn of_target(to: &Path, source: io::Error) -> BackupError {
    let path = to.to_owned();
    match source.kind() {
        ErrorKind::AlreadyExists => BackupError::Exists { path },
        ErrorKind::StorageFull => BackupError::TargetFull { path },
        _ => BackupError::Target { path, source },
    }
}

/// A temporary file, deleted on drop unless it was finished.
struct Unfinished(PathBuf);

impl Unfinished {
    /// Creates it in the target's folder, so that it can be renamed.
    fn beside(to: &Path) -> io::Result<Self> {
        let Some(name) = to.file_name() else { return Err(io::Error::other("the path does not end with a file name")) };
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.unfinished", std::process::id()));
        let path = to.with_file_name(hidden);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self(path))
    }

    /// Syncs it to disk and renames it, unless the name exists by now.
    fn put_in_place(self, to: &Path) -> io::Result<()> {
        File::open(&self.0)?.sync_all()?;
        match renameat_with(CWD, &self.0, CWD, to, RenameFlags::NOREPLACE) {
            // Most file systems without that call can link.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::hard_link(&self.0, to)?,
            renamed => renamed?,
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let mut name = OsString::from(&self.0);
            name.push(suffix);
            // A missing file needs no deletion.
            let _ = fs::remove_file(name);
        }
    }
}
