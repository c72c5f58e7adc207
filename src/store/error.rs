//! What can go wrong in a store.

use std::path::PathBuf;
use std::sync::Arc;

/// A store that could not be opened, or could not do what it was asked. Cheap to clone: one failed commit has many
/// waiters.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("the data directory {path} cannot be used: {source}")]
    Directory { path: PathBuf, source: Arc<std::io::Error> },
    #[error(
        "the data directory {path} belongs to another pyapns that is running: stop it, or choose another with --data-dir"
    )]
    Locked { path: PathBuf },
    #[error(
        "{path} was written by a newer pyapns (schema {found}, this one knows {known}): run that version, or restore an older copy"
    )]
    NewerSchema { path: PathBuf, found: i64, known: i64 },
    #[error("the store failed: {0}; look at the data directory's disk, space and permissions")]
    Database(Arc<rusqlite::Error>),
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// The stable word for it in an answer.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "data_directory_unusable",
            Self::Locked { .. } => "data_directory_locked",
            Self::NewerSchema { .. } => "schema_too_new",
            Self::Database(_) => "store_failed",
            Self::Closed => "store_closed",
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}
