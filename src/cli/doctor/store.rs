//! Checks the data directory and its store, and asks a running node for its state.

use super::cluster::ANSWER_TIMEOUT;
use super::machine::nearest_existing;
use super::{Report, shared};
use crate::cli::send::API_KEY;
use crate::clock::Clock;
use crate::config::Config;
use crate::credentials::{Keyring, Secret};
use crate::drain::Drain;
use crate::http::client::{Authorities, Client, NodeUrl, Target, refusal};
use crate::model::AppKey;
use crate::store::{self, Kept, Opened, Store, StoreError, sqlite};
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The apps found.
#[derive(Default)]
pub struct Findings {
    /// The apps of the store, with the keyring of their credentials; `None` if they cannot be read.
    pub kept: Option<(Kept, Keyring)>,
    /// The running node that holds the store, if there is one and it answers.
    pub node: Option<RunningNode>,
}

/// A running node's list of its apps.
pub struct RunningNode(Vec<Value>);

/// Opens the store as `serve` does, which also writes to it, but creates no store. A store that a node holds is only
/// read.
pub async fn examine(report: &mut Report, config: &Config, clock: &Clock) -> Findings {
    if let Some(url) = &config.store.url {
        return shared::examine(report, config, url, clock).await;
    }
    let folder = &config.data_dir;
    if !folder.join("pyapns.db").exists() {
        absent(report, folder);
        return without_store(report, config);
    }
    if let Ok(owner) = fs::metadata(folder).map(|about| about.uid())
        && owner != rustix::process::geteuid().as_raw()
    {
        report.warn("store", format!("{} belongs to user {owner}: run this as that user", folder.display()));
    }
    let opened = match store::open(store::Settings { data_dir: folder, shared: None }, clock).await {
        Ok(Opened { store, notices, .. }) => {
            notices.iter().for_each(|notice| report.warn("store", notice));
            load(config, &*store).await
        }
        Err(StoreError::Locked { .. }) => return examine_running(report, config, clock).await,
        Err(error) => Err(error.to_string()),
    };
    match opened {
        Ok(kept) => {
            report.ok("store", format!("{}: opens, can be written, {} apps", folder.display(), kept.0.apps.len()));
            Findings { kept: Some(kept), node: None }
        }
        Err(error) => {
            report.fail("store", error);
            Findings::default()
        }
    }
}

/// Before the first start there are only the configured apps.
fn without_store(report: &mut Report, config: &Config) -> Findings {
    let load = || Keyring::load(&config.key_files, &config.data_dir);
    match if config.key_files.is_empty() { Keyring::passing() } else { load() } {
        Ok(keyring) => Findings { kept: Some((Kept::default(), keyring)), node: None },
        Err(error) => {
            report.fail("store", error);
            Findings::default()
        }
    }
}

pub async fn load(config: &Config, store: &dyn Store) -> Result<(Kept, Keyring), String> {
    let keyring = Keyring::load(&config.key_files, &config.data_dir).map_err(|error| error.to_string())?;
    let apps = store.list(None, usize::MAX).await.map_err(|error| error.to_string())?;
    let entries = store.entries().await.map_err(|error| error.to_string())?;
    Ok((Kept { apps, entries }, keyring))
}

/// A node holds the store. It is asked for its state. The credentials are read from its store, because only Apple can
/// say which of them it accepts.
async fn examine_running(report: &mut Report, config: &Config, clock: &Clock) -> Findings {
    let folder = &config.data_dir;
    report.ok(
        "store",
        format!(
            "{} is held by a running node: it is asked for its state, and its store is only read",
            folder.display()
        ),
    );
    let node = ask(report, config).await;
    let read = || {
        let kept = sqlite::read_beside(folder).map_err(|error| error.to_string())?;
        Ok::<_, String>((kept, Keyring::load(&config.key_files, folder).map_err(|error| error.to_string())?))
    };
    match read() {
        Ok(kept) => Findings { kept: Some(kept), node },
        Err(error) => {
            let what = format!("Apple cannot be asked about the node's apps, as its store cannot be read: {error}");
            report.warn("apple", what);
            node.iter().flat_map(|node| &node.0).for_each(|app| report_running_app(report, app, clock.unix_seconds()));
            Findings::default()
        }
    }
}

