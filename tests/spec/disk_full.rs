//! A full disk: said clearly, no obstacle to sending, and nothing that was acknowledged is lost.

use crate::support::client::{Answer, Client};
use crate::support::daemon::Daemon;
use crate::support::process::entry;
use crate::support::small_disk::SmallDisk;
use crate::support::world::{APP, World, to, token};
use serde_json::{Value, json};
use simulator::TokenState;
use std::fs;

/// Provisions apps until it is refused: how many were taken, and the refusal.
async fn provision_until_full(client: &mut Client, pem: &str) -> (usize, Answer) {
    for number in 0..500 {
        let answer = client.post(&format!("/apps/app-{number}/sandbox"), pem.to_owned()).await;
        if answer.status != 201 {
            return (number, answer);
        }
    }
    panic!("the disk never was full");
}

async fn feedback(client: &mut Client) -> (Vec<String>, Value) {
    let page = client.get(&format!("{APP}/feedback")).await;
    assert_eq!(page.status, 200, "what can be read is read: {page:?}");
    let entries = page.response().as_array().expect("a list");
    let tokens = entries.iter().map(|entry| entry["token"].as_str().expect("a token").to_owned()).collect();
    (tokens, page.body["cursor"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_reported_loses_nothing_and_recovers() {
    let world = World::start().await;
    let disk = SmallDisk::at(world.directory.path().join("small"));
    let daemon = disk.daemon(&world).await;
    let mut client = daemon.client().await;
    let pem = world.simulator.identity().client_pem.clone();
    assert_eq!(client.post(APP, pem.clone()).await.status, 201);
    for number in 1..=3 {
        let dead = TokenState::Dead { reason: "Unregistered", timestamp: None };
        world.simulator.set_token(&token(number), Some(dead));
    }
    let notifications = format!("{APP}/notifications");
    assert_eq!(client.post(&notifications, to(&token(1)).to_string()).await.response()["status"], 410);

    disk.fill();
    let (taken, refused) = provision_until_full(&mut client, &pem).await;
    assert_eq!((refused.status, refused.reason()), (507, "disk_full"), "{refused:?}");
    assert!(refused.body["error"].as_str().is_some_and(|error| error.contains("disk is full")), "{refused:?}");
    let sent = client.post(&notifications, json!([to(&token(9)), to(&token(2))]).to_string()).await;
    assert_eq!((sent.status, sent.outcomes()), (201, vec!["accepted", "rejected"]), "sends go on: {sent:?}");
    let (tokens, cursor) = feedback(&mut client).await;
    assert_eq!(tokens, [token(1)], "what was reported before is there, what waits is not yet");
    let through = format!("{APP}/feedback?through={}", cursor.as_str().expect("a cursor"));
    let kept = client.call("DELETE", &through, "").await;
    assert_eq!((kept.status, kept.reason()), (507, "disk_full"), "{kept:?}");
    assert_eq!(feedback(&mut client).await.0, [token(1)], "what was not acknowledged with 200 stays");
    assert!(client.text("/metrics").await.contains("\npyapns_events_unwritten 1\n"));

    disk.empty();
    while feedback(&mut client).await.0.len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(feedback(&mut client).await.0, [token(1), token(2)], "the waiting entries were written");
    assert_eq!(client.call("DELETE", &through, "").await.status, 200);
    assert_eq!(client.post("/apps/late/sandbox", pem).await.status, 201);
    assert_eq!(client.post(&notifications, to(&token(3)).to_string()).await.response()["status"], 410);
    assert!(client.text("/metrics").await.contains("\npyapns_events_unwritten 0\n"));

    let copy = world.directory.path().join("copy");
    fs::create_dir(&copy).expect("a folder");
    for file in fs::read_dir(disk.path("")).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        fs::copy(&file, copy.join(file.file_name().expect("a name"))).expect("a file");
    }
    daemon.kill();
    let daemon = Daemon::on(&world, &copy, &[]).await;
    let mut client = daemon.client().await;
    assert_eq!(feedback(&mut client).await.0, [token(2), token(3)]);
    let apps = client.get("/apps").await;
    assert_eq!(apps.response().as_array().expect("a list").len(), taken + 2, "each that was taken, and no other");
    daemon.kill();
    world.stop().await;
}

/// Returns what `/readyz` reports as degraded.
fn troubles(answer: &Answer) -> Vec<&str> {
    let degraded = answer.response()["degraded"].as_array().expect("a list");
    degraded.iter().map(|part| part["what"].as_str().expect("a name")).collect()
}

async fn is_ready_again(client: &mut Client) {
    while client.get("/readyz").await.status != 200 {
        tokio::task::yield_now().await;
    }
    assert!(client.text("/metrics").await.contains("\npyapns_degraded{what=\"store\"} 0\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_on_a_full_disk_is_not_ready_and_sends_before_a_restart_and_after_each() {
    let world = World::start().await;
    let disk = SmallDisk::at(world.directory.path().join("small"));
    let mut daemon = disk.daemon(&world).await;
    let pem = world.simulator.identity().client_pem.clone();
    let mut client = daemon.client().await;
    assert_eq!(client.post(APP, pem.clone()).await.status, 201);
    is_ready_again(&mut client).await;
    disk.fill();
    for start in ["first", "after SIGKILL", "after SIGTERM"] {
        let mut client = daemon.client().await;
        // The result of another check may be a second old.
        let mut not_ready = client.get("/readyz").await;
        while not_ready.status == 200 {
            not_ready = client.get("/readyz").await;
        }
        assert_eq!((not_ready.status, not_ready.reason()), (503, "store_failed"), "{start}: {not_ready:?}");
        assert_eq!(not_ready.response()["status"], "not_ready", "{start}: {not_ready:?}");
        assert_eq!(troubles(&not_ready), ["store"], "{start}: {not_ready:?}");
        let trouble = &not_ready.response()["degraded"][0];
        assert!(trouble["why"].as_str().is_some_and(|why| why.contains("disk is full")), "{start}: {trouble}");
        assert!(trouble["since"].as_f64().is_some_and(|since| since > 1.7e9), "{start}: {trouble}");
        assert!(client.text("/metrics").await.contains("\npyapns_degraded{what=\"store\"} 1\n"), "{start}");
        assert_eq!(client.get("/healthz").await.status, 200, "{start}");
        let sent = client.post(&format!("{APP}/notifications"), to(&token(1)).to_string()).await;
        assert_eq!((sent.status, sent.outcomes()), (201, vec!["accepted"]), "{start}: {sent:?}");
        let refused = client.post("/apps/other/sandbox", pem.clone()).await;
        assert_eq!((refused.status, refused.reason()), (507, "disk_full"), "{start}: {refused:?}");
        match start {
            "first" => daemon.kill(),
            _ => assert!(daemon.stop()),
        }
        // The next daemon gets nothing that this one released.
        disk.fill();
        daemon = disk.daemon(&world).await;
    }
    disk.empty();
    let mut client = daemon.client().await;
    is_ready_again(&mut client).await;
    assert_eq!(client.post("/apps/other/sandbox", pem).await.status, 201, "without another restart");
    daemon.kill();
    let daemon = disk.daemon(&world).await;
    let apps = daemon.client().await.get("/apps").await;
    assert_eq!(apps.response().as_array().expect("a list").len(), 2);
    daemon.kill();
    world.stop().await;
}

/// A daemon's store on a small disk, with the world's app in it; the daemon has ended.
async fn stored(world: &World) -> SmallDisk {
    let disk = SmallDisk::at(world.directory.path().join("small"));
    let daemon = disk.daemon(world).await;
    let pem = world.simulator.identity().client_pem.clone();
    assert_eq!(daemon.client().await.post(APP, pem).await.status, 201);
    assert!(daemon.stop());
    disk
}

async fn sends(client: &mut Client) {
    let sent = client.post(&format!("{APP}/notifications"), to(&token(1)).to_string()).await;
    assert_eq!((sent.status, sent.outcomes()), (201, vec!["accepted"]), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_store_starts_on_a_full_disk_though_it_cannot_record_that_it_is_a_copy() {
    let world = World::start().await;
    let disk = stored(&world).await;
    let daemon = disk.daemon(&world).await;
    let before = feedback(&mut daemon.client().await).await.1;
    assert!(daemon.stop());
    fs::copy(disk.path("pyapns.db"), disk.path("copy")).expect("a file");
    fs::rename(disk.path("copy"), disk.path("pyapns.db")).expect("a file");
    disk.fill();
    let daemon = disk.daemon(&world).await;
    let mut client = daemon.client().await;
    sends(&mut client).await;
    let foreign = client.get(&format!("{APP}/feedback?cursor={}", before.as_str().expect("a cursor"))).await;
    assert_eq!(foreign.reason(), "foreign_cursor", "{foreign:?}");
    daemon.kill();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_of_the_configuration_that_a_full_disk_cannot_take_are_made_once_there_is_room() {
    let world = World::start().await;
    let disk = stored(&world).await;
    let pem = world.directory.path().join("late.pem");
    fs::write(&pem, &world.simulator.identity().client_pem).expect("a file");
    let file = world.directory.path().join("late.toml");
    fs::write(&file, entry("late", &pem, "")).expect("a file");
    disk.fill();
    let mut inner = Daemon::command(&world, &world.directory.path().join("small"), &[]);
    inner.arg("--config").arg(&file);
    let daemon = Daemon::run(disk.command(&inner)).await;
    let mut client = daemon.client().await;
    sends(&mut client).await;
    assert_eq!(client.get("/apps/late/sandbox").await.status, 404);
    disk.empty();
    while client.get("/apps/late/sandbox").await.status != 200 {
        tokio::task::yield_now().await;
    }
    daemon.kill();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_cannot_be_sealed_again_on_a_full_disk_open_under_the_old_key() {
    let world = World::start().await;
    let disk = stored(&world).await;
    let [new, old] = ["new.key", "old.key"].map(|name| world.directory.path().join(name));
    fs::write(&new, "0f".repeat(32)).expect("a file");
    fs::copy(disk.path("credentials.key"), &old).expect("a file");
    let start = async |keys: &str| {
        let data = world.directory.path().join("small");
        Daemon::run(disk.command(&Daemon::command(&world, &data, &[("PYAPNS_CREDENTIALS_KEY_FILES", keys)]))).await
    };
    disk.fill();
    let both = format!("{},{}", new.display(), old.display());
    let daemon = start(&both).await;
    sends(&mut daemon.client().await).await;
    daemon.kill();
    disk.empty();
    start(&both).await.kill();
    let daemon = start(&new.display().to_string()).await;
    sends(&mut daemon.client().await).await;
    daemon.kill();
    world.stop().await;
}
