//! The fingerprint of an entry: it changes when the entry, or a file that it names, changes.

use super::{ConfiguredApp, CredentialFile};
use crate::credentials::{Material, Secret, sha256_hex};
use crate::registry::{LANES_DEFAULT, TIMEOUT_SECONDS_DEFAULT};
use serde_json::{Map, Value};

/// The prefix of every fingerprint of the current scheme. Those of 0.6.0 are bare hex.
const SCHEME: &str = "2:";

/// The fingerprint of the entry as the operator wrote it, and of the bytes of its credential file. It does not depend
/// on how a release interprets them, so that an upgrade does not find every entry changed. It leaves out the
/// passphrase, which could be guessed from its digest. Only fields that differ from their default count, so that a new
/// field changes no fingerprint.
pub(super) fn of(entry: &ConfiguredApp, content: &Secret) -> String {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("content", sha256_hex(content.expose()).into());
    match &entry.credential {
        CredentialFile::Certificate(path) => {
            put("certificate", path.display().to_string().into());
        }
        CredentialFile::Key { key_id, team_id, .. } => {
            put("key_id", key_id.as_str().into());
            put("team_id", team_id.as_str().into());
        }
    }
    if let Some(topic) = &entry.topic {
        put("topic", topic.as_str().into());
    }
    if entry.timeout_seconds != TIMEOUT_SECONDS_DEFAULT {
        put("timeout", entry.timeout_seconds.into());
    }
    if entry.lanes != LANES_DEFAULT {
        put("lanes", entry.lanes.into());
    }
    format!("{SCHEME}{}", sha256_hex(Value::Object(fields).to_string().as_bytes()))
}

/// Returns true for a fingerprint of another scheme. A difference to it does not mean that the entry changed.
pub(super) fn has_another_scheme(fingerprint: &str) -> bool {
    !fingerprint.starts_with(SCHEME)
}

/// The fingerprint in the scheme of 0.6.0, from the opened credential.
pub(super) fn of_0_6_0(entry: &ConfiguredApp, material: &Material, certificate_path: Option<&String>) -> String {
    let settings = (&certificate_path, &entry.topic, entry.timeout_seconds, entry.lanes);
    sha256_hex(format!("{} {settings:?}", material.digest()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppId, AppKey, Environment};

    fn entry() -> ConfiguredApp {
        ConfiguredApp {
            place: "[[autoprovision]] 1".to_owned(),
            key: AppKey::new(AppId::new("shop").unwrap(), Environment::Sandbox),
            credential: CredentialFile::Certificate("shop.pem".into()),
            passphrase: None,
            topic: None,
            even_without_topic: false,
            timeout_seconds: TIMEOUT_SECONDS_DEFAULT,
            lanes: LANES_DEFAULT,
        }
    }

    /// Every store holds fingerprints: another scheme would apply all entries again, over what callers changed.
    #[test]
    fn the_same_entry_has_the_same_fingerprint_in_every_release() {
        let content = Secret::from("pem");
        assert_eq!(of(&entry(), &content), "2:4255f8411ef0d243546e1bfaa19ca7acec870f6d37943934fdf6215bfe28e4bb");
        let key = CredentialFile::Key {
            file: "a.p8".into(),
            key_id: "ABCDE12345".to_owned(),
            team_id: "FGHIJ67890".to_owned(),
        };
        let full = ConfiguredApp {
            credential: key,
            topic: Some("com.example.shop".to_owned()),
            timeout_seconds: 20,
            lanes: 2,
            ..entry()
        };
        assert_eq!(of(&full, &content), "2:6d3c110911b181ea28498f5c5ac753370d36e7f0e120b283bef181b7b6bf7a44");
    }

    #[test]
    fn every_change_of_an_entry_changes_its_fingerprint() {
        let content = Secret::from("pem");
        let others = [
            ConfiguredApp { credential: CredentialFile::Certificate("other.pem".into()), ..entry() },
            ConfiguredApp { topic: Some("com.example.shop".to_owned()), ..entry() },
            ConfiguredApp { timeout_seconds: 16, ..entry() },
            ConfiguredApp { lanes: 2, ..entry() },
        ];
        for other in others {
            assert_ne!(of(&other, &content), of(&entry(), &content), "{other:?}");
        }
        assert_ne!(of(&entry(), &Secret::from("other")), of(&entry(), &content));
    }

    #[test]
    fn a_fingerprint_of_0_6_0_is_distinguished_from_a_current_one() {
        let today = of(&entry(), &Secret::from("pem"));
        assert!(!has_another_scheme(&today));
        assert!(has_another_scheme(today.trim_start_matches(SCHEME)));
        assert!(has_another_scheme("3:00"));
    }
}
