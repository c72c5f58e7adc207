//! Faulty and malicious callers: each gets an error that names the cause, or is cut off, and no other caller notices.

use crate::support::attack::{Flood, Honest, ask_and_read_nothing, endless_body, linger, withhold_the_window};
use crate::support::background::in_background;
use crate::support::bare_node::curl;
use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::full;
use crate::support::raw::{envelope, said};
use crate::support::world::{APP, World, to, token};
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// A separate node with these variables and the world's app.
async fn node(world: &World, variables: &[(&str, &str)]) -> Daemon {
    let daemon = Daemon::on(world, &world.directory.path().join("hostile"), variables).await;
    provision(world, &daemon).await;
    daemon
}

async fn provision(world: &World, daemon: &Daemon) {
    let pem = world.simulator.identity().client_pem.clone();
    assert_eq!(daemon.client().await.post(APP, pem).await.status, 201);
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Returns `true` if a new connection is admitted.
async fn is_answered(address: SocketAddr) -> bool {
    said(address, HEALTH, false).await.starts_with("HTTP/1.1 200 ")
}

fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST {APP}/notifications HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n{body}").into_bytes()
}

fn json_post(body: &str) -> Vec<u8> {
    post(&format!("content-length: {}\r\n", body.len()), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_request_gets_its_envelope_and_honest_callers_their_pushes() {
    let world = World::start().await;
    let daemon = node(&world, &[("PYAPNS_LIMITS_HEADER_SECONDS", "1")]).await;
    let honest = Honest::start(daemon.address, 2).await;
    let get = |headers: &str| format!("GET /apps HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").into_bytes();
    let good = to(&token(1)).to_string();
    let many = format!("[{}]", vec![r#"{"token":"00","payload":{}}"#; 10_001].join(","));
    let deep = format!(r#"{{"token":"00","payload":{}{}}}"#, r#"{"a":"#.repeat(40), "1".to_owned() + &"}".repeat(40));
    let table: Vec<(&str, Vec<u8>, bool, u16, &str)> = vec![
        ("no HTTP", b"nonsense\r\n\r\n".to_vec(), false, 400, "malformed_http"),
        ("a version of the future", b"GET / HTTP/9.9\r\n\r\n".to_vec(), false, 400, "malformed_http"),
        ("a header without a colon", get("nonsense\r\n"), false, 400, "malformed_http"),
        ("a space in a header's name", get("a b: c\r\n"), false, 400, "malformed_http"),
        ("an invalid length", post("content-length: many\r\n", ""), false, 400, "malformed_http"),
        ("a negative length", post("content-length: -1\r\n", ""), false, 400, "malformed_http"),
        ("two lengths", post("content-length: 1\r\ncontent-length: 2\r\n", ""), false, 400, "malformed_http"),
        ("a coding that is not chunked", post("transfer-encoding: gzip\r\n", ""), false, 400, "malformed_http"),
        ("two codings", post("transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n"), false, 400, "malformed_http"),
        ("chunked twice", post("transfer-encoding: chunked, chunked\r\n", "0\r\n\r\n"), false, 400, "malformed_http"),
        (
            "chunked in two lines",
            post("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"),
            false,
            400,
            "malformed_http",
        ),
        ("no host", b"GET /apps HTTP/1.1\r\n\r\n".to_vec(), false, 400, "malformed_http"),
        ("no host for a probe", b"GET /healthz HTTP/1.1\r\n\r\n".to_vec(), false, 400, "malformed_http"),
        ("two hosts", get("host: localhost\r\n"), false, 400, "malformed_http"),
        (
            "two hosts in HTTP/1.0",
            b"GET /apps HTTP/1.0\r\nhost: localhost\r\nhost: localhost\r\n\r\n".to_vec(),
            false,
            400,
            "malformed_http",
        ),
        ("a length of 2^63", post("content-length: 9223372036854775808\r\n", ""), false, 413, "body_too_large"),
        ("a length of 2^64 - 1", post("content-length: 18446744073709551615\r\n", ""), false, 413, "body_too_large"),
        ("a length of 2^64", post("content-length: 18446744073709551616\r\n", ""), false, 413, "body_too_large"),
        (
            "a length of 40 digits",
            post(&format!("Content-Length:{}\r\n", "9".repeat(40)), ""),
            false,
            413,
            "body_too_large",
        ),
        ("long headers", get(&format!("a: {}\r\n", "x".repeat(20 << 10))), false, 431, "headers_too_large"),
        ("headers over all buffers", get(&format!("a: {}\r\n", "x".repeat(90 << 10))), false, 431, "headers_too_large"),
        ("too many headers", get(&"a: b\r\n".repeat(101)), false, 431, "headers_too_large"),
        ("half a request line", b"GET /ap".to_vec(), false, 408, "headers_too_slow"),
        ("half the headers", b"GET /apps HTTP/1.1\r\nhost:".to_vec(), false, 408, "headers_too_slow"),
        (
            "an invented method",
            b"BREW /apps HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
            false,
            405,
            "method_not_allowed",
        ),
        ("nothing there", b"GET /pot HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(), false, 404, "no_such_path"),
        ("a body cut short", post("content-length: 100\r\n", "{"), true, 400, "body_broke_off"),
        ("a stalled body", post("content-length: 100\r\n", "{"), false, 408, "body_too_slow"),
        ("a chunk without a size", post("transfer-encoding: chunked\r\n", "size\r\n"), false, 400, "body_broke_off"),
        (
            "a chunk that is longer than it says",
            post("transfer-encoding: chunked\r\n", "1\r\nabc\r\n"),
            false,
            400,
            "body_broke_off",
        ),
        ("a body that says it is too long", post("content-length: 1073741824\r\n", ""), true, 413, "body_too_large"),
        (
            "and asks first",
            post("content-length: 1073741824\r\nexpect: 100-continue\r\n", ""),
            false,
            413,
            "body_too_large",
        ),
        (
            "a compressed body",
            post("content-encoding: gzip\r\ncontent-length: 2\r\n", "\x1f\x0b"),
            false,
            415,
            "content_encoding",
        ),
        ("an empty body", json_post(""), false, 400, "malformed_json"),
        ("half an object", json_post("{\"token\":"), false, 400, "malformed_json"),
        (
            "bad UTF-8",
            [post("content-length: 3\r\n", ""), vec![b'"', 0xff, b'"']].concat(),
            false,
            400,
            "malformed_json",
        ),
        ("a number", json_post("7"), false, 400, "not_notifications"),
        ("an unknown field", json_post(r#"{"token":"00","payload":{},"prio":1}"#), false, 400, "unknown_field"),
        ("an invalid token", json_post(r#"{"token":"xy","payload":{}}"#), false, 400, "token_not_hex"),
        ("one bad item of two", json_post(&format!("[{good},{{}}]")), false, 400, "token_missing"),
        ("too many items", json_post(&many), false, 413, "too_many_items"),
        ("a payload too deep", json_post(&deep), false, 400, "payload_too_deep"),
        (
            "a payload too long",
            json_post(&json!({"token": "00", "payload": {"a": "x".repeat(4096)}}).to_string()),
            false,
            400,
            "payload_too_large",
        ),
    ];
    let asked = table.into_iter().map(|(what, bytes, cut, status, reason)| {
        let address = daemon.address;
        tokio::spawn(async move { (what, envelope(&said(address, &bytes, cut).await), (status, reason.to_owned())) })
    });
    let mut wrong = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        let (what, told, expected) = asked.await.expect("an envelope");
        if told != expected {
            wrong.push((what, told, expected));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A silent caller gets no response: a pool that connects early would take it for an answer.
    assert_eq!(said(daemon.address, b"", false).await, "");
    assert!(honest.end().await.len() > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_doubtful_body_coding_the_connection_ends() {
    let world = World::start().await;
    let smuggled = "0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut stream = TcpStream::connect(world.node.address).await.expect("the node listens");
    stream.write_all(&post("transfer-encoding: gzip, chunked\r\n", smuggled)).await.expect("sent");
    let mut said = String::new();
    let _ = stream.read_to_string(&mut said).await;
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("connection: close"), "{said}");
    assert!(!said.contains("200 OK"), "{said}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refusal_of_a_length_of_2_to_the_63_or_more_names_the_length() {
    let world = World::start().await;
    for length in ["9223372036854775808", "18446744073709551615", "18446744073709551616", "99999999999999999999999"] {
        let answer = said(world.node.address, &post(&format!("content-length: {length}\r\n"), ""), false).await;
        let told = "`Content-Length` is 2^63 or more: a body has at most 4194304 bytes";
        assert!(answer.contains(told) && answer.contains(r#""args":{"limit":4194304}"#), "{length}: {answer}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_asks_before_a_large_body_and_is_let_send_it() {
    let world = World::start().await;
    let payload = json!({"aps": {"alert": "x".repeat(3_900)}});
    let batch: Vec<Value> = (0..900).map(|at| json!({"token": token(at), "payload": payload})).collect();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(Value::Array(batch).to_string().as_bytes()).expect("a written file");
    let url = format!("http://{}{APP}/notifications", world.node.address);
    let body = format!("@{}", file.path().display());
    let answer =
        tokio::task::spawn_blocking(move || curl(&["-H", "Expect: 100-continue", "--data-binary", &body, &url]));
    let answer = answer.await.expect("no panic");
    let outcomes = answer.body["response"].as_array().expect("a list");
    assert!(
        outcomes.len() == 900 && outcomes.iter().all(|outcome| outcome["outcome"] == "accepted"),
        "{}",
        answer.status
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_end_their_own_connection_and_nothing_else() {
    let world = World::start().await;
    let daemon = node(&world, &[]).await;
    let honest = Honest::start(daemon.address, 2).await;
    for flood in Flood::ALL {
        // Each ends within milliseconds: one comes after another until others have been served beside it.
        let before = honest.answers();
        while honest.answers() < before + 5 {
            let turns = flood.run(daemon.address).await;
            assert!(turns < 100_000, "{flood:?} went on for {turns} turns");
        }
    }
    honest.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_read_its_response_is_cut_off() {
    let world = World::start().await;
    let daemon = node(&world, &[("PYAPNS_LIMITS_WRITE_SECONDS", "1")]).await;
    let honest = Honest::start(daemon.address, 2).await;
    withhold_the_window(daemon.address).await;
    let _unread = ask_and_read_nothing(daemon.address).await;
    endless_body(daemon.address).await;
    assert!(honest.end().await.len() > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_its_share_of_connections_and_hears_how_to_get_more() {
    let world = World::start().await;
    let variables =
        [("PYAPNS_LIMITS_CONNECTIONS_PER_ADDRESS", "3"), ("PYAPNS_LIMITS_SHARED_ADDRESSES", "192.0.2.1,10.0.0.0/8")];
    let daemon = node(&world, &variables).await;
    let mut honest = daemon.client().await;
    let mut held: Vec<TcpStream> = Vec::new();
    let refused = loop {
        let answer = said(daemon.address, HEALTH, false).await;
        if !answer.starts_with("HTTP/1.1 200") {
            break answer;
        }
        held.push(linger(daemon.address, b"").await.expect("the node listens"));
    };
    assert!(held.len() <= 3, "{}", held.len());
    let (head, body) = refused.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("retry-after: 1"), "{head}");
    assert!(body.contains("too_many_connections_of_address") && body.contains("limits.shared_addresses"), "{body}");
    assert_eq!(honest.post(&format!("{APP}/notifications"), to(&token(1)).to_string()).await.outcomes(), ["accepted"]);
    drop(held);
    while !is_answered(daemon.address).await {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_may_open_few_files_keeps_some_for_its_work() {
    let world = World::start().await;
    let node = Daemon::command(&world, &world.directory.path().join("few"), &[]);
    let mut command = Command::new("prlimit");
    command.arg("--nofile=96:96").arg(node.get_program()).args(node.get_args());
    for (name, value) in node.get_envs() {
        command.env(name, value.expect("it is set"));
    }
    let daemon = Daemon::run(command).await;
    provision(&world, &daemon).await;
    // It has no connection to Apple yet, and needs one when all callers' places are taken.
    let mut honest = Client::connect(daemon.address).await;
    assert_eq!(honest.get("/healthz").await.status, 200);
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(linger(daemon.address, b"").await);
    }
    assert_eq!(honest.post(&format!("{APP}/notifications"), to(&token(1)).to_string()).await.outcomes(), ["accepted"]);
    drop(crowd);
    while !is_answered(daemon.address).await {}
}

/// The 99th percentile, in milliseconds.
fn p99(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    took[took.len() * 99 / 100].as_secs_f64() * 1e3
}

/// Honest callers for a second: how long each of their requests took.
async fn honest_second(daemon: &Daemon) -> Vec<Duration> {
    let honest = Honest::start(daemon.address, 4).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    honest.end().await
}

#[derive(Debug, Clone, Copy)]
enum Attack {
    Slowloris,
    SlowBodies,
    SlowReaders,
    EndlessBodies,
    Flood(Flood),
}

impl Attack {
    /// Attacks until it is dropped.
    async fn go_on(self, address: SocketAddr) {
        let mut held = Vec::new();
        loop {
            match self {
                Self::Slowloris | Self::SlowBodies if held.len() >= 3_000 => std::future::pending().await,
                Self::Slowloris => held.push(linger(address, b"GET /apps HTTP/1.1\r\nhost:").await),
                Self::SlowBodies => held.push(linger(address, &post("content-length: 100000\r\n", "[")).await),
                Self::SlowReaders if held.len() >= 200 => std::future::pending().await,
                Self::SlowReaders => {
                    held.push(linger(address, &b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(50)).await);
                }
                Self::EndlessBodies => endless_body(address).await,
                Self::Flood(flood) => {
                    flood.run(address).await;
                }
            }
            // The attacker shares two cores with those it attacks: it is to take their patience, not their machine.
            tokio::time::sleep(Duration::from_millis(if held.is_empty() { 20 } else { 0 })).await;
        }
    }
}

/// Prints what each attack does to the others, as a ratio of their p99 with and without it in turn, and to memory. Nothing
/// is asserted of speed. Only in the long form, of a release build on a quiet machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_of_attacks_for_other_callers_is_measured() {
    if !full() {
        return;
    }
    let world = World::start().await;
    let daemon = node(&world, &[]).await;
    honest_second(&daemon).await;
    let attacks = [Attack::Slowloris, Attack::SlowBodies, Attack::SlowReaders, Attack::EndlessBodies];
    for attack in attacks.into_iter().chain(Flood::ALL.map(Attack::Flood)) {
        let (mut without, mut with, before, began) = (Vec::new(), Vec::new(), daemon.resident(), Instant::now());
        let mut most = before;
        for _ in 0..6 {
            without.extend(honest_second(&daemon).await);
            let (stop, stopped) = oneshot::channel::<()>();
            let address = daemon.address;
            let attacker = in_background(async move || {
                tokio::select! {
                    () = attack.go_on(address) => {}
                    _ = stopped => {}
                }
            });
            with.extend(honest_second(&daemon).await);
            most = most.max(daemon.resident());
            drop(stop);
            attacker.await.expect("no panic");
        }
        let (without, with) = (p99(without), p99(with));
        println!(
            "{attack:?}: p99 without {:.2} ms, with {:.2} ms, ratio {:.2}; resident {} KiB more; {:.0} s",
            without,
            with,
            with / without,
            most.saturating_sub(before) >> 10,
            began.elapsed().as_secs_f64()
        );
    }
    world.stop().await;
}
