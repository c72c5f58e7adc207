//! The composition root: builds the parts in order, binds, runs, drains. Production and tests build the same node.

mod doors;
mod reload;

use crate::api::auth::Door;
use crate::api::auth::entry::SecretFileError;
use crate::api::metrics::Metrics as ApiMetrics;
use crate::api::node::{Readiness, Rendered};
use crate::api::server::Listener;
use crate::api::server::address::Address;
use crate::api::server::tls::TlsError;
use crate::api::{self, Api, body::Bodies};
use crate::apns::connect::{Connect, TlsConnect};
use crate::apns::trust::{Trust, TrustError};
use crate::autoprovision::{Autoprovision, Fault};
use crate::clock::Clock;
use crate::config::{self, Config, Origin};
use crate::credentials::Keyring;
use crate::credentials::keyring::KeyFileError;
use crate::delivery::lane::Parts;
use crate::delivery::lanes::{Apple, Lanes};
use crate::delivery::{Intake, intake, metrics};
use crate::drain::Drain;
use crate::events::Events;
use crate::model::NodeName;
use crate::registry::Registry;
use crate::store::{Sqlite, StoreError};
use crate::telemetry::{self, Logging};
use doors::Doors;
use reload::Reload;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// The last part of the drain's budget, a tenth, is for answering: what is in flight then is ended.
const LAST_WORDS: u32 = 10;

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{place}: {cause}")]
    ApiKey { place: String, cause: SecretFileError },
    #[error("apps of the configuration cannot be provisioned:\n{0}")]
    Autoprovision(config::Faults),
    #[error("cannot listen on {address}: {cause}")]
    Listen { address: Address, cause: io::Error },
}

/// What the world outside is to a node.
pub struct World {
    pub clock: Clock,
    pub connect: Arc<dyn Connect>,
}

impl World {
    /// The machine's clock and sockets.
    pub fn real(config: &Config) -> Self {
        Self { clock: Clock::system(), connect: Arc::new(TlsConnect::new(config.apple.proxy.clone())) }
    }
}

/// A node that is bound but not alive yet.
pub struct Node {
    doors: Doors,
    api: Arc<Api>,
    api_metrics: Arc<ApiMetrics>,
    requests: Drain,
    lanes: Drain,
    drain_budget: Duration,
    autoprovision: Autoprovision,
    reload: Option<Reload>,
}

impl Node {
    /// Opens the store, loads the apps, makes those of the configuration, binds the listener.
    pub async fn build(config: Config, world: World) -> Result<Self, StartError> {
        for notice in &config.notices {
            tracing::warn!("{notice}");
        }
        let telemetry = telemetry::Metrics::new();
        let (requests, lanes) = (Drain::new(), Drain::new());
        let store = Arc::new(Sqlite::open(&config.data_dir)?);
        let keyring = Keyring::load(&config.key_files, &config.data_dir)?;
        let registry = Registry::load(store.clone(), keyring, world.clock.clone(), lanes.clone()).await?;
        let events = Events::new(store, &telemetry);
        let events = match config.node_name.clone().or_else(machine_name) {
            Some(name) => events.of(name),
            None => events,
        };
        events.load().await?;
        registry.watch(&telemetry);
        let trust = Arc::new(Trust::load(config.apple.ca_file.as_deref())?);
        let apple = Apple {
            connect: world.connect,
            trust,
            sandbox: config.apple.sandbox.clone(),
            production: config.apple.production.clone(),
        };
        let parts = Parts {
            clock: world.clock.clone(),
            events: events.clone(),
            metrics: metrics::Metrics::new(&telemetry),
            drain: lanes.clone(),
        };
        let (node_bytes, app_bytes) = (config.limits.in_flight_bytes, config.limits.in_flight_app_bytes);
        let bounds = intake::Limits { node_bytes, app_bytes };
        let lanes_of_apps = Lanes::new(apple, parts).with_connections_max(config.apple.connections);
        let intake = Arc::new(Intake::new(lanes_of_apps, bounds));
        let autoprovision = Autoprovision::new(
            registry.clone(),
            Arc::clone(&intake),
            events.clone(),
            world.clock.clone(),
            requests.clone(),
        );
        let faults = autoprovision.apply(&config.autoprovision).await?;
        if !faults.is_empty() {
            let fault = |Fault { place, what }| config::Fault { place, what };
            return Err(StartError::Autoprovision(config::Faults(faults.into_iter().map(fault).collect())));
        }
        let doors = Doors::open(&config).await?;
        let (limits, compat) = (config.limits, config.compat);
        let api_metrics = Arc::new(ApiMetrics::new(&telemetry));
        let bodies = Bodies::new(&limits);
        let (clock, credentials_dir) = (world.clock, config.credentials_dir);
        let (drain, readiness) = (requests.clone(), Readiness::default());
        let api = Api {
            registry,
            intake,
            events,
            clock,
            telemetry,
            limits,
            compat,
            bodies,
            credentials_dir,
            readiness,
            rendered: Rendered::default(),
            drain,
        };
        let (api, drain_budget) = (Arc::new(api), config.drain_budget);
        Ok(Self { doors, api, api_metrics, requests, lanes, drain_budget, autoprovision, reload: None })
    }

