//! The lanes of this node: the configured number for each app, each started on first use.

use super::descriptors::Descriptors;
use super::job::Job;
use super::lane::{Bounds, Gateway, Lane, Parts};
use super::metrics::Metrics;
use crate::apns::connect::Connect;
use crate::apns::endpoint::Endpoint;
use crate::apns::trust::Trust;
use crate::model::{AppKey, Environment};
use crate::registry::App;
use crate::subject::Subject;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, OwnedPermit, Sender};
use tokio::time::Instant;

/// The capacity of a lane's inbox, in batches. Further ones are refused.
const INBOX_JOBS: usize = 1024;

/// The parameters of connections to Apple, the same for all apps.
pub struct Apple {
    pub connect: Arc<dyn Connect>,
    pub trust: Arc<Trust>,
    /// At least one.
    pub sandbox: Vec<Endpoint>,
    /// At least one.
    pub production: Vec<Endpoint>,
}

impl Apple {
    fn gateway(&self, environment: Environment, descriptors: Descriptors) -> Gateway {
        let endpoints = match environment {
            Environment::Sandbox => self.sandbox.clone(),
            Environment::Production => self.production.clone(),
        };
        Gateway { connect: Arc::clone(&self.connect), trust: Arc::clone(&self.trust), endpoints, descriptors }
    }
}

/// The reason that there is no place for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// Too many batches are waiting.
    Full,
    /// The node is shutting down.
    Closed,
}

/// A place in a lane's inbox: a job sent to it arrives, since the lane does not end before.
pub type InboxPermit = OwnedPermit<Job>;

/// An app's lanes for its newest provisioning.
struct AppLanes {
    generation: u64,
    /// `None` if a lane was never needed.
    inboxes: Vec<Option<Sender<Job>>>,
}

impl AppLanes {
    fn new(app: &App) -> Self {
        Self { generation: app.generation, inboxes: vec![None; app.lanes.into()] }
    }

    /// Adjusts the number of lanes to this provisioning. Surplus lanes finish their jobs and end.
    fn serve(&mut self, app: &App) {
        if self.generation < app.generation {
            self.generation = app.generation;
            self.inboxes.resize(app.lanes.into(), None);
        }
    }

    /// A part that was split before the app got fewer lanes goes to the first lane if its lane has ended.
    fn known(&self, lane: u16) -> u16 {
        if usize::from(lane) < self.inboxes.len() { lane } else { 0 }
    }
}

/// The lanes of a node.
pub struct Lanes {
    apple: Apple,
    parts: Parts,
    bounds: Bounds,
    descriptors: Descriptors,
    /// `None` once the node drains.
    apps: RwLock<Option<HashMap<AppKey, AppLanes>>>,
}

impl Lanes {
    pub fn new(apple: Apple, parts: Parts) -> Self {
        let apps = RwLock::new(Some(HashMap::new()));
        let descriptors = Descriptors::unlimited(Instant::now());
        Self { apple, parts, bounds: Bounds::default(), descriptors, apps }
    }

    /// Replaces each connection after this number of requests, for tests.
    pub fn with_requests_max(self, requests_max: u32) -> Self {
        Self { bounds: Bounds { requests: requests_max, ..self.bounds }, ..self }
    }

    /// Sets the maximum number of connections of a lane; at least one.
    pub fn with_connections_max(self, connections_max: usize) -> Self {
        Self { bounds: Bounds { connections: connections_max, ..self.bounds }, ..self }
    }

    /// Limits the connections of all lanes together to this budget.
    pub fn with_descriptors(self, descriptors: Descriptors) -> Self {
        Self { descriptors, ..self }
    }

    /// Returns a place for a job in one of the app's lanes.
    pub fn reserve(&self, app: &Arc<App>, lane: u16) -> Result<InboxPermit, NotTaken> {
        match self.find(app, lane).map(Sender::try_reserve_owned) {
            Some(Ok(place)) => Ok(place),
            Some(Err(TrySendError::Full(_))) => Err(NotTaken::Full),
            // The lane was never needed, or just ended for lack of traffic, or the app was provisioned again.
            Some(Err(TrySendError::Closed(_))) | None => self.start(app, lane),
        }
    }

    /// The lane to which a part goes: `lane`, or the first one where the app has got fewer lanes since it was split.
    pub fn known(&self, app: &App, lane: u16) -> u16 {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        let app_lanes = apps.as_ref().and_then(|apps| apps.get(&app.key));
        app_lanes.filter(|app_lanes| app_lanes.generation >= app.generation).map_or(lane, |lanes| lanes.known(lane))
    }

