//! `[[api_keys]]`: the callers' keys.

use super::reader::Reader;
use crate::api::auth::config::{ApiKeyConfig, SecretSource};
use crate::api::auth::key::Moment;
use crate::model::AppId;
use std::collections::HashSet;
use std::path::Path;

/// Reads all entries. Their paths are relative to `folder`.
pub fn read_all(read: &mut Reader<'_>, folder: &Path) -> Vec<ApiKeyConfig> {
    let mut seen = HashSet::new();
    read.tables("api_keys", |entry| {
        let read = read_one(entry, folder)?;
        if !seen.insert(read.id.clone()) {
            entry.fault("id", "another key has this id: choose a different one");
        }
        Some(read)
    })
}

/// Reads every setting before it returns, so that every fault is reported.
fn read_one(entry: &mut Reader<'_>, folder: &Path) -> Option<ApiKeyConfig> {
    let (id, secret) = (entry.required("id"), secret(entry, folder));
    let apps = entry.list::<String>("apps").and_then(|apps| named_apps(entry, &apps));
    let expires_at = entry.optional_date::<Moment>("expires").map(|moment| moment.unix_seconds());
    let scopes = match entry.list("scopes") {
        None => {
            entry.fault(
                "scopes",
                "is missing, and a key without scopes may do nothing: list them, [\"send\", \"feedback\"]",
            );
            None
        }
        scopes => scopes,
    };
    let place = entry.file_name().to_owned();
    Some(ApiKeyConfig { place, id: id?, secret: secret?, scopes: scopes?, apps, expires_at })
}

fn secret(entry: &mut Reader<'_>, folder: &Path) -> Option<SecretSource> {
    let (has_digest, has_file) = (entry.is_given("secret_sha256"), entry.is_given("secret_file"));
    let digest = entry.optional("secret_sha256").map(SecretSource::Sha256);
    let file = entry.optional_path("secret_file").map(|path| SecretSource::File(folder.join(path)));
    match (has_digest, file) {
        (true, Some(_)) => {
            entry.fault("secret_file", "is given beside `secret_sha256`: give only one of them");
            None
        }
        (true, None) => digest,
        // Its path has a fault already.
        (false, None) if has_file => None,
        (false, None) => {
            entry.fault(
                "secret_sha256",
                "is missing: make one with `pyapns key`, or give `secret_file`, a file with the secret",
            );
            None
        }
        (false, file) => file,
    }
}

/// `The apps of a key; `None` for `*`, which means all apps.
fn named_apps(entry: &mut Reader<'_>, apps: &[String]) -> Option<Vec<AppId>> {
    if apps == ["*"] {
        return None;
    }
    let ids: Result<Vec<_>, _> = apps.iter().map(|app| AppId::new(app)).collect();
    match ids {
        Ok(ids) => Some(ids),
        Err(error) => {
            entry.fault("apps", &format!("{error}; \"*\" alone means all apps"));
            None
        }
    }
}
