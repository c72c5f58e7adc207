//! The parts of the node that follow the cluster, and the preparations of a node that joins it.

use super::StoreChanges;
use super::server::Server;
use crate::cluster::{Follower, MemberState, View};
use crate::drain::Drain;
use crate::store::Epoch;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The longest wait for the links to all peers.
const LINKS_WITHIN: Duration = Duration::from_secs(3);
/// Between two looks at them.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The longest wait for the lanes that peers hold.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// Follows the cluster.
pub(super) struct Following {
    server: Arc<Server>,
    changes: StoreChanges,
    drain: Drain,
    is_joining: AtomicBool,
    is_ready: Arc<AtomicBool>,
}

impl Following {
    /// The preparations for joining are tasks of `drain`.
    pub fn new(server: Arc<Server>, changes: StoreChanges, drain: Drain) -> Self {
        Self { server, changes, drain, is_joining: AtomicBool::new(false), is_ready: Arc::default() }
    }

    /// Begins the preparations when the node begins to join.
    fn follow_own_state(&self, view: &View) {
        let own = view.member(&self.server.peers.membership().node).map(|own| own.state);
        let is_joining = own == Some(MemberState::Joining);
        if self.is_joining.swap(is_joining, Ordering::AcqRel) || !is_joining {
            return;
        }
        self.is_ready.store(false, Ordering::Release);
        let (server, is_ready, drain) = (Arc::clone(&self.server), Arc::clone(&self.is_ready), self.drain.clone());
        self.drain.spawn("join", async move {
            tokio::select! {
                biased;
                () = drain.cancelled() => {}
                () = prepare(&server) => is_ready.store(true, Ordering::Release),
            }
        });
    }
}

/// Waits for the links, and connects the lanes to Apple that the node takes from its peers.
async fn prepare(server: &Server) {
    let until = Instant::now() + LINKS_WITHIN;
    while !server.peers.is_connected() && Instant::now() < until {
        sleep(LOOK_EVERY).await;
    }
    let lanes = server.peers.lanes_to_take(Instant::now() + ANSWERS_WITHIN).await;
    let (count, began) = (lanes.len(), Instant::now());
    let ready = server.warm(lanes).await.len();
    tracing::info!(lanes = count, ready, ms = began.elapsed().as_millis() as u64, "joins the cluster");
}

impl Follower for Following {
    fn set_view(&self, view: &Arc<View>) {
        self.server.peers.set_view(view);
        self.follow_own_state(view);
    }

    fn set_epoch(&self, epoch: Epoch) {
        self.server.peers.set_epoch(epoch);
    }

    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    fn sync_registry(&self) {
        self.changes.registry.notify_one();
    }

    fn sync_quarantines(&self) {
        self.changes.quarantines.notify_one();
    }
}
