//! Tests of signing keys, with the key of RFC 6979 A.2.5 and a token computed by other software.

use super::*;
use crate::credentials::testing::{NOW, Recipe};

const P8: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgya+p2EW6dRZrXCFX
Z7HWk05Qw9s26JsSe4piKxIPZyGhRANCAARg/tS6JVqdMclh63TGNW1owEm4kjth
+mzmaWIuYPKftnkD/hAIuLyZpBrp6VYovGTy8bIMLX6fUXejwpTURiKZ
-----END PRIVATE KEY-----
";
/// The key without its public half, which PKCS#8 may leave out.
const P8_PRIVATE_ONLY: &str = "-----BEGIN PRIVATE KEY-----
MEECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCDJr6nYRbp1FmtcIVdn
sdaTTlDD2zbomxJ7imIrEg9nIQ==
-----END PRIVATE KEY-----
";
const P384: &str = "-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDBlQW9Yg6PmGzalVIVR
3/QtZMa3biTsBL0DKccE3O8w5dUvoycM6g0AdlCvK7oGY1ChZANiAARW8MRYjf+Z
q4CvnUECQmtbfdAH8RDbOstgcsEMnsSgBCkJ4etGQIOBqWILHqydd24TfRbDJywy
ruZ8sZDhlRl3sYrM9nUvCYL9z+SZHtBhpujOzLv3KJ9aTHgoZj+YyBo=
-----END PRIVATE KEY-----
";

fn parse(p8: &str) -> Result<TokenKey, CredentialError> {
    TokenKey::parse(p8.as_bytes(), "KEY1234567", "TEAM123456")
}

#[test]
fn every_node_signs_the_identical_token() {
    let expected = "bearer eyJhbGciOiJFUzI1NiIsImtpZCI6IktFWTEyMzQ1NjcifQ.eyJpc3MiOiJURUFNMTIzNDU2IiwiaWF0IjoxODAwMDAwMDAwfQ\
        .lu5mras-k93HEB-95L-FONvXpyFvHrdLlZdI77JLd7rxoEhuTVBI-DfxdrJoX31kCyVYYfaKo3AJgV8z6wvaCw";
    assert_eq!(parse(P8).unwrap().authorization(NOW), (expected.to_owned(), NOW));
}

#[test]
fn the_token_changes_only_every_half_hour() {
    let key = parse(P8).unwrap();
    let (first, bucket) = key.authorization(NOW);
    assert_eq!(key.authorization(NOW + 1_799), (first.clone(), bucket));
    let (second, next) = key.authorization(NOW + 1_800);
    assert_eq!(next, bucket + BUCKET_SECONDS);
    assert_ne!(second, first);
}

#[test]
fn the_fingerprint_is_that_of_the_public_key() {
    let summary = parse(P8).unwrap().summary();
    assert_eq!(summary.fingerprint, "5a7a78cca4a0f420d9bc62bb669c3c2759e39f723d3ae10dcbe0f0815a07ecd4");
    assert_eq!((summary.kind, summary.expires_at), ("token", None));
    assert_eq!(summary.days_left(NOW), None);
}

#[test]
fn a_key_is_the_same_without_its_public_half_and_refused_with_a_foreign_one() {
    let (whole, private) = (parse(P8).unwrap(), parse(P8_PRIVATE_ONLY).unwrap());
    assert_eq!(private.fingerprint(), whole.fingerprint());
    assert_eq!(private.authorization(NOW), whole.authorization(NOW));
    let foreign = P8.replace("+mzmaWIuYPK", "+mzmaWIuYPJ");
    assert_eq!(parse(&foreign).err(), Some(CredentialError::SigningKeyUnreadable));
}

#[test]
fn line_ends_of_another_system_and_text_around_the_key_are_tolerated() {
    let windows = format!("my key:\r\n{}", P8.replace('\n', "\r\n"));
    assert!(parse(&windows).is_ok());
}

#[test]
fn a_key_that_is_not_apples_is_refused() {
    assert_eq!(parse("a key").err(), Some(CredentialError::SigningKeyUnreadable));
    assert_eq!(parse(&P8.replace("MIGHAgEA", "MIGHAgEB")).err(), Some(CredentialError::SigningKeyUnreadable));
    assert_eq!(parse(&Recipe::default().certificate_pem()).err(), Some(CredentialError::CertificateAsSigningKey));
    assert_eq!(parse(P384).err(), Some(CredentialError::SigningKeyWrongCurve));
}

#[test]
fn ids_are_ten_capitals_and_digits() {
    for bad in ["", "KEY123456", "KEY12345678", "key1234567", "KEY12345\"6", "KEY123456É"] {
        assert_eq!(TokenKey::parse(P8.as_bytes(), bad, "TEAM123456").err(), Some(CredentialError::BadKeyId), "{bad}");
        assert_eq!(TokenKey::parse(P8.as_bytes(), "KEY1234567", bad).err(), Some(CredentialError::BadTeamId), "{bad}");
    }
}

#[test]
fn debug_output_of_a_signing_key_has_no_key() {
    assert_eq!(format!("{:?}", parse(P8).unwrap()), "TokenKey(KEY1234567 of TEAM123456)");
}

#[test]
fn the_refusal_of_another_file_as_signing_key_names_its_format() {
    let block = |label: &str| P8.replace("PRIVATE KEY", label);
    let rsa = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let certificate = Recipe { key: rsa, ..Recipe::default() };
    let table = [
        (certificate.certificate_pem(), CredentialError::CertificateAsSigningKey),
        (certificate.pem(), CredentialError::CertificateAsSigningKey),
        (certificate.key.serialize_pem(), CredentialError::SigningKeyWrongCurve),
        (block("PUBLIC KEY"), CredentialError::PublicKey),
        (block("OPENSSH PRIVATE KEY"), CredentialError::OpensshKey),
        (block("CERTIFICATE REQUEST"), CredentialError::CertificateRequest),
        (block("ENCRYPTED PRIVATE KEY"), CredentialError::PassphraseMissing),
    ];
    for (text, refused) in table {
        assert_eq!(parse(&text).err(), Some(refused), "{text}");
    }
    assert!(parse(&(certificate.certificate_pem() + P8)).is_ok(), "the key is there");
}
