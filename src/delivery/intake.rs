//! The entrance of delivery: takes a valid batch, returns an outcome for each of its notifications.

use super::admission::Room;
use super::errand::Errand;
use super::job::Job;
use super::lanes::{Lanes, NotTaken};
use super::metrics::Told;
use super::peer::peers::Peers;
use super::route::{Place, Router};
use super::send::{Answer, Refused, Sending, Sent};
use super::split::{self, Part};
use super::status::AppStatus;
use crate::budget::{Budget, Permit};
use crate::model::{AppKey, Batch, NodeName};
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
    router: Router,
    limits: Limits,
    node: Arc<Budget>,
    apps: Mutex<HashMap<AppKey, Arc<Budget>>>,
}

/// The nodes whose lanes may take a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Cluster,
    ThisNode,
}

impl Intake {
    pub fn new(lanes: impl Into<Arc<Lanes>>, limits: Limits) -> Self {
        let lanes = lanes.into();
        lanes.metrics().queue_limit_bytes.set(i64::try_from(limits.node_bytes).unwrap_or(i64::MAX));
        let node = Budget::shown_by(limits.node_bytes, lanes.metrics().queue_bytes.clone());
        Self { router: Router::new(lanes), limits, node, apps: Mutex::default() }
    }

    /// Sends what peers own through them.
    pub fn with_peers(self, peers: Arc<Peers>) -> Self {
        Self { router: self.router.with_peers(peers), ..self }
    }

    /// Sends a batch and waits for all outcomes. Dropping the future does not stop the send.
    pub async fn send(&self, app: Arc<App>, batch: Batch, sending: Sending) -> Result<Sent, Refused> {
        self.submit(app, Arc::new(batch), sending)?.await
    }

    /// Takes a batch, or refuses it immediately. A taken batch is sent, even if the caller does not wait for the answer.
    pub fn submit(&self, app: Arc<App>, batch: Arc<Batch>, sending: Sending) -> Result<Answer, Refused> {
        self.take(app, batch, sending, Reach::Cluster)
    }

    /// Takes a batch that a peer forwarded. This node sends it, whoever owns its lane by now: a batch is forwarded once
    /// at most. `lane` is its lane where the peer knows the same number of lanes; else it is split again.
    pub fn submit_here(
        &self,
        app: Arc<App>,
        batch: Arc<Batch>,
        sending: Sending,
        lane: Option<u16>,
    ) -> Result<Answer, Refused> {
        match lane.filter(|lane| *lane < app.lanes) {
            Some(lane) => {
                let room = Room::Own(self.hold(&app.key, batch.bytes_held() + Job::bytes_added(batch.len()))?);
                let place = self.router.reserve_here(&app, lane)?;
                let told = self.count(&place, &batch, Reach::ThisNode);
                Ok(hand_over(place, app, lane, batch, sending, room, told))
            }
            None => self.take(app, batch, sending, Reach::ThisNode),
        }
    }

    fn take(&self, app: Arc<App>, batch: Arc<Batch>, sending: Sending, reach: Reach) -> Result<Answer, Refused> {
        let is_split = app.lanes > 1;
        let added = Job::bytes_added(batch.len()) + if is_split { split::bytes_added(&batch) } else { 0 };
        let held = self.hold(&app.key, batch.bytes_held() + added)?;
        if is_split {
            return self.take_parts(&app, batch, sending, held, reach);
        }
        let place = self.reserve(&app, 0, &batch, reach)?;
        let told = self.count(&place, &batch, reach);
        Ok(hand_over(place, app, 0, batch, sending, Room::Own(held), told))
    }

    /// Takes bytes of the node's pool and of the app's.
    fn hold(&self, key: &AppKey, bytes: usize) -> Result<[Permit; 2], Refused> {
        let retry_after_seconds = RETRY_AFTER_SECONDS;
        let of_node =
            self.node.try_acquire_any_if_unused(bytes).ok_or(Refused::NodeOverloaded { retry_after_seconds })?;
        let of_app =
            self.pool(key).try_acquire_any_if_unused(bytes).ok_or(Refused::AppOverloaded { retry_after_seconds })?;
        Ok([of_node, of_app])
    }

