//! Feedback and the disconnection log: recorded here, written to the store, read by callers and operators.

pub mod disconnection;
pub mod feedback;
pub mod guard;
pub mod metrics;
pub mod unwritten;

use crate::budget::Budget;
use crate::model::{AppKey, Disconnection, Feedback, NodeName, Quarantine, Records, Resolution};
use crate::store::{self, Counts, Cursor, Page, StoreError};
use crate::telemetry;
use crate::telemetry::sampled::Kind;
use guard::{BadTokenSpike, Guard};
use metrics::Metrics;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unwritten::UNWRITTEN_MAX;
pub use unwritten::Unwritten;

/// Records and returns events. Clones are handles to the same lists.
#[derive(Clone)]
pub struct Events {
    /// The node's name in every disconnection.
    node: Option<NodeName>,
    store: Arc<dyn store::Events>,
    metrics: Metrics,
    /// Entries that wait in memory until the store can be written.
    pending: Arc<Budget>,
    guards: Arc<Mutex<HashMap<AppKey, GuardHandle>>>,
}

/// The apps' guards, shared by all lanes of an app.
#[derive(Debug, Clone, Default)]
pub struct GuardHandle(Arc<Mutex<Guard>>);

impl GuardHandle {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub fn lock(&self) -> MutexGuard<'_, Guard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Events {
    /// No quarantine is known until [`Self::load`] has run.
    pub fn new(store: Arc<dyn store::Events>, node: &telemetry::Metrics) -> Self {
        let pending = Budget::new(UNWRITTEN_MAX);
        let (help, counted) =
            ("Feedback and disconnections that wait in memory until the store can be written.", Arc::clone(&pending));
        let count = move || vec![(Vec::new(), counted.used() as f64)];
        node.sampled(Kind::Gauge, "events_unwritten", help, &[], count);
        Self { node: None, store, metrics: Metrics::new(node), pending, guards: Arc::default() }
    }

    /// Creates the events of the node with this name.
    pub fn of(self, node: NodeName) -> Self {
        Self { node: Some(node), ..self }
    }

    /// Loads the apps' quarantines. Call it before the first send.
    pub async fn load(&self) -> Result<(), StoreError> {
        self.load_from(self.store.quarantines().await?);
        Ok(())
    }

    /// Enters quarantines that are known from elsewhere, while the store cannot be read.
    pub fn load_from(&self, quarantines: Vec<(AppKey, Quarantine)>) {
        for (app, quarantine) in quarantines {
            self.enter(&self.guard_of(&app), quarantine);
        }
    }

