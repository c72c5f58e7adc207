//! Credentials made for tests: Apple's kinds of certificates, and signing keys.

#[path = "../../tests/spec/support/forms.rs"]
pub(crate) mod forms;

use super::{Material, Secret};
use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair, date_time_ymd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A time at which the certificates below are valid, in UNIX seconds.
pub(crate) const NOW: u64 = 1_800_000_000;
/// The expiry of these certificates: 2030-01-01.
pub(crate) const EXPIRES_AT: i64 = 1_893_456_000;

/// The content of a test's certificate.
pub(crate) struct Recipe {
    pub uid: Option<&'static str>,
    /// The common name.
    pub name: Option<&'static str>,
    /// First and last year of validity, the last not included.
    pub years: [i32; 2],
    pub sandbox: bool,
    pub production: bool,
    pub topics: &'static [&'static str],
    pub key: KeyPair,
}

impl Default for Recipe {
    fn default() -> Self {
        let key = KeyPair::generate().unwrap();
        Self {
            uid: Some("com.example.app"),
            name: None,
            years: [2020, 2030],
            sandbox: true,
            production: true,
            topics: &[],
            key,
        }
    }
}

impl Recipe {
    /// The certificate without its key.
    pub(crate) fn certificate_pem(&self) -> String {
        const NULL: [u8; 2] = [0x05, 0x00];
        let mut params = CertificateParams::default();
        let [first, last] = self.years;
        params.not_before = date_time_ymd(first, 1, 1);
        params.not_after = date_time_ymd(last, 1, 1);
        if let Some(uid) = self.uid {
            params.distinguished_name.push(DnType::from_oid(&[0, 9, 2342, 19_200_300, 100, 1, 1]), uid);
        }
        if let Some(name) = self.name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.distinguished_name.push(DnType::OrganizationalUnitName, "TEAM123456");
        let mut mark = |last: u64, content: Vec<u8>| {
            let oid = [1, 2, 840, 113_635, 100, 6, 3, last];
            params.custom_extensions.push(CustomExtension::from_oid_content(&oid, content));
        };
        if self.sandbox {
            mark(1, NULL.to_vec());
        }
        if self.production {
            mark(2, NULL.to_vec());
        }
        if !self.topics.is_empty() {
            mark(6, topic_list(self.topics));
        }
        params.self_signed(&self.key).unwrap().pem()
    }

    /// Certificate and key in one text, with the noise that OpenSSL writes around them.
    pub(crate) fn pem(&self) -> String {
        let noise = "Bag Attributes\n    friendlyName: Apple Push Services\nsubject=/UID=com.example.app\n";
        format!("{noise}{}{noise}Key Attributes: <No Attributes>\n{}", self.certificate_pem(), self.key.serialize_pem())
    }

    pub(crate) fn material(&self) -> Material {
        Material::Certificate { pem: self.pem().into() }
    }
}

/// A signing key as Apple makes them.
pub(crate) fn signing_key() -> Material {
    let p8 = Secret::from(KeyPair::generate().unwrap().serialize_pem());
    Material::Key { p8, key_id: "KEY1234567".into(), team_id: "TEAM123456".into() }
}

/// SEQUENCE { UTF8String topic, SEQUENCE { UTF8String kind }, … }, each length below 128 but the outermost.
fn topic_list(topics: &[&str]) -> Vec<u8> {
    let element = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
    let pair = |topic: &&str| [element(0x0c, topic.as_bytes()), element(0x30, &element(0x0c, b"app"))].concat();
    let content: Vec<u8> = topics.iter().flat_map(pair).collect();
    [&[0x30, 0x81, content.len() as u8], content.as_slice()].concat()
}

/// Runs `reads` while two names are swapped all the time. A read that blocks fails the test.
pub(crate) fn while_swapping(names: &[PathBuf; 2], reads: impl FnOnce() + Send + 'static) {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let (reader, until) = (std::thread::spawn(reads), Instant::now() + Duration::from_secs(30));
    while !reader.is_finished() {
        assert!(Instant::now() < until, "a read waits, or none succeeds");
        renameat_with(CWD, &names[0], CWD, &names[1], RenameFlags::EXCHANGE).expect("both are there");
    }
    if let Err(failed) = reader.join() {
        std::panic::resume_unwind(failed);
    }
}
