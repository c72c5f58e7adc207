//! A credential in whatever form people have it, made into plain PEM: encrypted PEM and PKCS#12 are opened here.

mod encryption;
mod pem;
mod pkcs12;

pub use encryption::ITERATIONS_MAX;

use super::{CredentialError, Secret};
use crate::subject;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Longest passphrase, in bytes.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;

/// Opening is made to be slow, and may take 128 MiB: one credential at a time, the others wait their turn.
static TURN: Semaphore = Semaphore::const_new(1);

/// Whether these are the bytes of a PKCS#12 file (or of other DER) rather than a text: a SEQUENCE of 128 bytes or more.
pub fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x80..=0x84, ..])
}

/// Whether these bytes need opening, and mostly a passphrase.
pub fn is_encrypted(bytes: &[u8]) -> bool {
    is_der(bytes) || pem::is_encrypted(bytes)
}

/// The text without the marks (U+FEFF) that editors and PowerShell put before UTF-8, since PEM's lines begin with dashes; a
/// file that was put together from several may have one in its middle.
fn unmarked(given: Secret) -> Secret {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    let bytes = given.expose();
    if is_der(bytes) || !bytes.windows(MARK.len()).any(|window| window == MARK) {
        return given;
    }
    // Reserved at once: a growing vector would leave copies of the key behind.
    let (mut plain, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let Some(first) = rest.first() {
        match rest.strip_prefix(MARK) {
            Some(after) => rest = after,
            None => {
                plain.push(*first);
                rest = &rest[1..];
            }
        }
    }
    plain.into()
}

/// Takes PEM, with or without an encrypted key, or PKCS#12, and gives PEM with nothing encrypted in it. A passphrase
/// that is not needed is no fault. Blocks for up to seconds where something is encrypted.
pub fn open(given: Secret, passphrase: Option<&Secret>) -> Result<Secret, CredentialError> {
    let given = unmarked(given);
    let bytes = given.expose();
    if is_der(bytes) {
        pkcs12::open(bytes, passphrase)
    } else if pem::is_encrypted(bytes) {
        pem::decrypt(bytes, passphrase.ok_or(CredentialError::PassphraseMissing)?)
    } else {
        Ok(given)
    }
}

/// [`open`] beside the runtime's threads, and only once at a time in this process.
pub async fn open_in_turn(given: Secret, passphrase: Option<Secret>) -> Result<Secret, CredentialError> {
    if !is_encrypted(given.expose()) {
        return Ok(unmarked(given));
    }
    let turn = TURN.acquire().await;
    let opened = spawn_blocking(subject::carry(move || {
        let _until_it_ends = turn;
        open(given, passphrase.as_ref())
    }));
    // A panic has its own line; its message, which may hold what was opened, belongs in none.
    opened.await.unwrap_or(Err(CredentialError::Damaged))
}

#[cfg(test)]
mod tests;
