//! Apps that the operator's own configuration names: made at start, changed and removed as it changes.

use crate::credentials::Secret;
use crate::model::AppKey;
use std::path::PathBuf;

/// What the configuration says of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands, for faults.
    pub place: String,
    pub key: AppKey,
    pub credential: Named,
    pub passphrase: Option<Passphrase>,
    pub topic: Option<String>,
    /// For connecting to Apple.
    pub timeout_seconds: u32,
    pub lanes: u16,
}

/// The file with the credential: trusted wherever it is, as it is the operator who names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// PEM or PKCS#12.
    Certificate(PathBuf),
    /// Apple's `.p8`.
    Key { file: PathBuf, key_id: String, team_id: String },
}

/// What opens an encrypted credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passphrase {
    Text(Secret),
    /// All of the file but a line break at its end.
    File(PathBuf),
}
