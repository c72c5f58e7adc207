//! `[[autoprovision]]`: the apps that the configuration creates.

use super::reader::Reader;
use crate::autoprovision::{ConfiguredApp, CredentialFile, Passphrase};
use crate::credentials::Secret;
use crate::model::AppKey;
use crate::registry::{
    LANES_DEFAULT, LANES_MAX, ProvisionError, TIMEOUT_SECONDS_DEFAULT, TIMEOUT_SECONDS_MAX, topic::is_topic,
};
use std::collections::HashSet;
use std::path::Path;

/// Reads all entries. Their paths are relative to `folder`.
pub fn read_all(read: &mut Reader<'_>, folder: &Path) -> Vec<ConfiguredApp> {
    let (mut seen, even_without_topic) = (HashSet::new(), read.is_v05());
    read.tables("autoprovision", |entry| {
        let read = ConfiguredApp { even_without_topic, ..read_one(entry, folder)? };
        if !seen.insert(read.key.clone()) {
            entry.fault("app_id", &format!("{} is in the list twice: remove one entry", read.key));
        }
        Some(read)
    })
}

/// Reads every setting before it returns, so that every fault is reported.
fn read_one(entry: &mut Reader<'_>, folder: &Path) -> Option<ConfiguredApp> {
    let (id, environment) = (entry.required("app_id"), entry.required("environment"));
    let credential = credential(entry, folder);
    let text = entry.optional::<String>("passphrase").map(|text| Passphrase::Text(Secret::from(text)));
    let file = entry.optional_path("passphrase_file").map(|path| Passphrase::File(folder.join(path)));
    if text.is_some() && file.is_some() {
        entry.fault("passphrase", "is given beside `passphrase_file`: give only one of them");
    }
    let topic = entry.optional::<String>("topic");
    if topic.as_deref().is_some_and(|topic| !is_topic(topic)) {
        entry.fault("topic", &ProvisionError::BadTopic.to_string());
    }
    let timeout_seconds = entry.optional_number("timeout", 1..=TIMEOUT_SECONDS_MAX);
    let lanes = entry.optional_number("lanes", 1..=LANES_MAX);
    let (timeout_seconds, lanes) = (timeout_seconds.unwrap_or(TIMEOUT_SECONDS_DEFAULT), lanes.unwrap_or(LANES_DEFAULT));
    let key = AppKey::new(id?, environment?);
    let (place, passphrase) = (entry.file_name().to_owned(), text.or(file));
    let credential = credential?;
    Some(ConfiguredApp { place, key, credential, passphrase, topic, even_without_topic: false, timeout_seconds, lanes })
}

fn credential(entry: &mut Reader<'_>, folder: &Path) -> Option<CredentialFile> {
    let is_given = ["certificate", "key"].iter().any(|name| entry.is_given(name));
    let [certificate, key] = ["certificate", "key"].map(|name| entry.optional_path(name));
    let [key_id, team_id] = ["key_id", "team_id"].map(|name| entry.optional::<String>(name));
    match (certificate, key) {
        (Some(certificate), None) => {
            for (name, _) in [("key_id", key_id), ("team_id", team_id)].into_iter().filter(|(_, given)| given.is_some())
            {
                entry.fault(name, "belongs to a signing key, and a certificate is given: leave it out");
            }
            Some(CredentialFile::Certificate(folder.join(certificate)))
        }
        (None, Some(key)) => {
            for (name, _) in [("key_id", &key_id), ("team_id", &team_id)].iter().filter(|(_, given)| given.is_none()) {
                entry.fault(name, "is missing: a signing key needs `key_id` and `team_id`");
            }
            Some(CredentialFile::Key { file: folder.join(key), key_id: key_id?, team_id: team_id? })
        }
        (Some(_), Some(_)) => {
            entry.fault("key", "is given beside `certificate`: an app has one credential, give only one of them");
            None
        }
        // Its path has a fault already.
        (None, None) if is_given => None,
        (None, None) => {
            entry.fault(
                "certificate",
                "is missing: give the path of a PEM or PKCS#12 file, or in `key` the path of a .p8 file",
            );
            None
        }
    }
}
