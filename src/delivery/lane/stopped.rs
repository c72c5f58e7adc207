//! What ended without an attempt because the app was stopped. What stopped it is in the disconnection log already; what it
//! cost is told with the first request and then added up, since an entry for each would soon push all else out of the log.
//! Pure.

use crate::events::disconnection;
use crate::model::Disconnection;
use std::time::Duration;
use tokio::time::Instant;

/// How long is added up before it is reported.
const REPORTED_EVERY: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub struct Stopped {
    incidents: Vec<Disconnection>,
    reported: Option<Instant>,
}

impl Stopped {
    /// Takes what a request ended with, and gives back what of it is to be told now.
    pub fn add(&mut self, incidents: Vec<Disconnection>, now: Instant) -> Vec<Disconnection> {
        if incidents.is_empty() {
            return incidents;
        }
        if self.reported.is_none_or(|reported| now >= reported + REPORTED_EVERY) {
            self.reported = Some(now);
            return incidents;
        }
        incidents.into_iter().for_each(|incident| disconnection::join(&mut self.incidents, incident));
        Vec::new()
    }

    /// When what was added up is to be reported.
    pub fn due(&self) -> Option<Instant> {
        self.reported.filter(|_| !self.incidents.is_empty()).map(|reported| reported + REPORTED_EVERY)
    }

    /// What was added up and is to be told by now; `all` of it if there is no later.
    pub fn take(&mut self, now: Instant, all: bool) -> Vec<Disconnection> {
        if !all && self.due().is_none_or(|due| now < due) {
            return Vec::new();
        }
        self.reported = Some(now);
        std::mem::take(&mut self.incidents)
    }
}
