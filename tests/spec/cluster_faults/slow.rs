//! A peer whose answers are slow, and then do not come at all.

use super::{APPS_OF_B, LEFT_OUT_AFTER, NAMES, SLACK, apps, assert_rest, connections, limit, load};
use crate::support::fault_proxy::{FaultProxy, Way};
use crate::support::full;
use crate::support::load::{End, Note};
use crate::support::site::{Seat, Site};
use std::time::Duration;
use tokio::time::sleep;

fn delays() -> Vec<Duration> {
    let millis: &[u64] = if full() { &[200, 1_000] } else { &[200] };
    millis.iter().copied().map(Duration::from_millis).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_peer_keeps_its_share_and_one_that_never_answers_loses_it_soon() {
    let (site, apps) = (Site::new(&[]).await, apps());
    let seats = NAMES.map(|name| site.seat(name));
    let proxy = FaultProxy::start(seats[1].link.parse().expect("an address")).await;
    let [first, slow, third] = seats;
    let slow = Seat { advertise: Some(proxy.address.to_string()), ..slow };
    let [a, b, c] = site.ready_at([first, slow, third], &apps).await;
    let running = load(&[&a, &c], &apps).start();
    sleep(Duration::from_secs(1)).await;

    let mut spans = Vec::new();
    for delay in delays() {
        proxy.set(Way::Delayed(delay));
        let from = running.now() + delay + SLACK;
        sleep(delay + Duration::from_secs(2)).await;
        spans.push((delay, from, running.now()));
        // The last ones have their answers before the next change.
        sleep(4 * delay).await;
    }
    proxy.set(Way::Open);
    sleep(Duration::from_secs(2)).await;
    proxy.set(Way::AnswersStalled);
    let stalled = running.now();
    sleep(Duration::from_secs(4)).await;
    proxy.set(Way::Open);
    a.wait_metric("pyapns_peer_reachable{node=\"b\"}", 1.0).await;
    c.wait_metric("pyapns_peer_reachable{node=\"b\"}", 1.0).await;
    let healed = running.now();
    sleep(Duration::from_secs(1)).await;
    let told = running.stop().await;
    println!("{spans:?}, stalled {stalled:?}, healed {healed:?}");
    let within = limit(&told, Duration::from_secs(1));
    told.assert_true(site.simulator.ledger());

    let of_b = |note: &&Note| note.app < APPS_OF_B;
    let its_own = connections(&site, &told, told.between(Duration::ZERO, spans[0].1).filter(of_b));
    assert_eq!(its_own.len(), APPS_OF_B);
    for (delay, from, to) in spans {
        assert_rest(&told, from, to, 4 * delay + within);
        let notes: Vec<&Note> = told.between(from, to).filter(of_b).collect();
        assert!(notes.iter().all(|note| note.took() > delay), "by way of the slow peer");
        assert_eq!(connections(&site, &told, notes.into_iter()), its_own, "it keeps its share");
    }
    assert_rest(&told, stalled + LEFT_OUT_AFTER + SLACK, Duration::MAX, within);
    let substitutes = told.between(stalled + LEFT_OUT_AFTER + SLACK, healed - SLACK).filter(of_b);
    assert!(connections(&site, &told, substitutes).is_disjoint(&its_own), "its share has moved");
    let again = told.between(healed + SLACK, Duration::MAX).filter(of_b);
    assert_eq!(connections(&site, &told, again), its_own, "its share is back");
    for note in told.notes.iter().filter(|note| !note.end.is_accepted()) {
        assert!(note.app < APPS_OF_B, "lanes of the others go on: {note:?}");
        assert!(matches!(&note.end, End::Told { outcome, .. } if outcome == "unknown"), "{note:?}");
    }
    for node in [a, b, c] {
        node.process.stop().await;
    }
}
