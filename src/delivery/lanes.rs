//! The lanes of this node: one for each app with traffic, started on first use.

use super::job::Job;
use super::lane::{Bounds, Gateway, Lane, Parts};
use super::metrics::Metrics;
use crate::apns::connect::Connect;
use crate::apns::endpoint::Endpoint;
use crate::apns::trust::Trust;
use crate::model::{AppKey, Environment};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::mpsc;

/// Batches that wait in a lane's inbox before more are refused.
const INBOX_JOBS: usize = 1024;

/// How to reach Apple: the same for all apps.
pub struct Apple {
    pub connect: Arc<dyn Connect>,
    pub trust: Arc<Trust>,
    /// One at least.
    pub sandbox: Vec<Endpoint>,
    /// One at least.
    pub production: Vec<Endpoint>,
}

impl Apple {
    fn gateway(&self, environment: Environment) -> Gateway {
        let endpoints = match environment {
            Environment::Sandbox => self.sandbox.clone(),
            Environment::Production => self.production.clone(),
        };
        Gateway { connect: Arc::clone(&self.connect), trust: Arc::clone(&self.trust), endpoints }
    }
}

/// Why a job was not taken; it is given back.
pub enum NotTaken {
    /// Too many batches wait already.
    Full(Box<Job>),
    /// The node is shutting down.
    Closed(Box<Job>),
}

/// See the module.
pub struct Lanes {
    apple: Apple,
    parts: Parts,
    bounds: Bounds,
    /// `None` once the node drains.
    inboxes: RwLock<Option<HashMap<AppKey, mpsc::Sender<Job>>>>,
}

impl Lanes {
    pub fn new(apple: Apple, parts: Parts) -> Self {
        let inboxes = RwLock::new(Some(HashMap::new()));
        Self { apple, parts, bounds: Bounds::default(), inboxes }
    }

    /// Replaces each connection after so many requests, for tests of that.
    pub fn with_requests_max(self, requests_max: u32) -> Self {
        Self { bounds: Bounds { requests: requests_max, ..self.bounds }, ..self }
    }

    /// An app has at most so many connections to Apple; one at least.
    pub fn with_connections_max(self, connections_max: usize) -> Self {
        Self { bounds: Bounds { connections: connections_max, ..self.bounds }, ..self }
    }

    /// Hands a job to its app's lane.
    pub fn submit(&self, job: Job) -> Result<(), NotTaken> {
        let mut job = job;
        if let Some(inbox) = self.find(&job.app.key) {
            match inbox.try_send(job) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(job)) => return Err(NotTaken::Full(Box::new(job))),
                // It ended for lack of traffic just now.
                Err(mpsc::error::TrySendError::Closed(back)) => job = back,
            }
        }
        self.start(job)
    }

    /// Lets the app's lane finish what it has and end.
    pub fn remove(&self, key: &AppKey) {
        let mut inboxes = self.inboxes.write().unwrap_or_else(PoisonError::into_inner);
        inboxes.as_mut().and_then(|inboxes| inboxes.remove(key));
        self.metrics().board.forget(key);
    }

    pub fn metrics(&self) -> &Metrics {
        &self.parts.metrics
    }

    /// Takes no more jobs; all lanes finish what they have and end.
    pub fn close(&self) {
        *self.inboxes.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn find(&self, key: &AppKey) -> Option<mpsc::Sender<Job>> {
        let inboxes = self.inboxes.read().unwrap_or_else(PoisonError::into_inner);
        inboxes.as_ref()?.get(key).cloned()
    }

    fn start(&self, job: Job) -> Result<(), NotTaken> {
        let mut inboxes = self.inboxes.write().unwrap_or_else(PoisonError::into_inner);
        let Some(inboxes) = inboxes.as_mut() else { return Err(NotTaken::Closed(Box::new(job))) };
        let app = Arc::clone(&job.app);
        let refused = match inboxes.get(&app.key) {
            Some(inbox) => inbox.try_send(job),
            None => Err(mpsc::error::TrySendError::Closed(job)),
        };
        match refused {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(job)) => Err(NotTaken::Full(Box::new(job))),
            Err(mpsc::error::TrySendError::Closed(job)) => {
                let (inbox, jobs) = mpsc::channel(INBOX_JOBS);
                let sent = inbox.try_send(job);
                inboxes.insert(app.key.clone(), inbox);
                let gateway = self.apple.gateway(app.key.environment);
                let lane = Lane::new(jobs, app, gateway, self.bounds, self.parts.clone());
                self.parts.drain.spawn("lane", lane.run());
                sent.map_err(|error| NotTaken::Full(Box::new(error.into_inner())))
            }
        }
    }
}