    /// Brings the quarantines that other nodes began or ended into memory.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let stored: HashMap<_, _> = self.store.quarantines().await?.into_iter().collect();
        let known = self.lock_guards().clone();
        let is_over = |app: &AppKey, guard: &Guard| guard.quarantine().is_some() && !stored.contains_key(app);
        for (app, handle) in &known {
            let mut guard = handle.lock();
            if is_over(app, &guard) {
                guard.resolved();
                self.metrics.holds.dec();
            }
        }
        for (app, quarantine) in stored {
            self.enter(&self.guard_of(&app), quarantine);
        }
        Ok(())
    }

    /// Notes in memory that an app has a quarantine.
    fn enter(&self, handle: &GuardHandle, quarantine: Quarantine) {
        let mut guard = handle.lock();
        if guard.quarantine().is_none() {
            self.metrics.holds.inc();
        }
        guard.set_quarantine(Some(quarantine));
    }

    fn lock_guards(&self) -> MutexGuard<'_, HashMap<AppKey, GuardHandle>> {
        self.guards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The app's guard.
    pub fn guard_of(&self, app: &AppKey) -> GuardHandle {
        let mut guards = self.lock_guards();
        match guards.get(app) {
            Some(handle) => handle.clone(),
            None => guards.entry(app.clone()).or_default().clone(),
        }
    }

    fn known(&self, app: &AppKey) -> Option<GuardHandle> {
        self.lock_guards().get(app).cloned()
    }

    /// The app's quarantine, if there is one.
    pub fn quarantine_of(&self, app: &AppKey) -> Option<Quarantine> {
        self.known(app)?.lock().quarantine().cloned()
    }

    /// Forgets the quarantine of a removed app.
    pub fn forget(&self, app: &AppKey) {
        let gone = self.lock_guards().remove(app);
        if gone.is_some_and(|handle| handle.lock().quarantine().is_some()) {
            self.metrics.holds.dec();
        }
    }

    /// Begins a quarantine of the app's doubtful feedback at `since` (UNIX seconds), because of a spike. Does nothing
    /// for a removed app.
    pub async fn quarantine(&self, app: &AppKey, spike: BadTokenSpike, since: f64) -> Result<(), StoreError> {
        let Some(handle) = self.known(app) else { return Ok(()) };
        let quarantine = Quarantine { since, why: spike.sentence() };
        let held = self.store.quarantine(app.clone(), quarantine.clone()).await;
        if !self.known(app).is_some_and(|now| now.is(&handle)) {
            // The app was removed meanwhile, and the quarantine would apply to the next app of its name.
            self.store.resolve(app.clone(), Resolution::Drop).await?;
            return Ok(());
        }
        match held {
            Ok(count) => {
                self.enter(&handle, quarantine.clone());
                self.metrics.feedback_held.inc_by(count);
            }
            Err(error) => {
                let mut guard = handle.lock();
                // A quarantine that another node has begun meanwhile stays.
                if guard.quarantine().is_none() {
                    guard.set_quarantine(None);
                }
                return Err(error);
            }
        }
        tracing::warn!(%app, why = quarantine.why, "this app's BadDeviceToken feedback is held back");
        Ok(())
    }

    /// Releases or drops an app's held feedback. Returns the number of entries.
    pub async fn resolve(&self, app: &AppKey, resolution: Resolution) -> Result<u64, StoreError> {
        let count = self.store.resolve(app.clone(), resolution).await?;
        let handle = self.guard_of(app);
        let was_held = handle.lock().quarantine().is_some();
        handle.lock().resolved();
        if was_held {
            self.metrics.holds.dec();
        }
        if resolution == Resolution::Release {
            self.metrics.feedback_written.inc_by(count);
        }
        tracing::info!(%app, count, ?resolution, "held feedback was resolved");
        Ok(count)
    }

    /// Records events, and resolves once they are durable. Await it before the response with their outcomes. Incidents
    /// of one batch with the same app, reason and status become one entry that counts the affected notifications.
    /// Returns the records that the store refuses.
    pub async fn record(&self, records: Records) -> Result<(), Unwritten> {
        if records.is_empty() {
            return Ok(());
        }
        let mut disconnections = disconnection::fold_incidents(records.disconnections);
        disconnections.iter_mut().for_each(|entry| entry.node.clone_from(&self.node));
        let records = Arc::new(Records { disconnections, ..records });
        self.write(&records).await.map_err(|error| Unwritten { records, error })
    }

    async fn write(&self, records: &Arc<Records>) -> Result<(), StoreError> {
        let (dead, failed) = (records.feedback.len() as u64, records.disconnections.len() as u64);
        let held = self.store.record(Arc::clone(records)).await?;
        self.metrics.feedback_held.inc_by(held);
        self.metrics.feedback_written.inc_by(dead.saturating_sub(held));
        self.metrics.disconnections_written.inc_by(failed);
        Ok(())
    }

    /// Returns at most `limit` dead tokens after the cursor.
    pub async fn feedback(&self, app: &AppKey, after: Cursor, limit: usize) -> Result<Page<Feedback>, StoreError> {
        self.store.feedback(app.clone(), after, limit).await
    }

    /// Returns at most `limit` entries of the disconnection log after the cursor.
    pub async fn disconnections(
        &self,
        app: &AppKey,
        after: Cursor,
        limit: usize,
    ) -> Result<Page<Disconnection>, StoreError> {
        self.store.disconnections(app.clone(), after, limit).await
    }

    /// Deletes the feedback up to and including the cursor. Returns the number of entries.
    pub async fn acknowledge_feedback(&self, app: &AppKey, through: Cursor) -> Result<u64, StoreError> {
        let gone = self.store.acknowledge_feedback(app.clone(), through).await?;
        self.metrics.feedback_acknowledged.inc_by(gone);
        Ok(gone)
    }

    /// Deletes the disconnections up to and including the cursor. Returns their number.
    pub async fn acknowledge_disconnections(&self, app: &AppKey, through: Cursor) -> Result<u64, StoreError> {
        self.store.acknowledge_disconnections(app.clone(), through).await
    }

    /// Fails if the store could not write a record now.
    pub async fn can_record(&self) -> Result<(), StoreError> {
        self.store.try_writing().await
    }

    /// Checks, without writing, that the store's file is still the one that was opened.
    pub async fn look(&self) -> Result<(), StoreError> {
        self.store.look().await
    }

    /// Returns the number of entries that are not acknowledged.
    pub async fn counts(&self, app: &AppKey) -> Result<Counts, StoreError> {
        self.store.counts(app.clone()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppId, AppleReason, Environment};
    use crate::store::Memory;

    fn records(feedback: Vec<Feedback>, disconnections: Vec<Disconnection>) -> Records {
        Records { feedback, disconnections }
    }

    #[tokio::test]
    async fn recorded_events_are_listed_until_they_are_acknowledged() {
        let events = Events::new(Arc::new(Memory::new()), &telemetry::Metrics::new());
        let app = AppKey::new(AppId::new("shop").unwrap(), Environment::Production);
        let reason = "Unregistered".to_owned();
        let dead = Feedback { app: app.clone(), token: "00fc".to_owned(), reason, timestamp: 1.0 };
        let ended = disconnection::of_connection(&app, &AppleReason::Shutdown.into(), 0, 2, 1.0).unwrap();
        events.record(records(vec![dead.clone()], vec![ended.clone(), ended.clone()])).await.unwrap();
        events.record(records(vec![], vec![])).await.unwrap();

        let feedback = events.feedback(&app, Cursor::START, 10).await.unwrap();
        let log = events.disconnections(&app, Cursor::START, 10).await.unwrap();
        assert_eq!(feedback.entries, [dead]);
        assert_eq!(log.entries, [Disconnection { affected: 4, ..ended }]);
        assert_eq!(events.counts(&app).await.unwrap(), Counts { feedback: 1, held: 0, disconnections: 1 });

        assert_eq!(events.acknowledge_feedback(&app, feedback.cursor).await.unwrap(), 1);
        assert_eq!(events.acknowledge_disconnections(&app, log.cursor).await.unwrap(), 1);
        assert_eq!(events.counts(&app).await.unwrap(), Counts::default());
    }

    #[tokio::test]
    async fn held_feedback_is_counted_shown_and_known_after_a_restart() {
        let (store, node) = (Arc::new(Memory::new()), telemetry::Metrics::new());
        let events = Events::new(store.clone(), &node);
        let app = AppKey::new(AppId::new("shop").unwrap(), Environment::Production);
        let reason = "BadDeviceToken".to_owned();
        let dead = |token: &str| Feedback {
            app: app.clone(),
            token: token.to_owned(),
            reason: reason.clone(),
            timestamp: 1.0,
        };
        events.record(records(vec![dead("aa")], vec![])).await.unwrap();
        events.guard_of(&app);
        events.quarantine(&app, BadTokenSpike { suspects: 51, answers: 60 }, 2.0).await.unwrap();
        events.record(records(vec![dead("bb")], vec![])).await.unwrap();

        let again = telemetry::Metrics::new();
        let restarted = Events::new(store, &again);
        restarted.load().await.unwrap();
        let quarantine = restarted.quarantine_of(&app).expect("a hold");
        assert!(quarantine.since == 2.0 && quarantine.why.starts_with("51 of the last 60 answers"), "{quarantine:?}");
        assert_eq!(restarted.resolve(&app, Resolution::Release).await.unwrap(), 2);
        assert_eq!(restarted.quarantine_of(&app), None);
        for (metrics, line) in [
            (&node, "feedback_written_total 1"),
            (&node, "feedback_held_total 2"),
            (&node, "feedback_holds 1"),
            (&again, "feedback_written_total 2"),
            (&again, "feedback_holds 0"),
        ] {
            assert!(metrics.render().contains(&format!("\npyapns_{line}\n")), "{line}");
        }
        assert_eq!(node.faults(), Vec::<String>::new());
    }
}
