//! A node's part in a cluster: the links to its peers, and the listener for theirs.

mod following;
mod leaving;
mod server;

pub(super) use leaving::Leaver;

use super::StartError;
use super::shared::SharedStore;
use crate::api::{Api, ClusterAccess};
use crate::clock::Clock;
use crate::cluster::{Agent, Identity, Own, Phases, Standing, View};
use crate::config::Config;
use crate::delivery::calls::CallLanes;
use crate::delivery::lanes::Lanes;
use crate::delivery::peer::listen::PeerListener;
use crate::delivery::peer::membership::Membership;
use crate::delivery::peer::metrics::Metrics;
use crate::delivery::peer::peers::Peers;
use crate::delivery::peer::wire::Limits;
use crate::drain::Drain;
use crate::model::{NodeName, NodeSession};
use crate::network::Network;
use crate::store::Epoch;
use crate::store::members::{Members, Session};
use crate::telemetry;
use following::Following;
use server::Server;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

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
        /// The same store for operators, over a connection of their own: a beat must not wait behind them.
        decisions: Arc<dyn Members>,
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
        let decisions = Arc::new(shared.store.redis().members());
        let changed = Arc::clone(shared.store.changed());
        let members = MemberSource::Live { own, leases, decisions, changed, usable: shared.usable() };
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
    lanes: Arc<Lanes>,
    calls: Arc<CallLanes>,
    listener: TcpListener,
    members: MemberSource,
    standing: watch::Sender<Standing>,
    changes: StoreChanges,
    /// The tasks of the lanes. They end after everything that was taken.
    drain: Drain,
}

/// The inputs of the parts of a cluster.
pub(super) struct Around<'a> {
    pub config: &'a Config,
    pub lanes: Arc<Lanes>,
    pub calls: Arc<CallLanes>,
    pub clock: Clock,
    pub telemetry: &'a telemetry::Metrics,
    pub drain: Drain,
}

impl Cluster {
    /// Prepares them. Nothing is connected before [`Self::start`].
    pub(super) fn new(setup: Setup, around: Around<'_>) -> Result<Self, StartError> {
        let Setup { node, session, epoch, identity, listener, allow, members } = setup;
        let Around { config, lanes, calls, clock, telemetry, drain } = around;
        let membership = Membership {
            node,
            session,
            epoch,
            client_tls: Arc::new(identity.client().map_err(StartError::ClusterTls)?),
            server_tls: Arc::new(identity.server().map_err(StartError::ClusterTls)?),
            allow: Arc::new(move |address: IpAddr| allow.iter().any(|network| network.holds(address))),
            limits: Limits::of_requests(config.limits.body_bytes, config.limits.items),
        };
        let peers = Peers::new(membership, Arc::clone(&lanes), clock, Metrics::new(telemetry), drain.clone());
        let registry = match &members {
            MemberSource::Live { changed, .. } => Arc::clone(changed),
            MemberSource::Fixed(_) => Arc::default(),
        };
        let changes = StoreChanges { registry, quarantines: Arc::default() };
        Ok(Self { peers, lanes, calls, listener, members, standing: watch::Sender::default(), changes, drain })
    }

    /// The cluster as operators see and change it.
    pub(super) fn access(&self) -> ClusterAccess {
        let decisions = match &self.members {
            MemberSource::Live { decisions, .. } => Some(Arc::clone(decisions)),
            MemberSource::Fixed(_) => None,
        };
        ClusterAccess { peers: Arc::clone(&self.peers), standing: self.standing.subscribe(), decisions }
    }

    /// Says when the shared store has changes; `None` if nothing says so.
    pub(super) fn changes(&self) -> Option<StoreChanges> {
        matches!(self.members, MemberSource::Live { .. }).then(|| self.changes.clone())
    }

    /// Opens the links, and serves those of peers. Once `requests` drains the node leaves, in the steps of the result.
    pub(super) fn start(self, api: &Api, requests: &Drain) -> Leaver {
        let phases = Phases { leaving: requests.clone(), ..Phases::default() };
        let server = Arc::new(Server {
            registry: api.registry.clone(),
            intake: Arc::clone(&api.intake),
            lanes: self.lanes,
            calls: self.calls,
            peers: Arc::clone(&self.peers),
            clock: api.clock.clone(),
            leaving: requests.clone(),
        });
        let listener =
            PeerListener::new(self.listener, Arc::clone(&self.peers), Arc::clone(&server) as _, phases.gone.clone());
        phases.gone.spawn("peers", listener.run());
        self.drain.spawn("retire", retire(Arc::clone(&self.peers), self.drain.clone()));
        match self.members {
            MemberSource::Fixed(view) => self.peers.set_view(&view),
            MemberSource::Live { own, leases, mut usable, .. } => {
                let following = Following::new(server, self.changes, requests.clone());
                let (clock, health) = (api.clock.clone(), api.health.clone());
                let agent = Agent::new(own, leases, Arc::new(following), clock, health, &api.telemetry);
                let agent = agent.shown_in(self.standing);
                let agent_phases = phases.clone();
                phases.end.spawn("beat", async move {
                    let joins = async { usable.wait_for(|usable| *usable).await.is_ok() };
                    let joins = tokio::select! {
                        biased;
                        () = agent_phases.end.cancelled() => false,
                        joins = joins => joins,
                    };
                    if joins {
                        agent.run(agent_phases).await;
                    }
                });
            }
        }
        Leaver { peers: self.peers, phases }
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
