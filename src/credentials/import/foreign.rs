//! Recognises files that are often mistaken for credentials, as distinct from damaged credentials.

use super::find;
use crate::credentials::CredentialError;
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader};
use x509_parser::prelude::{FromDer, X509Certificate, X509CertificationRequest};
use x509_parser::x509::SubjectPublicKeyInfo;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// JKS and JCEKS.
const JAVA_KEYSTORES: [&[u8]; 2] = [&[0xfe, 0xed, 0xfe, 0xed], &[0xce, 0xce, 0xce, 0xce]];

/// The error of a PEM block that is part of no credential.
pub fn of_label(label: &str) -> Option<CredentialError> {
    match label {
        "TRUSTED CERTIFICATE" => Some(CredentialError::TrustedCertificate),
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Some(CredentialError::CertificateRequest),
        "PUBLIC KEY" | "RSA PUBLIC KEY" => Some(CredentialError::PublicKey),
        "PKCS7" | "CMS" => Some(CredentialError::Pkcs7),
        "OPENSSH PRIVATE KEY" => Some(CredentialError::OpensshKey),
        _ => None,
    }
}

/// The error of DER that is neither PKCS#12 nor a private key.
pub fn of_der(der: &[u8]) -> CredentialError {
    if X509Certificate::from_der(der).is_ok() {
        CredentialError::KeyMissing
    } else if X509CertificationRequest::from_der(der).is_ok() {
        CredentialError::CertificateRequest
    } else if SubjectPublicKeyInfo::from_der(der).is_ok() {
        CredentialError::PublicKey
    } else if !is_signed_data(der) {
        CredentialError::Damaged
    } else if find(der, b"<plist").is_some() {
        CredentialError::ProvisioningProfile
    } else {
        CredentialError::Pkcs7
    }
}

/// The error of bytes that are neither DER nor PEM, if their format is known.
pub fn of_bytes(bytes: &[u8]) -> Option<CredentialError> {
    let text = bytes.trim_ascii_start();
    if JAVA_KEYSTORES.iter().any(|magic| bytes.starts_with(magic)) {
        Some(CredentialError::JavaKeystore)
    } else if ["<!doctype html", "<html"].iter().any(|start| begins(text, start)) {
        Some(CredentialError::WebPage)
    } else {
        None
    }
}

/// Returns true if a text is in UTF-16, as old Windows editors and PowerShell's `>` write it: with a byte order mark,
/// or with zeros between its first characters.
pub fn is_utf16(bytes: &[u8]) -> bool {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [first, 0, second, 0, ..] | [0, first, 0, second, ..] => first.is_ascii_graphic() && second.is_ascii_graphic(),
        _ => false,
    }
}

fn begins(text: &[u8], start: &str) -> bool {
    text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start.as_bytes()))
}

/// Returns true for PKCS#7's outermost element, with any contents.
fn is_signed_data(der: &[u8]) -> bool {
    let kind = || {
        let contents = AnyRef::from_der(der).ok()?;
        let mut reader = SliceReader::new(contents.value()).ok()?;
        reader.decode::<ObjectIdentifier>().ok()
    };
    kind() == Some(SIGNED_DATA)
}
