//! The status of each lane, for `GET /apps/…` and the metrics: published once a round, read on request.

mod app;
pub mod figures;

pub use app::{AppState, AppStatus, LastError};

use super::bound::{Account, Bound, Times};
use super::lane::StopReason;
use crate::model::AppKey;
use crate::registry::App;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The time after which an app that needs a connection and has none ready is in the state `cannot_connect`.
pub const CONNECTING_LONG: Duration = Duration::from_secs(5);

/// The status of one lane.
#[derive(Debug, Clone, Copy)]
pub struct LaneStatus {
    /// `false` once the lane has ended.
    pub is_running: bool,
    /// The generation of the app that it sends for.
    pub generation: u64,
    pub stop_reason: Option<StopReason>,
    /// The time since which no connection is ready while one is needed.
    pub connecting_since: Option<Instant>,
    pub connections: usize,
    /// The number of concurrent requests that Apple allows on all connections.
    pub streams: usize,
    pub in_flight: usize,
    /// The number of notifications taken that are neither on a connection nor ended.
    pub queued: usize,
    /// The time when Apple last accepted a notification, in UNIX seconds.
    pub last_success: Option<f64>,
    pub account: Account,
    /// The time of the last job, or of the lane's start.
    pub last_job: Instant,
}

/// A lane's status, shared with its readers.
#[derive(Debug)]
struct SharedStatus(Mutex<(LaneStatus, Option<LastError>)>);

/// The present status of an app with a running lane, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningApp {
    /// As in [`AppStatus`].
    pub state: &'static str,
    pub in_flight: usize,
    pub queued: usize,
}

impl RunningApp {
    /// `None` if no lane runs. A lane that still serves an earlier provisioning does not count for the state.
    fn of<'a>(lanes: impl Iterator<Item = &'a Arc<SharedStatus>>, now: Instant) -> Option<Self> {
        let (mut state, mut newest, mut in_flight, mut queued) = (None, 0, 0, 0);
        for lane in lanes {
            let shared = lane.lock();
            let lane = &shared.0;
            if !lane.is_running {
                continue;
            }
            in_flight += lane.in_flight;
            queued += lane.queued;
            let of_lane = lane.state(now, shared.1.is_some());
            if state.is_none() || lane.generation > newest {
                (state, newest) = (Some(of_lane), lane.generation);
            } else if lane.generation == newest {
                state = state.max(Some(of_lane));
            }
        }
        Some(Self { state: state?.as_str(), in_flight, queued })
    }
}

impl LaneStatus {
    fn new(generation: u64, now: Instant) -> Self {
        Self {
            is_running: true,
            generation,
            stop_reason: None,
            connecting_since: None,
            connections: 0,
            streams: 0,
            in_flight: 0,
            queued: 0,
            last_success: None,
            account: Account::new(now),
            last_job: now,
        }
    }

    /// The status at a later time, if nothing else has changed.
    fn at(mut self, now: Instant) -> Self {
        if self.is_running {
            self.account.elapse(now);
        }
        self
    }

    /// The status after the lane has ended.
    fn ended(self) -> Self {
        let Self { generation, last_success, account, last_job, .. } = self;
        Self { is_running: false, last_success, account, last_job, ..Self::new(generation, Instant::now()) }
    }

    /// `has_error`: a last error is published.
    fn state(&self, now: Instant, has_error: bool) -> AppState {
        match self.stop_reason {
            Some(StopReason::Credential) => AppState::CredentialError,
            Some(StopReason::Gateway) => AppState::BreakerOpen,
            None => match self.connecting_since {
                Some(since) if has_error && now >= since + CONNECTING_LONG => AppState::CannotConnect,
                Some(_) => AppState::Connecting,
                None => AppState::Ok,
            },
        }
    }

