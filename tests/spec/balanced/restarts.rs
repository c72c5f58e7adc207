//! Nodes restart one after another while callers send, HAProxy reloads, and no caller notices.

use super::{Balanced, Kind};
use crate::support::full;
use crate::support::load::Load;
use std::time::Duration;
use tokio::sync::Mutex;

const APPS: usize = 30;
/// The tests of this file run one after another: each of them needs a core.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Restarts each node in turn under load, once, or five times in the full form.
async fn restart_all(kind: Kind) {
    // Nodes without optimizations do not keep up with 1,500 requests a second on two cores.
    let (rounds, per_second, per_request) = if full() { (5, 1_500, 5) } else { (1, 100, 1) };
    let _alone = ALONE.lock().await;
    let mut balanced = Balanced::start(kind).await;
    let apps: Vec<_> = (0..APPS).map(|number| format!("/apps/app-{number}/sandbox")).collect();
    balanced.provision(&apps).await;
    let load = Load::new(&[balanced.balancer.address], &apps).per_second(per_second).per_request(per_request);
    let load = load.timeout_seconds(20).start();
    for _ in 0..rounds {
        for index in 0..3 {
            let node = balanced.nodes.remove(index);
            node.process.stop().await;
            let again = balanced.run(index).await;
            balanced.nodes.insert(index, again);
            balanced.wait_joined().await;
        }
        if kind == Kind::Haproxy {
            balanced.balancer.reload().await;
        }
    }
    // Some requests use the connections that were open before.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let last = load.now();
    let told = load.stop().await;
    let mut took: Vec<Duration> = told.notes.iter().map(|note| note.took()).collect();
    took.sort();
    let (middle, p99, longest) = (took[took.len() / 2], took[took.len() * 99 / 100], took[took.len() - 1]);
    println!(
        "{kind:?}: {} restarts in {last:?}, {:?}; median {middle:?}, 99 % {p99:?}, longest {longest:?}; latest start {:?}",
        3 * rounds,
        told.tally(),
        told.latest_start()
    );
    assert_eq!(told.accepted(), told.notes.len(), "{:?}; {}", told.tally(), balanced.balancer.log());
    told.assert_true(balanced.site.simulator.ledger());
    let wanted = last.as_secs() as usize * per_second;
    assert!(told.notes.len() > wanted * 9 / 10, "the load was as strong as wanted: {} of {wanted}", told.notes.len());
    balanced.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_behind_haproxy_restart_in_turn_haproxy_reloads_and_every_notification_is_accepted_once() {
    restart_all(Kind::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_behind_nginx_restart_in_turn_and_every_notification_is_accepted_once() {
    restart_all(Kind::Nginx).await;
}
