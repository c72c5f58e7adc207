//! The composition root: builds the parts in order, binds, runs, drains. Production and tests build the same node.

pub mod cluster;
mod data;
mod delivery;
pub mod descriptors;
mod following;
mod keys;
mod listeners;
mod reload;
mod shared;

use crate::api::auth::Exposure;
use crate::api::auth::config::SecretFileError;
use crate::api::routes::health::{self, StoreCheck};
use crate::api::routes::metrics::RenderedMetrics;
use crate::api::{self, Api};
use crate::apns::connect::{Connect, TlsConnect};
use crate::apns::trust::TrustError;
use crate::autoprovision::{AppFault, Autoprovision};
use crate::clock::Clock;
use crate::cluster::identity::IdentityError;
use crate::config::store::PasswordFileError;
use crate::config::{self, Config, Origin};
use crate::credentials::keyring::KeyFileError;
use crate::delivery::calls::{CallLanes, Caller};
use crate::delivery::lane::Parts;
use crate::delivery::metrics::{self, apps::AppTable};
use crate::delivery::peer::peers::Peers;
use crate::drain::Drain;
use crate::health::Health;
use crate::http::metrics::Metrics as ApiMetrics;
use crate::http::server::Listener;
use crate::http::server::address::Address;
use crate::http::server::tls::TlsError;
use crate::http::{body::Bodies, server};
use crate::registry::Registry;
use crate::store::{Store, StoreError};
use crate::telemetry::{self, Logging};
use cluster::{Cluster, FixedCluster, Setup};
use data::{Data, Source};
use delivery::Delivery;
use descriptors::Shares;
use following::Followed;
use listeners::Listeners;
use reload::Reload;
use shared::SharedStore;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// The share of the drain budget kept for replies: one part in ten. In-flight notifications are ended when it begins.
const DRAIN_REPLY_SHARE: u32 = 10;
/// The longest wait at the end for the shared store to take the events that wait.
const SPOOL_TIMEOUT: Duration = Duration::from_secs(3);

