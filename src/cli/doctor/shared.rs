//! The store that the nodes of a cluster share, and the database of this node beside it.

use super::Report;
use super::store::{Findings, RunningNode, absent, ask, load};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::redis::{Redis, RedisUrl, Settings};
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
    let opened = match connect(report, &settings, clock).await {
        Ok(store) => load(config, &store).await,
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

async fn connect(report: &mut Report, settings: &Settings, clock: &Clock) -> Result<Redis, StoreError> {
    let (store, notices) = opening::connect(settings, clock).await?;
    notices.iter().for_each(|notice| report.warn("store", notice));
    opening::refuse_unfinished(&store).await?;
    store.try_writing().await?;
    Ok(store)
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
            return ask(report, config).await;
        }
        Err(error) => Err(error),
    };
    match found {
        Ok(()) => report.ok("store", format!("{}: this node's copy of the shared store", folder.display())),
        Err(error) => report.fail("store", error),
    }
    None
}
