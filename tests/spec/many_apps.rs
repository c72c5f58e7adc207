//! Many apps on one node: provisioned, listed page by page, there again after a restart; and what that costs.

use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::full;
use crate::support::world::World;
use serde_json::json;
use simulator::{ClientSubject, Identity, generate_key};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const CALLERS: usize = 8;
const PAGE: usize = 1_000;

/// A separate credential for each app: half of them are certificates, half signing keys.
fn credential(identity: &Identity, number: usize) -> String {
    if number.is_multiple_of(2) {
        let topic = format!("com.example.app-{number:05}");
        let subject = ClientSubject {
            bundle: &topic,
            topics: &[(&topic, "app")],
            sandbox: true,
            production: true,
            not_before_year: 2024,
            not_after_year: 2050,
        };
        return identity.authority.client_certificate(&subject).expect("a certificate");
    }
    let (key_id, team_id) = (format!("KEY{number:07}"), "ABCDE12345");
    let (_, key) = generate_key(&key_id, team_id).expect("a key");
    json!({"key": key, "key_id": key_id, "team_id": team_id, "topic": "com.example.app"}).to_string()
}

/// Provisions its share of the apps.
async fn provision(node: SocketAddr, apps: Vec<(usize, String)>) {
    let mut client = Client::connect(node).await;
    for (number, body) in apps {
        let path = format!("/apps/app-{number:05}/sandbox");
        let answer = client.post(&path, body).await;
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
    let mut shares = vec![Vec::new(); CALLERS];
    for number in 0..count {
        shares[number % CALLERS].push((number, credential(identity, number)));
    }
    let daemon = Daemon::on(&world, &data, &[]).await;
    let (idle, node) = (daemon.resident(), daemon.address);
    let began = Instant::now();
    let callers: Vec<_> = shares.into_iter().map(|share| tokio::spawn(provision(node, share))).collect();
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
