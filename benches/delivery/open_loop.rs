//! The latency that the daemon adds to the simulator's own, at half of its highest rate.

use crate::figures::{Latency, Row, median};
use crate::floor;
use crate::latency::Percentiles;
use crate::load::Load;
use crate::options::Options;
use crate::process::Program;
use crate::sender::Pace;
use crate::shape::{Apps, Form};
use std::time::Duration;

/// Of each measurement.
const LASTS: Duration = Duration::from_secs(4);
const LASTS_QUICK: Duration = Duration::from_millis(500);
/// Percentiles settle sooner than CPU does.
const ROUNDS_MAX: usize = 3;

/// Measures each shape that consists of requests to one app; their most is in `rows`.
pub fn run(options: &Options, simulator: &Program, daemon: &Program, rows: &[Row]) -> Vec<Latency> {
    let lasts = if options.quick { LASTS_QUICK } else { LASTS };
    let shapes = options
        .shapes()
        .filter(|shape| shape.apps == Apps::Certificate && shape.callers > 1 && !matches!(shape.form, Form::Lines(_)));
    let measure = |shape: &'static crate::shape::Shape| {
        let row = rows.iter().find(|row| row.name == shape.name).expect("it was measured");
        let burst = shape.form.notifications();
        let bursts_per_second = median(row.per_second.iter().copied()) / 2.0 / burst as f64;
        let bursts = (bursts_per_second * lasts.as_secs_f64()) as usize;
        let (load, pace) = (Load::new(daemon, shape), Pace { burst, bursts_per_second });
        let (mut daemon_ms, mut bare_ms) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds().min(ROUNDS_MAX) {
            bare_ms.push(floor::paced(simulator, bursts * burst, pace));
            daemon_ms.push(load.paced(bursts, bursts_per_second));
        }
        let latency = Latency {
            name: shape.name,
            title: shape.title,
            per_second: bursts_per_second * burst as f64,
            daemon_ms: Percentiles::median(&daemon_ms),
            bare_ms: Percentiles::median(&bare_ms),
        };
        let (daemon_p99, bare_p99) = (latency.daemon_ms.p99, latency.bare_ms.p99);
        println!("open loop  {:42} p99 {daemon_p99:.2} ms, bare client {bare_p99:.2} ms", shape.title);
        latency
    };
    shapes.map(measure).collect()
}
