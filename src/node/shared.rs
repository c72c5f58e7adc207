//! A node's work on the store that it shares with others: it waits for the store, keeps its copy, and hands over the events
//! that wait.

use super::keys;
use crate::clock::Clock;
use crate::credentials::Unopened;
use crate::drain::Drain;
use crate::health::{Cause, Component, Detail, Health};
use crate::registry::Registry;
use crate::store::shared::SPOOL_BYTES_MAX;
use crate::store::{Shared, StoreError};
use crate::telemetry;
use crate::telemetry::sampled::Kind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// The time from one attempt to reach the store to the next.
const EXAMINE_INTERVAL: Duration = Duration::from_millis(500);
/// The longest wait for the store at the end, for handing over the events that wait.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

const FROM_COPY: Cause = Cause {
    reason: "registry_copy",
    why: "the shared store did not answer when the node started: the node sends for the apps of its own copy, and refuses changes",
};
const NO_APPS: Cause = Cause {
    reason: "store_away",
    why: "the shared store did not answer when the node started, and the node has no copy of the apps: it sends nothing until the shared store answers",
};

const STALE_COPY: Cause = Cause {
    reason: "copy_failed",
    why: "the node cannot write its copy of the apps in the shared store: without that store, it would start with older apps; its log has the cause",
};

/// The shared store, and the state in which the node found it.
pub(super) struct SharedStore {
    pub store: Arc<Shared>,
    /// The store did not answer at the start.
    pub is_away: bool,
    /// True once the node may be a member: the store was examined, and the node has its keys.
    usable: watch::Sender<bool>,
}

impl SharedStore {
    pub fn new(store: Arc<Shared>, is_away: bool, has_keys: bool, telemetry: &telemetry::Metrics) -> Self {
        let spool = Arc::clone(&store);
        let help = "Writes of feedback and disconnections that wait in the database of this node for the shared store.";
        telemetry
            .sampled(Kind::Gauge, "events_spooled", help, &[], move || vec![(Vec::new(), spool.spooled().0 as f64)]);
        let spool = Arc::clone(&store);
        let help = "Bytes of the writes that wait in the database of this node for the shared store.";
        telemetry.sampled(Kind::Gauge, "events_spooled_bytes", help, &[], move || {
            vec![(Vec::new(), spool.spooled().1 as f64)]
        });
        let help = "Limit of pyapns_events_spooled_bytes: more waits in memory.";
        telemetry
            .sampled(Kind::Gauge, "events_spool_limit_bytes", help, &[], || vec![(Vec::new(), SPOOL_BYTES_MAX as f64)]);
        Self { store, is_away, usable: watch::Sender::new(!is_away && has_keys) }
    }

    /// Says when the node may be a member of its cluster.
    pub fn usable(&self) -> watch::Receiver<bool> {
        self.usable.subscribe()
    }

    /// Examines the store until it answers, if it did not at the start; then the node uses it.
    pub async fn arrive(self, registry: Registry, health: Health, clock: Clock, drain: Drain) {
        let mut refused = None;
        let arriving = async {
            loop {
                match self.examine(&registry, &clock).await {
                    Ok(missing) => return missing,
                    Err(error) if error.is_temporary() => {}
                    Err(error) if refused == Some(error.reason()) => {}
                    Err(error) => {
                        tracing::error!(%error, "the shared store answers, and cannot be used");
                        refused = Some(error.reason());
                    }
                }
                sleep(EXAMINE_INTERVAL).await;
            }
        };
        let missing = tokio::select! {
            biased;
            () = drain.cancelled() => return,
            missing = arriving => missing,
        };
        tracing::info!("the shared store answers: the node uses it");
        match missing {
            None => drop(self.usable.send_replace(true)),
            Some(why) => {
                registry.refuse_changes().await;
                keys::report(&health, &why);
            }
        }
        self.store.admit();
    }

    async fn examine(&self, registry: &Registry, clock: &Clock) -> Result<Option<Unopened>, StoreError> {
        for notice in self.store.examine(clock).await? {
            tracing::error!("{notice}");
        }
        keys::check(self.store.redis(), registry.keyring()).await
    }
}

/// Says in what state a node starts that cannot read the shared store.
pub(super) fn report_start(health: &Health, copied_at: Option<f64>, failure: &StoreError) {
    match copied_at {
        Some(at) => health.degrade_with(Component::RegistryCopy, FROM_COPY, Some(Detail::AsOf(at)), failure),
        None => health.degrade(Component::Apps, NO_APPS, failure),
    }
}

/// The apps in memory are those of the shared store: brings the copy up to them. Returns false if that failed.
pub(super) async fn copy(registry: &Registry, store: &Shared, health: &Health, clock: &Clock) -> bool {
    health.restore(Component::Apps);
    let Some(epoch) = registry.epoch().await else { return true };
    let followed = store.follow(epoch, clock.unix_time()).await;
    let has_followed = followed.is_ok();
    match followed {
        Err(error) if error.is_temporary() => {}
        Err(error) => health.degrade(Component::RegistryCopy, STALE_COPY, error),
        Ok(()) => health.restore(Component::RegistryCopy),
    }
    has_followed
}

/// Hands events over as soon as the store takes them, until `end` begins, and once more then.
pub(super) async fn replay(store: Arc<Shared>, end: Drain) {
    tokio::select! {
        biased;
        () = end.cancelled() => {}
        () = store.replay() => {}
    }
    if store.spooled().0 > 0 && !matches!(timeout(FLUSH_TIMEOUT, store.flush()).await, Ok(Ok(()))) {
        tracing::warn!("events wait in the database of this node, until its next start, for the shared store");
    }
}
