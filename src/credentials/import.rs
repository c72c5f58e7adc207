//! Converts a credential in any usual format to plain PEM. Decrypts PEM and PKCS#12, unwraps base64, and names the
//! format of a file that is not a credential.

mod ber;
mod encryption;
pub(super) mod foreign;
pub(super) mod pem;
mod pkcs12;
mod wrapped;

pub use encryption::ITERATIONS_MAX;
pub use foreign::is_utf16;

use super::{CredentialError, Secret};
use crate::drain::Drain;
use tokio::sync::Semaphore;

/// The maximum length of a passphrase, in bytes.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;

/// The minimum length of base64 to count as a credential and not as a file's name: every key is longer.
const WRAPPED_BYTES_MIN: usize = 64;

const MARK: &[u8] = "\u{feff}".as_bytes();

/// Key derivation is slow by design and may take 128 MiB, so only one credential is opened at a time.
static TURN: Semaphore = Semaphore::const_new(1);

/// Returns true for the bytes of a PKCS#12 file (or of other DER or BER): a SEQUENCE of 128 bytes or more, or a shorter
/// one of exactly the file's length.
pub fn is_der(bytes: &[u8]) -> bool {
    match bytes {
        [0x30, 0x80..=0x84, ..] => true,
        [0x30, length @ 0x20..0x80, rest @ ..] => rest.len() == usize::from(*length),
        _ => false,
    }
}

/// Returns true if a text contains PEM armour, even damaged.
pub fn has_armour(text: &[u8]) -> bool {
    find(text, b"-----BEGIN").is_some()
}

/// Decodes pasted base64 without a check of the result.
pub fn decode_base64(text: &[u8]) -> Option<Secret> {
    wrapped::decode_whole(text).map(|mut bytes| std::mem::take(&mut *bytes).into())
}

/// Decodes a text that is only base64 without armour, if the result is a credential's file.
pub fn unwrap_base64(text: &[u8]) -> Option<Secret> {
    if text.len() < WRAPPED_BYTES_MIN || is_der(text) || has_armour(text) {
        return None;
    }
    let mut bytes = wrapped::decode_whole(text)?;
    let known = is_der(&bytes) || has_armour(&bytes) || is_utf16(&bytes) || foreign::of_bytes(&bytes).is_some();
    known.then(|| std::mem::take(&mut *bytes).into())
}

/// Returns true if this text needs a passphrase.
pub fn is_encrypted(text: &[u8]) -> bool {
    pem::is_encrypted(text)
}

/// Removes the byte order marks (U+FEFF) that editors and PowerShell write before UTF-8, since PEM's lines begin with
/// dashes. A file concatenated from several may have one in its middle.
fn unmarked(given: Secret) -> Secret {
    let bytes = given.expose();
    if is_der(bytes) || find(bytes, MARK).is_none() {
        return given;
    }
    // Reserved in advance: a growing vector would leave copies of the key in memory.
    let (mut plain, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let Some(at) = find(rest, MARK) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at + MARK.len()..];
    }
    plain.extend_from_slice(rest);
    plain.into()
}

/// DER or text, unwrapped and not yet parsed.
fn unpacked(given: Secret) -> Result<Secret, CredentialError> {
    let given = unmarked(given);
    let given = unwrap_base64(given.expose()).map_or(given, unmarked);
    let bytes = given.expose();
    if is_utf16(bytes) {
        return Err(CredentialError::Utf16);
    }
    match foreign::of_bytes(bytes) {
        Some(foreign) if !is_der(bytes) && !has_armour(bytes) => Err(foreign),
        _ => Ok(given),
    }
}

/// Converts PEM, with or without an encrypted key, or PKCS#12, or either in base64, to unencrypted PEM. Ignores an
/// unneeded passphrase. Returns a plain text unchanged except for byte order marks, because fingerprints of entries are
/// computed over it. Blocks for up to seconds if something is encrypted.
pub fn open(given: Secret, passphrase: Option<&Secret>) -> Result<Secret, CredentialError> {
    let given = unpacked(given)?;
    let bytes = given.expose();
    if is_der(bytes) {
        pkcs12::open(bytes, passphrase)
    } else if pem::is_encrypted(bytes) {
        pem::decrypt(bytes, passphrase.ok_or(CredentialError::PassphraseMissing)?)
    } else {
        Ok(given)
    }
}

/// Runs [`open`] outside the runtime's threads, one call at a time in this process.
pub async fn open_in_turn(given: Secret, passphrase: Option<Secret>, drain: &Drain) -> Result<Secret, CredentialError> {
    let given = unpacked(given)?;
    if !is_der(given.expose()) && !pem::is_encrypted(given.expose()) {
        return Ok(given);
    }
    let turn = TURN.acquire().await;
    let opened = drain.spawn_blocking(move || {
        let _until_it_ends = turn;
        open(given, passphrase.as_ref())
    });
    // The panic hook logs the panic without its message, which may contain the credential.
    opened.await.unwrap_or(Err(CredentialError::Damaged))
}

/// The position of the first `part` in `text`.
fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests;
