//! The password-based encryption schemes of key files, with a limit on their work.

use crate::credentials::{CredentialError, Secret};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{Decode, Sequence};
use p256::pkcs8::PrivateKeyInfoRef;
use pkcs5::AlgorithmIdentifierRef;
use pkcs5::pbes2::{self, Kdf, PBES2_OID, ScryptParams};
use pkcs12::kdf::{Pkcs12KeyType, derive_key};
use sha1::Sha1;
use zeroize::Zeroizing;

/// The maximum number of iterations of one credential, in all its parts: three million, at most some seconds.
pub const ITERATIONS_MAX: u64 = 3_000_000;
/// The maximum number of 128-byte blocks for scrypt: 128 MiB.
const SCRYPT_BLOCKS_MAX: u64 = 1 << 20;

/// RFC 7292 appendix C: PKCS#12's key derivation with an old cipher, as Keychain and OpenSSL before 3 write it.
const PBE_3DES: ObjectIdentifier = pkcs12::PKCS_12_PBE_WITH_SHAAND3_KEY_TRIPLE_DES_CBC;
const PBE_3DES_OF_2_KEYS: ObjectIdentifier = pkcs12::PKCS_12_PBE_WITH_SHAAND2_KEY_TRIPLE_DES_CBC;
const PBE_RC2_128: ObjectIdentifier = pkcs12::PKCS_12_PBE_WITH_SHAAND128_BIT_RC2_CBC;
const PBE_RC2_40: ObjectIdentifier = pkcs12::PKCS_12_PBEWITH_SHAAND40_BIT_RC2_CBC;

/// The unspent part of [`ITERATIONS_MAX`]. The author of a file chooses the number of iterations, so it needs a limit.
pub struct Effort(u64);

impl Effort {
    pub fn new() -> Self {
        Self(ITERATIONS_MAX)
    }

    /// Call it before the work. Also refuses zero iterations, which no tool writes.
    pub fn spend(&mut self, iterations: u64) -> Result<(), CredentialError> {
        let left = self.0.checked_sub(iterations).filter(|_| iterations > 0);
        self.0 = left.ok_or(CredentialError::TooCostly)?;
        Ok(())
    }

    fn spend_on_scrypt(&mut self, scrypt: &ScryptParams) -> Result<(), CredentialError> {
        let blocks = scrypt.cost_parameter.saturating_mul(scrypt.block_size.into());
        if blocks > SCRYPT_BLOCKS_MAX {
            return Err(CredentialError::TooCostly);
        }
        self.spend(blocks.saturating_mul(scrypt.parallelization.into()))
    }
}

/// A passphrase in the two encodings that the schemes use.
pub struct Passphrase {
    pub utf8: Secret,
    /// UTF-16, big-endian, ended by a zero (RFC 7292 appendix B.1).
    pub bmp: Secret,
}

impl Passphrase {
    /// `None` if the passphrase is not UTF-8.
    pub fn new(secret: &Secret) -> Option<Self> {
        let text = std::str::from_utf8(secret.expose()).ok()?;
        let mut bmp = Vec::with_capacity(2 * text.len() + 2);
        bmp.extend(text.encode_utf16().chain([0]).flat_map(u16::to_be_bytes));
        Some(Self { utf8: secret.clone(), bmp: bmp.into() })
    }
}

/// PKCS#8's `EncryptedPrivateKeyInfo`.
#[derive(Sequence)]
struct EncryptedKey<'a> {
    algorithm: AlgorithmIdentifierRef<'a>,
    data: &'a OctetStringRef,
}

#[derive(Sequence)]
struct PbeParameters<'a> {
    salt: &'a OctetStringRef,
    iterations: u32,
}

/// Decrypts PKCS#8's `EncryptedPrivateKeyInfo` to PKCS#8.
pub fn decrypt_key(der: &[u8], passphrase: &Passphrase, effort: &mut Effort) -> Result<Secret, CredentialError> {
    let key = EncryptedKey::from_der(der).map_err(|_| CredentialError::Damaged)?;
    let plain = decrypt(&key.algorithm, key.data.as_bytes(), passphrase, effort)?;
    // One in 256 wrong passphrases yields bytes that end like valid padding.
    PrivateKeyInfoRef::try_from(plain.expose()).map_err(|_| CredentialError::PassphraseWrong)?;
    Ok(plain)
}

/// Decrypts data by an `AlgorithmIdentifier` of PBES2 or of PKCS#12's schemes.
pub fn decrypt(
    algorithm: &AlgorithmIdentifierRef<'_>,
    data: &[u8],
    passphrase: &Passphrase,
    effort: &mut Effort,
) -> Result<Secret, CredentialError> {
    let parameters = algorithm.parameters.ok_or(CredentialError::EncryptionUnknown)?;
    if algorithm.oid == PBES2_OID {
        let parameters = pbes2::Parameters::try_from(parameters).map_err(|_| CredentialError::EncryptionUnknown)?;
        return decrypt_pbes2(&parameters, data, passphrase, effort);
    }
    let parameters = parameters.decode_as::<PbeParameters<'_>>().map_err(|_| CredentialError::EncryptionUnknown)?;
    let old = Old { parameters, passphrase, data };
    match algorithm.oid {
        PBE_3DES => old.decrypt::<des::TdesEde3>(24, effort),
        PBE_3DES_OF_2_KEYS => old.decrypt::<des::TdesEde2>(16, effort),
        PBE_RC2_128 => old.decrypt::<rc2::Rc2>(16, effort),
        PBE_RC2_40 => old.decrypt::<rc2::Rc2>(5, effort),
        _ => Err(CredentialError::EncryptionUnknown),
    }
}

