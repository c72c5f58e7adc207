//! The tasks by which a node follows its store: two bring the changes of other nodes in, two end what served the apps that
//! were removed or provisioned again.

use super::shared;
use crate::clock::Clock;
use crate::delivery::Intake;
use crate::delivery::calls::CallLanes;
use crate::drain::Drain;
use crate::events::Events;
use crate::health::{Cause, Component, Health};
use crate::registry::{Registry, Removals};
use crate::store::{Shared, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// The time from one look at the changes of other nodes to the next.
const SYNC_INTERVAL: Duration = Duration::from_millis(500);
/// The time from one look at stopped lanes to the next.
const OUTDATED_INTERVAL: Duration = Duration::from_secs(1);
/// Without any change, the copy is confirmed after this time.
const CONFIRM_INTERVAL: Duration = Duration::from_secs(60);

/// The store whose changes a node follows.
pub(super) struct Followed {
    pub registry: Registry,
    /// Beside it, this node's copy.
    pub shared: Option<Arc<Shared>>,
    /// Says when the store has changes; else the node looks every [`SYNC_INTERVAL`].
    pub changed: Option<Arc<Notify>>,
}

/// Brings the changes that other nodes make in a shared store into the registry and into the copy, until the drain begins.
pub(super) async fn sync(followed: Followed, health: Health, clock: Clock, drain: Drain) {
    let Followed { registry, shared, changed } = followed;
    loop {
        let synced = registry.sync().await;
        let mut has_failed = synced.is_err();
        match synced {
            Ok(()) => {
                health.restore(Component::Registry);
                if let Some(shared) = &shared {
                    has_failed = !shared::copy(&registry, shared, &health, &clock).await;
                }
            }
            Err(error) => {
                let cause = Cause { reason: error.reason(), why: why(&error) };
                health.degrade(Component::Registry, cause, &error);
            }
        }
        let next = async {
            match &changed {
                Some(changed) if !has_failed => drop(timeout(CONFIRM_INTERVAL, changed.notified()).await),
                _ => sleep(SYNC_INTERVAL).await,
            }
        };
        tokio::select! {
            biased;
            () = drain.cancelled() => return,
            () = next => {}
        }
    }
}

/// Brings the quarantines that other nodes begin and end into memory, when `changed` says so, until the drain begins.
pub(super) async fn sync_quarantines(events: Events, changed: Arc<Notify>, drain: Drain) {
    let follow = async {
        loop {
            changed.notified().await;
            while let Err(error) = events.refresh().await {
                tracing::debug!(%error, "the quarantines in the shared store cannot be read");
                sleep(SYNC_INTERVAL).await;
            }
        }
    };
    tokio::select! {
        biased;
        () = drain.cancelled() => {}
        () = follow => {}
    }
}

fn why(error: &StoreError) -> &'static str {
    match error {
        StoreError::ForeignRegistry => {
            "the shared store has lost changes, or another store is in its place: this node keeps the apps that it knows, and changes none; `pyapns cluster restore-registry` gives the store these apps, or accepts those of the store"
        }
        _ => "changes that other nodes make are not seen: the shared store cannot be read (sending goes on)",
    }
}

/// The parts of the node that serve apps.
pub(super) struct Served {
    pub intake: Arc<Intake>,
    pub calls: Arc<CallLanes>,
    pub events: Events,
}

/// Ends what served each removed app, whichever node removed it, until the drain begins.
pub(super) async fn end_removed(mut removals: Removals, served: Served, drain: Drain) {
    loop {
        let removal = tokio::select! {
            biased;
            () = drain.cancelled() => return,
            removal = removals.next() => removal,
        };
        let Some(removal) = removal else { return };
        served.intake.remove(&removal.key);
        served.calls.remove(&removal.key);
        served.events.forget(&removal.key);
    }
}

/// Ends the stopped lanes of apps that were provisioned again, until the drain begins. An app without traffic would be
/// stopped in the metrics, and in alerts, long after it got a good credential.
pub(super) async fn end_outdated(registry: Registry, intake: Arc<Intake>, drain: Drain) {
    loop {
        tokio::select! {
            biased;
            () = drain.cancelled() => return,
            () = sleep(OUTDATED_INTERVAL) => {}
        }
        intake.end_outdated(|key| registry.get(key).map(|app| app.generation));
    }
}
