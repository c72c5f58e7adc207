//! The keys that stored credentials are encrypted with: the first seals, all of them open.

mod file;

pub use file::{KeyFileError, OWN_KEY, new_key_file};

use super::Secret;
use aws_lc_rs::aead::{AES_256_GCM, RandomizedNonceKey};
use aws_lc_rs::hmac;
use std::fmt;
use std::path::{Path, PathBuf};

pub const KEY_BYTES: usize = 32;
pub const KEY_ID_BYTES: usize = 8;

/// The public id of a key, which reveals nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId(pub [u8; KEY_ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// One key.
pub struct Key {
    id: KeyId,
    cipher: RandomizedNonceKey,
}

impl Key {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let purpose = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), b"pyapns: the id of a credential key");
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&purpose.as_ref()[..KEY_ID_BYTES]);
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, bytes).expect("the length is right");
        Self { id: KeyId(id), cipher }
    }

    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn cipher(&self) -> &RandomizedNonceKey {
        &self.cipher
    }
}

/// At least one key.
pub struct Keyring {
    first: Key,
    older: Vec<Key>,
}

impl Keyring {
    /// Reads the operator's key files; without any, the key in the data directory, which is created if it does not
    /// exist. Blocks.
    pub fn load(key_files: &[PathBuf], data_dir: &Path) -> Result<Self, KeyFileError> {
        let [first, older @ ..] = key_files else {
            return Ok(Self { first: of(&file::read_or_make(data_dir)?), older: Vec::new() });
        };
        let read = |path: &PathBuf| file::read(path).map(|key| of(&key));
        Ok(Self { first: read(first)?, older: older.iter().map(read).collect::<Result<_, _>>()? })
    }

    /// A keyring with one random key, for credentials that stay in memory.
    pub fn passing() -> Result<Self, KeyFileError> {
        Ok(Self { first: of(&file::random()?), older: Vec::new() })
    }

    /// The key that seals.
    pub fn first(&self) -> &Key {
        &self.first
    }

    pub fn find(&self, id: KeyId) -> Option<&Key> {
        [&self.first].into_iter().chain(&self.older).find(|key| key.id == id)
    }

    #[cfg(test)]
    pub(crate) fn of<const N: usize>(keys: [[u8; KEY_BYTES]; N]) -> Self {
        let mut keys = keys.iter().map(Key::new);
        Self { first: keys.next().expect("a keyring has a key"), older: keys.collect() }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Keyring({} and {} older)", self.first.id, self.older.len())
    }
}

fn of(secret: &Secret) -> Key {
    let bytes = secret.expose().first_chunk().expect("the file's reader checks the length");
    Key::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_same_id_in_every_version() {
        assert_eq!(Keyring::of([[7; 32]]).first().id().to_string(), "5c1e47f48e2424ae");
        assert_ne!(Keyring::of([[7; 32]]).first().id(), Keyring::of([[8; 32]]).first().id());
    }

    #[test]
    fn debug_output_of_a_keyring_has_no_key() {
        let printed = format!("{:?}", Keyring::of([[7; 32], [8; 32]]));
        assert!(!printed.contains("07") && !printed.contains('['), "{printed}");
    }
}
