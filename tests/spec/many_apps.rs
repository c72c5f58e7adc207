//! Many apps on one node: provisioned, listed page by page, there again after a restart; and what that costs.

use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::full;
use crate::support::world::World;
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const CALLERS: usize = 8;
const PAGE: usize = 1_000;

/// Provisions its share of the apps, half of them with a certificate and half with a signing key.
async fn provision(node: SocketAddr, bodies: [String; 2], numbers: Vec<usize>) {
    let mut client = Client::connect(node).await;
    for number in numbers {
        let path = format!("/apps/app-{number:05}/sandbox");
        let answer = client.post(&path, bodies[number % 2].clone()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

/// Every app that is listed, and how long the slowest page took.
async fn list(node: SocketAddr, page: usize) -> (Vec<String>, Duration) {
    let mut client = Client::connect(node).await;
    let (mut apps, mut cursor, mut slowest) = (Vec::new(), String::new(), Duration::ZERO);
    loop {
        let began = Instant::now();
        let answer = client.get(&format!("/apps?limit={page}{cursor}")).await;
        slowest = slowest.max(began.elapsed());
        let listed = answer.response().as_array().unwrap_or_else(|| panic!("{answer:?}"));
        if listed.is_empty() {
            return (apps, slowest);
        }
        assert!(listed.len() <= page);
        assert!(listed.iter().all(|app| app["state"] == "ok"));
        apps.extend(listed.iter().map(|app| app["app_id"].as_str().expect("an id").to_owned()));
        cursor = format!("&cursor={}", answer.body["cursor"].as_str().expect("a cursor"));
    }
}

/// 10,000 apps in the long form, with figures; some in the short one. The figures of a release build come with
/// `PYAPNS_TEST_PROGRAM=target/release/pyapns`. States its own limit: three minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_apps_are_provisioned_listed_in_pages_and_there_after_a_restart() {
    let (count, page) = if full() { (10_000, PAGE) } else { (120, 50) };
    let world = World::start().await;
    let data = world.directory.path().join("many");
    let identity = world.simulator.identity();
    let key = json!({"key": identity.key_pem, "key_id": identity.key_id, "team_id": identity.team_id}).to_string();
    let bodies = [identity.client_pem.clone(), key];
    let daemon = Daemon::on(&world, &data, &[]).await;
    let (idle, node) = (daemon.resident(), daemon.address);
    let began = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| (caller..count).step_by(CALLERS).collect())
        .map(|numbers| tokio::spawn(provision(node, bodies.clone(), numbers)))
        .collect();
    for caller in callers {
        caller.await.expect("a caller without a fault");
    }
    let provisioned = began.elapsed();
    let expected: Vec<String> = (0..count).map(|number| format!("app-{number:05}")).collect();
    let (listed, slowest) = list(node, page).await;
    assert!(listed == expected, "each once, in order");
    let more = daemon.resident().saturating_sub(idle);
    daemon.kill();
    let began = Instant::now();
    let daemon = Daemon::on(&world, &data, &[]).await;
    let started = began.elapsed();
    let more_after = daemon.resident().saturating_sub(idle);
    assert!(list(daemon.address, page).await.0 == expected, "all are there again");
    println!(
        "{count} apps: provisioned in {provisioned:.1?}, {} MiB more than idle; started in {started:.1?}, {} MiB more; \
         slowest page of {page} in {slowest:.1?}",
        more >> 20,
        more_after >> 20,
    );
    if full() {
        assert!(more.max(more_after) <= 60_000_000, "10,000 apps take {more} and {more_after} bytes");
    }
    daemon.kill();
    world.stop().await;
}
