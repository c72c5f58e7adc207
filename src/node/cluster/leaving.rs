//! The steps by which a node leaves its cluster.

use crate::cluster::Phases;
use crate::delivery::peer::peers::Peers;
use crate::drain::Drain;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest wait for the next owners of this node's lanes.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(3);
/// The longest wait for the shared store at the end, for giving back the node's lease.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(2);

/// A node's way out of its cluster.
pub struct Leaver {
    pub(super) peers: Arc<Peers>,
    pub(super) phases: Phases,
}

impl Leaver {
    /// Has the next owners of the lanes connect to Apple, until `until` at most. From then on peers send this node nothing
    /// new, and it sends to them what it still accepts.
    pub async fn hand_over(&self, until: Instant) {
        let (lanes, ready) = self.peers.warm_successors(until.min(Instant::now() + HAND_OVER_WITHIN)).await;
        self.peers.leave();
        self.phases.gone.begin();
        tracing::info!(lanes, ready, "the other nodes take the lanes of this node over");
    }

    /// The tasks that serve peers: they end when everything that peers gave this node is answered.
    pub fn incoming(&self) -> &Drain {
        &self.phases.gone
    }

    /// Gives the lease back. One that is not given back ends by itself.
    pub async fn finish(&self) {
        self.phases.end.finish(GIVE_BACK_WITHIN).await;
    }
}
