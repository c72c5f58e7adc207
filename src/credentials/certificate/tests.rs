//! The properties of Apple's kinds of certificates, and every refusal.

use super::*;
use crate::credentials::testing::forms::openssl;
use crate::credentials::testing::{EXPIRES_AT, NOW, Recipe};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p256::pkcs8::PrivateKeyInfoRef;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::pem::PemObject;

/// A certificate and its key on secp256k1.
const ODD_CURVE: &str = "\
-----BEGIN PRIVATE KEY-----
MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQggoArK68KtQVqPK3GfZgR
dEtSjgMIAeC3B2x9unyx6TuhRANCAATscO6yxEGQrrIwHA1vxQKd9DZpjTc6mrXY
1bi/fAYPheO23mw3/r5hyz+R11fDULMCIgo+SjfvQqnDDLZVFx0x
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBbjCCARSgAwIBAgIULKtIrfJEENeUF8GsSUBN6OQ1wtQwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDb2RkMB4XDTI2MTEyMzEzMTk1NFoXDTM2MTEyMDEzMTk1NFow
DjEMMAoGA1UEAwwDb2RkMFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAE7HDussRBkK6y
MBwNb8UCnfQ2aY03Opq12NW4v3wGD4Xjtt5sN/6+Ycs/kddXw1CzAiIKPko370Kp
wwy2VRcdMaNTMFEwHQYDVR0OBBYEFCeRUAMUb0/bkUGRWgnmxVSBgMdxMB8GA1Ud
IwQYMBaAFCeRUAMUb0/bkUGRWgnmxVSBgMdxMA8GA1UdEwEB/wQFMAMBAf8wCgYI
KoZIzj0EAwIDSAAwRQIhAManJWVqZShs86BISTEyYzHj3dgh8NWu4DW9gMtFnGfs
AiBNM4MntK8vJRiz9ZnBtvLQiGFQ7+d8LqApkZcvvdKRnQ==
-----END CERTIFICATE-----
";

fn refusal(pem: &str) -> CredentialError {
    Certificate::parse(pem.as_bytes()).expect_err("a bad certificate")
}

/// The key of a PKCS#8 block in the older format of its algorithm.
fn in_old_form(key: &KeyPair, label: &str) -> String {
    let pkcs8 = key.serialize_der();
    let inner = STANDARD.encode(PrivateKeyInfoRef::try_from(pkcs8.as_slice()).unwrap().private_key.as_bytes());
    format!("-----BEGIN {label}-----\n{inner}\n-----END {label}-----\n")
}

fn rsa() -> Recipe {
    Recipe { key: KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(), ..Recipe::default() }
}

#[test]
fn a_universal_certificate_names_its_topics_and_team() {
    const TOPICS: &[&str] = &["com.example.app", "com.example.app.voip", "com.example.app.complication"];
    let recipe = Recipe { topics: TOPICS, ..Recipe::default() };
    let certificate = Certificate::parse(recipe.pem().as_bytes()).unwrap();
    let summary = certificate.summary();
    assert_eq!(certificate.base_topic(), Some("com.example.app"));
    assert_eq!(summary.topics, TOPICS);
    assert_eq!((summary.kind, summary.team_id.as_deref(), summary.key_id), ("certificate", Some("TEAM123456"), None));
    assert_eq!((summary.fingerprint.len(), summary.expires_at), (64, Some(EXPIRES_AT)));
    assert_eq!(certificate.check(Environment::Sandbox, NOW), Ok(()));
    assert_eq!(certificate.check(Environment::Production, NOW), Ok(()));
}

#[test]
fn without_a_list_the_uid_is_the_only_topic() {
    let pem = Recipe::default().pem();
    assert_eq!(Certificate::parse(pem.as_bytes()).unwrap().summary().topics, ["com.example.app"]);
    let nameless = Recipe { uid: None, ..Recipe::default() };
    let certificate = Certificate::parse(nameless.pem().as_bytes()).unwrap();
    assert_eq!((certificate.base_topic(), certificate.summary().topics.len()), (None, 0));
}

#[test]
fn the_fingerprint_is_the_one_openssl_shows() {
    let recipe = Recipe::default();
    let pem = recipe.certificate_pem();
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let certificate = Certificate::parse((pem + &recipe.key.serialize_pem()).as_bytes()).unwrap();
    assert_eq!(certificate.fingerprint(), sha256_hex(&der));
}

#[test]
fn a_key_may_be_pkcs8_pkcs1_or_sec1_and_precede_or_follow_its_certificate() {
    let (rsa, curve) = (rsa(), Recipe::default());
    let texts = [
        rsa.pem(),
        rsa.certificate_pem() + &in_old_form(&rsa.key, "RSA PRIVATE KEY"),
        curve.pem(),
        in_old_form(&curve.key, "EC PRIVATE KEY") + &curve.certificate_pem(),
        curve.pem().replace('\n', "\r\n"),
    ];
    for text in texts {
        let certificate = Certificate::parse(text.as_bytes()).unwrap_or_else(|refused| panic!("{refused}: {text}"));
        let (chain, key) = certificate.client_auth();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_client_auth_cert(chain, key);
        assert!(client.is_ok(), "{text}");
    }
}

