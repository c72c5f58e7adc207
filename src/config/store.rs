//! `[store]`: the database in `data_dir`, or the Redis that the nodes of a cluster share.

use super::reader::Reader;
use crate::credentials::paths::{self, PathError};
use crate::store::redis::{BadRedisUrl, Password, RedisUrl, Settings};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Longest prefix of keys in Redis, in bytes: every key begins with it.
const PREFIX_BYTES_MAX: usize = 64;

/// Settings that need a shared store.
const OF_REDIS: [&str; 5] =
    ["store.username", "store.password_file", "store.ca_file", "store.certificate", "store.key"];

/// The place of apps, credentials, feedback and the disconnection log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// The store that the nodes of a cluster share; `None` = a database in the data directory.
    pub url: Option<RedisUrl>,
    pub prefix: Prefix,
    /// The ACL user of Redis.
    pub username: Option<String>,
    /// The file with the password of Redis.
    pub password_file: Option<PathBuf>,
    /// PEM: the only CAs that are trusted to certify Redis; `None` = the public ones.
    pub ca_file: Option<PathBuf>,
    /// PEM: the client certificate, and the file with its key.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// The beginning of every key in Redis: 1 to 64 of `A-Z a-z 0-9 . _ : -`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Prefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Patterns of ACL rules and of SCAN, and Redis Cluster, give other characters a meaning.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if (1..=PREFIX_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("it must be 1 to 64 characters of A-Z a-z 0-9 . _ : -")
        }
    }
}

/// A reason that a password file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    #[error(transparent)]
    Unreadable(#[from] PathError),
    #[error("the file {} must hold the password on one line of UTF-8, and nothing else", .0.display())]
    NotAPassword(PathBuf),
}

impl StoreConfig {
    /// The settings of the connection to Redis, with the password from its file; `None` without a shared store.
    /// Blocks for as long as the disk does.
    pub fn redis(&self) -> Result<Option<Settings>, PasswordFileError> {
        let Some(url) = self.url.clone() else { return Ok(None) };
        Ok(Some(Settings {
            url,
            username: self.username.clone(),
            password: self.password()?,
            ca_file: self.ca_file.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            prefix: self.prefix.as_str().to_owned(),
        }))
    }

    fn password(&self) -> Result<Option<Password>, PasswordFileError> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = paths::read_trusted(path)?;
        let text = std::str::from_utf8(text.expose()).unwrap_or_default();
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(PasswordFileError::NotAPassword(path.clone()));
        }
        Ok(Some(Password::from(text.to_owned())))
    }

    /// Files with secrets in them.
    pub fn secret_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.password_file.iter().chain(&self.key)
    }
}

/// The text of `store.url`: empty for a database in the data directory.
struct OptionalUrl(Option<RedisUrl>);

impl FromStr for OptionalUrl {
    type Err = BadRedisUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Ok(Self(None)) } else { RedisUrl::parse(text).map(|url| Self(Some(url))) }
    }
}

impl fmt::Display for StoreConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.url {
            Some(url) => url.fmt(out),
            None => out.write_str("a database in the data directory"),
        }
    }
}

pub(super) fn read_all(read: &mut Reader<'_>) -> StoreConfig {
    let OptionalUrl(url) = read.setting("store.url");
    StoreConfig {
        url,
        prefix: read.setting("store.prefix"),
        username: read.optional("store.username"),
        password_file: read.optional_path("store.password_file"),
        ca_file: read.optional_path("store.ca_file"),
        certificate: read.optional_path("store.certificate"),
        key: read.optional_path("store.key"),
    }
}

/// Adds a fault for each setting of Redis that is given without a shared store.
pub(super) fn refuse_without_url(read: &mut Reader<'_>, is_given: impl Fn(&str) -> bool) {
    for key in OF_REDIS.into_iter().filter(|key| is_given(key)) {
        read.fault(
            key,
            "it is a setting of a shared store, and store.url names none: set store.url, or leave this out",
        );
    }
}
