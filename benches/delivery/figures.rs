//! The measurements, as written to the JSON file.

use crate::latency::Percentiles;
use crate::load::Sent;
use crate::machine::Machine;
use crate::sender::Used;
use crate::shape::{Shape, Target};
use serde::Serialize;
use std::time::Duration;

#[derive(Debug, Serialize)]
pub struct Figures {
    pub machine: Machine,
    pub rounds: usize,
    pub in_flight: usize,
    /// The floor, the peer, and the daemon's shapes.
    pub senders: Vec<Row>,
    pub memory: Memory,
    pub apple: Vec<Distance>,
    pub latency: Vec<Latency>,
}

/// CPU of one sender, a figure a round.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: &'static str,
    pub title: String,
    pub notifications: usize,
    pub per_second: Vec<f64>,
    pub cpu_us: Vec<f64>,
    pub times_floor: Vec<f64>,
    /// The most that `times_floor` may be, in the median.
    pub target: Option<f64>,
}

/// Resident bytes of the daemon.
#[derive(Debug, Default, Serialize)]
pub struct Memory {
    /// Just started, without apps.
    pub idle: u64,
    /// With its apps, after all of it.
    pub after: u64,
    pub most: u64,
}

/// Throughput where Apple is far away.
#[derive(Debug, Serialize)]
pub struct Distance {
    pub latency_ms: u32,
    pub connections: usize,
    pub per_second: f64,
    /// Of streams × connections / latency.
    pub share: f64,
    pub cpu_us: f64,
}

/// An open loop at half of what the daemon managed at the most.
#[derive(Debug, Serialize)]
pub struct Latency {
    pub name: &'static str,
    pub title: &'static str,
    /// Notifications.
    pub per_second: f64,
    pub daemon_ms: Percentiles,
    /// The simulator's own, with the same load from a bare client.
    pub bare_ms: Percentiles,
}

impl Row {
    pub fn new(name: &'static str, title: impl Into<String>, target: Option<f64>) -> Self {
        let title = title.into();
        Self { name, title, notifications: 0, per_second: vec![], cpu_us: vec![], times_floor: vec![], target }
    }

    pub fn of(shape: &Shape) -> Self {
        let target = match shape.target {
            Some(Target::TimesFloor(most)) => Some(most),
            Some(Target::Times(..)) | None => None,
        };
        Self::new(shape.name, format!("daemon: {}", shape.title), target)
    }

    pub fn add(&mut self, sent: Sent, cpu: Duration) {
        self.notifications = sent.notifications;
        self.per_second.push(sent.notifications as f64 / sent.wall.as_secs_f64());
        self.cpu_us.push(cpu.as_secs_f64() * 1e6 / sent.notifications as f64);
    }

    pub fn add_used(&mut self, used: &Used, notifications: usize) {
        let sent = Sent { notifications, wall: Duration::from_secs_f64(used.wall) };
        self.add(sent, Duration::from_secs_f64(used.cpu));
    }

    /// Sets the last round against the floor of the same.
    pub fn compare(&mut self, floor_us: f64) {
        self.times_floor.extend(self.cpu_us.last().map(|cpu_us| cpu_us / floor_us));
    }

    pub fn times_floor(&self) -> f64 {
        median(self.times_floor.iter().copied())
    }
}

/// Sets the targets that depend on another shape's figure.
pub fn aim(rows: &mut [Row], shapes: &[Shape]) {
    for shape in shapes {
        let Some(Target::Times(other, most)) = shape.target else { continue };
        let Some(other) = rows.iter().find(|row| row.name == other).map(Row::times_floor) else { continue };
        rows.iter_mut().filter(|row| row.name == shape.name).for_each(|row| row.target = Some(most * other));
    }
}

/// The middle one; the mean of two if their number is even; not a number if there is none.
pub fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        count => (figures[(count - 1) / 2] + figures[count / 2]) / 2.0,
    }
}
