//! Senders that are measured beside the daemon, each a separate process: their orders and their results.

use crate::latency::Percentiles;
use crate::process::Program;
use crate::shape::IN_FLIGHT;
use serde::{Deserialize, Serialize};
use std::process::Command;

/// The one argument of a sender, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// `HOST:PORT` of the simulator.
    pub listen: String,
    pub ca_file: String,
    pub certificate_file: String,
    pub topic: String,
    pub notifications: usize,
    pub in_flight: usize,
    /// In an open loop; `None` is a closed one.
    pub pace: Option<Pace>,
}

/// The schedule of notifications: the size of a burst, and the bursts a second.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Pace {
    pub burst: usize,
    pub bursts_per_second: f64,
}

/// The line of JSON that a sender prints when it is done. It measures after its warm-up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Used {
    /// Seconds of user and system time.
    pub cpu: f64,
    /// Seconds.
    pub wall: f64,
    /// Of bursts in an open loop.
    #[serde(default)]
    pub latency: Option<Percentiles>,
}

impl Order {
    /// A closed loop on the simulator.
    pub fn closed(simulator: &Program, notifications: usize) -> Self {
        let said = simulator.json();
        let text = |key: &str| said[key].as_str().expect("a text").to_owned();
        Self {
            listen: text("listen"),
            ca_file: text("ca_file"),
            certificate_file: text("certificate_file"),
            topic: text("topic"),
            notifications,
            in_flight: IN_FLIGHT,
            pace: None,
        }
    }

    /// Has a sender carry it out.
    pub fn give(&self, command: &mut Command) -> Used {
        let order = serde_json::to_string(self).expect("an order is JSON");
        let sender = Program::start(command.arg(order));
        serde_json::from_str(&sender.said).unwrap_or_else(|error| panic!("{error} in {:?} of a sender", sender.said))
    }
}
