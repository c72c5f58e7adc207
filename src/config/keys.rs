//! `[[api_keys]]`: who may call.

use super::reader::Reader;
use crate::api::auth::key::{ApiKey, Moment};
use crate::model::AppId;
use std::collections::HashSet;

pub fn read(read: &mut Reader<'_>) -> Vec<ApiKey> {
    let mut seen = HashSet::new();
    read.tables("api_keys", |entry| {
        let read = one(entry)?;
        if !seen.insert(read.id.clone()) {
            entry.fault("id", "another key has it already");
        }
        Some(read)
    })
}

/// Asks for everything before it gives up, so that every fault is told.
fn one(entry: &mut Reader<'_>) -> Option<ApiKey> {
    let (id, digest) = (entry.required("id"), entry.required("secret_sha256"));
    let apps = entry.list::<String>("apps").and_then(|apps| some_apps(entry, &apps));
    let expires_at = entry.optional::<Moment>("expires").map(|moment| moment.unix_seconds());
    let scopes = match entry.list("scopes") {
        None => {
            entry.fault("scopes", "a key without scopes may do nothing: list them, [\"send\", \"feedback\"]");
            None
        }
        scopes => scopes,
    };
    Some(ApiKey { id: id?, digest: digest?, scopes: scopes?, apps, expires_at })
}

/// `*` alone is all apps.
fn some_apps(entry: &mut Reader<'_>, apps: &[String]) -> Option<Vec<AppId>> {
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