/// The reason that a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("store.password_file: {0}")]
    StorePassword(#[from] PasswordFileError),
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
    #[error("cluster.identity_files: {0}")]
    ClusterIdentity(#[from] IdentityError),
    #[error("cluster.listen: cannot listen on {address}: {cause}")]
    ClusterListen { address: SocketAddr, cause: io::Error },
    #[error("the cluster's identity cannot be used: {0}")]
    ClusterTls(rustls::Error),
    #[error("cannot listen on {address}: {cause}")]
    Listen { address: Address, cause: io::Error },
}

/// The clock and the network that a node works with.
pub struct World {
    pub clock: Clock,
    pub connect: Arc<dyn Connect>,
    /// A simulator runs in this process and takes file descriptors too.
    pub has_simulator: bool,
    /// The cluster that the node is a member of.
    pub cluster: Option<FixedCluster>,
    /// An open store that several nodes share, in place of the one that the settings name.
    pub shared_store: Option<Arc<dyn Store>>,
}

impl World {
    /// The machine's clock and sockets.
    pub fn real(config: &Config) -> Self {
        let connect = Arc::new(TlsConnect::new(config.apple.proxy.clone()));
        Self { clock: Clock::system(), connect, has_simulator: false, cluster: None, shared_store: None }
    }
}

/// A node whose listeners are bound, but which does not answer yet.
pub struct Node {
    listeners: Listeners,
    api: Arc<Api>,
    api_metrics: Arc<ApiMetrics>,
    requests: Drain,
    lanes: Drain,
    calls: Arc<CallLanes>,
    drain_budget: Duration,
    autoprovision: Autoprovision,
    /// The apps of the configuration are stored.
    is_provisioned: bool,
    reload: Option<Reload>,
    shared: Option<SharedStore>,
    cluster: Option<Cluster>,
}

impl Node {
    /// Opens the store, loads the apps, provisions those of the configuration, and binds the listeners.
    pub async fn build(mut config: Config, world: World) -> Result<Self, StartError> {
        let shares = share_descriptors(&mut config, world.has_simulator);
        let telemetry = telemetry::Metrics::new();
        let (requests, lanes) = (Drain::new(), Drain::new());
        let health = Health::new(world.clock.clone(), &telemetry);
        let source = Source { config: &config, clock: &world.clock, store: world.shared_store };
        let Data { registry, events, shared } = data::open(source, &health, &telemetry, &lanes).await?;
        let cluster = match world.cluster {
            Some(fixed) => Some(Setup::from(fixed)),
            None => Setup::of_settings(&config, shared.as_ref(), registry.epoch().await).await?,
        };
        let parts = Parts {
            clock: world.clock.clone(),
            events: events.clone(),
            metrics: metrics::Metrics::with(&telemetry, AppTable::new(config.metrics)),
            drain: lanes.clone(),
        };
        let Delivery { intake, calls, cluster } =
            delivery::build(&config, world.connect, parts, cluster, shares, &telemetry)?;
        let served =
            following::Served { intake: Arc::clone(&intake), calls: Arc::clone(&calls), events: events.clone() };
        let ending = following::end_removed(registry.removals(), served, lanes.clone());
        lanes.spawn("removals", ending);
        let autoprovision = Autoprovision::new(registry.clone(), world.clock.clone(), requests.clone());
        let is_provisioned = provision(&autoprovision, &config).await?;
        let listeners = Listeners::bind(&config, shares).await?;
        let (limits, compat, access) = (config.limits, config.compat, config.access);
        let api_metrics = Arc::new(ApiMetrics::new(&telemetry, api::routes::NOTIFICATIONS));
        let bodies = Bodies::new(&limits);
        let (clock, credentials_dir) = (world.clock, config.credentials_dir);
        let (drain, readiness) = (requests.clone(), StoreCheck::default());
        let api = Api {
            registry,
            intake,
            caller: Arc::clone(&calls) as Arc<dyn Caller>,
            cluster: cluster.as_ref().map(Cluster::access),
            events,
            clock,
            telemetry,
            limits,
            compat,
            access,
            bodies,
            credentials_dir,
            health,
            store_check: readiness,
            rendered: RenderedMetrics::default(),
            drain,
        };
        let (api, drain_budget) = (Arc::new(api), config.drain_budget);
        let reload = None;
        Ok(Self {
            listeners,
            api,
            api_metrics,
            requests,
            lanes,
            calls,
            drain_budget,
            autoprovision,
            is_provisioned,
            reload,
            cluster,
            shared,
        })
    }

    /// Makes the node read the configuration again from `origin`, on SIGHUP and when its files change. The node was
    /// built with `config`; `logging` takes a changed level.
    pub fn with_reload(self, origin: Origin, config: &Config, logging: Option<Logging>) -> io::Result<Self> {
        if let Some(logging) = &logging {
            self.api.telemetry.add(logging.dropped().clone());
        }
        let keys = self.listeners.keys().cloned();
        let reload = Reload::new(origin, config, keys, logging, self.requests.clone())?;
        let reload = if self.is_provisioned { reload } else { reload.reload_at_start() };
        Ok(Self { reload: Some(reload), ..self })
    }

    /// The TCP address of the public listener, with the port that the system chose. Fails for a Unix socket.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listeners.public().address()
    }

    /// The TCP address of the admin listener, if there is one.
    pub fn admin_address(&self) -> Option<io::Result<SocketAddr>> {
        self.listeners.admin().map(Listener::address)
    }

    /// The public listener's URL, for people: `http://…`, `https://…` or `unix:…`.
    pub fn url(&self) -> &str {
        self.listeners.public().url()
    }

    /// The admin listener's URL, if there is one.
    pub fn admin_url(&self) -> Option<&str> {
        self.listeners.admin().map(Listener::url)
    }

    /// The apps of this node.
    pub fn registry(&self) -> &Registry {
        &self.api.registry
    }

    /// The other members of its cluster, if it is in one; they follow the list of members that is given to them.
    pub fn peers(&self) -> Option<&Arc<Peers>> {
        self.cluster.as_ref().map(|cluster| &cluster.peers)
    }

    /// Serves a client that is connected by other means than a listener. It reaches all routes. Ends when the client
    /// disconnects or the node drains.
    pub fn serve_io<Io>(&self, io: Io) -> impl Future<Output = ()> + Send + 'static
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let guard = self.listeners.guard(Exposure::Whole, &self.api);
        let entry = api::service(Arc::clone(&self.api), Arc::clone(&self.api_metrics), guard);
        server::answer(io, entry, self.requests.clone(), self.api.limits.clone())
    }

    /// Serves until `stop` resolves, then drains. Returns true if everything ended within the drain budget.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        self.listeners.serve(&self.api, &self.api_metrics, &self.requests);
        self.requests.spawn("watch", health::watch(Arc::clone(&self.api)));
        let changes = self.cluster.as_ref().and_then(Cluster::changes);
        let spool = Drain::new();
        if self.api.registry.is_shared() {
            let (registry, health) = (self.api.registry.clone(), self.api.health.clone());
            let changed = changes.as_ref().map(|changes| Arc::clone(&changes.registry));
            let shared = self.shared.as_ref().map(|shared| Arc::clone(&shared.store));
            let (clock, followed) = (self.api.clock.clone(), Followed { registry, shared, changed });
            self.requests.spawn("sync", following::sync(followed, health, clock, self.requests.clone()));
        }
        if let Some(shared) = self.shared {
            spool.spawn("spool", shared::replay(Arc::clone(&shared.store), spool.clone()));
            if shared.is_away {
                let (registry, health) = (self.api.registry.clone(), self.api.health.clone());
                let arriving = shared.arrive(registry, health, self.api.clock.clone(), self.requests.clone());
                self.requests.spawn("arrival", arriving);
            }
        }
        if let Some(changes) = changes {
            let following =
                following::sync_quarantines(self.api.events.clone(), changes.quarantines, self.requests.clone());
            self.requests.spawn("quarantines", following);
        }
        if let Some(reload) = self.reload {
            self.requests.spawn("reload", reload.run(self.autoprovision));
        }
        let leaver = self.cluster.map(|cluster| cluster.start(&self.api, &self.requests));
        stop.await;
        self.requests.begin();
        tracing::info!("draining");
        let until = Instant::now() + self.drain_budget;
        let force_at = until - self.drain_budget / DRAIN_REPLY_SHARE;
        let requests = finish(&self.requests, &self.lanes, force_at, until);
        let mut finished = match &leaver {
            None => requests.await,
            Some(leaver) => {
                // Callers may still send while the other nodes take over.
                let (finished, ()) = tokio::join!(requests, leaver.hand_over(force_at));
                finish(leaver.incoming(), &self.lanes, force_at, until).await && finished
            }
        };
        self.api.intake.close();
        self.calls.close();
        finished &= finish(&self.lanes, &self.lanes, force_at, until).await;
        // Whatever waits then is on disk.
        spool.finish(SPOOL_TIMEOUT).await;
        if let Some(leaver) = leaver {
            leaver.finish().await;
        }
        finished
    }
}

