//! The errors of a store.

use super::Revision;
use super::opening::Misplaced;
use super::redis::Unfit;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

/// The error of opening a store, or of an operation. Cheap to clone: one failed commit has many waiters.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("the data directory {path} cannot be used: {source}")]
    Directory { path: PathBuf, source: Arc<std::io::Error> },
    #[error(
        "the data directory {path} is in use by another pyapns process: stop it, or choose another directory with --data-dir"
    )]
    Locked { path: PathBuf },
    #[error(
        "{path} was written by a newer pyapns (schema {found}, this version supports {known}): run that version, or restore an older copy"
    )]
    NewerSchema { path: PathBuf, found: i64, known: i64 },
    #[error(
        "the disk with the data directory is full: nothing was changed; make room, and send the request again (deliveries to Apple continue)"
    )]
    Full,
    #[error(
        "the store is damaged: {what}; stop pyapns, keep a copy of the data directory, and restore {path} from a backup, or recover the readable part with `sqlite3 {path} .recover`"
    )]
    Damaged { path: PathBuf, what: String },
    #[error(
        "{path} is not the file that was opened: the data directory was moved, deleted or replaced; nothing was changed; put it back, or restart pyapns (deliveries to Apple continue)"
    )]
    Moved { path: PathBuf },
    #[error(
        "the app is not in the state that the request expects: it was changed, removed or created meanwhile; nothing was changed; read the app again, and repeat the request if it still applies"
    )]
    Conflict {
        /// The stored app's revision; `None` = there is no app.
        revision: Option<Revision>,
    },
    #[error(
        "the shared store has lost changes, or another store is in its place: this node keeps the apps that it knows, and changes none; give the store this node's apps with `pyapns cluster restore-registry write-back`, or take what the store has with `pyapns cluster restore-registry accept`"
    )]
    ForeignRegistry,
    #[error("this node has no shared store: its apps are in its data directory, and `pyapns backup` copies them")]
    NotShared,
    #[error(
        "the shared store takes no events, and as many as are allowed wait in this node's database: bring the shared store back"
    )]
    SpoolFull,
    #[error(
        "this node lacks the key that credentials in the shared store are sealed with, and other nodes could not open what it seals: nothing was changed; add the key's file to credentials.key_files, and start the node again"
    )]
    KeyMissing,
    #[error(
        "the cursor is from another store, or from this store before it was restored or copied: read the list from the beginning"
    )]
    ForeignCursor,
    #[error("the store failed: {0}; check the data directory's disk, space and permissions")]
    Database(Arc<dyn Error + Send + Sync>),
    #[error("the store is closed")]
    Closed,

    /// The shared store cannot be reached, or gave no answer. A change may have been made all the same.
    #[error(
        "the shared store does not answer ({cause}): see that Redis runs at {address} and that store.url names it; a change may or may not have been made"
    )]
    Away { address: String, cause: String },
    #[error("Redis has reached its maxmemory: nothing was changed; raise it, or give Redis more memory")]
    RedisFull,
    /// Redis answered, and did not do it.
    #[error("Redis refused it: {what}")]
    RedisRefused { what: String },
    #[error(transparent)]
    RedisUnfit(#[from] Unfit),
    #[error(transparent)]
    Misplaced(#[from] Misplaced),
}

impl StoreError {
    /// True for the errors of a shared store that may end by themselves: a node without the store waits for it. False for
    /// those that a setting causes.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::RedisFull | Self::RedisRefused { .. })
    }

    /// The error's `reason` in a response.
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
            Self::SpoolFull => "spool_full",
            Self::NotShared => "not_shared",
            Self::KeyMissing => "credential_key_missing",
            Self::ForeignCursor => "foreign_cursor",
            Self::Database(_) => "store_failed",
            Self::Closed => "store_closed",
            Self::Away { .. } => "store_away",
            Self::RedisFull => "store_full",
            Self::RedisRefused { .. } => "store_refused",
            Self::RedisUnfit(_) => "store_unfit",
            Self::Misplaced(_) => "store_misplaced",
        }
    }
}
