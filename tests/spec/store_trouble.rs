//! A data directory that disappears under a running node, and a write-ahead log that is damaged at its start.

use crate::support::client::Client;
use crate::support::process::{Home, Process, entry};
use crate::support::world::{World, to, token};
use simulator::TokenState;
use std::fs;

const SHOP: &str = "/apps/shop/sandbox";

/// A node with one app, and its folder.
async fn started(world: &World) -> (Home, Process) {
    let home = Home::new(world, "home", "pyapns.toml");
    home.put("shop.pem", &world.simulator.identity().client_pem);
    home.configure(&format!("listen = '127.0.0.1:0'\n{}", entry("shop", "shop.pem", "")));
    let process = home.start().await;
    (home, process)
}

async fn readiness(client: &mut Client, status: u16) -> serde_json::Value {
    loop {
        let answer = client.get("/readyz").await;
        if answer.status == status {
            return answer.body;
        }
        tokio::task::yield_now().await;
    }
}

/// Moved away, or deleted and made again by somebody else: both are found without a question from anybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_data_directory_is_reported_refuses_changes_and_stops_no_send() {
    let world = World::start().await;
    let (home, mut process) = started(&world).await;
    let mut client = process.client().await;
    readiness(&mut client, 200).await;
    let (data, away) = (home.data(), home.folder.join("away"));
    fs::rename(&data, &away).expect("a folder");
    process.logs("data directory was moved or deleted", 1).await;

    let gone = readiness(&mut client, 503).await;
    assert_eq!(gone["reason"], "data_directory_moved", "{gone}");
    assert_eq!(gone["response"]["status"], "not_ready");
    assert_eq!(gone["response"]["degraded"][0]["what"], "data_directory");
    assert!(!gone.to_string().contains(&*home.folder.to_string_lossy()), "no path is shown: {gone}");
    assert!(client.text("/metrics").await.contains("\npyapns_degraded{what=\"data_directory\"} 1\n"));
    let pem = world.simulator.identity().client_pem.clone();
    for refused in [client.post("/apps/other/sandbox", pem.clone()).await, client.call("DELETE", SHOP, "").await] {
        assert_eq!((refused.status, refused.reason()), (503, "data_directory_moved"), "{refused:?}");
    }
    world.simulator.set_token(&token(2), Some(TokenState::Dead { reason: "Unregistered", timestamp: None }));
    for (number, outcome) in [(1, "accepted"), (2, "rejected")] {
        let sent = client.post(&format!("{SHOP}/notifications"), to(&token(number)).to_string()).await;
        assert_eq!((sent.status, sent.outcomes()), (201, vec![outcome]), "{sent:?}");
    }

    fs::create_dir(&data).expect("a folder");
    fs::write(data.join("pyapns.db"), "another").expect("a file");
    let refused = client.post("/apps/other/sandbox", pem.clone()).await;
    assert_eq!((refused.status, refused.reason()), (503, "data_directory_moved"), "another in its place is not it");
    fs::remove_dir_all(&data).expect("a folder");

    fs::rename(&away, &data).expect("a folder");
    process.logs("works again", 1).await;
    readiness(&mut client, 200).await;
    assert_eq!(client.post("/apps/other/sandbox", pem.clone()).await.status, 201);
    let dead = async |client: &mut Client| {
        let page = client.get(&format!("{SHOP}/feedback")).await;
        page.response().as_array().expect("a list").iter().map(|entry| entry["token"].clone()).collect::<Vec<_>>()
    };
    while dead(&mut client).await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(dead(&mut client).await, [token(2)], "the waiting entries were written");

    fs::remove_dir_all(&data).expect("a folder");
    let gone = readiness(&mut client, 503).await;
    assert_eq!(gone["reason"], "data_directory_moved", "{gone}");
    let sent = client.post(&format!("{SHOP}/notifications"), to(&token(3)).to_string()).await;
    assert_eq!((sent.status, sent.outcomes()), (201, vec!["accepted"]), "{sent:?}");
    process.stop().await;
    assert!(!data.exists(), "nothing is made where it was");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_write_ahead_log_is_reported_at_start() {
    let world = World::start().await;
    let (home, process) = started(&world).await;
    let mut client = process.client().await;
    for number in 1..=3 {
        world.simulator.set_token(&token(number), Some(TokenState::Dead { reason: "Unregistered", timestamp: None }));
        let sent = client.post(&format!("{SHOP}/notifications"), to(&token(number)).to_string()).await;
        assert_eq!(sent.outcomes(), ["rejected"]);
    }
    process.signal("KILL");
    process.ended().await;
    let log = home.data().join("pyapns.db-wal");
    let mut bytes = fs::read(&log).expect("a log");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).expect("a file");

    let mut process = home.start().await;
    process.logs("is damaged after its first", 1).await;
    assert_eq!(process.lines_with("the changes in them are lost"), 1);
    let mut client = process.client().await;
    readiness(&mut client, 200).await;
    let kept = client.get(&format!("{SHOP}/feedback")).await.response().as_array().map_or(0, Vec::len);
    assert!(kept < 3, "{kept} entries are there");
    process.stop().await;
    let process = home.start().await;
    assert_eq!(process.lines_with("is damaged"), 0, "it is logged once");
    process.stop().await;
    world.stop().await;
}
