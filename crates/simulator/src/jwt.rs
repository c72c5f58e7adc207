//! Provider tokens: verifies ES256 with the keys that the simulator knows.

use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, Engine as _};
use serde::Deserialize;

use super::rules::Environment;

/// A signing key for verification: its public half and its permissions.
#[derive(Debug, Clone)]
pub struct Key {
    pub key_id: String,
    pub team_id: String,
    /// The environments of the key; a classic team key is valid in both.
    pub environment: Environment,
    /// The bundle ids of the key, with all suffixes; `None` covers every topic.
    pub topics: Option<Vec<String>>,
    /// The only other key that may be used on a connection that began with this one.
    pub related: Option<String>,
    /// Uncompressed P-256 point, 65 bytes.
    pub public_point: Vec<u8>,
}

impl Key {
    /// A classic team key. `public_point` is the uncompressed P-256 point, 65 bytes.
    pub fn new(key_id: &str, team_id: &str, public_point: &[u8]) -> Self {
        Self {
            key_id: key_id.to_owned(),
            team_id: team_id.to_owned(),
            environment: Environment::Both,
            topics: None,
            related: None,
            public_point: public_point.to_owned(),
        }
    }

    /// JOSE requires raw r‖s; Apple's recipe and Pushy sign in DER, and both are accepted.
    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let raw = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public_point);
        let der = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.public_point);
        raw.verify(message, signature).is_ok() || der.verify(message, signature).is_ok()
    }
}

/// The claims of a token with a valid signature.
#[derive(Debug, Clone)]
pub struct Claims {
    pub key: Arc<Key>,
    /// `iat`, UNIX seconds.
    pub issued_at: i64,
}

#[derive(Deserialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
}

#[derive(Deserialize)]
struct Payload<'a> {
    iss: &'a str,
    iat: i64,
}

/// Verifies the value of an `authorization` header; `None` means `InvalidProviderToken`. `lenient` also accepts any
/// case of `bearer` and padded standard base64.
pub fn verify(authorization: &[u8], keys: &[Arc<Key>], lenient: bool) -> Option<Claims> {
    let (scheme, token) = authorization.split_at_checked("bearer ".len())?;
    if scheme != b"bearer " && !(lenient && scheme.eq_ignore_ascii_case(b"bearer ")) {
        return None;
    }
    let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
    let (first, second) = (dots.next()?, dots.next()?);
    if dots.next().is_some() {
        return None;
    }
    let header = decode(&token[..first], lenient)?;
    let payload = decode(&token[first + 1..second], lenient)?;
    let signature = decode(&token[second + 1..], lenient)?;
    let header: Header<'_> = serde_json::from_slice(&header).ok()?;
    let payload: Payload<'_> = serde_json::from_slice(&payload).ok()?;
    let key = keys.iter().find(|key| key.key_id == header.kid && key.team_id == payload.iss)?;
    let good = header.alg == "ES256" && key.verifies(&token[..second], &signature);
    good.then(|| Claims { key: Arc::clone(key), issued_at: payload.iat })
}

fn decode(text: &[u8], lenient: bool) -> Option<Vec<u8>> {
    const ANY_PADDING: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
    if lenient {
        URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text)).ok()
    } else {
        URL_SAFE_NO_PAD.decode(text).ok()
    }
}
