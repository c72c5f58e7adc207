//! PEM whose private key is encrypted: as PKCS#8 (`ENCRYPTED PRIVATE KEY`), or in OpenSSL's old way (`Proc-Type`).

use super::encryption::{Effort, Passphrase, decrypt_cbc, decrypt_key};
use crate::credentials::{CredentialError, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use der::asn1::AnyRef;
use der::pem::LineEnding;
use der::{Decode, Tag, Tagged};
use md5::{Digest, Md5};
use zeroize::Zeroizing;

const ENCRYPTED_PKCS8: &str = "ENCRYPTED PRIVATE KEY";
const ENCRYPTED_HEADER: &[u8] = b"Proc-Type: 4,ENCRYPTED";
const CIPHER_HEADER: &[u8] = b"DEK-Info:";

/// Whether a key in this text needs a passphrase.
pub fn is_encrypted(text: &[u8]) -> bool {
    let contains = |part: &[u8]| text.windows(part.len()).any(|window| window == part);
    contains(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || contains(ENCRYPTED_HEADER)
}

/// The blocks of `text` with their keys in clear; what stands around them is left out.
pub fn decrypt(text: &[u8], passphrase: &Secret) -> Result<Secret, CredentialError> {
    let passphrase = Passphrase::new(passphrase).ok_or(CredentialError::PassphraseWrong)?;
    let mut effort = Effort::new();
    // What comes out is shorter than what went in. Reserved at once: a growing vector would leave copies of the key.
    let mut plain = Vec::with_capacity(text.len() + 128);
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

struct Block<'a> {
    label: &'a str,
    /// `Name: value`.
    headers: Vec<&'a [u8]>,
    body: Zeroizing<Vec<u8>>,
}

fn blocks(text: &[u8]) -> Result<Vec<Block<'_>>, CredentialError> {
    let mut lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix(b"-----BEGIN ").and_then(|rest| rest.strip_suffix(b"-----")) else {
            continue;
        };
        let label = std::str::from_utf8(label).map_err(|_| CredentialError::NotPem)?;
        let (mut headers, mut base64) = (Vec::new(), Zeroizing::new(Vec::with_capacity(text.len())));
        loop {
            match lines.next() {
                None => return Err(CredentialError::NotPem),
                Some(end) if end.starts_with(b"-----END ") => break,
                Some(header) if header.contains(&b':') => headers.push(header),
                Some(body) => base64.extend_from_slice(body),
            }
        }
        let body = STANDARD.decode(&*base64).map(Zeroizing::new).map_err(|_| CredentialError::NotPem)?;
        blocks.push(Block { label, headers, body });
    }
    Ok(blocks)
}

impl<'a> Block<'a> {
    /// Its label and contents once nothing in it is encrypted.
    fn open(self, passphrase: &Passphrase, effort: &mut Effort) -> Result<(&'a str, Secret), CredentialError> {
        if self.label == ENCRYPTED_PKCS8 {
            return Ok(("PRIVATE KEY", decrypt_key(&self.body, passphrase, effort)?));
        }
        if self.headers.contains(&ENCRYPTED_HEADER) {
            return Ok((self.label, self.open_old(passphrase.utf8.expose())?));
        }
        Ok((self.label, self.body.to_vec().into()))
    }

    /// The key comes from the passphrase by a single MD5 (OpenSSL's `EVP_BytesToKey`), the salt from the IV.
    fn open_old(&self, passphrase: &[u8]) -> Result<Secret, CredentialError> {
        let info = self.headers.iter().find_map(|header| header.strip_prefix(CIPHER_HEADER));
        let info = info.and_then(|info| std::str::from_utf8(info).ok()).ok_or(CredentialError::EncryptionUnknown)?;
        let (cipher, iv) = info.trim().split_once(',').ok_or(CredentialError::EncryptionUnknown)?;
        let iv = bytes_of_hex(iv).ok_or(CredentialError::EncryptionUnknown)?;
        let salt = iv.first_chunk::<8>().ok_or(CredentialError::EncryptionUnknown)?;
        let key = |bytes| derive_old(passphrase, salt, bytes);
        let plain = match cipher {
            "DES-EDE3-CBC" => decrypt_cbc::<des::TdesEde3>(&key(24), &iv, &self.body),
            "AES-128-CBC" => decrypt_cbc::<aes::Aes128>(&key(16), &iv, &self.body),
            "AES-192-CBC" => decrypt_cbc::<aes::Aes192>(&key(24), &iv, &self.body),
            "AES-256-CBC" => decrypt_cbc::<aes::Aes256>(&key(32), &iv, &self.body),
            _ => Err(CredentialError::EncryptionUnknown),
        }?;
        // Of the wrong passphrases one in 256 leaves bytes that end like a padding.
        let is_key = AnyRef::from_der(plain.expose()).is_ok_and(|any| any.tag() == Tag::Sequence);
        is_key.then_some(plain).ok_or(CredentialError::PassphraseWrong)
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