pub fn absent(report: &mut Report, folder: &Path) {
    let place = nearest_existing(folder);
    if !place.is_dir() {
        return report.fail("store", format!("{} is not a folder: choose another data_dir", place.display()));
    }
    match rustix::fs::access(&place, rustix::fs::Access::WRITE_OK) {
        Ok(()) => report.ok("store", format!("{} does not exist yet: the first start creates it", folder.display())),
        Err(error) => report.fail("store", format!("{} cannot be written to: {error}", place.display())),
    }
}

/// Reads readiness and apps from the node's API.
pub async fn ask(report: &mut Report, config: &Config) -> Option<RunningNode> {
    let listener = config.admin_listen.as_ref().unwrap_or(&config.listen);
    let node = NodeUrl::of_listener(listener, config.tls.is_some());
    let api_key = std::env::var(API_KEY).ok().map(Secret::from);
    let (callee, drain) = (Target { node, api_key, authorities: Authorities::Public }, Drain::new());
    let answers = async {
        let mut caller = Client::connect(&callee, &drain).await?;
        let mut ready = caller.exchange(Method::GET, "/readyz", Bytes::new()).await?;
        if ready.0 == 501 {
            ready = caller.exchange(Method::GET, "/healthz", Bytes::new()).await?;
        }
        anyhow::Ok((ready, caller.exchange(Method::GET, "/apps?limit=10000", Bytes::new()).await?))
    };
    let answers = async {
        let late = || anyhow::anyhow!("{} has not answered within {} s", callee.node, ANSWER_TIMEOUT.as_secs());
        tokio::time::timeout(ANSWER_TIMEOUT, answers).await.unwrap_or_else(|_| Err(late()))
    };
    match answers.await {
        // The node's certificate is for a name, and only its address is known here.
        Err(error) if config.tls.is_some() => {
            report.warn("node", format!("it cannot be asked: {error:#}"));
            None
        }
        Err(error) => {
            report.fail("node", format!("{error:#}; run doctor with the configuration of the running node"));
            None
        }
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
                Some(apps) => Some(RunningNode(apps.clone())),
                None => {
                    report.warn("node", format!("it does not show its apps: {}", refusal(apps_status, &apps)));
                    None
                }
            }
        }
    }
}

impl RunningNode {
    /// The check that fails and a sentence, if the node cannot send for an app now.
    pub fn app_failure(&self, key: &AppKey) -> Option<(&'static str, String)> {
        let is_wanted =
            |app: &&Value| app["app_id"] == key.id.as_str() && app["environment"] == key.environment.as_str();
        app_failure(self.0.iter().find(is_wanted)?)
    }
}

fn app_failure(app: &Value) -> Option<(&'static str, String)> {
    let state = app["state"].as_str().unwrap_or("no state");
    let what = match state {
        "ok" | "connecting" => return None,
        "breaker_open" | "cannot_connect" => "apple",
        _ => "credential",
    };
    Some((what, format!("{state}: {}", app["last_error"].as_str().unwrap_or("without an error"))))
}

/// Reports a running node's state of an app whose credential cannot be read here.
fn report_running_app(report: &mut Report, app: &Value, now: u64) {
    let name = |field: &str| app[field].as_str().unwrap_or_default();
    let key = format!("{}/{}", name("app_id"), name("environment"));
    if let Some((what, failure)) = app_failure(app) {
        return report.fail(what, format!("{key}: the running node says {failure}"));
    }
    let ago = app["last_success_at"].as_f64().map(|at| (now as f64 - at).max(0.0));
    let proof = match ago {
        Some(seconds) => format!("Apple accepted something {seconds:.0} s ago"),
        None => "Apple has accepted nothing since the node's start".to_owned(),
    };
    match app["credential"]["days_left"].as_i64() {
        Some(..0) => report.fail("credential", format!("{key}: the certificate has expired: renew it")),
        Some(days @ ..30) => report.warn("credential", format!("{key}: {days} days left: renew it; {proof}")),
        _ if ago.is_none() => report.warn("credential", format!("{key}: {proof}, so it is not known to work")),
        Some(days) => report.ok("credential", format!("{key}: {days} days left; {proof}")),
        None => report.ok("credential", format!("{key}: signing key; {proof}")),
    }
}
