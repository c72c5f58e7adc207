//! Files with one key each: 32 bytes as hex or as base64.

use super::KEY_BYTES;
use crate::credentials::Secret;
use crate::credentials::paths::{self, PathError};
use aws_lc_rs::rand;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The name of the key file that a node creates in its data directory.
pub const OWN_KEY: &str = "credentials.key";

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The reason that a node has no key to encrypt credentials with.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error(transparent)]
    Unreadable(#[from] PathError),
    #[error("the key file {path} does not hold 32 bytes as hex or base64: make one with `openssl rand -hex 32`")]
    NotAKey { path: PathBuf },
    #[error("the key file {path} is damaged: restore it from a backup, or remove it and provision every app again")]
    OwnKeyDamaged { path: PathBuf },
    #[error("the key file {path} cannot be created: {source}")]
    CannotMake { path: PathBuf, source: io::Error },
    #[error("the system's random number generator failed")]
    NoRandom,
}

/// A new key without a file.
pub fn random() -> Result<Secret, KeyFileError> {
    let mut key = vec![0; KEY_BYTES];
    rand::fill(&mut key).map_err(|_| KeyFileError::NoRandom)?;
    Ok(Secret::from(key))
}

/// Reads a key file of the operator.
pub fn read(path: &Path) -> Result<Secret, KeyFileError> {
    let text = paths::read_trusted(path)?;
    parse(&text).ok_or_else(|| KeyFileError::NotAKey { path: path.to_owned() })
}

/// Reads the key in the data directory; creates it once, atomically.
pub fn read_or_make(data_dir: &Path) -> Result<Secret, KeyFileError> {
    let path = data_dir.join(OWN_KEY);
    if !path.exists() {
        make(data_dir, &path).map_err(|source| KeyFileError::CannotMake { path: path.clone(), source })?;
        tracing::info!(path = %path.display(), "created the key that encrypts stored credentials: keep a copy of it");
    }
    read(&path).map_err(|error| match error {
        KeyFileError::NotAKey { path } => KeyFileError::OwnKeyDamaged { path },
        error => error,
    })
}

/// The text of a key file with a new key.
pub fn new_key_file() -> Result<Secret, KeyFileError> {
    let key = random()?;
    let digits = key.expose().iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    // Reserved at once: a growing text would leave copies of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
    text.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
    text.push('\n');
    Ok(Secret::from(text.as_bytes().to_vec()))
}

fn make(data_dir: &Path, path: &Path) -> io::Result<()> {
    let text = new_key_file().map_err(io::Error::other)?;
    let unfinished = path.with_extension("key.new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.expose())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(data_dir)?.sync_all()
}

fn parse(text: &Secret) -> Option<Secret> {
    let text = text.expose().trim_ascii();
    let key = match text.len() {
        64 => bytes_of_hex(text)?,
        _ => BASE64.decode(text).ok()?,
    };
    let key = Secret::from(key);
    (key.expose().len() == KEY_BYTES).then_some(key)
}

fn bytes_of_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for pair in text.chunks_exact(2) {
        bytes.push((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn key(text: &str) -> Option<Vec<u8>> {
        parse(&text.into()).map(|key| key.expose().to_vec())
    }

    #[test]
    fn a_key_is_hex_or_base64_of_32_bytes() {
        assert_eq!(key(&format!("{}\n", "0aF1".repeat(16))), Some([0x0a, 0xf1].repeat(16)));
        let base64 = BASE64.encode([9; 32]);
        assert_eq!(key(&format!(" {base64}\r\n")), Some(vec![9; 32]));
        assert_eq!(key(base64.trim_end_matches('=')), Some(vec![9; 32]));
        for bad in ["", "secret", &"0".repeat(63), &"g".repeat(64), &BASE64.encode([9; 31]), &"0".repeat(65)] {
            assert_eq!(key(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_node_creates_its_key_once_and_readable_only_by_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let made = read_or_make(dir.path()).unwrap();
        assert_eq!(read_or_make(dir.path()).unwrap(), made);
        let mode = fs::metadata(dir.path().join(OWN_KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(read_or_make(other.path()).unwrap(), made);
    }

    #[test]
    fn a_bad_key_file_is_named_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(OWN_KEY);
        fs::write(&path, "0123").unwrap();
        assert!(matches!(read_or_make(dir.path()), Err(KeyFileError::OwnKeyDamaged { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "0123");
        let refused = read(&path).unwrap_err().to_string();
        assert!(refused.contains("credentials.key") && !refused.contains("0123"), "{refused}");
        assert!(matches!(read(&dir.path().join("missing")), Err(KeyFileError::Unreadable(_))));
    }
}
