//! Nodes that see Redis and Apple, and not each other: the cable between them is pulled.

use super::{APPS_OF_B, LEFT_OUT_AFTER, NAMES, SLACK, apps, assert_rest, connections, limit, load};
use crate::support::full;
use crate::support::load::{End, Note};
use crate::support::namespace::Namespace;
use crate::support::redis_server::RedisServer;
use crate::support::site::{Seat, Site};
use std::time::Duration;
use tokio::time::sleep;

/// Needs root, to make a network namespace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_cut_from_each_other_send_by_themselves_and_go_back_to_their_owners() {
    let Some(space) = Namespace::new(2) else { return };
    let (common, between) = (space.cables[0], space.cables[1]);
    let bind = format!("bind 127.0.0.1 {}", common.outside);
    let redis = RedisServer::with(&[bind.as_str(), "protected-mode no"]);
    let (site, apps) = (Site::beside(&format!("{}:0", common.outside), redis).await, apps());
    let port = |seat: &Seat| seat.link.rsplit(':').next().expect("a port").to_owned();
    let outside = NAMES.map(|name| {
        let seat = site.seat(name);
        Seat { link: format!("{}:{}", between.outside, port(&seat)), ..seat }
    });
    let [first, second, third] = outside;
    let inside = Seat {
        command: space.exec(),
        host: common.inside.to_string(),
        link: format!("{}:{}", between.inside, port(&second)),
        redis: format!("redis://{}:{}", common.outside, site.redis.port),
        ..second
    };
    let [a, b, c] = site.ready_at([first, inside, third], &apps).await;
    let running = load(&[&a, &b, &c], &apps).start();
    sleep(Duration::from_secs(2)).await;
    space.pull(1);
    let cut = running.now();
    for (node, other) in [(&a, "b"), (&c, "b"), (&b, "a"), (&b, "c")] {
        node.wait_metric(&format!("pyapns_peer_reachable{{node=\"{other}\"}}"), 0.0).await;
    }
    let noticed = running.now() - cut;
    for (node, missed) in [(&a, vec!["b"]), (&b, vec!["a", "c"]), (&c, vec!["b"])] {
        let shown = node.client().await.get("/cluster").await;
        let links = shown.response()["links"].as_array().expect("a list");
        let down = links.iter().filter(|link| link["reachable"] == false).map(|link| link["node"].as_str());
        assert_eq!(down.flatten().collect::<Vec<_>>(), missed, "{}: {shown:?}", node.name);
    }
    // In the long form longer than a lease: Redis still names all of them.
    sleep(Duration::from_secs(if full() { 20 } else { 4 })).await;
    for node in [&a, &b, &c] {
        assert_eq!(node.metric("pyapns_cluster_members").await, 3.0, "{}", node.name);
    }
    space.plug(1);
    let plugged = running.now();
    site.wait_joined(&[&a, &b, &c]).await;
    let healed = running.now();
    sleep(Duration::from_secs(1)).await;
    let told = running.stop().await;
    println!("noticed after {noticed:?}, back after {:?}", healed - plugged);
    let within = limit(&told, cut);
    assert!(noticed < LEFT_OUT_AFTER + 2 * SLACK, "{noticed:?}");
    assert!(healed - plugged < Duration::from_secs(6), "{:?}", healed - plugged);
    told.assert_true(site.simulator.ledger());

    assert_rest(&told, cut + LEFT_OUT_AFTER + SLACK, Duration::MAX, within);
    for note in told.notes.iter().filter(|note| !note.end.is_accepted()) {
        assert!(matches!(&note.end, End::Told { outcome, .. } if outcome == "unknown"), "{note:?}");
    }
    // Both sides of the cut have one connection for each lane of the other side, and no more.
    let in_between = |note: &&Note| note.at > cut + LEFT_OUT_AFTER + SLACK && note.at < plugged;
    for app in 0..apps.len() {
        let is_of = |note: &&Note| note.app == app;
        let during = connections(&site, &told, told.notes.iter().filter(is_of).filter(in_between));
        let after = connections(&site, &told, told.between(healed + SLACK, Duration::MAX).filter(is_of));
        assert_eq!((during.len(), after.len()), (2, 1), "app {app}: {during:?} {after:?}");
        let before = connections(&site, &told, told.between(Duration::ZERO, cut - SLACK).filter(is_of));
        assert_eq!(before, after, "the owner {} sends again", if app < APPS_OF_B { "b" } else { "a or c" });
    }
    for node in [a, b, c] {
        node.process.stop().await;
    }
}
