//! A credential in whatever form people have it, made into plain PEM: encrypted PEM and PKCS#12 are opened here, base64
//! is unwrapped, and what is no credential at all is called by its name.

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

/// Longest passphrase, in bytes.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;

/// Shortest base64 that is taken for a credential rather than a file's name: the least key has more.
const WRAPPED_BYTES_MIN: usize = 64;

const MARK: &[u8] = "\u{feff}".as_bytes();

/// Opening is made to be slow, and may take 128 MiB: one credential at a time, the others wait their turn.
static TURN: Semaphore = Semaphore::const_new(1);

/// True for the bytes of a PKCS#12 file (or of other DER or BER) rather than a text: a SEQUENCE of 128 bytes or
/// more, or a shorter one to the byte.
pub fn is_der(bytes: &[u8]) -> bool {
    match bytes {
        [0x30, 0x80..=0x84, ..] => true,
        [0x30, length @ 0x20..0x80, rest @ ..] => rest.len() == usize::from(*length),
        _ => false,
    }
}

/// True if a text contains PEM armour, even damaged.
pub fn has_armour(text: &[u8]) -> bool {
    find(text, b"-----BEGIN").is_some()
}

/// Decodes base64 as people paste it, whatever comes of it.
pub fn decode_base64(text: &[u8]) -> Option<Secret> {
    wrapped::decode_whole(text).map(|mut bytes| std::mem::take(&mut *bytes).into())
}

/// Decodes base64 without armour that is the whole of a text, if the result is a credential's file.
pub fn unwrap_base64(text: &[u8]) -> Option<Secret> {
    if text.len() < WRAPPED_BYTES_MIN || is_der(text) || has_armour(text) {
        return None;
    }
    let mut bytes = wrapped::decode_whole(text)?;
    let known = is_der(&bytes) || has_armour(&bytes) || is_utf16(&bytes) || foreign::of_bytes(&bytes).is_some();
    known.then(|| std::mem::take(&mut *bytes).into())
}

/// True if this text needs a passphrase to be of use.
pub fn is_encrypted(text: &[u8]) -> bool {
    pem::is_encrypted(text)
}

/// The text without the marks (U+FEFF) that editors and PowerShell put before UTF-8, since PEM's lines begin with
/// dashes; a file that was put together from several may have one in its middle.
fn unmarked(given: Secret) -> Secret {
    let bytes = given.expose();
    if is_der(bytes) || find(bytes, MARK).is_none() {
        return given;
    }
    // Reserved at once: a growing vector would leave copies of the key behind.
    let (mut plain, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let Some(at) = find(rest, MARK) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at + MARK.len()..];
    }
    plain.extend_from_slice(rest);
    plain.into()
}

/// DER or text, of which nothing but the contents is left to be looked at.
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

/// Takes PEM, with or without an encrypted key, or PKCS#12, or either in base64, and gives PEM with nothing encrypted
/// in it. A passphrase that is not needed is no fault. A plain text comes back as it was but for its marks:
/// fingerprints of entries are over it. Blocks for up to seconds where something is encrypted.
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

/// [`open`] beside the runtime's threads, and only once at a time in this process.
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
    // A panic has its own line; its message, which may hold what was opened, belongs in none.
    opened.await.unwrap_or(Err(CredentialError::Damaged))
}

/// Where `part` begins in `text` first.
fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests;
