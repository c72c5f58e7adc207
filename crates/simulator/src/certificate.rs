//! The contents of a presented client certificate: base topic, topic list, environments.

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::rules::Environment;

const UID: &str = "0.9.2342.19200300.100.1.1";
const SANDBOX: &str = "1.2.840.113635.100.6.3.1";
const PRODUCTION: &str = "1.2.840.113635.100.6.3.2";
const TOPICS: [&str; 2] = ["1.2.840.113635.100.6.3.4", "1.2.840.113635.100.6.3.6"];

/// The part of a client certificate that Apple's rules look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Subject UID, the base topic; empty when the subject has none.
    pub uid: String,
    /// Topics the certificate may push to: its topic list, or its UID alone.
    pub topics: Vec<String>,
    pub sandbox: bool,
    pub production: bool,
    /// SHA-256 of the certificate, lower-case hex.
    pub fingerprint: String,
}

impl ClientCertificate {
    /// Reads a certificate that TLS has verified already; `None` if it is not X.509 after all.
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let uid = parsed
            .subject()
            .iter_attributes()
            .find(|attribute| attribute.attr_type().to_id_string() == UID)
            .and_then(|attribute| attribute.as_str().ok())
            .unwrap_or_default()
            .to_owned();
        let mut topics = Vec::new();
        let (mut sandbox, mut production) = (false, false);
        for extension in parsed.extensions() {
            let oid = extension.oid.to_id_string();
            sandbox |= oid == SANDBOX;
            production |= oid == PRODUCTION;
            if TOPICS.contains(&oid.as_str()) {
                topics.extend(topic_list(extension.value));
            }
        }
        if topics.is_empty() && !uid.is_empty() {
            topics.push(uid.clone());
        }
        Some(Self { uid, topics, sandbox, production, fingerprint: fingerprint(certificate) })
    }

    pub fn is_for(&self, environment: Environment) -> bool {
        match environment {
            Environment::Both => true,
            Environment::Sandbox => self.sandbox,
            Environment::Production => self.production,
        }
    }
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let hash = digest::digest(&digest::SHA256, certificate);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The strings at the top level of the list; the sequences between them name their kinds.
fn topic_list(value: &[u8]) -> Vec<String> {
    const SEQUENCE: u8 = 0x30;
    const UTF8_STRING: u8 = 0x0c;
    let Some((SEQUENCE, mut rest, _)) = element(value) else { return Vec::new() };
    let mut topics = Vec::new();
    while let Some((tag, content, after)) = element(rest) {
        if tag == UTF8_STRING
            && let Ok(topic) = std::str::from_utf8(content)
        {
            topics.push(topic.to_owned());
        }
        rest = after;
    }
    topics
}

/// The tag and content of the DER element at the start of `bytes`, and the rest after it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}
