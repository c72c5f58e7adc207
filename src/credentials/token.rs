//! A `.p8` signing key, and the provider tokens (JWT, ES256) it makes.

use super::import::{self, foreign, pem};
use super::{CredentialError, Summary, sha256_hex};
use aws_lc_rs::encoding::{AsBigEndian, AsDer};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::NistP256;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::ALGORITHM_OID;
use p256::pkcs8::{AssociatedOid, PrivateKeyInfoRef};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use zeroize::Zeroizing;

/// The period of a token: half an hour, the same on every node. Apple refuses a token older than an hour, and new
/// tokens more often than every 20 minutes.
pub const BUCKET_SECONDS: u64 = 1_800;

/// The length of Apple's key and team ids.
const ID_LENGTH: usize = 10;

/// The bucket of a time in UNIX seconds: the `iat` of its token.
pub fn bucket(now: u64) -> u64 {
    now - now % BUCKET_SECONDS
}

/// Signs provider tokens for one team. The key is wiped when dropped.
pub struct TokenKey {
    /// The private scalar. Deriving p256's signing key from it takes a millisecond, too long for each of many apps at
    /// the start of a node.
    scalar: Zeroizing<Vec<u8>>,
    key_id: String,
    team_id: String,
    fingerprint: String,
}

impl TokenKey {
    /// Parses the text of a `.p8` file: PKCS#8 in PEM, P-256. Also accepts SEC1 (`EC PRIVATE KEY`), to which OpenSSL
    /// converts it.
    pub fn parse(p8: &[u8], key_id: &str, team_id: &str) -> Result<Self, CredentialError> {
        if !is_apple_id(key_id) {
            return Err(CredentialError::BadKeyId);
        }
        if !is_apple_id(team_id) {
            return Err(CredentialError::BadTeamId);
        }
        let der = key_in(p8)?;
        let (scalar, public) = read_key(&der).ok_or_else(|| unread(&der))?;
        let fingerprint = sha256_hex(&public);
        Ok(Self { scalar, key_id: key_id.to_owned(), team_id: team_id.to_owned(), fingerprint })
    }

    /// The `authorization` header at `now` (UNIX seconds), and its bucket: the token's `iat`. The same bucket gives the
    /// same bytes in every process (RFC 6979), so that all nodes send Apple one token without sharing anything.
    pub fn authorization(&self, now: u64) -> (String, u64) {
        let issued_at = bucket(now);
        let header = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, self.key_id);
        let claims = format!(r#"{{"iss":"{}","iat":{issued_at}}}"#, self.team_id);
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let key = SigningKey::from_slice(&self.scalar).expect("it was checked when it was read");
        let signature: Signature = key.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.to_bytes(), &mut token);
        (format!("bearer {token}"), issued_at)
    }

    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    pub fn team_id(&self) -> &str {
        &self.team_id
    }

    /// SHA-256 in hex of the public key (SubjectPublicKeyInfo).
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub fn summary(&self) -> Summary {
        Summary {
            kind: "token",
            fingerprint: self.fingerprint.clone(),
            topics: Vec::new(),
            team_id: Some(self.team_id.clone()),
            key_id: Some(self.key_id.clone()),
            expires_at: None,
        }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TokenKey({} of {})", self.key_id, self.team_id)
    }
}

/// Returns true if a private key can sign provider tokens: it is on P-256.
pub fn is_signing_key(key: &PrivateKeyDer<'_>) -> bool {
    !matches!(key, PrivateKeyDer::Pkcs1(_)) && read_key(key.secret_der()).is_some()
}

/// The first private key of a PEM text.
fn key_in(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    if import::is_encrypted(text) {
        return Err(CredentialError::PassphraseMissing);
    }
    // Text that parses line by line stays accepted: earlier versions stored it unchanged.
    let Ok(blocks) = pem::blocks(text) else { return by_line(text).ok_or(CredentialError::SigningKeyUnreadable) };
    let of_label = |label: &str| blocks.iter().find(|block| block.label == label);
    let certificate = of_label("CERTIFICATE").map(|_| CredentialError::CertificateAsSigningKey);
    let Some(key) = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"].into_iter().find_map(of_label) else {
        let foreign = blocks.iter().find_map(|block| foreign::of_label(block.label));
        return Err(foreign.or(certificate).unwrap_or(CredentialError::SigningKeyUnreadable));
    };
    let der = key.der().map_err(|_| CredentialError::SigningKeyUnreadable)?;
    match certificate {
        Some(certificate) if read_key(&der).is_none() => Err(certificate),
        _ => Ok(der),
    }
}

fn by_line(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let key = Zeroizing::new(PrivatePkcs8KeyDer::from_pem_slice(text).ok()?);
    Some(Zeroizing::new(key.secret_pkcs8_der().to_vec()))
}

/// The private scalar, and the public key as SubjectPublicKeyInfo.
fn read_key(der: &[u8]) -> Option<(Zeroizing<Vec<u8>>, Vec<u8>)> {
    let pair = match PrivateKeyDer::try_from(der) {
        Ok(PrivateKeyDer::Sec1(_)) => EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der),
        _ => {
            PrivateKeyInfoRef::try_from(der).ok()?;
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
        }
    };
    let pair = pair.ok()?;
    let scalar = pair.private_key().as_be_bytes().ok()?;
    let public = pair.public_key().as_der().ok()?;
    Some((Zeroizing::new(scalar.as_ref().to_vec()), public.as_ref().to_vec()))
}

/// The error of a key that is not on P-256: another kind of key, or not a key.
fn unread(der: &[u8]) -> CredentialError {
    const OTHER_CURVES: [&aws_lc_rs::signature::EcdsaSigningAlgorithm; 2] =
        [&ECDSA_P384_SHA384_FIXED_SIGNING, &ECDSA_P521_SHA512_FIXED_SIGNING];
    let on_another_curve = OTHER_CURVES.iter().any(|curve| EcdsaKeyPair::from_private_key_der(curve, der).is_ok());
    let of_another_kind = matches!(PrivateKeyDer::try_from(der), Ok(PrivateKeyDer::Pkcs1(_)))
        || PrivateKeyInfoRef::try_from(der)
            .is_ok_and(|key| key.algorithm.assert_oids(ALGORITHM_OID, NistP256::OID).is_err());
    match on_another_curve || of_another_kind {
        true => CredentialError::SigningKeyWrongCurve,
        false => CredentialError::SigningKeyUnreadable,
    }
}

fn is_apple_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
