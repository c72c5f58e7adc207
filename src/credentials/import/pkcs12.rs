//! Converts PKCS#12 (RFC 7292), as Keychain and OpenSSL export it, to PEM. Ignores the attributes of its bags.

use super::encryption::{Effort, Passphrase, decrypt, decrypt_key};
use super::{ber, foreign, pem};
use crate::credentials::{CredentialError, Secret};
use aws_lc_rs::{hmac, pbkdf2};
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode, Sequence};
use p256::pkcs8::PrivateKeyInfoRef;
use pkcs5::AlgorithmIdentifierRef;
use pkcs5::pbes2::{Kdf, Pbkdf2Prf};
use pkcs12::kdf::{Pkcs12KeyType, derive_key};
use rustls::pki_types::PrivateKeyDer;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.6");
const PBMAC1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.14");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// The maximum key length of a PBMAC1 MAC, in bytes.
const MAC_KEY_BYTES_MAX: u16 = 64;

#[derive(Sequence)]
struct Pfx<'a> {
    version: u8,
    safe: ContentInfo<'a>,
    mac: Option<MacData<'a>>,
}

#[derive(Sequence)]
struct ContentInfo<'a> {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: AnyRef<'a>,
}

#[derive(Sequence)]
struct MacData<'a> {
    digest: DigestInfo<'a>,
    salt: &'a OctetStringRef,
    #[asn1(default = "once")]
    iterations: u32,
}

fn once() -> u32 {
    1
}

#[derive(Sequence)]
struct DigestInfo<'a> {
    algorithm: AlgorithmIdentifierRef<'a>,
    digest: &'a OctetStringRef,
}

#[derive(Sequence)]
struct Pbmac1<'a> {
    derivation: AlgorithmIdentifierRef<'a>,
    mac: AlgorithmIdentifierRef<'a>,
}

#[derive(Sequence)]
struct EncryptedData<'a> {
    version: u8,
    content: EncryptedContent<'a>,
}

#[derive(Sequence)]
struct EncryptedContent<'a> {
    kind: ObjectIdentifier,
    algorithm: AlgorithmIdentifierRef<'a>,
    /// `[0] IMPLICIT OCTET STRING`, which may be in pieces.
    data: AnyRef<'a>,
}

#[derive(Sequence)]
struct Bag<'a> {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    value: AnyRef<'a>,
    attributes: Option<AnyRef<'a>>,
}

#[derive(Sequence)]
struct CertificateBag<'a> {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    value: &'a OctetStringRef,
}

/// Returns PEM with every certificate and every key of the file. Without a passphrase it tries the empty one.
pub fn open(der: &[u8], passphrase: Option<&Secret>) -> Result<Secret, CredentialError> {
    let opened = passphrase.map_or_else(|| open_with(der, &Secret::from("")), |given| open_with(der, given));
    opened.map_err(|error| match error {
        CredentialError::PassphraseWrong if passphrase.is_none() => CredentialError::PassphraseMissing,
        error => error,
    })
}

fn open_with(file: &[u8], passphrase: &Secret) -> Result<Secret, CredentialError> {
    let passphrase = Passphrase::new(passphrase).ok_or(CredentialError::PassphraseWrong)?;
    let der = ber::to_der(file).map_err(|damaged| match foreign::of_der(file) {
        CredentialError::Damaged => damaged,
        foreign => foreign,
    })?;
    let Ok(pfx) = Pfx::from_der(&der) else { return open_key(&der, &passphrase) };
    if pfx.version != 3 || pfx.safe.kind != DATA {
        return Err(CredentialError::Damaged);
    }
    let mut effort = Effort::new();
    let safe = octets(pfx.safe.content)?;
    if let Some(mac) = &pfx.mac {
        verify(mac, safe, &passphrase, &mut effort)?;
    }
    // Base64 and its armour take at most three times the bytes of a bag.
    let mut found = Found { pem: Zeroizing::new(Vec::with_capacity(3 * file.len())), passphrase: &passphrase, effort };
    for content in Vec::<ContentInfo<'_>>::from_der(&ber::to_der(safe)?)? {
        found.take_contents(&content)?;
    }
    Ok(std::mem::take(&mut *found.pem).into())
}