#[test]
fn the_leaf_is_found_at_any_position_and_its_issuers_follow_it() {
    let (issuer, leaf) = (Recipe { uid: Some("issuer"), ..Recipe::default() }, Recipe::default());
    let text = issuer.certificate_pem() + &leaf.pem();
    let certificate = Certificate::parse(text.as_bytes()).unwrap();
    let (chain, _) = certificate.client_auth();
    assert_eq!(certificate.base_topic(), Some("com.example.app"));
    assert_eq!((chain.len(), sha256_hex(&chain[0])), (2, certificate.fingerprint().to_owned()));
}

#[test]
fn the_refusal_names_the_missing_part() {
    let recipe = Recipe::default();
    assert_eq!(refusal("not PEM at all"), CredentialError::NotPem);
    assert_eq!(refusal(""), CredentialError::NotPem);
    assert_eq!(refusal(&recipe.pem().replace("-----END CERTIFICATE-----", "")), CredentialError::NotPem);
    assert_eq!(refusal(&recipe.certificate_pem()), CredentialError::KeyMissing);
    assert_eq!(refusal(&rsa().key.serialize_pem()), CredentialError::CertificateMissing);
}

#[test]
fn the_refusal_of_a_signing_key_as_certificate_says_how_to_send_it() {
    let told = refusal(&Recipe::default().key.serialize_pem());
    assert_eq!(told, CredentialError::SigningKeyAlone);
    let sentence = told.to_string();
    for word in ["signing key", "JSON", "`key`", "`key_id`", "`team_id`"] {
        assert!(sentence.contains(word), "{word} in {sentence}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let text = Recipe::default().certificate_pem() + &KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(refusal(&text), CredentialError::KeyMismatch);
    assert_eq!(
        refusal(&(rsa().certificate_pem() + &Recipe::default().key.serialize_pem())),
        CredentialError::KeyMismatch
    );
}

#[test]
fn a_key_that_is_still_encrypted_asks_for_its_passphrase() {
    let recipe = Recipe::default();
    let modern = recipe.pem().replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let old = recipe.pem().replace(
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,0011223344556677\n",
    );
    for text in [modern, old] {
        assert_eq!(refusal(&text), CredentialError::PassphraseMissing);
    }
}

#[test]
fn a_damaged_certificate_and_a_damaged_key_are_refused_with_different_errors() {
    let recipe = Recipe::default();
    let junk = |label: &str| format!("-----BEGIN {label}-----\nAAECAwQ=\n-----END {label}-----\n");
    assert_eq!(refusal(&(junk("CERTIFICATE") + &recipe.key.serialize_pem())), CredentialError::CertificateUnreadable);
    assert_eq!(refusal(&(recipe.certificate_pem() + &junk("PRIVATE KEY"))), CredentialError::KeyUnreadable);
}

#[test]
fn a_curve_that_tls_does_not_use_is_named_in_the_refusal() {
    assert_eq!(refusal(ODD_CURVE), CredentialError::UnknownCurve);
}

#[test]
fn a_certificate_is_refused_from_its_last_second_on() {
    let certificate = Certificate::parse(Recipe::default().pem().as_bytes()).unwrap();
    let end = EXPIRES_AT as u64;
    assert_eq!(certificate.check(Environment::Sandbox, end - 1), Ok(()));
    let refused = certificate.check(Environment::Sandbox, end).unwrap_err();
    assert!(refused.to_string().contains("2030"), "{refused}");
    assert_eq!(refused.reason(), "certificate_expired");
    let summary = certificate.summary();
    assert_eq!(summary.days_left(end - 86_400), Some(1));
    assert_eq!(summary.days_left(end - 1), Some(0));
    assert_eq!(summary.days_left(end + 1), Some(-1));
}

#[test]
fn a_certificate_serves_the_environments_it_is_marked_for_and_an_unmarked_one_both() {
    let table = [(true, false, [true, false]), (false, true, [false, true]), (false, false, [true, true])];
    for (sandbox, production, allowed) in table {
        let recipe = Recipe { sandbox, production, ..Recipe::default() };
        let certificate = Certificate::parse(recipe.pem().as_bytes()).unwrap();
        assert_eq!(Environment::ALL.map(|environment| certificate.check(environment, NOW).is_ok()), allowed);
    }
    let recipe = Recipe { production: false, ..Recipe::default() };
    let refused = Certificate::parse(recipe.pem().as_bytes()).unwrap().check(Environment::Production, NOW);
    let expected = CredentialError::WrongEnvironment { allowed: Environment::Sandbox, wanted: Environment::Production };
    assert_eq!(refused, Err(expected));
}

#[test]
fn debug_output_of_a_certificate_is_only_its_fingerprint() {
    let certificate = Certificate::parse(Recipe::default().pem().as_bytes()).unwrap();
    assert_eq!(format!("{certificate:?}"), format!("Certificate({})", certificate.fingerprint()));
}

/// The certificate, signed again by its own key.
fn same_key(key: &KeyPair) -> KeyPair {
    KeyPair::from_pem(&key.serialize_pem()).unwrap()
}

#[test]
fn every_certificate_with_its_key_is_found_and_none_follows_another_as_its_issuer() {
    let first = Recipe { name: Some("Apple Development: A"), ..Recipe::default() };
    let renewed = Recipe { name: Some("Apple Push Services: B"), key: same_key(&first.key), ..Recipe::default() };
    let other = Recipe { name: Some("Apple Push Services: C"), ..rsa() };
    let issuer = Recipe { name: Some("Apple CA"), ..Recipe::default() };
    let certificates = [&first, &renewed, &issuer, &other].map(Recipe::certificate_pem).concat();
    let text = other.key.serialize_pem() + &certificates + &first.key.serialize_pem();
    let all = Certificate::all(text.as_bytes()).unwrap();
    assert_eq!(
        all.iter().map(Certificate::name).collect::<Vec<_>>(),
        ["Apple Push Services: C", "Apple Development: A", "Apple Push Services: B"],
        "in the order of the keys"
    );
    for certificate in &all {
        let alone = Certificate::all(certificate.pem().unwrap().expose()).unwrap();
        assert_eq!(alone.len(), 1, "what is kept has one key and one certificate of it");
        assert_eq!(alone[0].fingerprint(), certificate.fingerprint());
        assert_eq!(alone[0].client_auth().0.len(), 2, "the leaf and its issuer");
    }
}

#[test]
fn a_push_certificate_is_recognised_by_its_extensions_or_by_its_topic() {
    let unmarked = |uid| Recipe { uid, sandbox: false, production: false, ..Recipe::default() };
    let is_for_push = |recipe: Recipe| Certificate::parse(recipe.pem().as_bytes()).unwrap().is_for_push();
    assert!(!is_for_push(unmarked(Some("ABCDE12345"))));
    assert!(!is_for_push(unmarked(None)));
    for uid in ["pass.com.example", "web.com.example", "com.apple.mgmt.External.1b2c"] {
        assert!(is_for_push(unmarked(Some(uid))), "{uid}");
    }
    assert!(is_for_push(Recipe { sandbox: false, ..Recipe::default() }));
    assert!(is_for_push(Recipe { topics: &["com.example.app"], ..unmarked(Some("com.example.app")) }));
}

#[test]
fn a_voip_services_certificate_lists_its_topic_in_a_separate_extension() {
    let marked = "-addext 1.2.840.113635.100.6.3.1=ASN1:NULL -addext 1.2.840.113635.100.6.3.2=ASN1:NULL";
    for list in ["ASN1:SEQUENCE:topics", "ASN1:UTF8:com.example.app.voip"] {
        for uid in ["com.example.app", "com.example.app.voip"] {
            let folder = tempfile::tempdir().unwrap();
            let config = "[req]\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\n[ext]\n[topics]\na=UTF8:com.example.app.voip\nb=SEQWRAP,UTF8:voip\n";
            std::fs::write(folder.path().join("cnf"), config).unwrap();
            let subject = format!("/UID={uid}/CN=VoIP Services: com.example.app/OU=TEAM123456");
            let make = format!(
                "req -x509 -config cnf -noenc -days 3650 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -keyout - {marked} -addext 1.2.840.113635.100.6.3.4={list}"
            );
            let text = openssl(folder.path(), &make, &["-subj", &subject], "");
            let certificate = Certificate::parse(&text).unwrap();
            assert_eq!(certificate.summary().topics, ["com.example.app.voip"], "{list} {uid}");
            assert_eq!((certificate.base_topic(), certificate.only_for()), (Some(uid), None));
            assert!(certificate.is_for_push());
            assert_eq!(certificate.name(), "VoIP Services: com.example.app");
        }
    }
}

#[test]
fn the_name_of_a_certificate_is_short_and_of_one_line() {
    let name = "a\nb ".repeat(100);
    let recipe = Recipe { name: Some(name.leak()), ..Recipe::default() };
    let certificate = Certificate::parse(recipe.pem().as_bytes()).unwrap();
    assert_eq!(certificate.name().chars().count(), NAME_CHARS_MAX);
    assert!(certificate.name().starts_with("a b a b "), "{}", certificate.name());
}

#[test]
fn a_block_that_is_commented_out_is_ignored() {
    let (old, new) =
        (Recipe { name: Some("old"), ..Recipe::default() }, Recipe { name: Some("new"), ..Recipe::default() });
    for comment in ["# ", "// ", "  ;"] {
        let one_line = format!("{comment}{}\n", old.pem().replace('\n', " "));
        let all = Certificate::all((one_line + &new.pem().replace('\n', "\\n")).as_bytes()).unwrap();
        assert_eq!(all.iter().map(Certificate::name).collect::<Vec<_>>(), ["new"], "{comment}");
        let lines = old.pem().lines().map(|line| format!("{comment}{line}\n")).collect::<String>();
        let all = Certificate::all((lines + &new.pem()).as_bytes()).unwrap();
        assert_eq!(all.iter().map(Certificate::name).collect::<Vec<_>>(), ["new"], "{comment}");
    }
}
