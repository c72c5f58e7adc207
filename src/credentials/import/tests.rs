//! Every usual file format opens to the same credential; every other file is refused with its own error.

mod since_0_6_0;

use super::*;
use crate::credentials::testing::NOW;
use crate::credentials::testing::forms::{Form, Forms, PASSPHRASE};
use crate::credentials::{Certificate, Credential, Material};
use crate::model::Environment;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

fn opened(form: &Form, passphrase: Option<&str>) -> Result<Certificate, CredentialError> {
    let pem = open(Secret::from(form.bytes.clone()), passphrase.map(Secret::from).as_ref())?;
    Certificate::parse(pem.expose())
}

#[test]
fn every_format_opens_to_the_same_certificate() {
    for form in &Forms::get().forms {
        let certificate = opened(form, form.passphrase).unwrap_or_else(|refused| panic!("{}: {refused}", form.name));
        let summary = certificate.summary();
        assert_eq!(summary.topics, ["com.example.app"], "{}", form.name);
        assert_eq!(summary.team_id.as_deref(), Some("TEAM123456"), "{}", form.name);
        for environment in Environment::ALL {
            assert_eq!(certificate.check(environment, NOW), Ok(()), "{}", form.name);
        }
    }
}

#[test]
fn byte_order_marks_before_pem_blocks_are_ignored() {
    let text = |form: &&Form| !form.is_binary();
    for form in Forms::get().forms.iter().filter(text) {
        let pem = String::from_utf8_lossy(&form.bytes).replace("-----BEGIN", "\u{feff}-----BEGIN");
        let marked = Form { bytes: format!("\u{feff}{pem}").into(), ..*form };
        opened(&marked, form.passphrase).unwrap_or_else(|refused| panic!("{}: {refused}", form.name));
    }
}

/// A text as copy and paste may change it.
type Paste = fn(&str) -> String;

const PASTES: [(&str, Paste); 13] = [
    ("on one line", |pem| pem.replace('\n', " ")),
    ("without its line breaks", |pem| pem.replace('\n', "")),
    ("with line breaks of Windows", |pem| pem.replace('\n', "\r\n")),
    ("with the escapes of JSON left in", |pem| pem.replace('\n', "\\n")),
    ("escaped twice", |pem| pem.replace('/', "\\/").replace('=', "\\u003d").replace('\n', "\\\\n")),
    ("indented", |pem| pem.replace('\n', "\n        ")),
    ("as a string of JSON", |pem| serde_json::json!(pem).to_string()),
    ("as lines of source code", |pem| pem.lines().map(|line| format!("\"{line}\\n\"\n")).collect()),
    ("as an answer to a mail", |pem| pem.lines().map(|line| format!("> {line}\n")).collect()),
    ("with nothing between its blocks", |pem| pem.replace("-----\n-----BEGIN", "----------BEGIN")),
    ("with empty lines and blanks at their ends", |pem| pem.replace('\n', " \t\n\n")),
    ("in base64", |pem| STANDARD.encode(pem)),
    ("in base64 of 76 digits a line", |pem| {
        let digits = STANDARD.encode(pem).into_bytes();
        digits.chunks(76).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect()
    }),
];

#[test]
fn pem_is_accepted_in_every_pasted_format() {
    let texts = Forms::get().forms.iter().filter(|form| !form.is_binary());
    for form in texts {
        let pem = String::from_utf8_lossy(&form.bytes).replace("-----\nBag", "-----\n\nBag");
        for (how, paste) in PASTES {
            let pasted = Form { bytes: paste(&pem).into(), ..*form };
            let certificate = opened(&pasted, form.passphrase);
            let certificate = certificate.unwrap_or_else(|refused| panic!("{} {how}: {refused}", form.name));
            assert_eq!(certificate.summary().topics, ["com.example.app"], "{} {how}", form.name);
        }
    }
}