    fn reserve(&self, app: &Arc<App>, lane: u16, batch: &Batch, reach: Reach) -> Result<Place, NotTaken> {
        match reach {
            Reach::Cluster => self.router.reserve(app, lane, batch),
            Reach::ThisNode => self.router.reserve_here(app, lane),
        }
    }

    /// Counts outcomes of this node's callers.
    pub fn told(&self) -> &Told {
        &self.router.lanes().metrics().told
    }

    /// The peer that forwarded a batch counts its outcomes.
    fn told_of(&self, reach: Reach) -> Option<Arc<Told>> {
        (reach == Reach::Cluster).then(|| Arc::clone(&self.router.lanes().metrics().told))
    }

    /// Splits a batch by lane. Sends nothing unless each part has a place.
    fn take_parts(
        &self,
        app: &Arc<App>,
        batch: Arc<Batch>,
        sending: Sending,
        held: [Permit; 2],
        reach: Reach,
    ) -> Result<Answer, Refused> {
        let parts = split::split_by_lane(&batch, app.lanes);
        if let [Part { lane, .. }] = parts[..] {
            let place = self.reserve(app, lane, &batch, reach)?;
            let told = self.count(&place, &batch, reach);
            return Ok(hand_over(place, Arc::clone(app), lane, batch, sending, Room::Own(held), told));
        }
        let held = Arc::new(held);
        let places: Vec<_> =
            parts.iter().map(|part| self.reserve(app, part.lane, &part.batch, reach)).collect::<Result<_, _>>()?;
        let now = Instant::now();
        let sent = parts.into_iter().zip(places).map(|(Part { lane, batch, positions }, place)| {
            let (reply, answer) = oneshot::channel();
            let told = self.count(&place, &batch, reach);
            let room = Room::Shared(Arc::clone(&held));
            place.send(Errand { app: Arc::clone(app), lane, batch, sending, reply, room, told }, now);
            (answer, positions)
        });
        let awaited = sent.collect();
        Ok(Answer::of_lanes(Arc::clone(app), batch, awaited, self.told_of(reach)))
    }

    /// Counts a batch that is about to be taken. Returns the counts for its outcomes.
    fn count(&self, place: &Place, batch: &Batch, reach: Reach) -> Option<Arc<Told>> {
        if let Place::Lane(_) = place {
            self.router.lanes().count_taken(batch.len(), reach == Reach::Cluster);
        }
        self.told_of(reach)
    }

    /// Returns true if this node forwards the notifications of any lane of the app now.
    pub fn forwards_some_of(&self, app: &App) -> bool {
        (0..app.lanes).any(|lane| self.router.forwards_to(&app.key, lane).is_some())
    }

    /// The node to which this one forwards the app's notifications now; `None` if it sends them itself, or if the app has
    /// several lanes.
    pub fn forwards_to(&self, app: &App) -> Option<NodeName> {
        (app.lanes == 1).then(|| self.router.forwards_to(&app.key, 0)).flatten()
    }

    /// The app's status, from its lanes.
    pub fn status(&self, app: &App) -> AppStatus {
        self.router.lanes().metrics().board.app_status(app)
    }

    /// Removes the app's lanes: notifications in flight finish, then the connections close.
    pub fn remove(&self, key: &AppKey) {
        self.router.lanes().remove(key);
        self.apps.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Takes no more batches; finishes the taken ones.
    pub fn close(&self) {
        self.router.close();
    }

    fn pool(&self, key: &AppKey) -> Arc<Budget> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        match apps.get(key) {
            Some(pool) => Arc::clone(pool),
            None => Arc::clone(apps.entry(key.clone()).or_insert_with(|| Budget::new(self.limits.app_bytes))),
        }
    }
}

/// Sends a batch to its place. Returns what waits for its answer.
fn hand_over(
    place: Place,
    app: Arc<App>,
    lane: u16,
    batch: Arc<Batch>,
    sending: Sending,
    room: Room,
    told: Option<Arc<Told>>,
) -> Answer {
    let (reply, answer) = oneshot::channel();
    let (of_app, of_batch, of_told) = (Arc::clone(&app), Arc::clone(&batch), told.clone());
    place.send(Errand { app, lane, batch, sending, reply, room, told }, Instant::now());
    Answer::of_lane(of_app, of_batch, answer, of_told)
}
