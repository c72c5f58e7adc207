//! The errors of a store.

use super::Revision;
use std::error::Error;
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
    #[error(
        "the disk with the data directory is full: nothing was changed; make room, and send it again (what is sent to Apple goes on)"
    )]
    Full,
    #[error(
        "the store is damaged: {what}; stop pyapns, keep a copy of the data directory, and bring {path} back from a backup, or save what can be read with `sqlite3 {path} .recover`"
    )]
    Damaged { path: PathBuf, what: String },
    #[error(
        "{path} is not the file that was opened: the data directory was moved or deleted, or another was put in its place; nothing was changed; put it back, or start pyapns again (what is sent to Apple goes on)"
    )]
    Moved { path: PathBuf },
    #[error(
        "the app was changed or removed meanwhile, or is there already: nothing was changed; read the app again, and decide on its present state"
    )]
    Conflict {
        /// That of the app as it is stored; `None` = there is no app.
        revision: Option<Revision>,
    },
    #[error(
        "the shared store has lost changes, or another store is in its place: this node keeps the apps that it knows, and changes none; bring the store back, or restart the nodes to take the apps that it has now"
    )]
    ForeignRegistry,
    #[error("the cursor was given out by another store, or by this one before it was restored or copied")]
    ForeignCursor,
    #[error("the store failed: {0}; look at the data directory's disk, space and permissions")]
    Database(Arc<dyn Error + Send + Sync>),
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
            Self::Full => "disk_full",
            Self::Damaged { .. } => "store_damaged",
            Self::Moved { .. } => "data_directory_moved",
            Self::Conflict { .. } => "changed_meanwhile",
            Self::ForeignRegistry => "registry_foreign",
            Self::ForeignCursor => "foreign_cursor",
            Self::Database(_) => "store_failed",
            Self::Closed => "store_closed",
        }
    }
}