/// Converts a private key in DER, encrypted or not, to PEM.
fn open_key(der: &[u8], passphrase: &Passphrase) -> Result<Secret, CredentialError> {
    let plain = |label: &str, der: &[u8]| Ok(pem::encode(label, der)?.as_bytes().to_vec().into());
    match PrivateKeyDer::try_from(der) {
        Ok(PrivateKeyDer::Pkcs8(_)) if PrivateKeyInfoRef::try_from(der).is_ok() => return plain("PRIVATE KEY", der),
        Ok(PrivateKeyDer::Pkcs1(_)) => return plain("RSA PRIVATE KEY", der),
        Ok(PrivateKeyDer::Sec1(_)) => return plain("EC PRIVATE KEY", der),
        _ => {}
    }
    match decrypt_key(der, passphrase, &mut Effort::new()) {
        Ok(key) => plain("PRIVATE KEY", key.expose()),
        Err(CredentialError::Damaged) => Err(foreign::of_der(der)),
        Err(error) => Err(error),
    }
}

fn octets(any: AnyRef<'_>) -> Result<&[u8], CredentialError> {
    Ok(any.decode_as::<&OctetStringRef>()?.as_bytes())
}

/// The parts found so far, and the state of the search.
struct Found<'a> {
    pem: Zeroizing<Vec<u8>>,
    passphrase: &'a Passphrase,
    effort: Effort,
}

