//! What each lane shows of itself, to `GET /apps/…` and to the metrics: written once a round, read by whoever asks.

use super::bound::{Account, Bound, Times};
use super::lane::Trouble;
use crate::model::AppKey;
use crate::registry::App;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// What went wrong last.
#[derive(Debug, Clone, PartialEq)]
pub struct LastError {
    /// UNIX seconds.
    pub at: f64,
    /// A sentence.
    pub what: String,
}

/// How a lane is.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// `false` once the lane has ended.
    pub is_running: bool,
    /// The provisioning of the app that it works for.
    pub generation: u64,
    pub trouble: Option<Trouble>,
    /// No connection is ready, and one is being opened.
    pub is_connecting: bool,
    pub connections: usize,
    /// Requests that Apple allows at once on all of them.
    pub streams: usize,
    pub in_flight: usize,
    /// Taken, and neither on a connection nor ended.
    pub queued: usize,
    /// When Apple accepted something, in UNIX seconds.
    pub last_success: Option<f64>,
    pub account: Account,
}

/// One lane's face.
#[derive(Debug)]
struct Status(Mutex<(Shown, Option<LastError>)>);

/// How an app's sending is, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// `ok`, `connecting`, `credential_error` or `breaker_open`.
    pub state: &'static str,
    pub last_error: Option<LastError>,
    pub last_success: Option<f64>,
    pub connections: usize,
    pub streams: usize,
    pub in_flight: usize,
    pub queued: usize,
    pub bound_by: Bound,
}

impl Shown {
    fn new(generation: u64, now: Instant) -> Self {
        Self {
            is_running: true,
            generation,
            trouble: None,
            is_connecting: false,
            connections: 0,
            streams: 0,
            in_flight: 0,
            queued: 0,
            last_success: None,
            account: Account::new(now),
        }
    }

    /// The same at a later time, at which the lane has found nothing else yet.
    fn at(mut self, now: Instant) -> Self {
        if self.is_running {
            self.account.pass(now);
        }
        self
    }

    /// What is left when the lane ends.
    fn ended(self) -> Self {
        let Self { generation, last_success, account, .. } = self;
        Self { is_running: false, last_success, account, ..Self::new(generation, Instant::now()) }
    }

    fn state(&self) -> &'static str {
        match self.trouble {
            Some(Trouble::Credential) => "credential_error",
            Some(Trouble::Gateway) => "breaker_open",
            None if self.is_connecting => "connecting",
            None => "ok",
        }
    }
}

impl Status {
    fn lock(&self) -> MutexGuard<'_, (Shown, Option<LastError>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The faces of all lanes; an app's stays when its lane ends for want of traffic, and goes with the app.
#[derive(Debug, Default)]
pub struct Board {
    faces: Mutex<Faces>,
}

#[derive(Debug, Default)]
struct Faces {
    lanes: HashMap<AppKey, Arc<Status>>,
    /// The time of lanes that are no longer shown.
    past: Times,
}

impl Faces {
    fn file(&mut self, gone: Option<&Arc<Status>>, now: Instant) {
        let Some(gone) = gone else { return };
        let times = gone.lock().0.at(now).account.total();
        self.past.iter_mut().zip(times).for_each(|(past, time)| *past += time);
    }
}

impl Board {
    /// A lane begins to work for the app, in place of the one before.
    pub fn begin(&self, app: &App, now: Instant) -> Reporter {
        let mut faces = self.lock();
        let before = faces.lanes.get(&app.key).cloned();
        faces.file(before.as_ref(), now);
        let mut shown = Shown::new(app.generation, now);
        let mut error = None;
        if let Some((before, last)) = before.map(|before| before.lock().clone()) {
            shown.last_success = before.last_success;
            error = last.filter(|_| before.generation >= app.generation);
        }
        let status = Arc::new(Status(Mutex::new((shown, error))));
        faces.lanes.insert(app.key.clone(), Arc::clone(&status));
        Reporter { shown, status }
    }

    /// The app is gone.
    pub fn forget(&self, key: &AppKey) {
        let mut faces = self.lock();
        let gone = faces.lanes.remove(key);
        faces.file(gone.as_ref(), Instant::now());
    }

    /// How the app's sending is. What was found under an earlier provisioning says nothing of this one.
    pub fn seen(&self, app: &App) -> Seen {
        let now = Instant::now();
        let status = self.lock().lanes.get(&app.key).cloned();
        let (shown, error) = match status {
            Some(status) => status.lock().clone(),
            None => (Shown::new(app.generation, now).ended(), None),
        };
        let shown = shown.at(now);
        let is_current = shown.generation >= app.generation;
        Seen {
            state: if is_current { shown.state() } else { "ok" },
            last_error: error.filter(|_| is_current),
            last_success: shown.last_success,
            connections: shown.connections,
            streams: shown.streams,
            in_flight: shown.in_flight,
            queued: shown.queued,
            bound_by: if shown.is_running { shown.account.most() } else { Bound::Caller },
        }
    }

    /// Requests that Apple allows at once on all connections.
    pub fn streams(&self) -> usize {
        self.lock().lanes.values().map(|status| status.lock().0.streams).sum()
    }

    /// How many lanes are bound by what now, and the time of all of them by what bounded it.
    pub fn bounds(&self) -> ([usize; Bound::ALL.len()], Times) {
        let now = Instant::now();
        let faces = self.lock();
        let (mut lanes, mut times) = ([0; Bound::ALL.len()], faces.past);
        for status in faces.lanes.values() {
            let shown = status.lock().0.at(now);
            lanes[shown.account.most() as usize] += usize::from(shown.is_running);
            times.iter_mut().zip(shown.account.total()).for_each(|(sum, time)| *sum += time);
        }
        (lanes, times)
    }

    fn lock(&self) -> MutexGuard<'_, Faces> {
        self.faces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lane's end of its face.
#[derive(Debug)]
pub struct Reporter {
    pub shown: Shown,
    status: Arc<Status>,
}

impl Reporter {
    /// Shows [`Self::shown`], and what went wrong since the last time.
    pub fn show(&mut self, error: Option<LastError>) {
        let mut status = self.status.lock();
        if status.0.generation != self.shown.generation {
            status.1 = None;
        }
        status.0 = self.shown;
        if error.is_some() {
            status.1 = error;
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.shown = self.shown.at(Instant::now()).ended();
        self.show(None);
    }
}
