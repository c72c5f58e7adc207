//! What a notification costs: the daemon against its floor, a bare loop over the h2 crate, in one run.
//!
//! Starts the simulator, then for a number of rounds the floor and the daemon in turn, each as a process of its own on
//! loopback TLS with the same headers, bodies and number in flight, and prints medians. `cargo bench --bench delivery`;
//! `PYAPNS_BENCH_ROUNDS` and `PYAPNS_BENCH_NOTIFICATIONS` change how much is measured.

mod floor;
mod load;
mod process;

use process::{Program, Usage};
use std::time::{Duration, Instant};

/// Notifications without an answer at any time.
pub const IN_FLIGHT: usize = 500;
/// Notifications in one request to the daemon.
const BATCH: usize = 100;

fn main() {
    if std::env::args().nth(1).as_deref() == Some(floor::ARGUMENT) {
        return floor::main();
    }
    let rounds = number("PYAPNS_BENCH_ROUNDS", 5);
    let notifications = number("PYAPNS_BENCH_NOTIFICATIONS", 200_000);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let simulator = Program::simulator(dir.path());
    let daemon = Program::daemon(dir.path(), &simulator);
    load::provision(&daemon, &simulator);
    load::run(&daemon, BATCH, notifications / 10);

    let mut floor_us = Vec::new();
    let mut daemon_us = Vec::new();
    for round in 1..=rounds {
        let floor = floor::run(&simulator, notifications);
        report(round, "floor: bare h2 loop", &floor, notifications);
        floor_us.push(floor.cpu_us(notifications));
        let before = daemon.cpu();
        let began = Instant::now();
        load::run(&daemon, BATCH, notifications);
        let usage = Usage { cpu: daemon.cpu() - before, wall: began.elapsed() };
        report(round, "daemon: batches of 100", &usage, notifications);
        daemon_us.push(usage.cpu_us(notifications));
    }
    let (floor, daemon_median) = (median(&mut floor_us), median(&mut daemon_us));
    println!(
        "median of {rounds} rounds, {notifications} notifications each, {IN_FLIGHT} in flight, certificate, loopback TLS"
    );
    println!("  floor   {floor:6.2} µs CPU a notification");
    println!("  daemon  {daemon_median:6.2} µs CPU a notification = {:.2} × floor", daemon_median / floor);
    println!("  daemon  {:6.1} MB resident", daemon.resident_bytes() as f64 / 1e6);
}

fn report(round: usize, what: &str, usage: &Usage, notifications: usize) {
    let rate = notifications as f64 / usage.wall.max(Duration::from_millis(1)).as_secs_f64();
    println!("round {round}  {what:24} {:6.2} µs CPU  {rate:9.0}/s", usage.cpu_us(notifications));
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
