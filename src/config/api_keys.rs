//! `[[api_keys]]`: the keys of callers.

use super::reader::Reader;
use crate::api::auth::config::{ApiKeyConfig, SecretSource};
use crate::api::auth::key::Moment;
use crate::model::AppId;
use std::collections::HashSet;
use std::path::Path;

/// All entries. `folder`: what their paths are relative to.
pub fn read_all(read: &mut Reader<'_>, folder: &Path) -> Vec<ApiKeyConfig> {
    let mut seen = HashSet::new();
    read.tables("api_keys", |entry| {
        let read = read_one(entry, folder)?;
        if !seen.insert(read.id.clone()) {
            entry.fault("id", "another key has it already");
        }
        Some(read)
    })
}

/// Asks for everything before it gives up, so that every fault is told.
fn read_one(entry: &mut Reader<'_>, folder: &Path) -> Option<ApiKeyConfig> {
    let (id, secret) = (entry.required("id"), secret(entry, folder));
    let apps = entry.list::<String>("apps").and_then(|apps| named_apps(entry, &apps));
    let expires_at = entry.optional_date::<Moment>("expires").map(|moment| moment.unix_seconds());
    let scopes = match entry.list("scopes") {
        None => {
            entry.fault("scopes", "a key without scopes may do nothing: list them, [\"send\", \"feedback\"]");
            None
        }
        scopes => scopes,
    };
    let place = entry.file_name().to_owned();
    Some(ApiKeyConfig { place, id: id?, secret: secret?, scopes: scopes?, apps, expires_at })
}

fn secret(entry: &mut Reader<'_>, folder: &Path) -> Option<SecretSource> {
    let has_digest = entry.is_given("secret_sha256");
    let digest = entry.optional("secret_sha256").map(SecretSource::Sha256);
    let file = entry.optional::<String>("secret_file").map(|path| SecretSource::File(folder.join(path)));
    match (has_digest, file) {
        (true, Some(_)) => {
            entry.fault("secret_file", "it is given and `secret_sha256` too: give one of them");
            None
        }
        (true, None) => digest,
        (false, None) => {
            entry.fault(
                "secret_sha256",
                "it is missing: `pyapns key` makes it; or `secret_file`, with the secret in it",
            );
            None
        }
        (false, file) => file,
    }
}

/// `*` alone is all apps.
fn named_apps(entry: &mut Reader<'_>, apps: &[String]) -> Option<Vec<AppId>> {
    if apps == ["*"] {
        return None;
    }
    let ids: Result<Vec<_>, _> = apps.iter().map(|app| AppId::new(app)).collect();
    match ids {
        Ok(ids) => Some(ids),
        Err(error) => {
            entry.fault("apps", &format!("{error}; \"*\" alone stands for all apps"));
            None
        }
    }
}