    /// Follows the configuration from where it came, on SIGHUP and when it changes. `config` is what the node was built
    /// with, `logging` what its level is for.
    pub fn following(self, origin: Origin, config: &Config, logging: Option<Logging>) -> io::Result<Self> {
        if let Some(logging) = &logging {
            self.api.telemetry.add(logging.dropped().clone());
        }
        let keys = self.doors.keys().cloned();
        Ok(Self { reload: Some(Reload::new(origin, config, keys, logging, self.requests.clone())?), ..self })
    }

    /// Where it listens over TCP; the port that was really bound. Fails for a Unix socket.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.doors.public().address()
    }

    /// The same of the admin listener, if there is one.
    pub fn admin_address(&self) -> Option<io::Result<SocketAddr>> {
        self.doors.admin().map(Listener::address)
    }

    /// Where it listens, for people: `http://…`, `https://…` or `unix:…`.
    pub fn url(&self) -> &str {
        self.doors.public().url()
    }

    /// The same of the admin listener, if there is one.
    pub fn admin_url(&self) -> Option<&str> {
        self.doors.admin().map(Listener::url)
    }

    /// The apps of this node.
    pub fn registry(&self) -> &Registry {
        &self.api.registry
    }

    /// Answers a client whose bytes come through no listener, as the admin listener would, until one of both leaves.
    pub fn answer<Io>(&self, io: Io) -> impl Future<Output = ()> + Send + 'static
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let guard = self.doors.guard(Door::Whole, &self.api);
        let entry = api::entry(Arc::clone(&self.api), Arc::clone(&self.api_metrics), guard);
        api::server::answer(io, entry, self.requests.clone(), self.api.limits.clone())
    }

    /// Serves until `stop` resolves, then finishes what it has. Whether all of it ended in time.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        self.doors.serve(&self.api, &self.api_metrics, &self.requests);
        if let Some(reload) = self.reload {
            self.requests.spawn("reload", reload.run(self.autoprovision));
        }
        stop.await;
        self.requests.begin();
        tracing::info!("draining");
        let until = Instant::now() + self.drain_budget;
        let enough = until - self.drain_budget / LAST_WORDS;
        let answered = finish(&self.requests, &self.lanes, enough, until).await;
        self.api.intake.close();
        finish(&self.lanes, &self.lanes, enough, until).await && answered
    }
}

/// Waits for tasks to finish what they have; from `enough` on the lanes end what they have instead, so that callers have
/// an answer before it is too late. Whether all ended in time.
async fn finish(tasks: &Drain, lanes: &Drain, enough: Instant, until: Instant) -> bool {
    let left = |end: Instant| end.saturating_duration_since(Instant::now());
    if tasks.finish(left(enough)).await {
        return true;
    }
    tracing::warn!("there is not much time left: what is still in flight is ended");
    lanes.hurry();
    tasks.finish(left(until)).await
}

/// As the machine is called, unless that is no name.
fn machine_name() -> Option<NodeName> {
    rustix::system::uname().nodename().to_str().ok()?.parse().ok()
}
