//! The cost of a notification: the daemon against its floor, a bare loop over the h2 crate, in one run.
//!
//! Starts the simulator and the daemon, each as a separate process, and measures in turn, round by round, on loopback
//! TLS with the same headers, bodies and number in flight. `cargo bench --bench delivery`; `-- --help` tells the
//! options.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a benchmark blocks, prints and starts tasks"
)]

mod chart;
mod distance;
mod figures;
mod floor;
mod latency;
mod load;
mod machine;
mod open_loop;
mod options;
mod pair;
mod peer;
mod process;
mod report;
mod rounds;
mod sender;
mod shape;
mod sink;
mod table;

use clap::Parser;
use figures::{Figures, Memory};
use machine::Machine;
use options::Options;
use peer::Peer;
use process::Program;

/// Connections that the daemon may have to the simulator, as by default.
const CONNECTIONS_MAX: usize = 16;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some(floor::ARGUMENT) => return floor::main(),
        Some(sink::ARGUMENT) => return sink::main(),
        Some(pair::ARGUMENT) => return pair::main(),
        _ => {}
    }
    let options = Options::parse();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let simulator = Program::simulator(dir.path());
    if options.simulator {
        return sink::compare(&options, dir.path(), &simulator);
    }
    let peer = options
        .wants(options::PEER)
        .then(Peer::build)
        .and_then(|built| built.inspect_err(|error| eprintln!("the peer is left out: {error}")).ok());
    let daemon = Program::daemon(&dir.path().join("daemon"), &simulator, CONNECTIONS_MAX);
    let (idle, _) = daemon.resident_bytes();
    load::provision(&daemon, &simulator);
    let pair = pair::start(&dir.path().join("pair"), &simulator);
    load::provision_pair(&pair, &simulator);
    let senders = rounds::run(&options, &simulator, &daemon, &pair, peer.as_ref());
    drop(pair);
    let latency = open_loop::run(&options, &simulator, &daemon, &senders);
    let (after, most) = daemon.resident_bytes();
    drop(daemon);
    let apple =
        if options.wants(options::APPLE) { distance::run(&options, dir.path(), &simulator) } else { Vec::new() };
    let figures = Figures {
        machine: Machine::this(),
        rounds: options.rounds(),
        in_flight: shape::IN_FLIGHT,
        senders,
        memory: Memory { idle, after, most },
        apple,
        latency,
    };
    report::publish(&figures, options.is_whole()).expect("files that can be written");
}
