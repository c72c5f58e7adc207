//! Apple's client certificates with their keys: parsed from PEM, checked, with the contents of their extensions.

mod pairs;

use super::import::pem;
use super::{CredentialError, Secret, Summary, sha256_hex};
use crate::model::Environment;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use x509_parser::asn1_rs::{Any, FromDer, Oid, Tag, oid};
use x509_parser::prelude::{ASN1Time, X509Certificate};
use zeroize::Zeroizing;

/// Subject attribute UID: the base topic.
const UID: Oid<'static> = oid!(0.9.2342.19200300.100.1.1);
/// Apple's push extensions (apns-protocol.md 3) are below the first. The next two count by presence alone.
const PUSH: Oid<'static> = oid!(1.2.840.113635.100.6.3);
const SANDBOX: Oid<'static> = oid!(1.2.840.113635.100.6.3.1);
const PRODUCTION: Oid<'static> = oid!(1.2.840.113635.100.6.3.2);
const VOIP_TOPICS: Oid<'static> = oid!(1.2.840.113635.100.6.3.4);
const TOPICS: Oid<'static> = oid!(1.2.840.113635.100.6.3.6);

/// Prefixes of the topics of wallet passes, web sites and device management. Their certificates may have no push
/// extension.
const UNMARKED_TOPICS: [&str; 3] = ["pass.", "web.", "com.apple.mgmt."];

/// The maximum length of a name in errors and logs, in characters.
const NAME_CHARS_MAX: usize = 100;

/// A certificate with its private key.
pub struct Certificate {
    /// The leaf first.
    chain: Vec<CertificateDer<'static>>,
    key: Zeroizing<PrivateKeyDer<'static>>,
    fingerprint: String,
    facts: Facts,
}

/// The properties that Apple wrote into the leaf.
struct Facts {
    /// The subject's common name, else the whole subject.
    name: String,
    for_push: bool,
    base_topic: Option<String>,
    topics: Vec<String>,
    team_id: Option<String>,
    sandbox: bool,
    production: bool,
    not_before: ASN1Time,
    not_after: ASN1Time,
}

impl Certificate {
    /// Parses a PEM text, and ignores text around its blocks (`Bag Attributes`). Of several certificates, returns the
    /// one of the first key, at any position.
    pub fn parse(text: &[u8]) -> Result<Self, CredentialError> {
        Ok(Self::all(text)?.swap_remove(0))
    }

    /// Parses every certificate of a PEM text that has its key there, in the order of the keys: at least one. The
    /// certificates without a key become the issuers of each.
    pub fn all(text: &[u8]) -> Result<Vec<Self>, CredentialError> {
        pairs::read(text)
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Result<Self, CredentialError> {
        let facts = Facts::read(&pairs::x509(&chain[0])?);
        Ok(Self { fingerprint: sha256_hex(&chain[0]), chain, key: Zeroizing::new(key.clone_key()), facts })
    }

    /// Refuses a certificate that is expired at `now` (UNIX seconds), or made for the other environment only.
    pub fn check(&self, environment: Environment, now: u64) -> Result<(), CredentialError> {
        if self.expires_at() <= i64::try_from(now).unwrap_or(i64::MAX) {
            return Err(CredentialError::Expired { on: self.facts.not_after.to_string() });
        }
        match self.only_for() {
            Some(allowed) if allowed != environment => {
                Err(CredentialError::WrongEnvironment { allowed, wanted: environment })
            }
            _ => Ok(()),
        }
    }

    /// The environment of the certificate; `None` = both. Some kinds of certificates have no mark, and are accepted for
    /// both.
    pub fn only_for(&self) -> Option<Environment> {
        match (self.facts.sandbox, self.facts.production) {
            (true, false) => Some(Environment::Sandbox),
            (false, true) => Some(Environment::Production),
            (true, true) | (false, false) => None,
        }
    }

    /// Returns true if the certificate is for push: it has a push extension, or is for passes, web sites or device
    /// management.
    pub fn is_for_push(&self) -> bool {
        self.facts.for_push
    }

    /// Returns true if the certificate is valid at `now` (UNIX seconds).
    pub fn is_valid_at(&self, now: u64) -> bool {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.facts.not_before.timestamp() <= now && now < self.expires_at()
    }

    /// The common name, as Keychain and Apple's portal show it.
    pub fn name(&self) -> &str {
        &self.facts.name
    }

    /// The certificate, its issuers and its key as PEM, without the rest of the file.
    pub fn pem(&self) -> Result<Secret, CredentialError> {
        let label = match &*self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let blocks = self.chain.iter().map(|certificate| ("CERTIFICATE", certificate.as_ref()));
        let blocks = blocks.chain([(label, self.key.secret_der())]);
        let texts = blocks.map(|(label, der)| pem::encode(label, der)).collect::<Result<Vec<_>, _>>()?;
        // Reserved in advance: a growing vector would leave copies of the key in memory.
        let mut text = Vec::with_capacity(texts.iter().map(|text| text.len()).sum());
        texts.iter().for_each(|block| text.extend_from_slice(block.as_bytes()));
        Ok(text.into())
    }

    /// Chain and key as rustls needs them for client authentication.
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
        let common_name = subject.iter_common_name().find_map(|name| name.as_str().ok()).map(str::to_owned);
        let marked = leaf.iter_extensions().any(|extension| extension.oid.starts_with(&PUSH));
        let unmarked = |topic: &String| UNMARKED_TOPICS.iter().any(|base| topic.starts_with(base));
        Self {
            name: printable(&common_name.unwrap_or_else(|| subject.to_string())),
            for_push: marked || base_topic.as_ref().is_some_and(unmarked),
            base_topic,
            topics,
            team_id: first(&x509_parser::oid_registry::OID_X509_ORGANIZATIONAL_UNIT),
            sandbox: has(&SANDBOX),
            production: has(&PRODUCTION),
            not_before: leaf.validity().not_before,
            not_after: leaf.validity().not_after,
        }
    }
}

/// Shortens and cleans a name for errors and logs, as anyone can make a certificate.
fn printable(name: &str) -> String {
    name.chars().map(|char| if char.is_control() { ' ' } else { char }).take(NAME_CHARS_MAX).collect()
}

/// Returns the topics of the list: a SEQUENCE that alternates UTF8String (topic) and SEQUENCE (its kind). Also accepts
/// a bare topic: the format of the list in VoIP certificates is not documented.
fn topics_in(extension: &[u8], topics: &mut Vec<String>) {
    let Ok((_, list)) = Any::from_der(extension) else { return };
    let mut rest = if list.tag() == Tag::Utf8String { extension } else { list.data };
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
