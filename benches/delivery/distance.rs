//! Throughput where Apple is far away: what its streams allow is streams × connections / latency.

use crate::figures::{Distance, median};
use crate::load::{self, Load};
use crate::options::Options;
use crate::process::Program;
use crate::shape::{Apps, Form, Shape};
use std::path::Path;
use std::time::Duration;

/// Of one connection to the simulator, as to Apple.
const STREAMS: usize = 1000;
const LATENCIES_MS: [u32; 2] = [40, 150];
/// For shapes of batches: so many notifications in each, half as many waiting as are in flight.
const BATCH: usize = 100;
const SHAPES: [(usize, Shape); 3] = [(1, far(1)), (2, far(2)), (4, far(4))];
/// Connections open one after the other, each after the one before has proved itself.
const WARM_UP: Duration = Duration::from_secs(2);
const WARM_UP_QUICK: Duration = Duration::from_millis(500);
const ROUNDS_MAX: usize = 3;

const fn far(connections: usize) -> Shape {
    Shape {
        name: "far",
        title: "batches of 100",
        form: Form::Batch(BATCH),
        apps: Apps::Certificate,
        callers: connections * STREAMS * 3 / 2 / BATCH,
        one_in: 1,
        target: None,
    }
}

/// Measures all of it, with a daemon for each number of connections.
pub fn run(options: &Options, dir: &Path, simulator: &Program) -> Vec<Distance> {
    let mut distances = Vec::new();
    for (connections, shape) in &SHAPES {
        let daemon = Program::daemon(&dir.join(format!("far-{connections}")), simulator, *connections);
        load::provision(&daemon, simulator);
        let load = Load::new(&daemon, shape);
        for latency_ms in LATENCIES_MS {
            load::script(simulator, &format!(r#"{{"latency":{{"fixed_ms":{latency_ms}}}}}"#));
            let distance = measure(options, &daemon, &load, *connections, latency_ms);
            let Distance { per_second, share, .. } = distance;
            println!("Apple at {latency_ms} ms, {connections} connections  {per_second:.0}/s, {:.0} %", share * 100.0);
            distances.push(distance);
        }
        load::script(simulator, "{}");
    }
    distances.sort_by_key(|distance| distance.latency_ms);
    distances
}

fn measure(options: &Options, daemon: &Program, load: &Load, connections: usize, latency_ms: u32) -> Distance {
    let latency = Duration::from_millis(latency_ms.into());
    // Answers come in waves: a whole number of them is counted.
    let lasts = latency * if options.quick { 5 } else { 4000 / latency_ms };
    let warm_up = if options.quick { WARM_UP_QUICK } else { WARM_UP };
    let (mut per_second, mut cpu_us) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds().min(ROUNDS_MAX) {
        let (sent, cpu) = load.steady(warm_up, lasts, || daemon.cpu());
        per_second.push(sent.notifications as f64 / sent.wall.as_secs_f64());
        cpu_us.push(cpu.as_secs_f64() * 1e6 / sent.notifications as f64);
    }
    let per_second = median(per_second.into_iter());
    let allowed = (STREAMS * connections) as f64 / latency.as_secs_f64();
    Distance { latency_ms, connections, per_second, share: per_second / allowed, cpu_us: median(cpu_us.into_iter()) }
}
