//! The series of each app, for a limited number of apps: `/metrics` stays small however many apps there are.

use crate::model::{AppKey, AppleReason, Environment, OutcomeKind};
use crate::telemetry::latency::{LatencyBatch, LatencyCells};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

/// The value of the label `app_id` for all apps without series of their own. An app with this id has none.
pub const OTHER: &str = "other";

/// The label of a reason that Apple does not document.
const UNLISTED: &str = "other";

/// The settings of the series of apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The maximum number of apps with series of their own.
    pub apps: usize,
    /// Measure the time to an outcome for each app.
    pub app_latency: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { apps: 1000, app_latency: false }
    }
}

/// The counters of one app, or of all others of an environment.
#[derive(Debug)]
pub struct AppSeries {
    outcomes: [AtomicU64; OutcomeKind::ALL.len()],
    /// By Apple's reason; the last counter is for a reason that Apple does not document.
    rejections: [AtomicU64; AppleReason::ALL.len() + 1],
    seconds: Option<LatencyCells>,
}

impl AppSeries {
    fn new(has_seconds: bool) -> Self {
        Self {
            outcomes: [const { AtomicU64::new(0) }; _],
            rejections: [const { AtomicU64::new(0) }; _],
            seconds: has_seconds.then(LatencyCells::default),
        }
    }

    pub(super) fn add(&self, kind: OutcomeKind, count: u64) {
        self.outcomes[kind as usize].fetch_add(count, Relaxed);
    }

    /// Counts a reason if it is Apple's.
    pub(super) fn add_reason(&self, label: &str, count: u64) {
        let of_apple = match AppleReason::parse(label) {
            Some(reason) => reason as usize,
            None if label == UNLISTED => AppleReason::ALL.len(),
            None => return,
        };
        self.rejections[of_apple].fetch_add(count, Relaxed);
    }

    pub(super) fn add_times(&self, times: &LatencyBatch) {
        if let Some(seconds) = &self.seconds {
            seconds.add(times);
        }
    }

    /// The number of notifications with each outcome.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OutcomeKind::ALL.into_iter().zip(&self.outcomes).map(|(kind, count)| (kind.as_str(), count.load(Relaxed)))
    }

    /// The reasons of Apple's that occurred, with the number of notifications.
    pub(super) fn rejections(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let labels = AppleReason::ALL.iter().map(|reason| reason.as_str()).chain([UNLISTED]);
        labels.zip(&self.rejections).map(|(label, count)| (label, count.load(Relaxed))).filter(|(_, count)| *count > 0)
    }

    pub(super) fn seconds(&self) -> Option<&LatencyCells> {
        self.seconds.as_ref()
    }
}

/// The series of all apps. The first apps that are seen get series of their own and keep them, even when they are
/// removed: a series never stands for another app. Later apps share those of [`OTHER`].
#[derive(Debug)]
pub struct AppTable {
    settings: Settings,
    named: RwLock<HashMap<AppKey, Arc<AppSeries>>>,
    others: [Arc<AppSeries>; Environment::ALL.len()],
}

impl Default for AppTable {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl AppTable {
    pub fn new(settings: Settings) -> Self {
        let others = Environment::ALL.map(|_| Arc::new(AppSeries::new(settings.app_latency)));
        Self { settings, named: RwLock::default(), others }
    }

    /// The series of an app.
    pub fn series(&self, app: &AppKey) -> Arc<AppSeries> {
        let others = || Arc::clone(&self.others[app.environment as usize]);
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = named.get(app) {
            return Arc::clone(series);
        }
        if named.len() >= self.settings.apps || app.id.as_str() == OTHER {
            return others();
        }
        drop(named);
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= self.settings.apps && !named.contains_key(app) {
            return others();
        }
        let new = || Arc::new(AppSeries::new(self.settings.app_latency));
        Arc::clone(named.entry(app.clone()).or_insert_with(new))
    }

    /// Returns true if the app has series of its own.
    pub(super) fn is_named(&self, app: &AppKey) -> bool {
        self.named.read().unwrap_or_else(PoisonError::into_inner).contains_key(app)
    }

    /// All series with their labels, the id of the app and its environment. The series of the other apps are included
    /// once they count something.
    pub(super) fn all(&self) -> Vec<([String; 2], Arc<AppSeries>)> {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = named.iter().map(|(app, series)| (labels(app), Arc::clone(series))).collect();
        for (environment, series) in Environment::ALL.into_iter().zip(&self.others) {
            if series.outcomes().any(|(_, count)| count > 0) {
                all.push((labels_of_others(environment), Arc::clone(series)));
            }
        }
        all
    }
}

/// The values of the labels of an app with series of its own.
pub(super) fn labels(app: &AppKey) -> [String; 2] {
    [app.id.as_str().to_owned(), app.environment.as_str().to_owned()]
}

/// The values of the labels of all other apps of an environment.
pub(super) fn labels_of_others(environment: Environment) -> [String; 2] {
    [OTHER.to_owned(), environment.as_str().to_owned()]
}
