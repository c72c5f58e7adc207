//! A client certificate of Apple's with its key: read from PEM, checked, and what its extensions say.

use super::{CredentialError, Summary, import, sha256_hex, token};
use crate::model::Environment;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use x509_parser::asn1_rs::{Any, FromDer, Oid, Tag, oid};
use x509_parser::prelude::{ASN1Time, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;
use zeroize::Zeroizing;

/// Subject attribute UID: the base topic.
const UID: Oid<'static> = oid!(0.9.2342.19200300.100.1.1);
/// Extensions of Apple's push certificates (apns-protocol.md 3). The first two count by presence alone.
const SANDBOX: Oid<'static> = oid!(1.2.840.113635.100.6.3.1);
const PRODUCTION: Oid<'static> = oid!(1.2.840.113635.100.6.3.2);
const VOIP_TOPICS: Oid<'static> = oid!(1.2.840.113635.100.6.3.4);
const TOPICS: Oid<'static> = oid!(1.2.840.113635.100.6.3.6);

const ELLIPTIC_CURVE_KEY: Oid<'static> = oid!(1.2.840.10045.2.1);
/// P-256, P-384, P-521: the curves of TLS.
const KNOWN_CURVES: [Oid<'static>; 3] = [oid!(1.2.840.10045.3.1.7), oid!(1.3.132.0.34), oid!(1.3.132.0.35)];

/// A certificate whose key is its own.
pub struct Certificate {
    /// The leaf first.
    chain: Vec<CertificateDer<'static>>,
    key: Zeroizing<PrivateKeyDer<'static>>,
    fingerprint: String,
    facts: Facts,
}

/// What Apple wrote into the leaf.
struct Facts {
    base_topic: Option<String>,
    topics: Vec<String>,
    team_id: Option<String>,
    sandbox: bool,
    production: bool,
    not_after: ASN1Time,
}

impl Certificate {
    /// Reads one PEM text; what stands around its blocks (`Bag Attributes`) is passed over. The leaf is the
    /// certificate that the key belongs to, wherever it stands.
    pub fn parse(pem: &[u8]) -> Result<Self, CredentialError> {
        let (mut chain, key) = blocks(pem)?;
        let leaf = leaf_of(&chain, &key)?;
        chain[..=leaf].rotate_right(1);
        let facts = Facts::read(&x509(&chain[0])?);
        Ok(Self { fingerprint: sha256_hex(&chain[0]), chain, key, facts })
    }

    /// Refuses a certificate that is expired at `now` (UNIX seconds), or made for the other environment only.
    pub fn check(&self, environment: Environment, now: u64) -> Result<(), CredentialError> {
        if self.expires_at() <= i64::try_from(now).unwrap_or(i64::MAX) {
            return Err(CredentialError::Expired { on: self.facts.not_after.to_string() });
        }
        let allowed = match (self.facts.sandbox, self.facts.production) {
            (true, false) => Environment::Sandbox,
            (false, true) => Environment::Production,
            // Not every kind of certificate is marked, so that no mark is no obstacle.
            (true, true) | (false, false) => environment,
        };
        if allowed != environment {
            return Err(CredentialError::WrongEnvironment { allowed, wanted: environment });
        }
        Ok(())
    }

    /// Chain and key as rustls wants them for client authentication.
    pub fn client_auth(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain.clone(), self.key.clone_key())
    }

    /// SHA-256 of the leaf in hex.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The subject's UID.
    pub fn base_topic(&self) -> Option<&str> {
        self.facts.base_topic.as_deref()
    }

    /// Last second of validity, UNIX seconds.
    pub fn expires_at(&self) -> i64 {
        self.facts.not_after.timestamp()
    }

    pub fn summary(&self) -> Summary {
        Summary {
            kind: "certificate",
            fingerprint: self.fingerprint.clone(),
            topics: self.facts.topics.clone(),
            team_id: self.facts.team_id.clone(),
            key_id: None,
            expires_at: Some(self.expires_at()),
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Certificate({})", self.fingerprint)
    }
}

impl Facts {
    fn read(leaf: &X509Certificate<'_>) -> Self {
        let subject = leaf.subject();
        let first = |oid: &Oid<'_>| subject.iter_by_oid(oid).find_map(|name| name.as_str().ok()).map(str::to_owned);
        let has = |oid: &Oid<'_>| leaf.iter_extensions().any(|extension| extension.oid == *oid);
        let base_topic = first(&UID);
        let mut topics = Vec::new();
        for extension in leaf.iter_extensions().filter(|extension| [TOPICS, VOIP_TOPICS].contains(&extension.oid)) {
            topics_in(extension.value, &mut topics);
        }
        if topics.is_empty() {
            topics.extend(base_topic.clone());
        }
        Self {
            base_topic,
            topics,
            team_id: first(&x509_parser::oid_registry::OID_X509_ORGANIZATIONAL_UNIT),
            sandbox: has(&SANDBOX),
            production: has(&PRODUCTION),
            not_after: leaf.validity().not_after,
        }
    }
}

/// The certificates and the first private key of a PEM text.
fn blocks(pem: &[u8]) -> Result<(Vec<CertificateDer<'static>>, Zeroizing<PrivateKeyDer<'static>>), CredentialError> {
    if import::is_encrypted(pem) {
        return Err(CredentialError::PassphraseMissing);
    }
    let (mut chain, mut key) = (Vec::new(), None);
    for block in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) = block.map_err(|_| CredentialError::NotPem)?;
        match kind {
            SectionKind::Certificate => chain.push(CertificateDer::from(der)),
            _ if key.is_none() => key = PrivateKeyDer::from_pem(kind, der).map(Zeroizing::new),
            _ => {}
        }
    }
    match (chain.is_empty(), key) {
        (true, None) => Err(CredentialError::NotPem),
        (true, Some(key)) if token::is_signing_key(&key) => Err(CredentialError::SigningKeyAlone),
        (true, Some(_)) => Err(CredentialError::CertificateMissing),
        (false, None) => Err(CredentialError::KeyMissing),
        (false, Some(key)) => Ok((chain, key)),
    }
}

