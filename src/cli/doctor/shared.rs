//! The store that the nodes of a cluster share, and the database of this node beside it.

use super::store::{Findings, RunningNode, absent, ask, load};
use super::{Report, cluster};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::redis::{Link, Redis, RedisUrl, Settings, start};
use crate::store::sqlite::DATABASE_FILE;
use crate::store::{Durability, Sqlite, StoreError, opening};

/// Connects to the shared store as `serve` does, and writes to it without changing anything.
pub async fn examine(report: &mut Report, config: &Config, url: &RedisUrl, clock: &Clock) -> Findings {
    let node = local(report, config, url).await;
    let settings = match config.store.redis() {
        Ok(Some(settings)) => settings,
        Ok(None) => return Findings { kept: None, node },
        Err(error) => {
            report.fail("store", error);
            return Findings { kept: None, node };
        }
    };
    let opened = match connect(report, &settings).await {
        Ok(store) => {
            cluster::examine(report, config, &store, clock).await;
            load(config, &store).await
        }
        Err(error) => Err(error.to_string()),
    };
    match opened {
        Ok(kept) => {
            report.ok("store", format!("{url}: answers, can be written, {} apps", kept.0.apps.len()));
            Findings { kept: Some(kept), node }
        }
        Err(error) => {
            report.fail("store", error);
            Findings { kept: None, node }
        }
    }
}

async fn connect(report: &mut Report, settings: &Settings) -> Result<Redis, StoreError> {
    let link = Link::new(settings)?;
    let notices = start::check_settings(&link, &settings.prefix).await?;
    let store = Redis::new(link, &settings.prefix);
    access(report, settings);
    notices.iter().for_each(|notice| report.warn("store", notice));
    opening::refuse_unfinished(&store).await?;
    store.try_writing().await?;
    Ok(store)
}

/// Reports how this node reaches Redis, which it has just done.
fn access(report: &mut Report, settings: &Settings) {
    let Settings { url, username, password, certificate, .. } = settings;
    let user = username.as_deref().unwrap_or("default");
    let has_secret = password.is_some() || certificate.is_some();
    let login = if has_secret { "" } else { ", who needs no password," };
    let way = if url.is_tls() { "over TLS" } else { "without TLS" };
    let text = format!("{url}: connected {way} as the user {user}{login} and may run scripts");
    match (url.is_tls() || url.is_local(), has_secret || url.is_local()) {
        (true, true) => report.ok("redis", text),
        (false, _) => {
            report.warn("redis", format!("{text}; others on the network can read device tokens: use rediss://"));
        }
        (_, false) => {
            report.warn("redis", format!("{text}; anybody on the network can use it: set store.password_file"));
        }
    }
}

/// Looks at the database in the data directory. A node that holds it is asked for its state.
async fn local(report: &mut Report, config: &Config, url: &RedisUrl) -> Option<RunningNode> {
    let folder = &config.data_dir;
    if !folder.join(DATABASE_FILE).exists() {
        absent(report, folder);
        return None;
    }
    let found = match Sqlite::open(folder) {
        Ok(local) => opening::refuse_own(&local, folder, url).await,
        Err(StoreError::Locked { .. }) => {
            report.ok("store", format!("{} is held by a node that runs: it is asked", folder.display()));
            let node = ask(report, config).await;
            cluster::balancer(report, config).await;
            return node;
        }
        Err(error) => Err(error),
    };
    match found {
        Ok(()) => report.ok("store", format!("{}: this node's copy of the shared store", folder.display())),
        Err(error) => report.fail("store", error),
    }
    None
}
