//! The service of this node for its peers.

use crate::apns::channels::Call;
use crate::clock::Clock;
use crate::delivery::calls::{CallLanes, CallRefused, Origin};
use crate::delivery::lanes::Lanes;
use crate::delivery::peer::listen::{Calling, Serve, Serving, Warming};
use crate::delivery::peer::peers::Peers;
use crate::delivery::peer::wire::calls::CallHead;
use crate::delivery::peer::wire::{AppFigures, BatchHead, Lane, Refusal};
use crate::delivery::send::{self, Refused};
use crate::delivery::status::figures;
use crate::delivery::warm::warm;
use crate::delivery::{Intake, Sending};
use crate::drain::Drain;
use crate::model::{AppKey, Batch, NodeReason};
use crate::registry::{App, Registry};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest wait for the store, for an app that a peer knows otherwise than this node.
const SYNC_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest that connecting a list of lanes may take: a little less than a node that leaves waits.
const WARM_WITHIN: Duration = Duration::from_millis(2_800);

/// Sends the batches that peers forward, and connects lanes to Apple.
pub(super) struct Server {
    pub registry: Registry,
    pub intake: Arc<Intake>,
    pub calls: Arc<CallLanes>,
    pub lanes: Arc<Lanes>,
    pub peers: Arc<Peers>,
    pub clock: Clock,
    /// Begins when this node leaves.
    pub leaving: Drain,
}

impl Server {
    /// Connects those of these lanes to Apple that this node knows the apps of, and returns those that are connected in
    /// time.
    pub async fn warm(&self, lanes: Vec<Lane>) -> Vec<Lane> {
        let known = lanes.into_iter().filter_map(|Lane { app, lane }| {
            let app = self.registry.get(&app).filter(|app| lane < app.lanes && app.credential.unusable().is_none())?;
            Some((app, lane))
        });
        let ready = warm(&self.lanes, known.collect(), Instant::now() + WARM_WITHIN).await;
        ready.into_iter().map(|(app, lane)| Lane { app, lane }).collect()
    }
}

impl Serve for Server {
    fn serve(&self, head: BatchHead, batch: Batch, deadline: Instant) -> Serving {
        let (registry, intake, now) = (self.registry.clone(), Arc::clone(&self.intake), self.clock.unix_time());
        Box::pin(async move {
            let app = find(&registry, &head.app, head.revision).await.ok_or(Refusal::UnknownApp)?;
            if deadline <= Instant::now() {
                return Ok(send::not_sent(batch.len(), NodeReason::DeadlinePassed, now));
            }
            let lane = (head.lanes == app.lanes).then_some(head.lane);
            let sending = Sending { deadline, retry_unknown: head.retry_unknown };
            let answer = intake.submit_here(app, Arc::new(batch), sending, lane).map_err(refusal)?;
            Ok(answer.await.map_err(refusal)?.outcomes)
        })
    }

    fn call(&self, head: CallHead, calls: Vec<Call>, deadline: Instant) -> Calling {
        let (registry, lanes) = (self.registry.clone(), Arc::clone(&self.calls));
        Box::pin(async move {
            let app = find(&registry, &head.app, head.revision).await.ok_or(Refusal::UnknownApp)?;
            let sending = Sending { deadline, retry_unknown: head.retry_unknown };
            let results = lanes.call_here(&app, calls, sending, Origin::Peer).map_err(|refused| match refused {
                CallRefused::Refused(refused) => refusal(refused),
                // The peer may have the setting.
                CallRefused::NoGateway { .. } => Refusal::UnknownApp,
            })?;
            Ok(results.await)
        })
    }

    fn warm(self: Arc<Self>, lanes: Vec<Lane>) -> Warming {
        Box::pin(async move {
            // A node that leaves is nobody's successor.
            if self.leaving.has_begun() { Vec::new() } else { Server::warm(&self, lanes).await }
        })
    }

    fn held(&self) -> Vec<Lane> {
        self.peers.held()
    }

    fn figures(&self, apps: &[AppKey]) -> Vec<AppFigures> {
        let known = apps.iter().filter_map(|key| self.registry.get(key));
        let statuses =
            known.filter_map(|app| Some((app.key.clone(), app.revision.number(), self.intake.status(&app)?)));
        figures::list(statuses)
    }
}

/// The app, under the revision that the peer has if the store has it. One look at the store at most is taken.
async fn find(registry: &Registry, key: &AppKey, revision: i64) -> Option<Arc<App>> {
    let known = registry.get(key);
    let is_same = known.as_ref().is_some_and(|app| app.revision.number() == revision);
    if is_same || !registry.is_shared() {
        return known;
    }
    if !matches!(tokio::time::timeout(SYNC_TIMEOUT, registry.sync()).await, Ok(Ok(()))) {
        tracing::debug!(app = %key, "the store cannot be asked for the app's change that a peer knows");
    }
    registry.get(key)
}

fn refusal(refused: Refused) -> Refusal {
    match refused {
        Refused::NodeOverloaded { retry_after_seconds } => Refusal::NodeOverloaded { retry_after_seconds },
        Refused::AppOverloaded { retry_after_seconds } => Refusal::AppOverloaded { retry_after_seconds },
        Refused::ShuttingDown => Refusal::Leaving,
    }
}
