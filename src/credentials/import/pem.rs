//! Parses PEM (RFC 7468) leniently: armour anywhere in a text, line breaks lost or written as `\n`. Decrypts keys in
//! PKCS#8 (`ENCRYPTED PRIVATE KEY`) and in OpenSSL's old format (`Proc-Type`).

use super::encryption::{Effort, Passphrase, decrypt_cbc, decrypt_key};
use super::{find, wrapped};
use crate::credentials::{CredentialError, Secret};
use der::asn1::AnyRef;
use der::pem::LineEnding;
use der::{Decode, Tag, Tagged};
use md5::{Digest, Md5};
use zeroize::Zeroizing;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
const LABEL_BYTES_MAX: usize = 64;
/// The first characters of a line that is commented out.
const COMMENTS: [&[u8]; 3] = [b"#", b"//", b";"];

const ENCRYPTED_PKCS8: &str = "ENCRYPTED PRIVATE KEY";
const ENCRYPTED_HEADER: &[u8] = b"Proc-Type: 4,ENCRYPTED";
const CIPHER_HEADER: &[u8] = b"DEK-Info:";

/// Returns true if a key in this text needs a passphrase.
pub fn is_encrypted(text: &[u8]) -> bool {
    let contains = |part: &[u8]| find(text, part).is_some();
    contains(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || contains(ENCRYPTED_HEADER)
}

/// Returns the blocks of `text` with their keys decrypted, without the text around them.
pub fn decrypt(text: &[u8], passphrase: &Secret) -> Result<Secret, CredentialError> {
    let passphrase = Passphrase::new(passphrase).ok_or(CredentialError::PassphraseWrong)?;
    let mut effort = Effort::new();
    // The output is shorter than the input. Reserved in advance: a growing vector would leave copies of the key in
    // memory.
    let mut plain = Vec::with_capacity(2 * text.len() + 128);
    for block in blocks(text)? {
        let (label, der) = block.open(&passphrase, &mut effort)?;
        plain.extend_from_slice(encode(label, der.expose())?.as_bytes());
    }
    Ok(plain.into())
}

/// One block of PEM.
pub fn encode(label: &str, der: &[u8]) -> Result<Zeroizing<String>, CredentialError> {
    der::pem::encode_string(label, LineEnding::LF, der).map(Zeroizing::new).map_err(|_| CredentialError::NotPem)
}

/// The text between two lines of armour.
pub struct Block<'a> {
    pub label: &'a str,
    body: &'a [u8],
}

/// Finds every block, with its armour anywhere in a line; a line that is commented out begins no block. Fails on
/// damaged armour, and on a block without an end.
pub fn blocks(text: &[u8]) -> Result<Vec<Block<'_>>, CredentialError> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while let Some(found) = find(&text[at..], BEGIN) {
        let begin = at + found;
        at = begin + BEGIN.len();
        if is_comment(&text[..begin]) {
            continue;
        }
        let (label, body) = label(&text[at..]).ok_or(CredentialError::NotPem)?;
        let end = find(body, END).ok_or(CredentialError::NotPem)?;
        let (body, rest) = (&body[..end], &body[end + END.len()..]);
        let (end_label, rest) = self::label(rest).ok_or(CredentialError::NotPem)?;
        if end_label != label || find(body, BEGIN).is_some() {
            return Err(CredentialError::NotPem);
        }
        blocks.push(Block { label, body });
        at = text.len() - rest.len();
    }
    Ok(blocks)
}

/// Returns true if the line that ends with `before` is commented out.
fn is_comment(before: &[u8]) -> bool {
    let line = before.rsplit(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii_start();
    COMMENTS.iter().any(|comment| line.starts_with(comment))
}

/// A label up to its dashes, and the rest after them.
fn label(text: &[u8]) -> Option<(&str, &[u8])> {
    let length = find(text.get(..text.len().min(LABEL_BYTES_MAX + DASHES.len()))?, DASHES)?;
    let label = std::str::from_utf8(&text[..length]).ok()?;
    let is_label = label.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    is_label.then(|| (label, &text[length + DASHES.len()..]))
}

impl<'a> Block<'a> {
    /// The decoded contents.
    pub fn der(&self) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        let headers_end = self.body.iter().rposition(|&byte| byte == b':').map_or(0, |colon| {
            let line = self.body[colon..].iter().position(|&byte| byte == b'\n');
            line.map_or(self.body.len(), |line| colon + line)
        });
        wrapped::decode(&self.body[headers_end..]).ok_or(CredentialError::NotPem)
    }

    /// The block's label and contents, decrypted.
    fn open(self, passphrase: &Passphrase, effort: &mut Effort) -> Result<(&'a str, Secret), CredentialError> {
        if self.label == ENCRYPTED_PKCS8 {
            return Ok(("PRIVATE KEY", decrypt_key(&self.der()?, passphrase, effort)?));
        }
        if find(self.body, ENCRYPTED_HEADER).is_some() {
            return Ok((self.label, self.open_old(passphrase.utf8.expose())?));
        }
        Ok((self.label, std::mem::take(&mut *self.der()?).into()))
    }

    /// The key is derived by a single MD5 (OpenSSL's `EVP_BytesToKey`), with the IV as salt.
    fn open_old(&self, passphrase: &[u8]) -> Result<Secret, CredentialError> {
        let (cipher, iv, base64) = self.cipher().ok_or(CredentialError::EncryptionUnknown)?;
        let salt = iv.first_chunk::<8>().ok_or(CredentialError::EncryptionUnknown)?;
        let body = wrapped::decode(base64).ok_or(CredentialError::NotPem)?;
        let key = |bytes| derive_old(passphrase, salt, bytes);
        let plain = match cipher {
            "DES-EDE3-CBC" => decrypt_cbc::<des::TdesEde3>(&key(24), &iv, &body),
            "AES-128-CBC" => decrypt_cbc::<aes::Aes128>(&key(16), &iv, &body),
            "AES-192-CBC" => decrypt_cbc::<aes::Aes192>(&key(24), &iv, &body),
            "AES-256-CBC" => decrypt_cbc::<aes::Aes256>(&key(32), &iv, &body),
            _ => Err(CredentialError::EncryptionUnknown),
        }?;
        // One in 256 wrong passphrases yields bytes that end like valid padding.
        let is_key = AnyRef::from_der(plain.expose()).is_ok_and(|any| any.tag() == Tag::Sequence);
        is_key.then_some(plain).ok_or(CredentialError::PassphraseWrong)
    }

    /// The cipher, its IV, and the base64 after it, with or without a line break between them.
    fn cipher(&self) -> Option<(&'a str, Vec<u8>, &'a [u8])> {
        let info = self.body[find(self.body, CIPHER_HEADER)? + CIPHER_HEADER.len()..].trim_ascii_start();
        let comma = info.iter().position(|&byte| byte == b',')?;
        let cipher = std::str::from_utf8(&info[..comma]).ok()?;
        let digits = if cipher.starts_with("DES") { 16 } else { 32 };
        let (iv, base64) = info[comma + 1..].split_at_checked(digits)?;
        Some((cipher, bytes_of_hex(std::str::from_utf8(iv).ok()?)?, base64))
    }
}

fn derive_old(passphrase: &[u8], salt: &[u8; 8], bytes: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(bytes + 16));
    while key.len() < bytes {
        let last = key.len().saturating_sub(16);
        let digest = Md5::new().chain_update(&key[last..]).chain_update(passphrase).chain_update(salt).finalize();
        key.extend_from_slice(&digest);
    }
    key.truncate(bytes);
    key
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
