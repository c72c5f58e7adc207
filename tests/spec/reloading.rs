//! Apps that the configuration names: made at start, followed while the node runs, and what callers changed in between.

use crate::support::client::Client;
use crate::support::full;
use crate::support::process::{Home, Process, entry};
use crate::support::world::{World, to, token};
use serde_json::{Value, json};
use simulator::{ClientSubject, TokenState};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinSet;

const LISTEN: &str = "listen = '127.0.0.1:0'\n";
const SHOP: &str = "/apps/shop/sandbox";
const CHAT: &str = "/apps/chat/sandbox";

/// A new certificate of the stand-in's authority, with its key.
fn certificate(world: &World, until: i32) -> String {
    let subject = ClientSubject {
        bundle: "com.example.app",
        topics: &[],
        sandbox: true,
        production: true,
        not_before_year: 2020,
        not_after_year: until,
    };
    world.simulator.identity().authority.client_certificate(&subject).expect("a certificate")
}

async fn app(process: &Process, path: &str) -> Value {
    process.client().await.get(path).await.response().clone()
}

async fn fingerprint(process: &Process, path: &str) -> String {
    app(process, path).await["credential"]["fingerprint"].as_str().expect("a fingerprint").to_owned()
}

/// Callers that send until they are stopped; then their outcomes, by identifier.
struct Load {
    enough: Arc<AtomicBool>,
    callers: JoinSet<Vec<(String, String)>>,
}

impl Load {
    async fn begin(process: &Process, callers: usize) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let mut load = Self { enough: Arc::clone(&enough), callers: JoinSet::new() };
        for caller in 0..callers {
            let (enough, mut client) = (Arc::clone(&enough), process.client().await);
            load.callers.spawn(async move {
                let mut told = Vec::new();
                let mut number = 0_u32;
                while !enough.load(Ordering::Relaxed) {
                    number += 1;
                    send(&mut client, caller, number, &mut told).await;
                }
                told
            });
        }
        load
    }

    async fn end(mut self) -> HashMap<String, String> {
        self.enough.store(true, Ordering::Relaxed);
        let mut all = HashMap::new();
        while let Some(told) = self.callers.join_next().await {
            all.extend(told.expect("a caller without a fault"));
        }
        all
    }
}

