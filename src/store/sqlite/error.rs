//! Converts SQLite's errors to the store's.

use super::StoreError;
use rusqlite::ErrorCode;
use std::path::Path;
use std::sync::Arc;

impl StoreError {
    /// Converts an error; `path` is the database, for the error of a damaged one.
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
