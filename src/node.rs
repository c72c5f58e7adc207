//! The composition root: builds the parts in order, binds, runs, drains. Production and tests build the same node.

mod doors;

use crate::api::metrics::Metrics as ApiMetrics;
use crate::api::server::Listener;
use crate::api::server::address::Address;
use crate::api::server::tls::TlsError;
use crate::api::{Api, body::Bodies};
use crate::apns::connect::{Connect, TlsConnect};
use crate::apns::trust::{Trust, TrustError};
use crate::clock::Clock;
use crate::config::Config;
use crate::credentials::Keyring;
use crate::credentials::keyring::KeyFileError;
use crate::delivery::lane::Parts;
use crate::delivery::lanes::{Apple, Lanes};
use crate::delivery::{Intake, intake, metrics};
use crate::drain::Drain;
use crate::events::Events;
use crate::registry::Registry;
use crate::store::{Sqlite, StoreError};
use crate::telemetry;
use doors::Doors;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

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
}

impl Node {
    /// Opens the store, loads the apps, binds the listener.
    pub async fn build(config: Config, world: World) -> Result<Self, StartError> {
        let telemetry = telemetry::Metrics::new();
        let (requests, lanes) = (Drain::new(), Drain::new());
        let store = Arc::new(Sqlite::open(&config.data_dir)?);
        let keyring = Keyring::load(&config.key_files, &config.data_dir)?;
        let registry = Registry::load(store.clone(), keyring, world.clock.clone(), lanes.clone()).await?;
        let events = Events::new(store);
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
        let doors = Doors::open(&config).await?;
        let (limits, compat) = (config.limits, config.compat);
        let api_metrics = Arc::new(ApiMetrics::new(&telemetry));
        let bodies = Bodies::new(&limits);
        let (clock, credentials_dir) = (world.clock, config.credentials_dir);
        let drain = requests.clone();
        let api = Api { registry, intake, events, clock, telemetry, limits, compat, bodies, credentials_dir, drain };
        Ok(Self { doors, api: Arc::new(api), api_metrics, requests, lanes, drain_budget: config.drain_budget })
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

    /// The apps of this node.
    pub fn registry(&self) -> &Registry {
        &self.api.registry
    }

    /// Serves until `stop` resolves, then finishes what it has. Whether all of it ended in time.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        self.doors.serve(&self.api, &self.api_metrics, &self.requests);
        stop.await;
        tracing::info!("draining");
        let until = Instant::now() + self.drain_budget;
        let answered = self.requests.finish(self.drain_budget).await;
        self.api.intake.close();
        self.lanes.finish(until.saturating_duration_since(Instant::now())).await && answered
    }
}