/// Ten notifications, whose identifiers are the apns-ids that Apple sees.
async fn send(client: &mut Client, caller: usize, number: u32, told: &mut Vec<(String, String)>) {
    let id = |item: usize| format!("00000000-0000-4000-8000-{caller:04x}{number:06x}{item:02x}");
    let one =
        |item: usize| json!({"token": token(item), "identifier": id(item), "payload": {"aps": {"badge": number}}});
    let batch = Value::Array((0..10).map(one).collect());
    let answer = client.post(&format!("{SHOP}/notifications"), batch.to_string()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let outcomes = answer.outcomes().into_iter().map(str::to_owned);
    told.extend(outcomes.enumerate().map(|(item, outcome)| (id(item), outcome)));
}

/// Twenty swaps in the long form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swapped_certificate_and_sighup_move_live_traffic_without_one_failed_notification() {
    let swaps = if full() { 20 } else { 5 };
    let world = World::start().await;
    let home = Home::new(&world, "swaps", "pyapns.toml");
    home.put("shop.pem", &certificate(&world, 2100));
    home.configure(&format!("reload_seconds = 0\n{LISTEN}{}", entry("shop", "shop.pem", "")));
    let mut process = home.start().await;
    let load = Load::begin(&process, 3).await;
    let connections = |at_least: u64| world.simulator.ledger().wait_until(move |totals| totals.connections >= at_least);
    connections(1).await;
    let mut last = fingerprint(&process, SHOP).await;
    for swap in 1..=swaps {
        home.put("shop.pem", &certificate(&world, 2100));
        process.reload().await;
        let now = fingerprint(&process, SHOP).await;
        assert_ne!(now, last, "swap {swap}");
        last = now;
        connections(1 + swap).await;
    }
    let told = load.end().await;
    let failed: Vec<_> = told.iter().filter(|(_, outcome)| *outcome != "accepted").collect();
    println!("{swaps} swaps, {} notifications, {} failed", told.len(), failed.len());
    assert!(failed.is_empty(), "{failed:?}");
    let arrived = world.simulator.ledger().accepted_ids();
    assert!(told.keys().all(|id| arrived.get(id) == Some(&1)), "each arrived once");
    process.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn a_post_or_a_delete_wins_until_the_entry_is_another_and_over_restarts() {
    let world = World::start().await;
    let home = Home::new(&world, "wins", "pyapns.toml");
    home.put("a.pem", &certificate(&world, 2100));
    let (shop, chat) = (entry("shop", "a.pem", ""), entry("chat", "a.pem", ""));
    home.configure(&format!("{LISTEN}{shop}{chat}"));
    let mut process = home.start().await;
    let path = home.folder.join("a.pem").display().to_string();
    assert_eq!(app(&process, SHOP).await["certificate"], json!(path));
    assert_eq!(app(&process, CHAT).await["state"], "ok");
    let sent = process.client().await.post(&format!("{SHOP}/notifications"), to(&token(1)).to_string()).await;
    assert_eq!(sent.outcomes(), ["accepted"], "{sent:?}");

    let posted = certificate(&world, 2100);
    assert_eq!(process.client().await.post(SHOP, posted).await.status, 201);
    assert_eq!(process.client().await.call("DELETE", CHAT, "").await.status, 200);
    let made = fingerprint(&process, SHOP).await;
    process.reload().await;
    process.stop().await;
    process = home.start().await;
    process.reload().await;
    assert_eq!(fingerprint(&process, SHOP).await, made, "what was posted is still there");
    assert_eq!(app(&process, CHAT).await, Value::Null, "the deleted app stays deleted");

    home.configure(&format!("{LISTEN}{}{chat}", entry("shop", "a.pem", "timeout = 20")));
    process.reload().await;
    assert_eq!(app(&process, SHOP).await["timeout"], 20, "another entry wins");
    assert_ne!(fingerprint(&process, SHOP).await, made);
    assert_eq!(app(&process, CHAT).await, Value::Null, "and touches nothing else");

    assert_eq!(process.client().await.post(CHAT, certificate(&world, 2100)).await.status, 201);
    home.configure(LISTEN);
    process.reload().await;
    assert_eq!(app(&process, SHOP).await, Value::Null, "the app went with its entry");
    assert_eq!(app(&process, CHAT).await["state"], "ok", "what a caller made stays");
    process.logs("WARN", 1).await;
    process.logs("app chat/sandbox stays: its entry was removed from the configuration, but the app was changed over the API", 1).await;
    process.reload().await;
    assert_eq!(process.lines_with(" stays: "), 1, "told once, and of no other app");
    process.stop().await;
    world.stop().await;
}

/// Deleting an app deletes its held feedback, and its guard starts afresh for the next app.
#[tokio::test]
async fn an_entry_that_leaves_and_comes_back_begins_with_nothing_held_back() {
    const WAVE: usize = 60;
    let world = World::start().await;
    (0..WAVE).for_each(|number| world.simulator.set_token(&token(number), Some(TokenState::Bad)));
    let home = Home::new(&world, "held", "pyapns.toml");
    home.put("a.pem", &certificate(&world, 2100));
    let (with, without) = (format!("{LISTEN}{}", entry("shop", "a.pem", "")), LISTEN);
    home.configure(&with);
    let mut process = home.start().await;
    for _ in 0..2 {
        assert_eq!(app(&process, SHOP).await["feedback_held"], Value::Null);
        let wave = Value::Array((0..WAVE).map(|number| to(&token(number))).collect());
        let sent = process.client().await.post(&format!("{SHOP}/notifications"), wave.to_string()).await;
        assert!(sent.outcomes().iter().all(|outcome| *outcome == "rejected"), "{sent:?}");
        assert_ne!(app(&process, SHOP).await["feedback_held"], Value::Null);
        home.configure(without);
        process.reload().await;
        home.configure(&with);
        process.reload().await;
    }
    let metrics = process.client().await.text("/metrics").await;
    assert!(metrics.contains("\npyapns_feedback_holds 0\n"), "{metrics}");
    process.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn a_changed_file_is_seen_without_a_signal_and_half_of_one_changes_nothing() {
    let world = World::start().await;
    let home = Home::new(&world, "halves", "pyapns.toml");
    let old = certificate(&world, 2100);
    home.put("shop.pem", &old);
    let text = format!("{LISTEN}{}", entry("shop", "shop.pem", ""));
    home.configure(&text);
    let mut process = home.start().await;
    let made = fingerprint(&process, SHOP).await;

    home.overwrite("");
    process.logs("the configuration file is empty", 1).await;
    home.overwrite(&text[..text.len() - 12]);
    process.logs("the previous one stays in force: ", 1).await;
    assert_eq!(fingerprint(&process, SHOP).await, made);
    home.overwrite(&format!("{text}timeout = 30\n"));
    process.logs("provisioned from the configuration", 2).await;
    assert_eq!(app(&process, SHOP).await["timeout"], 30);

    let new = certificate(&world, 2100);
    home.put("shop.pem", &new[..new.len() / 2]);
    process.logs("the app stays unchanged: ", 1).await;
    assert_eq!(fingerprint(&process, SHOP).await, made);
    home.put("shop.pem", &new);
    process.logs("provisioned from the configuration", 3).await;
    assert_ne!(fingerprint(&process, SHOP).await, made);

    home.put("shop.pem", &certificate(&world, 2021));
    process.logs("the app stays unchanged: ", 2).await;
    let sent = process.client().await.post(&format!("{SHOP}/notifications"), to(&token(1)).to_string()).await;
    assert_eq!(sent.outcomes(), ["accepted"], "an expired certificate does not take a good one's place");
    process.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn live_settings_change_and_settings_that_need_a_restart_are_named() {
    let world = World::start().await;
    let home = Home::new(&world, "live", "pyapns.toml");
    home.configure(&format!("{LISTEN}reload_seconds = 0\n[log]\nlevel = 'error'"));
    let mut process = home.start().await;
    home.configure("listen = '127.0.0.1:1'\n[log]\nlevel = 'info'");
    process.signal("HUP");
    process.logs("read the configuration again", 1).await;
    process.reload().await;
    let told = "take effect only after a restart: listen, reload_seconds";
    assert_eq!(process.lines_with(told), 1, "told once");
    home.configure(&format!("{LISTEN}[log]\nlevel = 'info'\nformat = 'json'"));
    process.reload().await;
    process.logs("take effect only after a restart: log.format, reload_seconds", 1).await;
    process.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn every_entry_that_cannot_be_carried_out_is_named_at_start() {
    let world = World::start().await;
    let home = Home::new(&world, "broken", "pyapns.toml");
    let good = certificate(&world, 2100);
    let (_, key) = good.split_at(good.find("-----BEGIN PRIVATE KEY").expect("a key"));
    home.put("good.pem", &good);
    home.put("key.pem", key);
    home.put("text.pem", "canary-in-a-file");
    home.put("word", "canary\n");
    let sealed = ["pkcs8", "-topk8", "-in", "key.pem", "-out", "sealed.pem", "-passout", "pass:right"];
    assert!(
        std::process::Command::new("openssl")
            .args(sealed)
            .current_dir(&home.folder)
            .status()
            .expect("openssl")
            .success()
    );
    let sealed = std::fs::read_to_string(home.folder.join("sealed.pem")).expect("a file");
    home.put("box.pem", &(good[..good.len() - key.len()].to_owned() + &sealed));
    let entries = [
        entry("a", "missing.pem", ""),
        entry("b", "good.pem", ""),
        entry("c", "key.pem", ""),
        entry("d", "text.pem", ""),
        entry("e", "good.pem", "topic = 'a b'"),
        entry("f", "box.pem", ""),
        entry("g", "box.pem", "passphrase_file = 'word'"),
        entry("h", "good.pem", "topic = 'com.example.other'"),
    ];
    home.configure(&format!("{LISTEN}{}", entries.concat()));
    let (code, said) = home.refused().await;
    assert_eq!(code, Some(2), "{said}");
    let faults = [
        "topic in [[autoprovision]] 5 of ",
        "[[autoprovision]] 1 of pyapns.toml: a/sandbox: the credential file",
        "[[autoprovision]] 3 of pyapns.toml: c/sandbox: key.pem: this is a signing key (.p8), not a certificate: send it as `key`",
        "[[autoprovision]] 4 of pyapns.toml: d/sandbox: text.pem: the credential is neither PEM nor PKCS#12",
        "[[autoprovision]] 6 of pyapns.toml: f/sandbox: box.pem is encrypted: give its `passphrase_file`",
        "[[autoprovision]] 7 of pyapns.toml: g/sandbox: box.pem: the passphrase does not open the credential",
        "[[autoprovision]] 8 of pyapns.toml: h/sandbox: the certificate is not for the topic `com.example.other` but for",
    ];
    let said = said.replace(&format!("{}/", home.folder.display()), "");
    for fault in faults {
        assert_eq!(said.lines().filter(|line| line.starts_with(fault)).count(), 1, "{fault}: {said}");
    }
    assert_eq!(said.lines().count(), faults.len(), "{said}");
    assert!(!said.contains("canary"), "{said}");
    world.stop().await;
}

#[tokio::test]
async fn an_expired_certificate_is_reported_by_its_app_and_does_not_stop_the_node() {
    let world = World::start().await;
    let home = Home::new(&world, "expired", "pyapns.toml");
    home.put("old.pem", &certificate(&world, 2021));
    home.configure(&format!("{LISTEN}{}", entry("shop", "old.pem", "")));
    for _ in 0..2 {
        let process = home.start().await;
        let shop = app(&process, SHOP).await;
        assert_eq!(shop["state"], "credential_error", "{shop}");
        let why = shop["last_error"].as_str().expect("a sentence");
        assert!(why.starts_with("the certificate expired on"), "{why}");
        process.stop().await;
    }
    let mut process = home.start().await;
    home.put("old.pem", &certificate(&world, 2100));
    process.logs("provisioned from the configuration", 1).await;
    assert_eq!(app(&process, SHOP).await["state"], "ok");
    process.stop().await;
    world.stop().await;
}