impl Found<'_> {
    fn take_contents(&mut self, content: &ContentInfo<'_>) -> Result<(), CredentialError> {
        match content.kind {
            DATA => self.take_bags(octets(content.content)?),
            ENCRYPTED_DATA => {
                let EncryptedData { content, .. } = content.content.decode_as()?;
                let data = ber::implicit_octets(content.data)?;
                let plain = decrypt(&content.algorithm, &data, self.passphrase, &mut self.effort)?;
                self.take_bags(plain.expose())
            }
            _ => Err(CredentialError::EncryptionUnknown),
        }
    }

    fn take_bags(&mut self, bags: &[u8]) -> Result<(), CredentialError> {
        for bag in Vec::<Bag<'_>>::from_der(&ber::to_der(bags)?)? {
            match bag.kind {
                pkcs12::PKCS_12_CERT_BAG_OID => {
                    let CertificateBag { kind, value } = bag.value.decode_as()?;
                    if kind == pkcs12::PKCS_12_X509_CERT_OID {
                        self.keep("CERTIFICATE", value.as_bytes())?;
                    }
                }
                pkcs12::PKCS_12_KEY_BAG_OID => self.keep("PRIVATE KEY", &whole(bag.value)?)?,
                pkcs12::PKCS_12_PKCS8_KEY_BAG_OID => {
                    let key = decrypt_key(&whole(bag.value)?, self.passphrase, &mut self.effort)?;
                    self.keep("PRIVATE KEY", key.expose())?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn keep(&mut self, label: &str, der: &[u8]) -> Result<(), CredentialError> {
        self.pem.extend_from_slice(pem::encode(label, der)?.as_bytes());
        Ok(())
    }
}

/// With its tag and length.
fn whole(any: AnyRef<'_>) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    Ok(Zeroizing::new(der::Encode::to_der(&any)?))
}

/// Verifies the MAC, which detects a wrong passphrase.
fn verify(mac: &MacData<'_>, data: &[u8], passphrase: &Passphrase, effort: &mut Effort) -> Result<(), CredentialError> {
    let (algorithm, key) = match mac.digest.algorithm.oid {
        PBMAC1 => pbmac1_key(&mac.digest.algorithm, passphrase, effort)?,
        digest => {
            effort.spend(mac.iterations.into())?;
            let (salt, passphrase) = (mac.salt.as_bytes(), passphrase.bmp.expose());
            let rounds = i32::try_from(mac.iterations).map_err(|_| CredentialError::TooCostly)?;
            let purpose = Pkcs12KeyType::Mac;
            match digest {
                SHA1 => {
                    let key = derive_key::<Sha1>(passphrase, salt, purpose, rounds, 20);
                    (hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, Zeroizing::new(key))
                }
                SHA256 => (hmac::HMAC_SHA256, derive_key::<Sha256>(passphrase, salt, purpose, rounds, 32).into()),
                SHA384 => (hmac::HMAC_SHA384, derive_key::<Sha384>(passphrase, salt, purpose, rounds, 48).into()),
                SHA512 => (hmac::HMAC_SHA512, derive_key::<Sha512>(passphrase, salt, purpose, rounds, 64).into()),
                _ => return Err(CredentialError::EncryptionUnknown),
            }
        }
    };
    let key = hmac::Key::new(algorithm, &key);
    hmac::verify(&key, data, mac.digest.digest.as_bytes()).map_err(|_| CredentialError::PassphraseWrong)
}

/// RFC 9579.
fn pbmac1_key(
    algorithm: &AlgorithmIdentifierRef<'_>,
    passphrase: &Passphrase,
    effort: &mut Effort,
) -> Result<(hmac::Algorithm, Zeroizing<Vec<u8>>), CredentialError> {
    let unknown = CredentialError::EncryptionUnknown;
    let parameters = algorithm.parameters.ok_or(unknown.clone())?.decode_as::<Pbmac1<'_>>()?;
    let Ok(Kdf::Pbkdf2(pbkdf2)) = Kdf::try_from(parameters.derivation) else { return Err(unknown) };
    let prf = match pbkdf2.prf {
        Pbkdf2Prf::HmacWithSha1 => pbkdf2::PBKDF2_HMAC_SHA1,
        Pbkdf2Prf::HmacWithSha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        Pbkdf2Prf::HmacWithSha384 => pbkdf2::PBKDF2_HMAC_SHA384,
        Pbkdf2Prf::HmacWithSha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        _ => return Err(unknown),
    };
    let mac = match Pbkdf2Prf::try_from(parameters.mac) {
        Ok(Pbkdf2Prf::HmacWithSha256) => hmac::HMAC_SHA256,
        Ok(Pbkdf2Prf::HmacWithSha384) => hmac::HMAC_SHA384,
        Ok(Pbkdf2Prf::HmacWithSha512) => hmac::HMAC_SHA512,
        _ => return Err(unknown),
    };
    let bytes = pbkdf2.key_length.filter(|bytes| (16..=MAC_KEY_BYTES_MAX).contains(bytes)).ok_or(unknown)?;
    effort.spend(pbkdf2.iteration_count.into())?;
    let iterations = NonZeroU32::new(pbkdf2.iteration_count).ok_or(CredentialError::TooCostly)?;
    let mut key = Zeroizing::new(vec![0; bytes.into()]);
    pbkdf2::derive(prf, iterations, pbkdf2.salt.as_bytes(), passphrase.utf8.expose(), &mut key);
    Ok((mac, key))
}

impl From<der::Error> for CredentialError {
    /// The error of malformed DER: all DER in this module is the caller's file.
    fn from(_: der::Error) -> Self {
        Self::Damaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::testing::forms::{Forms, PASSPHRASE, openssl};
    use der::Encode;
    use pkcs5::pbes2::{PBKDF2_OID, Pbkdf2Params};

    const SALT: &[u8] = b"of this MAC";
    const KEY_BYTES: u16 = 32;

    /// HMAC-SHA256 under PBKDF2-SHA256, computed by OpenSSL.
    fn mac_of(data: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data"), data).unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (passphrase, salt) = (hex(PASSPHRASE.as_bytes()), hex(SALT));
        let options = format!("-kdfopt hexpass:{passphrase} -kdfopt hexsalt:{salt} -kdfopt iter:2048");
        let kdf = format!("kdf -keylen {KEY_BYTES} -kdfopt digest:SHA256 {options} -binary PBKDF2");
        let key = hex(&openssl(folder.path(), &kdf, &[], ""));
        openssl(folder.path(), &format!("mac -digest SHA256 -macopt hexkey:{key} -in data -binary HMAC"), &[], "")
    }

    #[test]
    fn a_mac_by_pbmac1_is_verified() {
        let file = Forms::get().forms.iter().find(|form| form.name == "PKCS#12 without a MAC").unwrap();
        let Pfx { version, safe, .. } = Pfx::from_der(&file.bytes).unwrap();
        let mac = mac_of(octets(safe.content).unwrap());
        let sha256 = AlgorithmIdentifierRef { oid: Pbkdf2Prf::HmacWithSha256.oid(), parameters: None };
        let mut derivation = Pbkdf2Params::hmac_sha256(2048, SALT).unwrap();
        derivation.key_length = Some(KEY_BYTES);
        let derivation = derivation.to_der().unwrap();
        let derivation = AnyRef::from_der(&derivation).unwrap();
        let derivation = AlgorithmIdentifierRef { oid: PBKDF2_OID, parameters: Some(derivation) };
        let parameters = Pbmac1 { derivation, mac: sha256 }.to_der().unwrap();
        let parameters = AnyRef::from_der(&parameters).unwrap();
        let algorithm = AlgorithmIdentifierRef { oid: PBMAC1, parameters: Some(parameters) };
        let digest = DigestInfo { algorithm, digest: OctetStringRef::new(&mac).unwrap() };
        let mac = Some(MacData { digest, salt: OctetStringRef::new(b"not used").unwrap(), iterations: 1 });
        let file = Pfx { version, safe, mac }.to_der().unwrap();

        assert!(open(&file, Some(&PASSPHRASE.into())).is_ok());
        assert_eq!(open(&file, Some(&"wrong".into())), Err(CredentialError::PassphraseWrong));
        assert_eq!(open(&file, None), Err(CredentialError::PassphraseMissing));
    }
}
