//! The composition root: builds the parts in order, binds, runs, drains. Production and tests build the same node.

pub mod descriptors;
mod doors;
mod reload;

use crate::api::auth::Door;
use crate::api::auth::entry::SecretFileError;
use crate::api::routes::node::Rendered;
use crate::api::routes::readiness::{self, Readiness};
use crate::api::{self, Api};
use crate::apns::connect::{Connect, TlsConnect};
use crate::apns::trust::{Trust, TrustError};
use crate::autoprovision::{Autoprovision, Fault};
use crate::clock::Clock;
use crate::config::{self, Config, Origin};
use crate::credentials::Keyring;
use crate::credentials::keyring::KeyFileError;
use crate::delivery::descriptors::Descriptors;
use crate::delivery::lane::Parts;
use crate::delivery::lanes::{Apple, Lanes};
use crate::delivery::{Intake, intake, metrics};
use crate::drain::Drain;
use crate::events::Events;
use crate::health::Health;
use crate::http::metrics::Metrics as ApiMetrics;
use crate::http::server::Listener;
use crate::http::server::address::Address;
use crate::http::server::tls::TlsError;
use crate::http::{body::Bodies, server};
use crate::model::NodeName;
use crate::registry::Registry;
use crate::store::{self, Store, StoreError};
use crate::telemetry::{self, Logging};
use descriptors::Shares;
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
    /// Apple's stand-in runs in this process, too, and takes file descriptors.
    pub has_stand_in: bool,
}

impl World {
    /// The machine's clock and sockets.
    pub fn real(config: &Config) -> Self {
        let connect = Arc::new(TlsConnect::new(config.apple.proxy.clone()));
        Self { clock: Clock::system(), connect, has_stand_in: false }
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
    /// Whether the apps of the configuration are stored.
    is_provisioned: bool,
    reload: Option<Reload>,
}

impl Node {
    /// Opens the store, loads the apps, makes those of the configuration, binds the listener.
    pub async fn build(mut config: Config, world: World) -> Result<Self, StartError> {
        let shares = share_descriptors(&mut config, world.has_stand_in);
        let telemetry = telemetry::Metrics::new();
        let (requests, lanes) = (Drain::new(), Drain::new());
        let store = open_store(&config)?;
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
        let descriptors = Descriptors::new(shares.apple, Instant::now());
        metrics::watch_descriptors(&telemetry, &descriptors);
        let lanes_of_apps =
            Lanes::new(apple, parts).with_connections_max(config.apple.connections).with_descriptors(descriptors);
        let intake = Arc::new(Intake::new(lanes_of_apps, bounds));
        let autoprovision = Autoprovision::new(
            registry.clone(),
            Arc::clone(&intake),
            events.clone(),
            world.clock.clone(),
            requests.clone(),
        );
        let is_provisioned = provision(&autoprovision, &config).await?;
        let doors = Doors::open(&config, shares).await?;
        let (limits, compat) = (config.limits, config.compat);
        let api_metrics = Arc::new(ApiMetrics::new(&telemetry, api::routes::NOTIFICATIONS));
        let bodies = Bodies::new(&limits);
        let (clock, credentials_dir) = (world.clock, config.credentials_dir);
        let (drain, readiness) = (requests.clone(), Readiness::default());
        let health = Health::new(clock.clone(), &telemetry);
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
            health,
            readiness,
            rendered: Rendered::default(),
            drain,
        };
        let (api, drain_budget) = (Arc::new(api), config.drain_budget);
        let reload = None;
        Ok(Self { doors, api, api_metrics, requests, lanes, drain_budget, autoprovision, is_provisioned, reload })
    }

    /// Follows the configuration from where it came, on SIGHUP and when it changes. `config` is what the node was built
    /// with, `logging` what its level is for.
    pub fn following(self, origin: Origin, config: &Config, logging: Option<Logging>) -> io::Result<Self> {
        if let Some(logging) = &logging {
            self.api.telemetry.add(logging.dropped().clone());
        }
        let keys = self.doors.keys().cloned();
        let reload = Reload::new(origin, config, keys, logging, self.requests.clone())?;
        let reload = if self.is_provisioned { reload } else { reload.at_once() };
        Ok(Self { reload: Some(reload), ..self })
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
        server::answer(io, entry, self.requests.clone(), self.api.limits.clone())
    }

    /// Serves until `stop` resolves, then finishes what it has. Whether all of it ended in time.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        self.doors.serve(&self.api, &self.api_metrics, &self.requests);
        self.requests.spawn("watch", readiness::watch(Arc::clone(&self.api)));
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

fn open_store(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    let opened = store::open(store::Settings { data_dir: &config.data_dir })?;
    for notice in &opened.notices {
        tracing::error!("{notice}");
    }
    Ok(opened.store)
}

/// Shares out the descriptors that the system allows, lowers the limits that do not fit, and logs what the configuration's
/// reader and this step have to say.
fn share_descriptors(config: &mut Config, has_stand_in: bool) -> Shares {
    let shares = Shares::of(descriptors::raise(), has_stand_in);
    let lowered = shares.lower(config);
    config.notices.extend(lowered);
    for notice in &config.notices {
        tracing::warn!("{notice}");
    }
    shares
}

/// Makes the apps of the configuration: whether they are stored. A full disk is no reason to send nothing for those that
/// are stored already.
async fn provision(autoprovision: &Autoprovision, config: &Config) -> Result<bool, StartError> {
    let faults = match autoprovision.apply(&config.autoprovision).await {
        Err(error @ StoreError::Full) => {
            tracing::error!(%error, "the configuration's apps could not be stored: tried again soon");
            return Ok(false);
        }
        applied => applied?,
    };
    if faults.is_empty() {
        return Ok(true);
    }
    let fault = |Fault { place, what }| config::Fault { place, what };
    Err(StartError::Autoprovision(config::Faults(faults.into_iter().map(fault).collect())))
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