    /// Its part of the app's status.
    fn as_part(&self, app: &App, error: Option<LastError>, now: Instant) -> AppStatus {
        let is_current = self.generation >= app.generation;
        AppStatus {
            state: if is_current { self.state(now, error.is_some()) } else { AppState::Ok },
            last_error: error.filter(|_| is_current),
            last_success: self.last_success,
            connections: self.connections,
            streams: self.streams,
            in_flight: self.in_flight,
            queued: self.queued,
            recent: if self.is_running { self.account.recent() } else { Times::default() },
        }
    }
}

impl SharedStatus {
    fn lock(&self) -> MutexGuard<'_, (LaneStatus, Option<LastError>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The statuses of all lanes. Each stays when its lane ends, and is removed with its app.
#[derive(Debug, Default)]
pub struct StatusBoard {
    lanes: Mutex<LaneStatuses>,
}

#[derive(Debug, Default)]
struct LaneStatuses {
    /// The statuses of each app, by the lane's number.
    apps: HashMap<AppKey, BTreeMap<u16, Arc<SharedStatus>>>,
    /// The time of removed lanes, by bound.
    past: Times,
}

impl LaneStatuses {
    fn file(&mut self, removed: &SharedStatus, now: Instant) {
        add(&mut self.past, &removed.lock().0.at(now).account.total());
    }

    fn all(&self) -> impl Iterator<Item = &Arc<SharedStatus>> {
        self.apps.values().flat_map(BTreeMap::values)
    }
}

fn add(sum: &mut Times, times: &Times) {
    sum.iter_mut().zip(times).for_each(|(sum, time)| *sum += *time);
}

impl StatusBoard {
    /// Adds the status of the app's lane with this number, in place of an earlier lane.
    pub fn begin(&self, app: &App, number: u16, now: Instant) -> Reporter {
        let mut lanes = self.lock();
        let before = lanes.apps.get(&app.key).and_then(|lanes| lanes.get(&number)).cloned();
        let mut shown = LaneStatus::new(app.generation, now);
        let mut error = None;
        if let Some(before) = before {
            lanes.file(&before, now);
            let (before, last) = before.lock().clone();
            shown.last_success = before.last_success;
            error = last.filter(|_| before.generation >= app.generation);
        }
        let shared = Arc::new(SharedStatus(Mutex::new((shown, error))));
        lanes.apps.entry(app.key.clone()).or_default().insert(number, Arc::clone(&shared));
        Reporter { status: shown, shared }
    }

    /// The lanes, running or not, that have nothing to send and had no job for `idle`.
    pub fn idle_since(&self, now: Instant, idle: Duration) -> Vec<(AppKey, u16)> {
        let statuses = self.lock();
        let lanes = statuses.apps.iter().flat_map(|(app, lanes)| lanes.iter().map(move |lane| (app, lane)));
        let is_idle = |(app, (number, status)): (&AppKey, (&u16, &Arc<SharedStatus>))| {
            let shown = status.lock().0;
            let is_idle = shown.in_flight + shown.queued == 0 && now.saturating_duration_since(shown.last_job) >= idle;
            is_idle.then(|| (app.clone(), *number))
        };
        lanes.filter_map(is_idle).collect()
    }

    /// The running lanes of stopped apps, with the generation of the app that each serves.
    pub fn stopped(&self) -> Vec<(AppKey, u16, u64)> {
        let statuses = self.lock();
        let lanes = statuses.apps.iter().flat_map(|(app, lanes)| lanes.iter().map(move |lane| (app, lane)));
        let stopped = lanes.filter_map(|(app, (number, status))| {
            let shown = status.lock().0;
            (shown.is_running && shown.stop_reason.is_some()).then(|| (app.clone(), *number, shown.generation))
        });
        stopped.collect()
    }

