//! The entrance of delivery: takes a valid batch, returns an outcome for each of its notifications.

pub use super::admission::Limits;
use super::admission::{Pools, RETRY_AFTER_SECONDS, Room};
use super::errand::Errand;
use super::job::Job;
use super::lanes::{Lanes, NotTaken};
use super::metrics::Told;
use super::peer::peers::Peers;
use super::route::{Place, Router};
use super::send::{Answer, Refused, Sending, Sent};
use super::split::{self, Part};
use super::status::AppStatus;
use crate::budget::Permit;
use crate::model::{AppKey, Batch, NodeName};
use crate::registry::App;
use std::sync::Arc;
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

/// The entrance of delivery.
pub struct Intake {
    router: Router,
    pools: Arc<Pools>,
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
        let pools = Arc::new(Pools::new(limits, lanes.metrics().queue_bytes.clone()));
        Self { router: Router::new(lanes), pools }
    }

    /// The limits on requests in flight, for calls.
    pub fn pools(&self) -> &Arc<Pools> {
        &self.pools
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
                let room = Room::Own(self.pools.hold(&app.key, batch.bytes_held() + Job::bytes_added(batch.len()))?);
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
        let held = self.pools.hold(&app.key, batch.bytes_held() + added)?;
        if is_split {
            return self.take_parts(&app, batch, sending, held, reach);
        }
        let place = self.reserve(&app, 0, &batch, reach)?;
        let told = self.count(&place, &batch, reach);
        Ok(hand_over(place, app, 0, batch, sending, Room::Own(held), told))
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

    /// The app's status, from its lanes on this node; `None` if it has none here.
    pub fn status(&self, app: &App) -> Option<AppStatus> {
        self.router.lanes().metrics().board.app_status(app)
    }

    /// Removes the app's lanes: notifications in flight finish, then the connections close.
    pub fn remove(&self, key: &AppKey) {
        self.router.lanes().remove(key);
        self.pools.remove(key);
    }

    /// Ends stopped lanes whose app was provisioned again: see [`Lanes::end_outdated`].
    pub fn end_outdated(&self, newest: impl Fn(&AppKey) -> Option<u64>) {
        self.router.lanes().end_outdated(newest);
    }

    /// Takes no more batches; finishes the taken ones.
    pub fn close(&self) {
        self.router.close();
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