#[test]
fn pkcs12_and_der_are_accepted_in_base64() {
    for form in Forms::get().forms.iter().filter(|form| form.is_binary()) {
        let digits = STANDARD.encode(&form.bytes);
        let lines = digits.as_bytes().chunks(64).map(|line| format!("{}\\n", String::from_utf8_lossy(line)));
        for text in [lines.collect(), format!("data:application/x-pkcs12;base64,{digits}"), format!("'{digits}'")] {
            let wrapped = Form { bytes: text.into(), ..*form };
            assert!(opened(&wrapped, form.passphrase).is_ok(), "{}", form.name);
        }
    }
}

#[test]
fn a_signing_key_is_accepted_in_every_pasted_format() {
    let p8 = rcgen::KeyPair::generate().expect("a key");
    let (pem, der) = (p8.serialize_pem(), p8.serialize_der());
    let sec1 = p256::pkcs8::PrivateKeyInfoRef::try_from(der.as_slice()).expect("a key").private_key.as_bytes().to_vec();
    let sec1 = pem::encode("EC PRIVATE KEY", &sec1).expect("PEM").to_string();
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let fingerprint = |text: &[u8], how: &str| {
        let p8 = open(Secret::from(text.to_vec()), None).unwrap_or_else(|refused| panic!("{how}: {refused}"));
        let key = Material::Key { p8, key_id: "KEY1234567".to_owned(), team_id: "TEAM123456".to_owned() };
        Credential::parse(&key).unwrap_or_else(|refused| panic!("{how}: {refused}")).summary().fingerprint
    };
    let expected = fingerprint(pem.as_bytes(), "as Apple makes it");
    for text in [&pem, &sec1, &format!("{parameters}{sec1}")] {
        for (how, paste) in PASTES {
            assert_eq!(fingerprint(paste(text).as_bytes(), how), expected, "{how}");
        }
    }
    assert_eq!(fingerprint(&der, "in DER"), expected);
    assert_eq!(fingerprint(STANDARD.encode(&der).as_bytes(), "its base64 alone"), expected);
}

#[test]
fn an_ambiguous_text_is_refused() {
    let form = Forms::get().forms.iter().find(|form| form.name == "PKCS#8").expect("it is in the table");
    let pem = String::from_utf8_lossy(&form.bytes).into_owned();
    let damaged = [
        pem.replace("-----END PRIVATE KEY-----", ""),
        pem.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY----"),
        pem.replace("-----END CERTIFICATE-----", "-----END PRIVATE KEY-----"),
        pem.replacen("MII", "M.I", 1),
        pem.replacen("MII", "M\u{e9}I", 1),
    ];
    for text in damaged {
        let form = Form { bytes: text.clone().into(), ..*form };
        assert_eq!(opened(&form, None).err(), Some(CredentialError::NotPem), "{text}");
    }
}

#[test]
fn the_canaries_of_other_tests_are_the_private_parts() {
    let canaries = Forms::get().canaries();
    let contains = |bytes: &[u8]| canaries.iter().any(|canary| bytes.windows(canary.len()).any(|part| part == canary));
    for form in &Forms::get().forms {
        let (_, key) = opened(form, form.passphrase).expect(form.name).client_auth();
        assert!(contains(key.secret_der()), "{}", form.name);
        assert!(contains(base64_of(form).expose()), "{}", form.name);
    }
}

/// Its blocks of base64 alone.
fn base64_of(form: &Form) -> Secret {
    let pem = open(Secret::from(form.bytes.clone()), form.passphrase.map(Secret::from).as_ref()).expect(form.name);
    String::from_utf8_lossy(pem.expose()).replace("PRIVATE KEY", "").into()
}

#[test]
fn a_wrong_passphrase_and_a_missing_one_have_different_errors() {
    for form in Forms::get().forms.iter().filter(|form| form.passphrase.is_some()) {
        assert_eq!(opened(form, None).err(), Some(CredentialError::PassphraseMissing), "{}", form.name);
        for wrong in ["wrong", "", &PASSPHRASE.to_uppercase(), &format!("{PASSPHRASE} ")] {
            assert_eq!(opened(form, Some(wrong)).err(), Some(CredentialError::PassphraseWrong), "{}", form.name);
        }
    }
}