    /// The lanes with a connection, or with something to send; the one with the latest job is first.
    pub fn held(&self) -> Vec<(AppKey, u16)> {
        let statuses = self.lock();
        let lanes = statuses.apps.iter().flat_map(|(app, lanes)| lanes.iter().map(move |lane| (app, lane)));
        let held = lanes.filter_map(|(app, (number, status))| {
            let shown = status.lock().0;
            (shown.connections + shown.in_flight + shown.queued > 0).then(|| (shown.last_job, app.clone(), *number))
        });
        let mut held: Vec<_> = held.collect();
        held.sort_unstable_by_key(|(last_job, ..)| std::cmp::Reverse(*last_job));
        held.into_iter().map(|(_, app, number)| (app, number)).collect()
    }

    /// The status of one lane; `None` if it was never started, or is forgotten.
    pub fn lane_status(&self, key: &AppKey, number: u16) -> Option<LaneStatus> {
        self.lock().apps.get(key)?.get(&number).map(|status| status.lock().0)
    }

    /// Forgets one lane of an app.
    pub fn forget_lane(&self, key: &AppKey, number: u16) {
        let mut lanes = self.lock();
        let Some(of_app) = lanes.apps.get_mut(key) else { return };
        let removed = of_app.remove(&number);
        if of_app.is_empty() {
            lanes.apps.remove(key);
        }
        removed.iter().for_each(|removed| lanes.file(removed, Instant::now()));
    }

    /// Forgets the lanes of a removed app.
    pub fn forget(&self, key: &AppKey) {
        let mut lanes = self.lock();
        let now = Instant::now();
        lanes.apps.remove(key).into_iter().flatten().for_each(|(_, removed)| lanes.file(&removed, now));
    }

    /// The app's status, from its lanes on this node; `None` if it has none. Errors under an earlier provisioning do not
    /// count.
    pub fn app_status(&self, app: &App) -> Option<AppStatus> {
        let now = Instant::now();
        let lanes: Vec<_> = self.lock().apps.get(&app.key)?.values().cloned().collect();
        let mut app_status = AppStatus::default();
        for lane in lanes {
            let (shown, error) = lane.lock().clone();
            app_status.add(shown.at(now).as_part(app, error, now));
        }
        Some(app_status)
    }

    /// The present status of each app with a running lane.
    pub fn running(&self) -> Vec<(AppKey, RunningApp)> {
        let now = Instant::now();
        let statuses = self.lock();
        let of_app = |(app, lanes): (&AppKey, &BTreeMap<u16, Arc<SharedStatus>>)| {
            Some((app.clone(), RunningApp::of(lanes.values(), now)?))
        };
        statuses.apps.iter().filter_map(of_app).collect()
    }

    /// The number of concurrent requests that Apple allows on all connections.
    pub fn streams(&self) -> usize {
        self.lock().all().map(|status| status.lock().0.streams).sum()
    }

    /// The number of lanes by present bound, and the time of all lanes by bound.
    pub fn bounds(&self) -> ([usize; Bound::ALL.len()], Times) {
        let now = Instant::now();
        let statuses = self.lock();
        let (mut lanes, mut times) = ([0; Bound::ALL.len()], statuses.past);
        for status in statuses.all() {
            let shown = status.lock().0.at(now);
            lanes[shown.account.most() as usize] += usize::from(shown.is_running);
            add(&mut times, &shown.account.total());
        }
        (lanes, times)
    }

    fn lock(&self) -> MutexGuard<'_, LaneStatuses> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle with which a lane publishes its status.
#[derive(Debug)]
pub struct Reporter {
    pub status: LaneStatus,
    shared: Arc<SharedStatus>,
}

impl Reporter {
    /// Publishes [`Self::status`], with a new last error if there is one.
    pub fn publish(&mut self, error: Option<LastError>) {
        let mut shared = self.shared.lock();
        if shared.0.generation != self.status.generation {
            shared.1 = None;
        }
        shared.0 = self.status;
        if error.is_some() {
            shared.1 = error;
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.status = self.status.at(Instant::now()).ended();
        self.publish(None);
    }
}
