//! The lease of a node in the shared store: while it lasts, others see that the node uses the store. Its beats tell the node
//! of quarantines that other nodes began or ended.

use crate::drain::Drain;
use crate::events::Events;
use crate::model::NodeName;
use crate::store::members::{Beat, Heard, Lease as State, Members, Session, Version};
use crate::store::redis::RedisMembers;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// The time from one beat to the next.
const BEAT_INTERVAL: Duration = Duration::from_millis(500);
/// A node that was killed is taken for stopped after this time.
const LASTS: Duration = Duration::from_secs(6);
/// What other nodes read about the node: nothing yet.
const RECORD: &str = "{}";

/// A lease that is renewed until it is given up.
pub(super) struct Lease {
    members: Arc<RedisMembers>,
    node: NodeName,
    session: Session,
    beats: Drain,
}

impl Lease {
    /// Takes the lease, and renews it. A store that is away is asked again with the next beat.
    pub fn hold(members: RedisMembers, node: NodeName, events: Events) -> Self {
        let (members, session, beats) = (Arc::new(members), Session::new(), Drain::new());
        let beat = Beat { node: node.clone(), session, lease: LASTS, record: RECORD.to_owned(), known: Version::NONE };
        beats.spawn("lease", renew(Arc::clone(&members), beat, events, beats.clone()));
        Self { members, node, session, beats }
    }

    /// Ends the lease, so that the store is free at once. Without an answer it ends by itself.
    pub async fn give_up(self) {
        self.beats.begin();
        if self.beats.finish(BEAT_INTERVAL).await {
            // The link has its own time limit, and has told of a store that is away.
            let _ = self.members.leave(self.node, self.session).await;
        }
    }
}

async fn renew(members: Arc<RedisMembers>, beat: Beat, events: Events, drain: Drain) {
    let mut tick = interval(BEAT_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut was_taken, mut known) = (false, Version::NONE);
    loop {
        tokio::select! {
            biased;
            () = drain.cancelled() => return,
            _ = tick.tick() => {}
        }
        // The link logs that the store is away.
        let Ok(Heard { lease, quarantines, .. }) = members.beat(beat.clone()).await else { continue };
        let is_taken = lease == State::Taken;
        if is_taken && !was_taken {
            tracing::error!(node = %beat.node, "another node of this name uses the store, or the last run of this one was killed within {} s: give each node a node_name of its own", LASTS.as_secs());
        }
        was_taken = is_taken;
        if quarantines != known && events.refresh().await.is_ok() {
            known = quarantines;
        }
    }
}
