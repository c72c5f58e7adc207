//! The data of a node: its store, and the apps and events in it.

use super::{StartError, keys};
use crate::clock::Clock;
use crate::config::Config;
use crate::credentials::Keyring;
use crate::drain::Drain;
use crate::events::Events;
use crate::health::Health;
use crate::model::NodeName;
use crate::registry::Registry;
use crate::store::redis::Redis;
use crate::store::{self, Opened, Sqlite, Store};
use crate::telemetry;
use std::sync::Arc;

/// The source of the data.
pub(super) struct Source<'a> {
    pub config: &'a Config,
    pub clock: &'a Clock,
    /// An open store in place of the one that the settings name.
    pub store: Option<Arc<dyn Store>>,
}

/// The apps and events of an open store.
pub(super) struct Data {
    pub registry: Registry,
    pub events: Events,
    /// Beside a shared store, this node's copy of it.
    pub local: Option<Arc<Sqlite>>,
    /// The shared store as what it is.
    pub redis: Option<Arc<Redis>>,
}

/// Opens the store, and loads what a node has in memory of it.
pub(super) async fn open(
    source: Source<'_>,
    health: &Health,
    telemetry: &telemetry::Metrics,
    lanes: &Drain,
) -> Result<Data, StartError> {
    let Source { config, clock, store } = source;
    let Opened { store, local, redis, shared, .. } = open_store(config, clock, store).await?;
    let keyring = Keyring::load(&config.key_files, &config.data_dir)?;
    let missing_key = match &redis {
        Some(redis) => keys::check(redis, &keyring).await?,
        None => None,
    };
    let (clock, drain) = (clock.clone(), lanes.clone());
    let registry = match shared {
        true => Registry::load_shared(store.clone(), keyring, clock, drain).await?,
        false => Registry::load(store.clone(), keyring, clock, drain).await?,
    };
    if missing_key.is_some() {
        registry.refuse_changes().await;
    }
    keys::report(health, missing_key);
    let events = Events::new(store, telemetry);
    let events = match config.node_name.clone().or_else(machine_name) {
        Some(name) => events.of(name),
        None => events,
    };
    events.load().await?;
    registry.watch(telemetry);
    Ok(Data { registry, events, local, redis })
}

async fn open_store(config: &Config, clock: &Clock, shared: Option<Arc<dyn Store>>) -> Result<Opened, StartError> {
    if let Some(store) = shared {
        return Ok(Opened { store, local: None, redis: None, shared: true, notices: Vec::new() });
    }
    let settings = store::Settings { data_dir: &config.data_dir, shared: config.store.redis()? };
    let opened = store::open(settings, clock).await?;
    for notice in &opened.notices {
        tracing::error!("{notice}");
    }
    Ok(opened)
}

/// The machine's host name, if it is a valid node name.
pub(super) fn machine_name() -> Option<NodeName> {
    rustix::system::uname().nodename().to_str().ok()?.parse().ok()
}
