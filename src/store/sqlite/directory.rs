//! The data directory: created for its owner only, and locked by one process.

use super::StoreError;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const LOCK_FILE: &str = "lock";
/// The database in a data directory.
pub const DATABASE_FILE: &str = "pyapns.db";
const OWNER_ONLY: u32 = 0o600;
/// The time in which a lock is retried. The previous process may be ending, and a process that is being forked holds
/// inherited locks for a moment.
const PATIENCE: Duration = Duration::from_secs(2);
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Locks the directory for as long as the returned file is open; the system frees it if the process dies. Blocks for up
/// to two seconds.
#[expect(clippy::disallowed_methods, reason = "a store is opened before anything else runs, or beside it")]
pub(super) fn claim(directory: &Path) -> Result<File, StoreError> {
    let make = || {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        private_file(&directory.join(LOCK_FILE))
    };
    let lock = make().map_err(|source| unusable(directory, source))?;
    let asked = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if asked.elapsed() < PATIENCE => std::thread::sleep(ASK_EVERY),
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { path: directory.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unusable(directory, source)),
        }
    }
}

/// The database file. SQLite gives the files beside it the same permissions.
pub(super) fn database(directory: &Path) -> Result<PathBuf, StoreError> {
    let path = directory.join(DATABASE_FILE);
    private_file(&path).map_err(|source| unusable(directory, source))?;
    Ok(path)
}

pub(super) fn unusable(directory: &Path, source: io::Error) -> StoreError {
    StoreError::Directory { path: directory.to_owned(), source: Arc::new(source) }
}

fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(OWNER_ONLY).open(path)?;
    fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY))?;
    Ok(file)
}