fn x509<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CredentialError> {
    X509Certificate::from_der(der).map(|(_, leaf)| leaf).map_err(|_| CredentialError::CertificateUnreadable)
}

/// Where in `chain` the certificate of this key stands.
fn leaf_of(chain: &[CertificateDer<'_>], key: &PrivateKeyDer<'_>) -> Result<usize, CredentialError> {
    let certificates = chain.iter().map(x509).collect::<Result<Vec<_>, _>>()?;
    let Ok(key) = any_supported_type(key) else {
        let odd_curve = certificates.iter().any(|certificate| is_on_unknown_curve(certificate.public_key()));
        return Err(if odd_curve { CredentialError::UnknownCurve } else { CredentialError::KeyUnreadable });
    };
    let spki = key.public_key().ok_or(CredentialError::KeyUnreadable)?;
    let (_, public) = SubjectPublicKeyInfo::from_der(&spki).map_err(|_| CredentialError::KeyUnreadable)?;
    certificates
        .iter()
        .position(|certificate| certificate.public_key().subject_public_key == public.subject_public_key)
        .ok_or(CredentialError::KeyMismatch)
}

fn is_on_unknown_curve(key: &SubjectPublicKeyInfo<'_>) -> bool {
    let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    key.algorithm.algorithm == ELLIPTIC_CURVE_KEY && curve.is_none_or(|curve| !KNOWN_CURVES.contains(&curve))
}

/// The list is a SEQUENCE that alternates UTF8String (topic) and SEQUENCE (its kind); the topics are wanted.
fn topics_in(extension: &[u8], topics: &mut Vec<String>) {
    let Ok((_, list)) = Any::from_der(extension) else { return };
    let mut rest = list.data;
    while let Ok((after, item)) = Any::from_der(rest) {
        rest = after;
        if item.tag() != Tag::Utf8String {
            continue;
        }
        if let Ok(topic) = std::str::from_utf8(item.data).map(str::to_owned)
            && !topics.contains(&topic)
        {
            topics.push(topic);
        }
    }
}

#[cfg(test)]
mod tests;
