//! One node whose calls to Redis get no answer, not even a refusal. The others see Redis, and all nodes see each other.

use super::{NAMES, SLACK, apps, assert_rest, connections, limit, load};
use crate::support::fault_proxy::{FaultProxy, Way};
use crate::support::full;
use crate::support::load::Running;
use crate::support::namespace::Namespace;
use crate::support::redis_server::RedisServer;
use crate::support::site::{Node, Seat, Site};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::sleep;

const BACK_WITHIN: Duration = Duration::from_secs(2);
/// A node that comes back within two seconds of this still has its lease.
const SHORT: Duration = Duration::from_secs(3);

fn long() -> Duration {
    Duration::from_secs(if full() { 20 } else { 8 })
}

/// The times that `c` spends in the hole: of each length in the long form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Short,
    Long,
}

/// Opens and closes the hole between `c` and Redis.
async fn falls_in(site: Site, redis_of_c: String, length: Length, hole: impl Fn(bool)) {
    let apps = apps();
    let [first, second, third] = NAMES.map(|name| site.seat(name));
    let [a, b, c] = site.ready_at([first, second, Seat { redis: redis_of_c, ..third }], &apps).await;
    let running = load(&[&a, &b, &c], &apps).start();
    sleep(Duration::from_secs(1)).await;
    let fault = running.now();
    if length == Length::Short || full() {
        hole(true);
        says_so(&c).await;
        sleep((fault + SHORT).saturating_sub(running.now())).await;
        for node in [&a, &b, &c] {
            assert_eq!(node.metric("pyapns_cluster_members").await, 3.0, "{}", node.name);
        }
        hole(false);
        is_back(&c).await;
        // The view of `c` stands still for a lease's time from there.
        sleep(Duration::from_secs(7)).await;
    }
    let within_lease = running.now();
    if length == Length::Long || full() {
        hole(true);
        says_so(&c).await;
        goes_without(&running, &[&a, &b], &c).await;
        hole(false);
        is_back(&c).await;
    }
    site.wait_joined(&[&a, &b, &c]).await;
    let joined = running.now();
    sleep(Duration::from_secs(1)).await;
    let told = running.stop().await;
    let within = limit(&told, fault);
    told.assert_true(site.simulator.ledger());
    assert_rest(&told, fault, Duration::MAX, within);
    for app in 0..apps.len() {
        let of_app = |from, to| told.between(from, to).filter(move |note| note.app == app);
        let owner = connections(&site, &told, of_app(Duration::ZERO, within_lease));
        assert_eq!(owner.len(), 1, "no lane moves within a lease: app {app}");
        let again = connections(&site, &told, of_app(joined + SLACK, Duration::MAX));
        assert_eq!(again.len(), 1, "one node sends again: app {app}");
    }
    for node in [a, b, c] {
        node.process.stop().await;
    }
}

async fn says_so(node: &Node) {
    let took = node.wait_metric("pyapns_degraded{what=\"cluster\"}", 1.0).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

async fn is_back(node: &Node) {
    let took = node.wait_metric("pyapns_degraded{what=\"cluster\"}", 0.0).await;
    println!("{} beats again after {took:?}", node.name);
    assert!(took < BACK_WITHIN, "{took:?}");
    node.wait_metric("pyapns_cluster_lease_held", 1.0).await;
}

/// The others take its lanes when its lease has ended; it keeps the members that it knew.
async fn goes_without(running: &Running, others: &[&Node], alone: &Node) {
    let from = running.now();
    for node in others {
        node.wait_metric("pyapns_cluster_members", 2.0).await;
    }
    println!("out of the ring after {:?}", running.now() - from);
    assert!(running.now() - from < Duration::from_secs(7));
    sleep(long().saturating_sub(running.now() - from)).await;
    assert_eq!(alone.metric("pyapns_cluster_members").await, 3.0);
    let ready = alone.client().await.get("/readyz").await;
    assert_eq!((ready.status, ready.response()["status"].as_str()), (200, Some("degraded")), "{ready:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_a_silent_proxy_keeps_from_redis_sends_on_and_no_lane_moves_within_a_lease() {
    let site = Site::new(&[]).await;
    let proxy = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], site.redis.port))).await;
    let url = format!("redis://{}/0", proxy.address);
    falls_in(site, url, Length::Short, |is_open| proxy.set(if is_open { Way::Stalled } else { Way::Open })).await;
}

/// Needs root, to make a network namespace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_cable_to_redis_is_pulled_sends_on_and_is_back_in_the_ring_soon_after_the_fault() {
    let Some(space) = Namespace::new(2) else { return };
    let command = space.exec();
    let command: Vec<&str> = command.iter().map(String::as_str).chain(["redis-server"]).collect();
    let redis = RedisServer::by(&command, &["bind 0.0.0.0", "protected-mode no"]);
    let url = |number: usize| format!("redis://{}:{}/0", space.cables[number].inside, redis.port);
    let (of_all, of_c) = (url(0), url(1));
    let mut site = Site::beside("127.0.0.1:0", redis).await;
    site.reach_redis_at(of_all);
    falls_in(site, of_c, Length::Long, |is_open| if is_open { space.pull(1) } else { space.plug(1) }).await;
}
