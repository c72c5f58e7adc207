//! Floor, peer and daemon in turn, round by round.

use crate::figures::{self, Row};
use crate::floor;
use crate::load::{Load, Sent};
use crate::options::{Options, PEER};
use crate::peer::Peer;
use crate::process::Program;
use crate::shape::{Apps, SHAPES, Shape};
use std::time::Duration;

/// Sends this part of a round's notifications before anything is measured.
const WARM_UP_ONE_IN: usize = 10;

/// The peer is slow: it sends one in so many.
const PEER_ONE_IN: usize = 4;

/// Measures everything that is wanted: the floor, the peer if there is one, and the daemon.
pub fn run(options: &Options, simulator: &Program, daemon: &Program, pair: &Program, peer: Option<&Peer>) -> Vec<Row> {
    let sender = |shape: &Shape| if shape.apps == Apps::Forwarded { pair } else { daemon };
    let shapes: Vec<&'static Shape> = options.shapes().collect();
    let mut floor_row = Row::new("floor", "floor: a bare loop over the h2 crate", None);
    let mut peer_row = Row::new(PEER, "peer: the Rust library a2", None);
    let mut rows: Vec<Row> = shapes.iter().map(|shape| Row::of(shape)).collect();
    for shape in &shapes {
        Load::new(sender(shape), shape).run(options.notifications() / WARM_UP_ONE_IN);
    }
    for round in 1..=options.rounds() {
        let notifications = options.notifications();
        let mut floors = vec![floor::run(simulator, notifications)];
        if let Some(peer) = peer {
            peer_row.add_used(&peer.run(simulator, notifications / PEER_ONE_IN), notifications / PEER_ONE_IN);
            tell(round, &peer_row);
        }
        for (row, shape) in rows.iter_mut().zip(&shapes) {
            let (sent, cpu) = measure(sender(shape), shape, notifications);
            row.add(sent, cpu);
            tell(round, row);
        }
        floors.push(floor::run(simulator, notifications));
        // Before and after the others: the machine may have changed in between.
        let cpu = floors.iter().map(|used| used.cpu).sum::<f64>();
        let wall = floors.iter().map(|used| used.wall).sum::<f64>();
        floor_row.add(
            Sent { notifications: 2 * notifications, wall: Duration::from_secs_f64(wall) },
            Duration::from_secs_f64(cpu),
        );
        tell(round, &floor_row);
        let floor_us = floor_row.cpu_us[round - 1];
        rows.iter_mut().chain([&mut floor_row, &mut peer_row]).for_each(|row| row.compare(floor_us));
    }
    rows.splice(..0, [floor_row].into_iter().chain(peer.map(|_| peer_row)));
    figures::aim(&mut rows, SHAPES);
    rows
}

fn measure(daemon: &Program, shape: &'static Shape, notifications: usize) -> (Sent, Duration) {
    let load = Load::new(daemon, shape);
    let before = daemon.cpu();
    let sent = load.run(notifications);
    (sent, daemon.cpu() - before)
}

fn tell(round: usize, row: &Row) {
    let last = |figures: &[f64]| figures.last().copied().unwrap_or(f64::NAN);
    println!("round {round}  {:45} {:7.2} µs CPU {:9.0}/s", row.title, last(&row.cpu_us), last(&row.per_second));
}
