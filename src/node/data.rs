//! The data of a node: its store, and the apps and events in it.

use super::shared::{self, SharedStore};
use super::{StartError, keys};
use crate::clock::Clock;
use crate::config::Config;
use crate::credentials::Keyring;
use crate::drain::Drain;
use crate::events::Events;
use crate::health::Health;
use crate::model::NodeName;
use crate::registry::{Loaded, Registry};
use crate::store::{self, Opened, Store, StoreError};
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
    pub shared: Option<SharedStore>,
}

/// Opens the store, and loads what a node has in memory of it.
pub(super) async fn open(
    source: Source<'_>,
    health: &Health,
    telemetry: &telemetry::Metrics,
    lanes: &Drain,
) -> Result<Data, StartError> {
    let Source { config, clock, store } = source;
    let Opened { store, shared, mut away, is_shared, .. } = open_store(config, clock, store).await?;
    let keyring = Keyring::load(&config.key_files, &config.data_dir)?;
    let mut missing_key = None;
    if let Some(shared) = shared.as_ref().filter(|_| away.is_none()) {
        match keys::check(shared.redis(), &keyring).await {
            Ok(missing) => {
                missing_key = missing;
                shared.admit();
            }
            Err(error) if error.is_temporary() => away = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    let (clock, drain) = (clock.clone(), lanes.clone());
    let registry = match &shared {
        Some(shared) => {
            let loaded = Registry::load_with_copy(shared.clone(), shared.clone(), keyring, clock, drain).await?;
            started(health, loaded)?
        }
        None if is_shared => Registry::load_shared(store.clone(), keyring, clock, drain).await?,
        None => Registry::load(store.clone(), keyring, clock, drain).await?,
    };
    if let Some(why) = &missing_key {
        registry.refuse_changes().await;
        keys::report(health, why);
    }
    let events = Events::new(store, telemetry);
    let events = match config.node_name.clone().or_else(machine_name) {
        Some(name) => events.of(name),
        None => events,
    };
    match (events.load().await, &shared) {
        (Err(error), Some(shared)) if error.is_temporary() => events.load_from(shared.spooled_quarantines().await?),
        (loaded, _) => loaded?,
    }
    registry.watch(telemetry);
    let shared = shared.map(|shared| SharedStore::new(shared, away.is_some(), missing_key.is_none(), telemetry));
    Ok(Data { registry, events, shared })
}

/// The registry of a node beside a shared store, which may have failed.
fn started(health: &Health, loaded: Loaded) -> Result<Registry, StoreError> {
    let Loaded { registry, copied_at, failure } = loaded;
    match failure {
        Some(error) if error.is_temporary() => shared::report_start(health, copied_at, &error),
        // The node goes on with its copy, and says so as soon as it runs.
        None | Some(StoreError::ForeignRegistry) => {}
        Some(error) => return Err(error),
    }
    Ok(registry)
}

async fn open_store(config: &Config, clock: &Clock, shared: Option<Arc<dyn Store>>) -> Result<Opened, StartError> {
    if let Some(store) = shared {
        return Ok(Opened::in_process(store));
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