/// Shares out the file descriptors that the system allows, lowers the limits that do not fit, and logs the notices of
/// the configuration and of this step.
fn share_descriptors(config: &mut Config, has_simulator: bool) -> Shares {
    let shares = Shares::of(descriptors::raise(), has_simulator);
    let lowered = shares.lower(config);
    config.notices.extend(lowered);
    for notice in &config.notices {
        tracing::warn!("{notice}");
    }
    shares
}

/// Provisions the apps of the configuration. Returns false if the store takes no changes at this time: the node then starts
/// with the apps that it knows.
async fn provision(autoprovision: &Autoprovision, config: &Config) -> Result<bool, StartError> {
    let is_survivable = |error: &StoreError| {
        let is_known = matches!(error, StoreError::Full | StoreError::KeyMissing | StoreError::ForeignRegistry);
        is_known || error.is_temporary()
    };
    let faults = match autoprovision.apply(&config.autoprovision).await {
        Err(error) if is_survivable(&error) => {
            tracing::error!(%error, "the configuration's apps could not be stored; the node tries again");
            return Ok(false);
        }
        applied => applied?,
    };
    if faults.is_empty() {
        return Ok(true);
    }
    let fault = |AppFault { place, what }| config::Fault { place, what };
    Err(StartError::Autoprovision(config::Faults(faults.into_iter().map(fault).collect())))
}

/// Waits until `until` for `tasks` to finish. From `force_at` on the lanes end their notifications unsent, so that
/// callers still get their responses. Returns true if all tasks ended in time.
async fn finish(tasks: &Drain, lanes: &Drain, force_at: Instant, until: Instant) -> bool {
    let remaining = |end: Instant| end.saturating_duration_since(Instant::now());
    if tasks.finish(remaining(force_at)).await {
        return true;
    }
    tracing::warn!("the drain budget is nearly used up: notifications still in flight are ended");
    lanes.force_finish();
    tasks.finish(remaining(until)).await
}
