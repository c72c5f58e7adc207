//! A full disk: said clearly, no obstacle to sending, and nothing that was acknowledged is lost.

use crate::support::client::{Answer, Client};
use crate::support::daemon::Daemon;
use crate::support::world::{APP, World, to, token};
use serde_json::{Value, json};
use simulator::TokenState;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Larger than what a start writes, smaller than what SQLite writes before it moves its log into the database.
const SIZE: &str = "size=2m";

/// A daemon whose data directory is a small disk of its own, in a mount namespace that needs no rights.
async fn on_a_small_disk(world: &World, data: &Path) -> Daemon {
    let inner = Daemon::command(world, data, &[]);
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", "mount -t tmpfs -o \"$0\" tmpfs \"$1\" && shift && exec \"$@\"", SIZE]);
    command.arg(data).arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Daemon::run(command).await
}

/// Writes until nothing more fits.
fn fill(ballast: &Path) {
    let mut file = File::create(ballast).expect("a file");
    for size in [64 << 10, 4 << 10, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

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
async fn a_full_disk_is_told_costs_nothing_and_passes() {
    let world = World::start().await;
    let data = world.directory.path().join("small");
    fs::create_dir(&data).expect("a folder");
    let daemon = on_a_small_disk(&world, &data).await;
    let seen = PathBuf::from(format!("/proc/{}/root{}", daemon.id(), data.display()));
    let mut client = daemon.client().await;
    let pem = world.simulator.identity().client_pem.clone();
    assert_eq!(client.post(APP, pem.clone()).await.status, 201);
    for number in 1..=3 {
        let dead = TokenState::Dead { reason: "Unregistered", timestamp: None };
        world.simulator.set_token(&token(number), Some(dead));
    }
    let notifications = format!("{APP}/notifications");
    assert_eq!(client.post(&notifications, to(&token(1)).to_string()).await.response()["status"], 410);

    fill(&seen.join("ballast"));
    let (taken, refused) = provision_until_full(&mut client, &pem).await;
    assert_eq!((refused.status, refused.reason()), (507, "disk_full"), "{refused:?}");
    assert!(refused.body["error"].as_str().is_some_and(|error| error.contains("disk is full")), "{refused:?}");
    let sent = client.post(&notifications, json!([to(&token(9)), to(&token(2))]).to_string()).await;
    assert_eq!((sent.status, sent.outcomes()), (201, vec!["accepted", "rejected"]), "sends go on: {sent:?}");
    let (tokens, cursor) = feedback(&mut client).await;
    assert_eq!(tokens, [token(1)], "what was told before is there, what waits is not yet");
    let through = format!("{APP}/feedback?through={}", cursor.as_str().expect("a cursor"));
    let kept = client.call("DELETE", &through, "").await;
    assert_eq!((kept.status, kept.reason()), (507, "disk_full"), "{kept:?}");
    assert_eq!(feedback(&mut client).await.0, [token(1)], "what was not acknowledged with 200 stays");
    assert!(client.text("/metrics").await.contains("\npyapns_events_unwritten 1\n"));

    fs::remove_file(seen.join("ballast")).expect("a file");
    while feedback(&mut client).await.0.len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(feedback(&mut client).await.0, [token(1), token(2)], "what waited was written");
    assert_eq!(client.call("DELETE", &through, "").await.status, 200);
    assert_eq!(client.post("/apps/late/sandbox", pem).await.status, 201);
    assert_eq!(client.post(&notifications, to(&token(3)).to_string()).await.response()["status"], 410);
    assert!(client.text("/metrics").await.contains("\npyapns_events_unwritten 0\n"));

    let copy = world.directory.path().join("copy");
    fs::create_dir(&copy).expect("a folder");
    for file in fs::read_dir(&seen).expect("a folder").map(|entry| entry.expect("an entry").path()) {
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
