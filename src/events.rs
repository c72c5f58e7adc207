//! What operators read afterwards, dead tokens and the disconnection log: made here, kept by the store.

pub mod disconnection;
pub mod feedback;
pub mod guard;
pub mod metrics;
pub mod unwritten;

use crate::model::{AppKey, Disconnection, Feedback, Hold, NodeName, Records, Settlement};
use crate::store::{self, Counts, Cursor, Page, StoreError};
use crate::telemetry;
use crate::telemetry::sampled::Kind;
use guard::{Guard, Wave};
use metrics::Metrics;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
pub use unwritten::Unwritten;
use unwritten::Waiting;

/// Records events and gives them back. Clones are handles to the same lists.
#[derive(Clone)]
pub struct Events {
    /// Stands in every disconnection.
    node: Option<NodeName>,
    store: Arc<dyn store::Events>,
    metrics: Metrics,
    waiting: Waiting,
    watches: Arc<Mutex<HashMap<AppKey, Watch>>>,
}

/// An app's guard, shared by all who send for it.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Mutex<Guard>>);

impl Watch {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub fn guard(&self) -> MutexGuard<'_, Guard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Events {
    /// What is held back is not known yet: see [`Self::load`].
    pub fn new(store: Arc<dyn store::Events>, node: &telemetry::Metrics) -> Self {
        let waiting = Waiting::default();
        let (help, counted) =
            ("Feedback and disconnections that wait in memory until the store can be written.", waiting.clone());
        let count = move || vec![(Vec::new(), counted.count() as f64)];
        node.sampled(Kind::Gauge, "events_unwritten", help, &[], count);
        Self { node: None, store, metrics: Metrics::new(node), waiting, watches: Arc::default() }
    }

    /// The events of the node of this name.
    pub fn of(self, node: NodeName) -> Self {
        Self { node: Some(node), ..self }
    }

    /// Reads which apps' feedback is held back; before anything is sent.
    pub async fn load(&self) -> Result<(), StoreError> {
        for (app, hold) in self.store.holds().await? {
            self.watch(&app).guard().written(Some(hold));
            self.metrics.holds.inc();
        }
        Ok(())
    }

    /// The app's guard.
    pub fn watch(&self, app: &AppKey) -> Watch {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        match watches.get(app) {
            Some(watch) => watch.clone(),
            None => watches.entry(app.clone()).or_default().clone(),
        }
    }

    fn known(&self, app: &AppKey) -> Option<Watch> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).get(app).cloned()
    }

    /// Since when and why the app's doubtful feedback is held back, if it is.
    pub fn held(&self, app: &AppKey) -> Option<Hold> {
        self.known(app)?.guard().hold().cloned()
    }

    /// The app was removed, and what was held with it.
    pub fn forget(&self, app: &AppKey) {
        let gone = self.watches.lock().unwrap_or_else(PoisonError::into_inner).remove(app);
        if gone.is_some_and(|watch| watch.guard().hold().is_some()) {
            self.metrics.holds.dec();
        }
    }

    /// Holds back the app's doubtful feedback from `since` (UNIX seconds) on, because of what its guard saw. Of an app
    /// that was removed nothing is held.
    pub async fn hold(&self, app: &AppKey, wave: Wave, since: f64) -> Result<(), StoreError> {
        let Some(watch) = self.known(app) else { return Ok(()) };
        let hold = Hold { since, why: wave.sentence() };
        let held = self.store.hold(app.clone(), hold.clone()).await;
        if !self.known(app).is_some_and(|now| now.is(&watch)) {
            // The app was removed meanwhile, and this would meet the next one of its name.
            self.store.settle(app.clone(), Settlement::Drop).await?;
            return Ok(());
        }
        watch.guard().written(held.is_ok().then(|| hold.clone()));
        self.metrics.feedback_held.inc_by(held?);
        self.metrics.holds.inc();
        tracing::warn!(%app, why = hold.why, "this app's BadDeviceToken feedback is held back");
        Ok(())
    }

    /// Releases or forgets what is held back of an app: how many entries that were.
    pub async fn settle(&self, app: &AppKey, settlement: Settlement) -> Result<u64, StoreError> {
        let count = self.store.settle(app.clone(), settlement).await?;
        let watch = self.watch(app);
        let was_held = watch.guard().hold().is_some();
        watch.guard().settled();
        if was_held {
            self.metrics.holds.dec();
        }
        if settlement == Settlement::Release {
            self.metrics.feedback_written.inc_by(count);
        }
        tracing::info!(%app, count, ?settlement, "held feedback was settled");
        Ok(count)
    }

    /// Resolves once all of it is durable; to be awaited before a caller is told the outcomes it stems from.
    /// Incidents of one batch that have the same app, reason and status become one entry that counts those affected.
    /// What the store does not take is given back.
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

    /// At most `limit` dead tokens behind the cursor.
    pub async fn feedback(&self, app: &AppKey, after: Cursor, limit: usize) -> Result<Page<Feedback>, StoreError> {
        self.store.feedback(app.clone(), after, limit).await
    }

    /// At most `limit` entries of the disconnection log behind the cursor.
    pub async fn disconnections(
        &self,
        app: &AppKey,
        after: Cursor,
        limit: usize,
    ) -> Result<Page<Disconnection>, StoreError> {
        self.store.disconnections(app.clone(), after, limit).await
    }

    /// Forgets the feedback up to and with the cursor: how many entries that were.
    pub async fn acknowledge_feedback(&self, app: &AppKey, through: Cursor) -> Result<u64, StoreError> {
        let gone = self.store.acknowledge_feedback(app.clone(), through).await?;
        self.metrics.feedback_acknowledged.inc_by(gone);
        Ok(gone)
    }

    /// Forgets the disconnections up to and with the cursor: how many entries that were.
    pub async fn acknowledge_disconnections(&self, app: &AppKey, through: Cursor) -> Result<u64, StoreError> {
        self.store.acknowledge_disconnections(app.clone(), through).await
    }

    /// Whether what is recorded would be kept.
    pub async fn can_record(&self) -> Result<(), StoreError> {
        self.store.try_writing().await
    }

    /// Looks, without writing, whether the store is still where it was.
    pub async fn look(&self) -> Result<(), StoreError> {
        self.store.look().await
    }

    /// How many entries wait to be acknowledged.
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
    async fn what_was_recorded_is_listed_until_it_is_acknowledged() {
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
    async fn what_is_held_is_counted_told_and_known_after_a_restart() {
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
        events.watch(&app);
        events.hold(&app, Wave { suspects: 51, answers: 60 }, 2.0).await.unwrap();
        events.record(records(vec![dead("bb")], vec![])).await.unwrap();

        let again = telemetry::Metrics::new();
        let restarted = Events::new(store, &again);
        restarted.load().await.unwrap();
        let hold = restarted.held(&app).expect("a hold");
        assert!(hold.since == 2.0 && hold.why.starts_with("51 of the last 60 answers"), "{hold:?}");
        assert_eq!(restarted.settle(&app, Settlement::Release).await.unwrap(), 2);
        assert_eq!(restarted.held(&app), None);
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
