//! The data directory and what is in it; of a node that runs, what it says itself.

use super::Report;
use super::machine::existing;
use crate::cli::send::API_KEY;
use crate::clock::Clock;
use crate::config::Config;
use crate::credentials::{Keyring, Secret};
use crate::drain::Drain;
use crate::http::client::{Callee, Caller, NodeUrl, refusal};
use crate::http::server::address::Address;
use crate::registry::{App, Registry};
use crate::store::{Sqlite, StoreError};
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// What there is to know of the apps.
pub enum Found {
    /// They are read here.
    Apps(Vec<Arc<App>>),
    /// A node holds the store: it has been asked.
    Running,
    Nothing,
}

/// Opens the store as `serve` does, which also writes to it. What `serve` would make is not made.
pub async fn examine(report: &mut Report, config: &Config, clock: &Clock) -> Found {
    let folder = &config.data_dir;
    if !folder.join("pyapns.db").exists() {
        absent(report, folder);
        return Found::Nothing;
    }
    if let Ok(owner) = fs::metadata(folder).map(|about| about.uid())
        && owner != rustix::process::geteuid().as_raw()
    {
        report.warn("store", format!("{} belongs to user {owner}: run this as that user", folder.display()));
    }
    let opened = match Sqlite::open(folder) {
        Ok(store) => {
            store.notices().iter().for_each(|notice| report.warn("store", notice));
            load(config, store, clock).await
        }
        Err(StoreError::Locked { .. }) => {
            report.ok("store", format!("{} is held by a node that runs: it is asked instead", folder.display()));
            ask(report, config).await;
            return Found::Running;
        }
        Err(error) => Err(error.to_string()),
    };
    match opened {
        Ok(apps) => {
            report.ok("store", format!("{}: opens, can be written, {} apps", folder.display(), apps.len()));
            Found::Apps(apps)
        }
        Err(error) => {
            report.fail("store", error);
            Found::Nothing
        }
    }
}

async fn load(config: &Config, store: Sqlite, clock: &Clock) -> Result<Vec<Arc<App>>, String> {
    let keyring = Keyring::load(&config.key_files, &config.data_dir).map_err(|error| error.to_string())?;
    let loaded = Registry::load(Arc::new(store), keyring, clock.clone(), Drain::new()).await;
    loaded.map(|registry| registry.list()).map_err(|error| error.to_string())
}

fn absent(report: &mut Report, folder: &Path) {
    let place = existing(folder);
    if !place.is_dir() {
        return report.fail("store", format!("{} is no folder: choose another data_dir", place.display()));
    }
    match rustix::fs::access(&place, rustix::fs::Access::WRITE_OK) {
        Ok(()) => report.ok("store", format!("nothing in {} yet: it is made at the first start", folder.display())),
        Err(error) => report.fail("store", format!("{} cannot be written to: {error}", place.display())),
    }
}

/// Readiness and apps, from the node's own API.
async fn ask(report: &mut Report, config: &Config) {
    let listener = config.admin_listen.as_ref().unwrap_or(&config.listen);
    let node = match listener {
        Address::Unix(path) => NodeUrl::Unix(path.clone()),
        Address::Tcp(address) => {
            NodeUrl::Tcp { host: address.ip().to_string(), port: address.port(), tls: config.tls.is_some() }
        }
    };
    let api_key = std::env::var(API_KEY).ok().map(Secret::from);
    let (callee, drain) = (Callee { node, api_key, ca_file: None }, Drain::new());
    let answers = async {
        let mut caller = Caller::connect(&callee, &drain).await?;
        let mut ready = caller.exchange(Method::GET, "/readyz", Bytes::new()).await?;
        if ready.0 == 501 {
            ready = caller.exchange(Method::GET, "/healthz", Bytes::new()).await?;
        }
        anyhow::Ok((ready, caller.exchange(Method::GET, "/apps?limit=10000", Bytes::new()).await?))
    };
    match answers.await {
        // Its certificate is for a name, and here is only an address.
        Err(error) if config.tls.is_some() => report.warn("node", format!("it cannot be asked: {error:#}")),
        Err(error) => report.fail("node", format!("{error:#}; is it the configuration that it runs with?")),
        Ok(((status, ready), (apps_status, apps))) => {
            match status {
                200 => {
                    report.ok("node", format!("{} is ready", callee.node));
                    let degraded = ready["response"]["degraded"].as_array();
                    for part in degraded.into_iter().flatten() {
                        let said = |name: &str| part[name].as_str().unwrap_or_default();
                        report.warn("node", format!("{}: {}", said("what"), said("why")));
                    }
                }
                _ => report.fail("node", format!("{}: {}", callee.node, refusal(status, &ready))),
            }
            match apps["response"].as_array() {
                Some(apps) => apps.iter().for_each(|app| told(report, app)),
                None => report.warn("credential", format!("not shown: {}", refusal(apps_status, &apps))),
            }
        }
    }
}

/// What a node says of an app.
fn told(report: &mut Report, app: &Value) {
    let name = |field: &str| app[field].as_str().unwrap_or_default().to_owned();
    let key = format!("{}/{}", name("app_id"), name("environment"));
    let days = app["credential"]["days_left"].as_i64();
    match (app["state"].as_str(), days) {
        (Some("ok" | "connecting"), Some(..0)) => {
            report.fail("credential", format!("{key}: the certificate has expired: renew it"))
        }
        (Some("ok" | "connecting"), Some(days @ ..30)) => {
            report.warn("credential", format!("{key}: {days} days left: renew it"))
        }
        (Some("ok" | "connecting"), Some(days)) => report.ok("credential", format!("{key}: {days} days left")),
        (Some("ok" | "connecting"), None) => report.ok("credential", format!("{key}: signing key")),
        (Some("breaker_open"), _) => report.fail("apple", format!("{key}: {}", name("last_error"))),
        (state, _) => {
            report.fail("credential", format!("{key}: {}: {}", state.unwrap_or("no state"), name("last_error")));
        }
    }
}
