//! An owner that stands still, as SIGSTOP stops it, and goes on later.

use super::{APPS_OF_B, LEFT_OUT_AFTER, NAMES, SLACK, apps, assert_rest, connections, limit, load};
use crate::support::full;
use crate::support::load::End;
use crate::support::site::Site;
use std::time::Duration;
use tokio::time::sleep;

/// Each notification ends by then.
const TIMEOUT_SECONDS: u32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_stands_still_under_load_is_left_out_soon_and_later_sends_nothing_past_its_deadline() {
    let stops_for = Duration::from_secs(if full() { 30 } else { 9 });
    let (site, apps) = (Site::new(&[]).await, apps());
    let [a, b, c] = site.ready(NAMES, &apps).await;
    let running = load(&[&a, &c], &apps).timeout_seconds(TIMEOUT_SECONDS).start();
    let zero = site.simulator.ledger().elapsed() - running.now();
    sleep(Duration::from_secs(2)).await;
    b.process.signal("STOP");
    let stopped = running.now();
    sleep(stops_for).await;
    b.process.signal("CONT");
    let goes_on = running.now();
    site.wait_joined(&[&a, &b, &c]).await;
    let joined = running.now();
    sleep(Duration::from_secs(2)).await;
    let told = running.stop().await;
    println!("joined {:?} after it went on", joined - goes_on);
    let within = limit(&told, stopped);
    told.assert_true(site.simulator.ledger());
    assert_rest(&told, stopped + LEFT_OUT_AFTER + SLACK, Duration::MAX, within);
    for note in told.notes.iter().filter(|note| !note.end.is_accepted()) {
        assert!(note.app < APPS_OF_B, "lanes of the others go on: {note:?}");
        assert!(matches!(&note.end, End::Told { outcome, .. } if outcome == "unknown"), "{note:?}");
    }
    for app in 0..APPS_OF_B {
        let meanwhile = told.between(stopped + LEFT_OUT_AFTER + SLACK, goes_on).filter(|note| note.app == app);
        assert_eq!(connections(&site, &told, meanwhile).len(), 1, "one substitute for app {app}");
    }
    let seen = told.seen(site.simulator.ledger());
    let timeout = Duration::from_secs(u64::from(TIMEOUT_SECONDS));
    for note in &told.notes {
        for entry in seen.get(&note.number).into_iter().flatten() {
            let late = entry.time.saturating_sub(zero + note.started + timeout);
            assert!(late < SLACK, "{late:?} past its deadline: {note:?}");
        }
    }
    // The owner sends again.
    let before = b.metric("pyapns_attempts_total").await;
    b.sends(&apps[0], 1).await;
    a.sends(&apps[0], 2).await;
    assert_eq!(b.metric("pyapns_attempts_total").await, before + 2.0);
    for node in [a, b, c] {
        node.process.stop().await;
    }
}
