//! An owner that ends as kill -9 ends it.

use super::{APPS_OF_B, NAMES, REST_WITHIN, SLACK, apps, assert_rest, connections, limit, load};
use crate::support::load::{End, Note, Told};
use crate::support::site::Site;
use simulator::{Latency, Script};
use std::time::Duration;
use tokio::time::sleep;

const RING_WITHOUT_DEAD: Duration = Duration::from_secs(7);
/// Apple answers after this, so that some are in flight at any time.
const APPLE_MS: f64 = 40.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_killed_under_load_costs_only_what_was_in_flight_and_nobody_is_told_wrong() {
    let (site, apps) = (Site::new(&[]).await, apps());
    let [a, b, c] = site.ready(NAMES, &apps).await;
    let latency = Some(Latency::FixedMs(APPLE_MS));
    site.simulator.set_script(Script { latency, ..Script::default() }).expect("a good script");
    // No help for callers of the node that dies: they are counted apart.
    let (running, its_own) = (load(&[&a, &c], &apps).start(), load(&[&b], &apps).per_second(50).start());
    sleep(Duration::from_secs(2)).await;
    b.process.signal("KILL");
    let killed = running.now();
    for node in [&a, &c] {
        node.wait_metric("pyapns_cluster_members", 2.0).await;
    }
    let gone = running.now() - killed;
    sleep(Duration::from_secs(1)).await;
    let (told, its_own) = (running.stop().await, its_own.stop().await);
    println!("out of the ring after {gone:?}; callers of the dead: {:?}", its_own.tally());
    let within = limit(&told, killed);
    assert!(gone < RING_WITHOUT_DEAD, "{gone:?}");
    told.assert_true(site.simulator.ledger());
    its_own.assert_true(site.simulator.ledger());

    assert_rest(&told, killed + REST_WITHIN, Duration::MAX, within);
    for note in told.notes.iter().filter(|note| !note.end.is_accepted()) {
        assert!(note.app < APPS_OF_B, "lanes of the others go on: {note:?}");
        assert!(note.ended < killed + within + SLACK, "told at once: {note:?}");
        let End::Told { outcome, reason } = &note.end else { panic!("{note:?}") };
        assert!(matches!((outcome.as_str(), reason.as_str()), ("unknown" | "not_sent", "peer_lost")), "{note:?}");
    }
    assert_one_node_sends(&site, &told, killed + REST_WITHIN);
    for node in [a, c] {
        node.process.stop().await;
    }
}

/// From then on each lane has one connection, whichever node takes its notifications; the lanes of others had it before.
fn assert_one_node_sends(site: &Site, told: &Told, from: Duration) {
    for app in 0..told.notes.iter().map(|note| note.app).max().expect("notifications") + 1 {
        let from = if app < APPS_OF_B { from } else { Duration::ZERO };
        let notes = told.notes.iter().filter(|note: &&Note| note.app == app && note.at >= from);
        assert_eq!(connections(site, told, notes).len(), 1, "app {app}");
    }
}
