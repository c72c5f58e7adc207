//! `pyapns backup`: a copy of a running node's store, from which another node starts.

use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::small_disk::SmallDisk;
use crate::support::world::{APP, World, to, token};
use serde_json::json;
use simulator::TokenState;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn command(data: &Path, to: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
    command.args(["backup", "--data-dir"]).arg(data).arg(to);
    command
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the program runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Provisions and sends to dead tokens until stopped. Returns the numbers of apps and of dead tokens.
async fn write_on(daemon: Arc<Daemon>, world: Arc<World>, stop: Arc<AtomicBool>) -> (usize, usize) {
    let mut client = daemon.client().await;
    let pem = world.simulator.identity().client_pem.clone();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(client.post(&format!("/apps/app-{number}/sandbox"), pem.clone()).await.status, 201);
        world.simulator.set_token(&token(number), Some(TokenState::Dead { reason: "Unregistered", timestamp: None }));
        let sent = client.post(&format!("{APP}/notifications"), to(&token(number)).to_string()).await;
        assert_eq!(sent.outcomes(), ["rejected"], "{sent:?}");
        number += 1;
    }
    (number, number)
}

async fn feedback(client: &mut Client, query: &str) -> (u16, usize, String) {
    let page = client.get(&format!("{APP}/feedback{query}")).await;
    let cursor = page.body["cursor"].as_str().unwrap_or_default().to_owned();
    (page.status, page.response().as_array().map_or(0, Vec::len), cursor)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_starts_as_a_data_directory_once_the_key_is_beside_it() {
    let world = Arc::new(World::start().await);
    let data = world.directory.path().join("data-2");
    let daemon = Arc::new(Daemon::on(&world, &data, &[]).await);
    let mut client = daemon.client().await;
    assert_eq!(client.post(APP, world.simulator.identity().client_pem.clone()).await.status, 201);
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(write_on(Arc::clone(&daemon), Arc::clone(&world), Arc::clone(&stop)));
    while feedback(&mut client, "").await.1 < 5 {
        tokio::task::yield_now().await;
    }
    let (_, _, before) = feedback(&mut client, "").await;
    let restored = world.directory.path().join("restored");
    fs::create_dir(&restored).expect("a folder");
    let file = restored.join("pyapns.db");
    let output = run(command(&data, &file)).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("apps, ") && text.contains("credentials.key"), "it says what is not in it: {text}");
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&restored).expect("a folder").count(), 1, "one file");
    let key = fs::read_to_string(data.join("credentials.key")).expect("a key");
    let copy = fs::read(&file).expect("a file");
    assert!(!copy.windows(16).any(|window| window == &key.as_bytes()[..16]), "the key is not in it");
    let (_, later, late) = feedback(&mut client, "?limit=10000").await;
    stop.store(true, Ordering::Relaxed);
    let (apps, dead) = load.await.expect("a caller without a fault");
    assert!(dead >= later, "the node went on");

    fs::copy(data.join("credentials.key"), restored.join("credentials.key")).expect("a file");
    let second = Daemon::on(&world, &restored, &[]).await;
    let mut other = second.client().await;
    let listed = other.get("/apps?limit=10000").await;
    let listed = listed.response().as_array().expect("a list");
    assert!((2..=apps + 1).contains(&listed.len()), "{} of {apps} apps", listed.len());
    assert!(listed.iter().all(|app| app["state"] == "ok"), "every credential opens: {listed:?}");
    let sent = other.post(&format!("{APP}/notifications"), json!([to(&token(100_000))]).to_string()).await;
    assert_eq!(sent.outcomes(), ["accepted"]);
    for cursor in [&before, &late] {
        let refused = other.get(&format!("{APP}/feedback?cursor={cursor}")).await;
        assert_eq!((refused.status, refused.reason()), (400, "foreign_cursor"), "{refused:?}");
        assert_eq!(other.call("DELETE", &format!("{APP}/feedback?through={cursor}"), "").await.status, 400);
    }
    let (status, entries, cursor) = feedback(&mut other, "?limit=10000").await;
    assert!(status == 200 && (5..=dead).contains(&entries), "{entries} of {dead}");
    assert_eq!(feedback(&mut other, &format!("?cursor={cursor}")).await.0, 200);
    assert_eq!(feedback(&mut client, &format!("?cursor={before}")).await.0, 200, "the first node's cursors stay good");
    second.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_backup_reports_the_cause_and_leaves_no_file() {
    let world = World::start().await;
    let data = world.directory.path().join("data");
    let disk = SmallDisk::at(world.directory.path().join("small"));
    disk.fill();
    let full = run(disk.command(&command(&data, &world.directory.path().join("small/copy.db")))).await;
    assert_eq!(full.status.code(), Some(1), "{}", said(&full));
    assert!(said(&full).contains("is full"), "{}", said(&full));
    assert_eq!(fs::read_dir(disk.path("")).expect("a folder").count(), 1, "only the ballast");

    let taken = world.directory.path().join("taken");
    fs::write(&taken, "precious").expect("a file");
    let nowhere = world.directory.path().join("nowhere");
    for (from, to, word) in [
        (&data, &taken, "exists already"),
        (&data, &nowhere.join("copy.db"), "cannot be written"),
        (&nowhere, &world.directory.path().join("copy.db"), "there is no store in"),
    ] {
        let output = run(command(from, to)).await;
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(word), "{word}: {}", said(&output));
    }
    assert_eq!(fs::read(&taken).expect("a file"), b"precious");
    assert!(!nowhere.exists() && !world.directory.path().join("copy.db").exists());
    world.stop().await;
}
