//! A node's part in a cluster: the links to its peers, and the listener for theirs.

use super::StartError;
use super::shared::SharedStore;
use crate::api::Api;
use crate::clock::Clock;
use crate::cluster::{Agent, Follower, Identity, Own, View};
use crate::config::Config;
use crate::delivery::lanes::Lanes;
use crate::delivery::peer::listen::{PeerListener, Serve, Serving};
use crate::delivery::peer::membership::Membership;
use crate::delivery::peer::metrics::Metrics;
use crate::delivery::peer::peers::Peers;
use crate::delivery::peer::wire::{BatchHead, Limits, Refusal};
use crate::delivery::send::{self, Refused};
use crate::delivery::{Intake, Sending};
use crate::drain::Drain;
use crate::model::{Batch, NodeName, NodeReason, NodeSession};
use crate::network::Network;
use crate::registry::{App, Registry};
use crate::store::Epoch;
use crate::store::members::{Members, Session};
use crate::telemetry;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// The longest wait for the store, for an app that a peer knows otherwise than this node.
const SYNC_TIMEOUT: Duration = Duration::from_secs(1);

/// The time from one look for lanes that other nodes own by now to the next.
const RETIRE_INTERVAL: Duration = Duration::from_millis(500);

/// A cluster whose members do not change by themselves.
pub struct FixedCluster {
    pub node: NodeName,
    pub session: NodeSession,
    /// The same on all members.
    pub epoch: Epoch,
    pub identity: Identity,
    /// The listener for links. It is bound already, so that others can know the address before the node starts.
    pub listener: TcpListener,
    /// The networks of peers.
    pub allow: Vec<Network>,
    pub view: Arc<View>,
}

/// A node's place in a cluster, before its parts are built.
pub(super) struct Setup {
    node: NodeName,
    session: NodeSession,
    epoch: Epoch,
    identity: Identity,
    listener: TcpListener,
    allow: Vec<Network>,
    members: MemberSource,
}

/// The source of the members.
enum MemberSource {
    Fixed(Arc<View>),
    Live {
        own: Own,
        leases: Box<dyn Members>,
        /// Notified when the registry has to look at the store.
        changed: Arc<Notify>,
        /// True once the node may be a member.
        usable: watch::Receiver<bool>,
    },
}

impl From<FixedCluster> for Setup {
    fn from(fixed: FixedCluster) -> Self {
        let FixedCluster { node, session, epoch, identity, listener, allow, view } = fixed;
        Self { node, session, epoch, identity, listener, allow, members: MemberSource::Fixed(view) }
    }
}

impl Setup {
    /// The place that the settings give the node: it binds `cluster.listen`, and reads the identity files. `None` without
    /// the settings of a cluster. `epoch` is that of the shared store, if the node knows it.
    pub async fn of_settings(
        config: &Config,
        shared: Option<&SharedStore>,
        epoch: Option<Epoch>,
    ) -> Result<Option<Self>, StartError> {
        let (Some(shared), Some(node)) = (shared, config.node_name.clone()) else { return Ok(None) };
        let (Some(listen), Some(advertised)) = (config.cluster.listen, config.cluster.advertised()) else {
            return Ok(None);
        };
        let identity = Identity::load(&config.cluster.identity_files)?;
        let listener = TcpListener::bind(listen).await;
        let listener = listener.map_err(|cause| StartError::ClusterListen { address: listen, cause })?;
        let session = NodeSession::from(Session::new());
        let own = Own { node: node.clone(), session, address: advertised.to_string(), weight: config.cluster.weight };
        let leases = Box::new(shared.store.redis().members());
        let changed = Arc::clone(shared.store.changed());
        let members = MemberSource::Live { own, leases, changed, usable: shared.usable() };
        let (epoch, allow) = (epoch.unwrap_or(Epoch::FIRST), config.cluster.allow.clone());
        Ok(Some(Self { node, session, epoch, identity, listener, allow, members }))
    }
}

/// Says when the shared store has changes that the node does not know.
#[derive(Clone)]
pub(super) struct StoreChanges {
    pub registry: Arc<Notify>,
    pub quarantines: Arc<Notify>,
}

/// The parts of a cluster on one node.
pub struct Cluster {
    pub peers: Arc<Peers>,
    listener: TcpListener,
    members: MemberSource,
    changes: StoreChanges,
    /// The beats end last.
    beats: Drain,
}

/// The inputs of the parts of a cluster.
pub(super) struct Around<'a> {
    pub config: &'a Config,
    pub lanes: Arc<Lanes>,
    pub clock: Clock,
    pub telemetry: &'a telemetry::Metrics,
    pub drain: Drain,
}

impl Cluster {
    /// Prepares them. Nothing is connected before [`Self::start`].
    pub(super) fn new(setup: Setup, around: Around<'_>) -> Result<Self, StartError> {
        let Setup { node, session, epoch, identity, listener, allow, members } = setup;
        let Around { config, lanes, clock, telemetry, drain } = around;
        let membership = Membership {
            node,
            session,
            epoch,
            client_tls: Arc::new(identity.client().map_err(StartError::ClusterTls)?),
            server_tls: Arc::new(identity.server().map_err(StartError::ClusterTls)?),
            allow: Arc::new(move |address: IpAddr| allow.iter().any(|network| network.holds(address))),
            limits: Limits::of_requests(config.limits.body_bytes, config.limits.items),
        };
        let peers = Peers::new(membership, lanes, clock, Metrics::new(telemetry), drain);
        let registry = match &members {
            MemberSource::Live { changed, .. } => Arc::clone(changed),
            MemberSource::Fixed(_) => Arc::default(),
        };
        let changes = StoreChanges { registry, quarantines: Arc::default() };
        Ok(Self { peers, listener, members, changes, beats: Drain::new() })
    }

