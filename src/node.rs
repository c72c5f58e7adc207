//! The composition root: builds the parts in order, binds, runs, drains. Production and tests build the same node.

use crate::api::metrics::Metrics as ApiMetrics;
use crate::api::{self, Api, body::Bodies};
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
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How long requests, and then what they left to do, may take to finish after the signal to stop.
const DRAIN_BUDGET: Duration = Duration::from_secs(25);

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("cannot listen on {address}: {cause}")]
    Listen { address: SocketAddr, cause: io::Error },
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
    listener: TcpListener,
    api: Arc<Api>,
    api_metrics: Arc<ApiMetrics>,
    requests: Drain,
    lanes: Drain,
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
        let apple =
            Apple { connect: world.connect, trust, sandbox: config.apple.sandbox, production: config.apple.production };
        let parts = Parts {
            clock: world.clock.clone(),
            events: events.clone(),
            metrics: metrics::Metrics::new(&telemetry),
            drain: lanes.clone(),
        };
        let limits = config.limits;
        let bounds = intake::Limits { node_bytes: limits.in_flight_bytes, app_bytes: limits.in_flight_app_bytes };
        let lanes_of_apps = Lanes::new(apple, parts).with_connections_max(config.apple.connections);
        let intake = Arc::new(Intake::new(lanes_of_apps, bounds));
        let address = config.listen;
        let listener = TcpListener::bind(address).await.map_err(|cause| StartError::Listen { address, cause })?;
        let api_metrics = Arc::new(ApiMetrics::new(&telemetry));
        let bodies = Bodies::new(&limits);
        let (clock, credentials_dir) = (world.clock, config.credentials_dir);
        let drain = requests.clone();
        let api = Api { registry, intake, events, clock, telemetry, limits, bodies, credentials_dir, drain };
        Ok(Self { listener, api: Arc::new(api), api_metrics, requests, lanes })
    }

    /// Where it listens; the port that was really bound.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The apps of this node.
    pub fn registry(&self) -> &Registry {
        &self.api.registry
    }

    /// Serves until `stop` resolves, then finishes what it has. Whether all of it ended in time.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let router = api::router(Arc::clone(&self.api), Arc::clone(&self.api_metrics));
        let limits = self.api.limits.clone();
        let serving = api::server::serve(self.listener, router, self.requests.clone(), limits, self.api_metrics);
        self.requests.spawn("accept", serving);
        stop.await;
        tracing::info!("draining");
        let answered = self.requests.finish(DRAIN_BUDGET).await;
        self.api.intake.close();
        self.lanes.finish(DRAIN_BUDGET).await && answered
    }
}
