//! Pairs the certificates of a PEM text with its keys.

use super::Certificate;
use crate::credentials::import::{self, foreign, pem};
use crate::credentials::{CredentialError, token};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;
use zeroize::Zeroizing;

const ELLIPTIC_CURVE_KEY: Oid<'static> = oid!(1.2.840.10045.2.1);
/// P-256, P-384, P-521: the curves of TLS.
const KNOWN_CURVES: [Oid<'static>; 3] = [oid!(1.2.840.10045.3.1.7), oid!(1.3.132.0.34), oid!(1.3.132.0.35)];

type Key = Zeroizing<PrivateKeyDer<'static>>;

/// Returns every certificate that has its key in the text, in the order of the keys: at least one.
pub fn read(text: &[u8]) -> Result<Vec<Certificate>, CredentialError> {
    let (certificates, keys) = blocks(text)?;
    let parsed = certificates.iter().map(x509).collect::<Result<Vec<_>, _>>()?;
    let owners = keys.iter().map(|key| owned(&parsed, key)).collect::<Vec<_>>();
    let is_issuer = |at: &usize| !owners.iter().flatten().flatten().any(|owned| owned == at);
    let issuers = (0..certificates.len()).filter(is_issuer).map(|at| certificates[at].clone()).collect::<Vec<_>>();
    let mut found = Vec::new();
    for (key, owned) in keys.iter().zip(&owners) {
        for &leaf in owned.iter().flatten() {
            let chain = [&certificates[leaf..=leaf], &issuers].concat();
            found.push(Certificate::new(chain, key)?);
        }
    }
    if found.is_empty() {
        // Computed once, since the result is the same for all keys.
        return Err(owners.into_iter().find_map(Result::err).unwrap_or(CredentialError::KeyMismatch));
    }
    Ok(found)
}

pub fn x509<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CredentialError> {
    X509Certificate::from_der(der).map(|(_, leaf)| leaf).map_err(|_| CredentialError::CertificateUnreadable)
}

/// The positions of this key's certificates.
fn owned(certificates: &[X509Certificate<'_>], key: &PrivateKeyDer<'_>) -> Result<Vec<usize>, CredentialError> {
    let Ok(key) = any_supported_type(key) else {
        let odd_curve = certificates.iter().any(|certificate| is_on_unknown_curve(certificate.public_key()));
        return Err(if odd_curve { CredentialError::UnknownCurve } else { CredentialError::KeyUnreadable });
    };
    let spki = key.public_key().ok_or(CredentialError::KeyUnreadable)?;
    let (_, public) = SubjectPublicKeyInfo::from_der(&spki).map_err(|_| CredentialError::KeyUnreadable)?;
    let is_owned = |at: &usize| certificates[*at].public_key().subject_public_key == public.subject_public_key;
    Ok((0..certificates.len()).filter(is_owned).collect())
}

fn is_on_unknown_curve(key: &SubjectPublicKeyInfo<'_>) -> bool {
    let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    key.algorithm.algorithm == ELLIPTIC_CURVE_KEY && curve.is_none_or(|curve| !KNOWN_CURVES.contains(&curve))
}

/// Returns the certificates and the private keys of a PEM text: at least one of each.
fn blocks(text: &[u8]) -> Result<(Vec<CertificateDer<'static>>, Vec<Key>), CredentialError> {
    if import::is_encrypted(text) {
        return Err(CredentialError::PassphraseMissing);
    }
    // Text that parses line by line stays accepted: earlier versions stored it unchanged.
    let Sorted { certificates, keys, foreign } = sorted(text).or_else(|refused| by_line(text).ok_or(refused))?;
    match (certificates.is_empty(), keys.first()) {
        (false, Some(_)) => Ok((certificates, keys)),
        _ if foreign.is_some() => Err(foreign.unwrap_or(CredentialError::NotPem)),
        (true, None) => Err(CredentialError::NotPem),
        (true, Some(key)) if token::is_signing_key(key) => Err(CredentialError::SigningKeyAlone),
        (true, Some(_)) => Err(CredentialError::CertificateMissing),
        (false, None) => Err(CredentialError::KeyMissing),
    }
}

/// The blocks of a text by kind.
#[derive(Default)]
struct Sorted {
    certificates: Vec<CertificateDer<'static>>,
    keys: Vec<Key>,
    /// The error of the first block that is neither certificate nor key.
    foreign: Option<CredentialError>,
}

fn sorted(text: &[u8]) -> Result<Sorted, CredentialError> {
    let mut sorted = Sorted::default();
    for block in pem::blocks(text)? {
        match block.label {
            "CERTIFICATE" | "X509 CERTIFICATE" => {
                sorted.certificates.push(CertificateDer::from(block.der()?.to_vec()));
            }
            label => match key_kind(label) {
                Some(kind) => {
                    let der = std::mem::take(&mut *block.der()?);
                    sorted.keys.extend(PrivateKeyDer::from_pem(kind, der).map(Zeroizing::new));
                }
                None => sorted.foreign = sorted.foreign.or(foreign::of_label(label)),
            },
        }
    }
    Ok(sorted)
}

fn key_kind(label: &str) -> Option<SectionKind> {
    match label {
        "PRIVATE KEY" => Some(SectionKind::PrivateKey),
        "RSA PRIVATE KEY" => Some(SectionKind::RsaPrivateKey),
        "EC PRIVATE KEY" => Some(SectionKind::EcPrivateKey),
        _ => None,
    }
}

/// The sections whose BEGIN and END are on separate lines.
fn by_line(text: &[u8]) -> Option<Sorted> {
    let mut sorted = Sorted::default();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        match section.ok()? {
            (SectionKind::Certificate, der) => sorted.certificates.push(CertificateDer::from(der)),
            (kind, der) => sorted.keys.extend(PrivateKeyDer::from_pem(kind, der).map(Zeroizing::new)),
        }
    }
    Some(sorted)
}
