//! A node's part in a cluster: the links to its peers, and the listener for theirs.

use super::StartError;
use crate::clock::Clock;
use crate::cluster::{Identity, View};
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
use crate::telemetry;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// The longest wait for the store, for an app that a peer knows otherwise than this node.
const SYNC_TIMEOUT: Duration = Duration::from_secs(1);

/// A cluster whose members do not change by themselves.
pub struct FixedCluster {
    pub node: NodeName,
    pub session: NodeSession,
    /// The same on all members.
    pub epoch: Epoch,
    pub identity: Identity,
    /// Where this node takes links; bound already, so that others can know the address before it starts.
    pub listener: TcpListener,
    /// The networks of peers.
    pub allow: Vec<Network>,
    pub view: Arc<View>,
}

/// The parts of a cluster on one node.
pub struct Cluster {
    pub peers: Arc<Peers>,
    listener: TcpListener,
    view: Arc<View>,
}

impl Cluster {
    /// Prepares them. Nothing is connected before [`Self::start`].
    pub fn new(
        fixed: FixedCluster,
        config: &Config,
        lanes: Arc<Lanes>,
        clock: Clock,
        telemetry: &telemetry::Metrics,
        drain: Drain,
    ) -> Result<Self, StartError> {
        let FixedCluster { node, session, epoch, identity, listener, allow, view } = fixed;
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
        Ok(Self { peers, listener, view })
    }

    /// Opens the links, and serves those of peers. The listener and what it accepts are tasks of `requests`.
    pub fn start(self, registry: Registry, intake: Arc<Intake>, clock: Clock, requests: &Drain) {
        let serve = Arc::new(Server { registry, intake, clock });
        let listener = PeerListener::new(self.listener, Arc::clone(&self.peers), serve, requests.clone());
        requests.spawn("peers", listener.run());
        self.peers.set_view(&self.view);
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
