//! An API key in the configuration. Its secret may be in a separate file.

use super::key::{ApiKey, Digest, KeyId, Keys, Scope};
use crate::credentials::Secret;
use crate::credentials::paths::{self, PathError};
use crate::model::AppId;
use std::io;
use std::path::{Path, PathBuf};

/// The minimum length of a secret in a file: a shorter one can be guessed, or is truncated.
const SECRET_BYTES_MIN: usize = 16;

/// The source of a key's secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The SHA-256 of the secret.
    Sha256(Digest),
    /// A file with the secret, or with `ID.SECRET` as callers send it.
    File(PathBuf),
}

/// One API key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyConfig {
    /// The entry's place in the configuration, for error messages.
    pub place: String,
    pub id: KeyId,
    pub secret: SecretSource,
    pub scopes: Vec<Scope>,
    /// The apps that the key may use; `None` = all.
    pub apps: Option<Vec<AppId>>,
    /// UNIX seconds.
    pub expires_at: Option<u64>,
}

/// An error in reading a secret's file. The name of a missing file is not repeated: it may be the secret itself,
/// written into the wrong setting, and must not be logged.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("its `secret_file` cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("its `secret_file` is not a regular file of at most {} bytes", paths::FILE_BYTES_MAX)]
    Unsuitable,
    #[error("its `secret_file` is not read, because other users than its owner may write it: chmod go-w {}", .0.display())]
    Writable(PathBuf),
    #[error(
        "its `secret_file` has no secret: it must be one line of at least {SECRET_BYTES_MIN} characters without spaces, \
         the secret or ID.SECRET, as `pyapns key` makes it"
    )]
    NoSecret,
}

impl From<PathError> for SecretFileError {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Unreadable { source, .. } => Self::Unreadable(source),
            PathError::Writable { path } => Self::Writable(path),
            PathError::Unsuitable { .. } | PathError::NotConfigured | PathError::NotInside => Self::Unsuitable,
        }
    }
}

impl ApiKeyConfig {
    /// The secret's file, if any.
    pub fn file(&self) -> Option<&Path> {
        match &self.secret {
            SecretSource::Sha256(_) => None,
            SecretSource::File(file) => Some(file),
        }
    }

    /// Returns the key, after reading its file. Blocks on the disk.
    pub fn open(&self) -> Result<ApiKey, SecretFileError> {
        let digest = match &self.secret {
            SecretSource::Sha256(digest) => digest.clone(),
            SecretSource::File(file) => self.digest_of(&paths::read_trusted(file)?)?,
        };
        Ok(self.with(digest))
    }

    fn with(&self, digest: Digest) -> ApiKey {
        let (id, scopes, apps) = (self.id.clone(), self.scopes.clone(), self.apps.clone());
        ApiKey { id, digest, scopes, apps, expires_at: self.expires_at }
    }

    fn digest_of(&self, text: &Secret) -> Result<Digest, SecretFileError> {
        let text = text.expose().trim_ascii();
        let after_id = text.strip_prefix(self.id.as_str().as_bytes()).and_then(|rest| rest.strip_prefix(b"."));
        let secret = after_id.unwrap_or(text);
        let good = secret.len() >= SECRET_BYTES_MIN && secret.iter().all(u8::is_ascii_graphic);
        good.then(|| Digest::of(secret)).ok_or(SecretFileError::NoSecret)
    }
}

impl Keys {
    /// Replaces the keys by the configured ones. Returns the place and error of each key whose file cannot be used:
    /// such a key keeps its previous secret, and is left out if it has none. Blocks on the disk.
    pub fn follow(&self, configs: &[ApiKeyConfig]) -> Vec<(String, SecretFileError)> {
        let mut faults = Vec::new();
        let mut keys = Vec::with_capacity(configs.len());
        for config in configs {
            match config.open() {
                Ok(key) => keys.push(key),
                Err(error) => {
                    keys.extend(self.get(&config.id).map(|had| config.with(had.digest.clone())));
                    faults.push((config.place.clone(), error));
                }
            }
        }
        self.replace(keys);
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    fn config(file: &Path) -> ApiKeyConfig {
        ApiKeyConfig {
            place: "here".to_owned(),
            id: "shop".parse().unwrap(),
            secret: SecretSource::File(file.to_owned()),
            scopes: vec![Scope::Send],
            apps: None,
            expires_at: None,
        }
    }

    #[test]
    fn a_file_has_the_secret_or_the_key_as_callers_send_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        for text in [SECRET.to_owned(), format!("{SECRET}\r\n"), format!("shop.{SECRET}\n")] {
            std::fs::write(&file, &text).unwrap();
            assert!(config(&file).open().unwrap().digest == Digest::of(SECRET.as_bytes()), "{text}");
        }
        let long = "x".repeat(paths::FILE_BYTES_MAX as usize + 1);
        for text in [
            "",
            "\n",
            "shop.",
            "shop.0123",
            "0123456789abcde",
            "the key: shop.0123456789abcdef",
            "é0123456789abcdef",
            &long,
        ] {
            std::fs::write(&file, text).unwrap();
            let refused = config(&file).open().expect_err("no secret").to_string();
            assert!(refused.starts_with("its `secret_file` ") && !refused.contains("0123"), "{refused}");
        }
    }

    #[test]
    fn a_key_with_a_bad_file_keeps_its_secret_and_takes_its_other_settings() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, SECRET).unwrap();
        let keys = Keys::default();
        assert!(keys.follow(&[config(&file)]).is_empty());
        std::fs::write(&file, "").unwrap();
        let faults = keys.follow(&[ApiKeyConfig { scopes: vec![Scope::Metrics], ..config(&file) }]);
        assert!(matches!(faults.as_slice(), [(place, SecretFileError::NoSecret)] if place == "here"));
        let kept = keys.find(format!("Bearer shop.{SECRET}").as_bytes()).expect("the secret it had");
        assert_eq!(kept.scopes, [Scope::Metrics]);
        assert_eq!(keys.follow(&[ApiKeyConfig { id: "new".parse().unwrap(), ..config(&file) }]).len(), 1);
        assert!(keys.find(format!("Bearer shop.{SECRET}").as_bytes()).is_none(), "it has left the configuration");
        assert!(keys.find(b"Bearer new.").is_none());
    }
}
