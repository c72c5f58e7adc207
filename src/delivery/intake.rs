//! The entrance of delivery: takes a valid batch, returns an outcome for each of its notifications.

use super::admission::{Held, Pool, Room};
use super::job::Job;
use super::lanes::{Lanes, NotTaken};
use super::send::{Answer, Refused, Sending, Sent};
use super::split;
use super::status::AppStatus;
use crate::model::{AppKey, Batch};
use crate::registry::App;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;
use tokio::time::Instant;

impl From<NotTaken> for Refused {
    fn from(why: NotTaken) -> Self {
        match why {
            NotTaken::Full => Self::AppOverloaded { retry_after_seconds: RETRY_AFTER_SECONDS },
            NotTaken::Closed => Self::ShuttingDown,
        }
    }
}

/// The limits on requests in flight, in bytes of their bodies.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub node_bytes: usize,
    pub app_bytes: usize,
}

/// The time after which a refused caller may try again.
const RETRY_AFTER_SECONDS: u32 = 1;

/// The entrance of delivery.
pub struct Intake {
    lanes: Lanes,
    limits: Limits,
    node: Arc<Pool>,
    apps: Mutex<HashMap<AppKey, Arc<Pool>>>,
}

impl Intake {
    pub fn new(lanes: Lanes, limits: Limits) -> Self {
        let node = Pool::shown_by(limits.node_bytes, lanes.metrics().queue_bytes.clone());
        Self { lanes, limits, node, apps: Mutex::default() }
    }

    /// Sends a batch and waits for all outcomes. Dropping the future does not stop the send.
    pub async fn send(&self, app: Arc<App>, batch: Batch, sending: Sending) -> Result<Sent, Refused> {
        Ok(self.submit(app, Arc::new(batch), sending)?.await)
    }

    /// Takes a batch, or refuses it immediately. A taken batch is sent, even if the caller does not wait for the answer.
    pub fn submit(&self, app: Arc<App>, batch: Arc<Batch>, sending: Sending) -> Result<Answer, Refused> {
        let is_split = app.lanes > 1;
        let added = Job::bytes_added(batch.len()) + if is_split { split::bytes_added(&batch) } else { 0 };
        let bytes = batch.bytes_held() + added;
        let retry_after_seconds = RETRY_AFTER_SECONDS;
        let of_node = self.node.take(bytes).ok_or(Refused::NodeOverloaded { retry_after_seconds })?;
        let of_app = self.pool(&app.key).take(bytes).ok_or(Refused::AppOverloaded { retry_after_seconds })?;
        let held = [of_node, of_app];
        if is_split {
            return self.submit_parts(&app, batch, sending, Arc::new(held));
        }
        let place = self.lanes.reserve(&app, 0)?;
        let (reply, answer) = oneshot::channel();
        self.count(&batch);
        place.send(Job::new(Arc::clone(&app), Arc::clone(&batch), Instant::now(), sending, reply, Room::Own(held)));
        Ok(Answer::of_lane(app, batch, answer))
    }

    /// Splits a batch by lane. Sends nothing unless each part has a place.
    fn submit_parts(
        &self,
        app: &Arc<App>,
        batch: Arc<Batch>,
        sending: Sending,
        held: Arc<[Held; 2]>,
    ) -> Result<Answer, Refused> {
        let parts = split::split_by_lane(&batch, app.lanes);
        let places: Vec<_> = parts.iter().map(|part| self.lanes.reserve(app, part.lane)).collect::<Result<_, _>>()?;
        self.count(&batch);
        let now = Instant::now();
        let sent = parts.into_iter().zip(places).map(|(part, place)| {
            let (reply, answer) = oneshot::channel();
            let room = Room::Shared(Arc::clone(&held));
            place.send(Job::new(Arc::clone(app), part.batch, now, sending, reply, room));
            (answer, part.positions)
        });
        let awaited = sent.collect();
        Ok(Answer::of_lanes(Arc::clone(app), batch, awaited))
    }

    /// Counts a batch that is about to be taken.
    fn count(&self, batch: &Batch) {
        let (metrics, count) = (self.lanes.metrics(), batch.len());
        metrics.queued.add(count as i64);
        metrics.taken.inc_by(count as u64);
    }

    /// The app's status, from its lanes.
    pub fn status(&self, app: &App) -> AppStatus {
        self.lanes.metrics().board.app_status(app)
    }

    /// Removes the app's lanes: notifications in flight finish, then the connections close.
    pub fn remove(&self, key: &AppKey) {
        self.lanes.remove(key);
        self.apps.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Takes no more batches; finishes the taken ones.
    pub fn close(&self) {
        self.lanes.close();
    }

    fn pool(&self, key: &AppKey) -> Arc<Pool> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        match apps.get(key) {
            Some(pool) => Arc::clone(pool),
            None => Arc::clone(apps.entry(key.clone()).or_insert_with(|| Pool::new(self.limits.app_bytes))),
        }
    }
}