fn decrypt_pbes2(
    parameters: &pbes2::Parameters,
    data: &[u8],
    passphrase: &Passphrase,
    effort: &mut Effort,
) -> Result<Secret, CredentialError> {
    match &parameters.kdf {
        Kdf::Pbkdf2(pbkdf2) => effort.spend(pbkdf2.iteration_count.into())?,
        Kdf::Scrypt(scrypt) => effort.spend_on_scrypt(scrypt)?,
        _ => return Err(CredentialError::EncryptionUnknown),
    }
    let mut buffer = Zeroizing::new(data.to_vec());
    let plain = parameters.decrypt_in_place(passphrase.utf8.expose(), &mut buffer).map_err(|error| match error {
        pkcs5::Error::DecryptFailed => CredentialError::PassphraseWrong,
        _ => CredentialError::EncryptionUnknown,
    })?;
    let length = plain.len();
    Ok(truncated(buffer, length))
}

/// One use of PKCS#12's schemes.
struct Old<'a> {
    parameters: PbeParameters<'a>,
    passphrase: &'a Passphrase,
    data: &'a [u8],
}

impl Old<'_> {
    fn decrypt<C: BlockCipherDecrypt + KeyInit>(
        &self,
        key_bytes: usize,
        effort: &mut Effort,
    ) -> Result<Secret, CredentialError> {
        let key = self.derive(Pkcs12KeyType::EncryptionKey, key_bytes, effort)?;
        let iv = self.derive(Pkcs12KeyType::Iv, 8, effort)?;
        decrypt_cbc::<C>(&key, &iv, self.data)
    }

    fn derive(
        &self,
        purpose: Pkcs12KeyType,
        bytes: usize,
        effort: &mut Effort,
    ) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        let PbeParameters { salt, iterations } = &self.parameters;
        effort.spend(u64::from(*iterations))?;
        let rounds = i32::try_from(*iterations).map_err(|_| CredentialError::TooCostly)?;
        Ok(Zeroizing::new(derive_key::<Sha1>(self.passphrase.bmp.expose(), salt.as_bytes(), purpose, rounds, bytes)))
    }
}

/// CBC with the padding of PKCS#7.
pub fn decrypt_cbc<C: BlockCipherDecrypt + KeyInit>(
    key: &[u8],
    iv: &[u8],
    data: &[u8],
) -> Result<Secret, CredentialError> {
    let mut buffer = Zeroizing::new(data.to_vec());
    let cipher = cbc::Decryptor::<C>::new_from_slices(key, iv).map_err(|_| CredentialError::EncryptionUnknown)?;
    let plain = cipher.decrypt_padded::<Pkcs7>(&mut buffer).map_err(|_| CredentialError::PassphraseWrong)?;
    let length = plain.len();
    Ok(truncated(buffer, length))
}

fn truncated(mut buffer: Zeroizing<Vec<u8>>, length: usize) -> Secret {
    buffer.truncate(length);
    std::mem::take(&mut *buffer).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrypt(cost: u64, block_size: u16, parallelization: u16) -> ScryptParams {
        let salt = pbes2::Salt::new([0; 8]).unwrap();
        ScryptParams { salt, cost_parameter: cost, block_size, parallelization, key_length: None }
    }

    #[test]
    fn all_parts_of_a_file_share_one_budget() {
        let mut effort = Effort::new();
        assert_eq!(effort.spend(ITERATIONS_MAX / 2), Ok(()));
        assert_eq!(effort.spend(ITERATIONS_MAX / 2 + 1), Err(CredentialError::TooCostly));
        assert_eq!(effort.spend(ITERATIONS_MAX / 2), Ok(()));
        assert_eq!(effort.spend(1), Err(CredentialError::TooCostly));
        assert_eq!(Effort::new().spend(0), Err(CredentialError::TooCostly));
    }

    #[test]
    fn scrypt_is_bounded_in_memory_and_in_time() {
        let spend = |params| Effort::new().spend_on_scrypt(&params).is_ok();
        assert!(spend(scrypt(1 << 14, 8, 1)), "what OpenSSL writes");
        assert!(spend(scrypt(1 << 17, 8, 2)));
        for hostile in [scrypt(1 << 18, 8, 1), scrypt(1 << 14, u16::MAX, 1), scrypt(1 << 17, 8, 3), scrypt(0, 8, 1)] {
            assert!(!spend(hostile), "{hostile:?}");
        }
        assert!(!spend(scrypt(u64::MAX, u16::MAX, u16::MAX)));
    }
}
