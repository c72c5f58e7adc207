//! The composition root: builds the parts in order, binds, runs, drains. Production and tests build the same node.

use crate::api::metrics::Metrics as ApiMetrics;
use crate::api::auth::{Door, Guard};
use crate::api::server::address::Address;
use crate::api::server::tls::{Tls, TlsError};
use crate::api::server::{Listener, Places};
use crate::api::{self, Api, Limits, body::Bodies};
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

/// How long requests, and then what they left to do, may take to finish after the signal to stop.
const DRAIN_BUDGET: Duration = Duration::from_secs(25);
/// Connections of the admin listener, which others cannot take.
const ADMIN_CONNECTIONS: usize = 64;

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
    public: Listener,
    admin: Option<Listener>,
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
        let intake = Arc::new(Intake::new(Lanes::new(apple, parts), bounds));
        let tls = config.tls.map(Tls::load).transpose()?.map(Arc::new);
        let bind = async |address: Address| {
            let bound = Listener::bind(&address, config.socket_mode, tls.clone()).await;
            bound.map_err(|cause| StartError::Listen { address, cause })
        };
        let public = bind(config.listen).await?;
        let admin = match config.admin_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let api_metrics = Arc::new(ApiMetrics::new(&telemetry));
        let bodies = Bodies::new(&limits);
        let (clock, credentials_dir) = (world.clock, config.credentials_dir);
        let drain = requests.clone();
        let api = Api { registry, intake, events, clock, telemetry, limits, bodies, credentials_dir, drain };
        Ok(Self { public, admin, api: Arc::new(api), api_metrics, requests, lanes })
    }

    /// Where it listens over TCP; the port that was really bound. Fails for a Unix socket.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.public.address()
    }

    /// The same of the admin listener, if there is one.
    pub fn admin_address(&self) -> Option<io::Result<SocketAddr>> {
        self.admin.as_ref().map(Listener::address)
    }

    /// Where it listens, for people: `http://…`, `https://…` or `unix:…`.
    pub fn url(&self) -> &str {
        self.public.url()
    }

    /// The apps of this node.
    pub fn registry(&self) -> &Registry {
        &self.api.registry
    }

    /// Serves until `stop` resolves, then finishes what it has. Whether all of it ended in time.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let listeners = [
            Some((self.public, if self.admin.is_some() { Door::Public } else { Door::Whole }, places(&self.api.limits))),
            self.admin.map(|listener| (listener, Door::Whole, Places::new(ADMIN_CONNECTIONS, ADMIN_CONNECTIONS, Vec::new()))),
        ];
        for (listener, door, places) in listeners.into_iter().flatten() {
            let guard = Guard { keys: None, door, clock: self.api.clock.clone() };
            let (api, metrics, drain) = (Arc::clone(&self.api), Arc::clone(&self.api_metrics), self.requests.clone());
            let (router, limits) = (api::router(Arc::clone(&api), Arc::clone(&metrics), guard), api.limits.clone());
            self.requests.spawn("accept", api::server::serve(listener, router, drain, limits, places, metrics));
        }
        stop.await;
        tracing::info!("draining");
        let answered = self.requests.finish(DRAIN_BUDGET).await;
        self.api.intake.close();
        self.lanes.finish(DRAIN_BUDGET).await && answered
    }
}

fn places(limits: &Limits) -> Arc<Places> {
    Places::new(limits.connections, limits.connections_per_address, limits.shared_addresses.clone())
}
