//! A credential in whatever form people have it, made into plain PEM: encrypted PEM and PKCS#12 are opened here.

mod encryption;
mod pem;
mod pkcs12;

pub use encryption::ITERATIONS_MAX;

use super::{CredentialError, Secret};
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

/// Takes PEM, with or without an encrypted key, or PKCS#12, and gives PEM with nothing encrypted in it. A passphrase
/// that is not needed is no fault. Blocks for up to seconds where something is encrypted.
pub fn open(given: Secret, passphrase: Option<&Secret>) -> Result<Secret, CredentialError> {
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
        return Ok(given);
    }
    let turn = TURN.acquire().await;
    let opened = spawn_blocking(move || {
        let _until_it_ends = turn;
        open(given, passphrase.as_ref())
    });
    opened.await.unwrap_or_else(|panic| {
        tracing::error!(%panic, "opening a credential failed");
        Err(CredentialError::Damaged)
    })
}

#[cfg(test)]
mod tests;
