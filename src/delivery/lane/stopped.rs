//! Notifications that ended without an attempt because the app was stopped. The disconnection log has the cause
//! already. The number of affected notifications is recorded with the first request, and then summed up, because an
//! entry for each would push other entries out of the log. Pure.

use crate::events::disconnection;
use crate::model::Disconnection;
use std::time::Duration;
use tokio::time::Instant;

/// The interval over which entries are summed up before they are logged.
const REPORTED_EVERY: Duration = Duration::from_secs(60);

/// The sum of notifications ended while the app is stopped.
#[derive(Debug, Default)]
pub struct Stopped {
    incidents: Vec<Disconnection>,
    reported: Option<Instant>,
}

impl Stopped {
    /// Adds the entries of a request. Returns those to log now.
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

    /// The time at which the sum is to be logged.
    pub fn due(&self) -> Option<Instant> {
        self.reported.filter(|_| !self.incidents.is_empty()).map(|reported| reported + REPORTED_EVERY)
    }

    /// Takes the sum if it is due; with `all`, always.
    pub fn take_due(&mut self, now: Instant, all: bool) -> Vec<Disconnection> {
        if !all && self.due().is_none_or(|due| now < due) {
            return Vec::new();
        }
        self.reported = Some(now);
        std::mem::take(&mut self.incidents)
    }
}
