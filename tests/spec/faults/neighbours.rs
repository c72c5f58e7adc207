//! The cost of a broken app and of a flooding one for a healthy one. Take the figures on a quiet machine.

use crate::support::background::in_background;
use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::full;
use crate::support::world::{APP, token};
use bytes::Bytes;
use serde_json::{Value, json};
use simulator::{AlertTo, ConnectionAct, ConnectionFault, LedgerMode, Options, Script, Simulator, TokenState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Apple refuses this app's certificate: it is of the other environment, whose listener sends alert 45.
const EXPIRED: &str = "/apps/com.example.app/production";
const FLOOD: &str = "/apps/com.example.flood/sandbox";
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(6);
/// The healthy app sends 1,000 a second: ten every ten milliseconds.
const BATCH: usize = 10;
const EVERY: Duration = Duration::from_millis(10);
/// Connections of a caller: more than the maximum of concurrent waits.
const CALLERS: usize = 16;
const FLOOD_BATCH: usize = 50;
const BAD_TOKENS: usize = 1000;

fn batch(count: usize, token: impl Fn(usize) -> String) -> String {
    let one = |number| json!({"token": token(number), "payload": {"aps": {"alert": "Hello"}}});
    Value::Array((0..count).map(one).collect()).to_string()
}

/// A node as a separate process, with its simulator.
async fn start() -> (Simulator, Daemon, TempDir) {
    let directory = tempfile::tempdir().expect("a folder");
    let options = Options {
        directory: Some(directory.path().join("simulator")),
        beside: vec!["[::1]:0".to_owned()],
        ledger: LedgerMode::Counts,
        ..Options::default()
    };
    let simulator = Simulator::start(options).await.expect("a simulator");
    let [sandbox, production] = *simulator.addresses() else { panic!("two listeners") };
    let gateways = [sandbox, production].map(|gateway| format!("https://{gateway}"));
    let daemon = Daemon::run(Daemon::between(directory.path(), &gateways, &directory.path().join("data"), &[])).await;
    let pem = simulator.identity().client_pem.clone();
    for app in [APP, EXPIRED, FLOOD] {
        let body = json!({"certificate": pem, "topic": "com.example.app"}).to_string();
        assert_eq!(daemon.client().await.post(app, body).await.status, 201);
    }
    for number in 0..BAD_TOKENS {
        simulator.set_token(&bad(number), Some(TokenState::Bad));
    }
    let alert = ConnectionAct::Alert { code: 45, to: AlertTo::Certificate };
    let fault = ConnectionFault { listener: Some(1), ..ConnectionFault::new(alert) };
    simulator.set_script(Script { connections: vec![fault], ..Script::default() }).expect("a script");
    (simulator, daemon, directory)
}

fn bad(number: usize) -> String {
    token(10_000_000 + number % BAD_TOKENS)
}

/// Sends as fast as answers come: notifications a second.
async fn capacity(node: SocketAddr) -> f64 {
    let (began, sent, mut callers) = (Instant::now(), Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for _ in 0..8 {
        let sent = Arc::clone(&sent);
        callers.spawn(async move {
            let mut client = Client::connect(node).await;
            while began.elapsed() < Duration::from_secs(3) {
                let answer = client.post(&format!("{APP}/notifications"), batch(200, token)).await;
                assert!(answer.outcomes().iter().all(|outcome| *outcome == "accepted"), "{answer:?}");
                sent.fetch_add(200, Ordering::Relaxed);
            }
        });
    }
    while callers.join_next().await.is_some() {}
    sent.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// Tells when each request is to be sent. A thread sleeps for it: the timers of the runtime are too coarse.
fn pace() -> mpsc::UnboundedReceiver<std::time::Instant> {
    let (due, times) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let start = std::time::Instant::now();
        for number in 0..(ROUND.as_millis() / EVERY.as_millis()) as u32 {
            let at = start + EVERY * number;
            std::thread::sleep(at.saturating_duration_since(std::time::Instant::now()));
            if due.send(at).is_err() {
                return;
            }
        }
    });
    times
}

/// Sends open loop for a round: each request's time from when it was to be sent, in milliseconds.
async fn healthy(node: SocketAddr) -> Vec<f64> {
    let (due, mut callers) = (Arc::new(Mutex::new(pace())), JoinSet::new());
    for caller in 0..CALLERS {
        let due = Arc::clone(&due);
        callers.spawn(async move {
            let mut client = Client::connect(node).await;
            let body = Bytes::from(batch(BATCH, |at| token(caller * BATCH + at)));
            let mut took = Vec::new();
            loop {
                let Some(due) = due.lock().await.recv().await else { return took };
                let answer = client.call("POST", &format!("{APP}/notifications"), body.clone()).await;
                took.push(due.elapsed().as_secs_f64() * 1000.0);
                assert!(answer.outcomes().iter().all(|outcome| *outcome == "accepted"), "{answer:?}");
            }
        });
    }
    let mut all = Vec::new();
    while let Some(took) = callers.join_next().await {
        all.extend(took.expect("a caller without a fault"));
    }
    all.sort_by(f64::total_cmp);
    all
}

/// Sends to `app` at this rate until it is stopped, regardless of the outcomes. Returns the number. A request that is
/// due finds a connection that waits for no answer, or opens one.
async fn pester(node: SocketAddr, app: &'static str, a_second: f64, stop: Arc<AtomicBool>) -> usize {
    let (start, mut sent, mut callers) = (Instant::now(), 0, JoinSet::new());
    let body = Bytes::from(batch(FLOOD_BATCH, bad));
    let mut idle: Vec<Client> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        sleep_until(start + Duration::from_secs_f64(sent as f64 / a_second)).await;
        sent += FLOOD_BATCH;
        while let Some(client) = callers.try_join_next() {
            idle.extend(client);
        }
        let (client, body) = (idle.pop(), body.clone());
        callers.spawn(async move {
            let mut client = match client {
                Some(client) => client,
                None => Client::connect(node).await,
            };
            client.call("POST", &format!("{app}/notifications"), body).await;
            client
        });
    }
    while callers.join_next().await.is_some() {}
    sent
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Prints, and asserts nothing about speed: that is for the reader. Takes a little more than a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_app_and_a_flooding_one_leave_a_healthy_one_its_latency() {
    if !full() {
        return println!("SKIPPED: takes a minute; set PYAPNS_TEST_FULL=1");
    }
    let (simulator, daemon, _directory) = start().await;
    let node = daemon.address;
    let capacity = capacity(node).await;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let quiet = healthy(node).await;
        let stop = Arc::new(AtomicBool::new(false));
        let others = [(FLOOD, 0.2 * capacity), (EXPIRED, 100.0)].map(|(app, a_second)| {
            let stop = Arc::clone(&stop);
            in_background(move || pester(node, app, a_second, stop))
        });
        let loud = healthy(node).await;
        stop.store(true, Ordering::Relaxed);
        let [flooded, refused] = others.map(|other| async { other.await.expect("no panic") });
        let (flooded, refused) = (flooded.await, refused.await);
        println!(
            "round {round}: p50 {:.2} -> {:.2} ms, p99 {:.2} -> {:.2} ms beside {flooded} bad tokens and {refused} refused",
            percentile(&quiet, 0.5),
            percentile(&loud, 0.5),
            percentile(&quiet, 0.99),
            percentile(&loud, 0.99)
        );
        alone.push(percentile(&quiet, 0.99));
        beside.push(percentile(&loud, 0.99));
    }
    let (alone, beside) = (median(alone), median(beside));
    println!(
        "capacity {capacity:.0}/s; p99 at 1,000/s, median of {ROUNDS} rounds: {alone:.2} ms alone, {beside:.2} ms beside one \
         app with an expired certificate and one flooding with bad tokens at 20 % of capacity ({:+.0} %)",
        100.0 * (beside / alone - 1.0)
    );
    let statuses = simulator.ledger().totals().statuses;
    assert!(statuses[&400] > 0, "the flood was refused: {statuses:?}");
    let expired = daemon.client().await.post(&format!("{EXPIRED}/notifications"), batch(1, token)).await;
    assert_eq!(expired.outcomes(), ["not_sent"], "{expired:?}");
    drop(daemon);
    simulator.stop().await;
}