    /// Lets the app's lanes finish their jobs and end.
    pub fn remove(&self, key: &AppKey) {
        let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        apps.as_mut().and_then(|apps| apps.remove(key));
        self.metrics().board.forget(key);
    }

    /// Lets lanes finish their jobs and end that are not kept and had no job for `idle`. A job that just found a place in
    /// one is sent by it, and a later one starts the lane again.
    pub fn retire(&self, now: Instant, idle: Duration, is_kept: impl Fn(&AppKey, u16) -> bool) {
        let board = &self.metrics().board;
        for (key, number) in board.idle_since(now, idle) {
            if is_kept(&key, number) {
                continue;
            }
            let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
            let inboxes = apps.as_mut().and_then(|apps| apps.get_mut(&key)).map(|app_lanes| &mut app_lanes.inboxes);
            if let Some(inbox) = inboxes.and_then(|inboxes| inboxes.get_mut(usize::from(number))) {
                *inbox = None;
            }
            // With the lock held, so that the status of a lane that starts now stays.
            board.forget_lane(&key, number);
            drop(apps);
            tracing::debug!(app = %key, lane = number, "another node owns this lane: it ends here");
        }
    }

    /// Lets stopped lanes end that serve an earlier provisioning of their app than `newest` returns. The app would stay
    /// stopped until its next job otherwise. That job starts the lane again.
    pub fn end_outdated(&self, newest: impl Fn(&AppKey) -> Option<u64>) {
        for (key, number, generation) in self.metrics().board.stopped() {
            if newest(&key).is_some_and(|newest| newest > generation) {
                let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
                let inboxes = apps.as_mut().and_then(|apps| apps.get_mut(&key)).map(|app_lanes| &mut app_lanes.inboxes);
                if let Some(inbox) = inboxes.and_then(|inboxes| inboxes.get_mut(usize::from(number))) {
                    *inbox = None;
                }
            }
        }
    }

    /// Starts a lane without a job, so that it connects to Apple. Returns false if the node drains.
    pub fn begin(&self, app: &Arc<App>, lane: u16) -> bool {
        self.reserve(app, lane).map(drop).is_ok()
    }

    /// The number of addresses of Apple's gateway, from a lookup: 1 if it fails.
    pub async fn addresses(&self, environment: Environment) -> usize {
        let Gateway { connect, endpoints, .. } = self.apple.gateway(environment, self.descriptors.clone());
        let Some(first) = endpoints.first() else { return 1 };
        connect.resolve(first).await.map_or(1, |addresses| addresses.len().max(1))
    }

    /// Counts notifications that a place was reserved for. `is_of_caller`: this node took them from their caller, and
    /// not from a peer.
    pub fn count_taken(&self, count: usize, is_of_caller: bool) {
        self.parts.metrics.queued.add(count as i64);
        if is_of_caller {
            self.parts.metrics.told.took(count);
        }
    }

    pub fn metrics(&self) -> &Metrics {
        &self.parts.metrics
    }

    /// Takes no more jobs; all lanes finish their jobs and end.
    pub fn close(&self) {
        *self.apps.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn find(&self, app: &App, lane: u16) -> Option<Sender<Job>> {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        let app_lanes = apps.as_ref()?.get(&app.key).filter(|app_lanes| app_lanes.generation >= app.generation)?;
        app_lanes.inboxes.get(usize::from(lane))?.clone()
    }

    fn start(&self, app: &Arc<App>, lane: u16) -> Result<InboxPermit, NotTaken> {
        let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        let apps = apps.as_mut().ok_or(NotTaken::Closed)?;
        let app_lanes = apps.entry(app.key.clone()).or_insert_with(|| AppLanes::new(app));
        app_lanes.serve(app);
        let lane = app_lanes.known(lane);
        let inbox = &mut app_lanes.inboxes[usize::from(lane)];
        match inbox.clone().map(Sender::try_reserve_owned) {
            Some(Ok(place)) => return Ok(place),
            Some(Err(TrySendError::Full(_))) => return Err(NotTaken::Full),
            Some(Err(TrySendError::Closed(_))) | None => {}
        }
        let (sender, jobs) = mpsc::channel(INBOX_JOBS);
        *inbox = Some(sender.clone());
        let gateway = self.apple.gateway(app.key.environment, self.descriptors.clone());
        let lane = Lane::new(lane, jobs, Arc::clone(app), gateway, self.bounds, self.parts.clone());
        // Outside the subject of the request that happens to be the first.
        let subject = Subject::App(app.key.to_string().into());
        self.parts.drain.spawn("lane", subject.scope(lane.run()));
        sender.try_reserve_owned().map_err(|_| NotTaken::Full)
    }
}
