//! Every form people have opens to the same credential; everything else is told apart.

use super::*;
use crate::credentials::testing::NOW;
use crate::credentials::testing::forms::{Form, Forms, PASSPHRASE};
use crate::credentials::{Certificate, Credential, Material};
use crate::model::Environment;

fn opened(form: &Form, passphrase: Option<&str>) -> Result<Certificate, CredentialError> {
    let pem = open(Secret::from(form.bytes.clone()), passphrase.map(Secret::from).as_ref())?;
    Certificate::parse(pem.expose())
}

#[test]
fn every_form_opens_to_the_same_facts() {
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
fn marks_of_utf8_before_the_blocks_of_pem_are_passed_over() {
    let text = |form: &&Form| !form.is_binary();
    for form in Forms::get().forms.iter().filter(text) {
        let pem = String::from_utf8_lossy(&form.bytes).replace("-----BEGIN", "\u{feff}-----BEGIN");
        let marked = Form { bytes: format!("\u{feff}{pem}").into(), ..*form };
        opened(&marked, form.passphrase).unwrap_or_else(|refused| panic!("{}: {refused}", form.name));
    }
}

#[test]
fn the_canaries_of_other_tests_are_what_is_private() {
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
fn a_wrong_passphrase_and_a_missing_one_are_told_apart() {
    for form in Forms::get().forms.iter().filter(|form| form.passphrase.is_some()) {
        assert_eq!(opened(form, None).err(), Some(CredentialError::PassphraseMissing), "{}", form.name);
        for wrong in ["wrong", "", &PASSPHRASE.to_uppercase(), &format!("{PASSPHRASE} ")] {
            assert_eq!(opened(form, Some(wrong)).err(), Some(CredentialError::PassphraseWrong), "{}", form.name);
        }
    }
}

#[test]
fn of_many_wrong_passphrases_none_passes_for_damage() {
    let old = Forms::get().forms.iter().find(|form| form.name == "Proc-Type, AES-256").expect("it is in the table");
    for attempt in 0..2_000 {
        let refused = opened(old, Some(&format!("wrong {attempt}"))).err();
        assert_eq!(refused, Some(CredentialError::PassphraseWrong), "{attempt}");
    }
}

#[test]
fn a_passphrase_that_is_not_needed_does_no_harm() {
    for form in Forms::get().forms.iter().filter(|form| form.passphrase.is_none() && !form.is_binary()) {
        assert!(opened(form, Some("not needed")).is_ok(), "{}", form.name);
    }
}

#[test]
fn bad_files_are_refused_with_their_own_reasons_and_soon() {
    let began = std::time::Instant::now();
    for (form, reason) in Forms::get().bad() {
        assert_eq!(opened(&form, form.passphrase).expect_err(form.name).reason(), reason, "{}", form.name);
    }
    assert!(began.elapsed().as_secs() < 10);
}

#[test]
fn no_damage_makes_it_panic_or_work_for_long() {
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
            // Whether it opens all the same depends on what was hit.
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
async fn opening_in_turn_gives_the_same() {
    for form in &Forms::get().forms {
        let pem =
            open_in_turn(Secret::from(form.bytes.clone()), form.passphrase.map(Secret::from), &Drain::new()).await;
        assert!(Certificate::parse(pem.expect(form.name).expose()).is_ok());
    }
}