#[test]
fn no_wrong_passphrase_is_reported_as_damage() {
    let old = Forms::get().forms.iter().find(|form| form.name == "Proc-Type, AES-256").expect("it is in the table");
    for attempt in 0..2_000 {
        let refused = opened(old, Some(&format!("wrong {attempt}"))).err();
        assert_eq!(refused, Some(CredentialError::PassphraseWrong), "{attempt}");
    }
}

#[test]
fn an_unneeded_passphrase_is_ignored() {
    for form in Forms::get().forms.iter().filter(|form| form.passphrase.is_none() && !form.is_binary()) {
        assert!(opened(form, Some("not needed")).is_ok(), "{}", form.name);
    }
}

#[test]
fn bad_files_are_refused_quickly_each_with_its_own_reason() {
    let began = std::time::Instant::now();
    for (form, reason) in Forms::get().bad() {
        assert_eq!(opened(&form, form.passphrase).expect_err(form.name).reason(), reason, "{}", form.name);
    }
    assert!(began.elapsed().as_secs() < 10);
}

#[test]
fn damaged_files_cause_no_panic_and_no_long_work() {
    let forms = Forms::get();
    let of_kind = |name: &str| forms.forms.iter().find(|form| form.name == name).expect("it is in the table");
    let mut random = fastrand::Rng::with_seed(17);
    for name in ["PKCS#12 of OpenSSL 3", "PKCS#12 of Keychain: RC2-40, 3DES, SHA-1", "encrypted PKCS#8, scrypt"] {
        let form = of_kind(name);
        for _ in 0..40 {
            let mut bytes = form.bytes.clone();
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
            let damaged = Form { name: form.name, bytes, passphrase: form.passphrase };
            // The damaged byte decides if the file still opens.
            let _ = opened(&damaged, form.passphrase);
        }
    }
}

#[test]
fn a_signing_key_may_be_encrypted_too() {
    let forms = Forms::get();
    let text = forms.forms.iter().find(|form| form.name == "encrypted PKCS#8, SHA-512").expect("it is in the table");
    let p8 = open(Secret::from(text.bytes.clone()), Some(&PASSPHRASE.into())).expect("it opens");
    let key = Material::Key { p8, key_id: "KEY1234567".to_owned(), team_id: "TEAM123456".to_owned() };
    assert!(Credential::parse(&key).is_ok());
}

#[tokio::test]
async fn opening_one_at_a_time_gives_the_same_result() {
    for form in &Forms::get().forms {
        let pem =
            open_in_turn(Secret::from(form.bytes.clone()), form.passphrase.map(Secret::from), &Drain::new()).await;
        assert!(Certificate::parse(pem.expect(form.name).expose()).is_ok());
    }
}

#[test]
fn the_refusal_of_a_file_that_is_neither_pem_nor_der_names_its_format() {
    let named = |bytes: &[u8]| open(Secret::from(bytes.to_vec()), None).err();
    assert_eq!(named(b"\xfe\xed\xfe\xed\0\0\0\x02"), Some(CredentialError::JavaKeystore));
    for page in ["<!DOCTYPE html>\n<title>Sign in</title>", "\r\n<HTML><body>"] {
        assert_eq!(named(page.as_bytes()), Some(CredentialError::WebPage), "{page}");
    }
    for text in ["\u{feff}-----BEGIN", "<html>"] {
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(order).collect();
            assert_eq!(named(&bytes), Some(CredentialError::Utf16), "{text}");
        }
    }
    assert_eq!(named(b"a text"), None, "the reader reports it");
}

#[test]
fn a_damaged_file_is_not_mistaken_for_a_key_or_a_certificate() {
    let forms = Forms::get().forms.iter().filter(|form| form.is_binary());
    for form in forms {
        let mut bytes = form.bytes.clone();
        // The type of the contents.
        let at = bytes.windows(4).position(|window| window == [0x86, 0xf7, 0x0d, 0x01]).expect("an OID of PKCS");
        bytes[at + 4] ^= 0x55;
        assert_eq!(open(Secret::from(bytes), None).err(), Some(CredentialError::Damaged), "{}", form.name);
    }
}
