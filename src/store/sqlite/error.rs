//! The meaning of SQLite's errors for a caller of the store.

use super::StoreError;
use rusqlite::ErrorCode;
use std::path::Path;
use std::sync::Arc;

impl StoreError {
    /// The same; `path` is the database, where it turns out to be damaged.
    pub(super) fn at(error: rusqlite::Error, path: &Path) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path: path.to_owned(), what: error.to_string() }
            }
            _ => error.into(),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            _ => Self::Database(Arc::new(error)),
        }
    }
}