    /// Says when the shared store has changes; `None` if nothing says so.
    pub(super) fn changes(&self) -> Option<StoreChanges> {
        matches!(self.members, MemberSource::Live { .. }).then(|| self.changes.clone())
    }

    /// The beats, to be ended last: the node gives its lease back then.
    pub(super) fn beats(&self) -> Drain {
        self.beats.clone()
    }

    /// Opens the links, and serves those of peers. The listener and what it accepts are tasks of `requests`, whose drain
    /// makes the node leave.
    pub(super) fn start(self, api: &Api, requests: &Drain) {
        let Api { registry, intake, clock, .. } = api;
        let serve = Arc::new(Server { registry: registry.clone(), intake: Arc::clone(intake), clock: clock.clone() });
        let listener = PeerListener::new(self.listener, Arc::clone(&self.peers), serve, requests.clone());
        requests.spawn("peers", listener.run());
        requests.spawn("retire", retire(Arc::clone(&self.peers), requests.clone()));
        match self.members {
            MemberSource::Fixed(view) => self.peers.set_view(&view),
            MemberSource::Live { own, leases, mut usable, .. } => {
                let follower = Arc::new(Following { peers: self.peers, changes: self.changes });
                let agent = Agent::new(own, leases, follower, api.health.clone(), &api.telemetry);
                let (leaving, end) = (requests.clone(), self.beats.clone());
                self.beats.spawn("beat", async move {
                    let joins = async { usable.wait_for(|usable| *usable).await.is_ok() };
                    let joins = tokio::select! {
                        biased;
                        () = end.cancelled() => false,
                        joins = joins => joins,
                    };
                    if joins {
                        agent.run(leaving, end).await;
                    }
                });
            }
        }
    }
}

/// Ends the lanes that other nodes own by now, until the drain begins.
async fn retire(peers: Arc<Peers>, drain: Drain) {
    loop {
        tokio::select! {
            biased;
            () = drain.cancelled() => return,
            () = tokio::time::sleep(RETIRE_INTERVAL) => peers.retire_lanes(Instant::now()),
        }
    }
}

/// The parts of the node that follow the cluster.
struct Following {
    peers: Arc<Peers>,
    changes: StoreChanges,
}

impl Follower for Following {
    fn set_view(&self, view: &Arc<View>) {
        self.peers.set_view(view);
    }

    fn set_epoch(&self, epoch: Epoch) {
        self.peers.set_epoch(epoch);
    }

    fn is_connected(&self) -> bool {
        self.peers.is_connected()
    }

    fn sync_registry(&self) {
        self.changes.registry.notify_one();
    }

    fn sync_quarantines(&self) {
        self.changes.quarantines.notify_one();
    }
}

/// Sends the batches that peers forward.
struct Server {
    registry: Registry,
    intake: Arc<Intake>,
    clock: Clock,
}

impl Serve for Server {
    fn serve(&self, head: BatchHead, batch: Batch, deadline: Instant) -> Serving {
        let (registry, intake, now) = (self.registry.clone(), Arc::clone(&self.intake), self.clock.unix_time());
        Box::pin(async move {
            let app = find(&registry, &head).await.ok_or(Refusal::UnknownApp)?;
            if deadline <= Instant::now() {
                return Ok(send::not_sent(batch.len(), NodeReason::DeadlinePassed, now));
            }
            let lane = (head.lanes == app.lanes).then_some(head.lane);
            let sending = Sending { deadline, retry_unknown: head.retry_unknown };
            let answer = intake.submit_here(app, Arc::new(batch), sending, lane).map_err(refusal)?;
            Ok(answer.await.map_err(refusal)?.outcomes)
        })
    }
}

/// The app, under the revision that the peer has if the store has it. One look at the store at most is taken.
async fn find(registry: &Registry, head: &BatchHead) -> Option<Arc<App>> {
    let known = registry.get(&head.app);
    let is_same = known.as_ref().is_some_and(|app| app.revision.number() == head.revision);
    if is_same || !registry.is_shared() {
        return known;
    }
    if !matches!(tokio::time::timeout(SYNC_TIMEOUT, registry.sync()).await, Ok(Ok(()))) {
        tracing::debug!(app = %head.app, "the store cannot be asked for the app's change that a peer knows");
    }
    registry.get(&head.app)
}

fn refusal(refused: Refused) -> Refusal {
    match refused {
        Refused::NodeOverloaded { retry_after_seconds } => Refusal::NodeOverloaded { retry_after_seconds },
        Refused::AppOverloaded { retry_after_seconds } => Refusal::AppOverloaded { retry_after_seconds },
        Refused::ShuttingDown => Refusal::Leaving,
    }
}
