//! A node as a process: the signals that end it, its data directory, and the configuration of pyapns 0.5.

use crate::support::process::{Home, Process, entry};
use crate::support::world::{World, to, token};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use pyapns::simulator::{Act, Fault, Latency, Script};
use serde_json::{Value, json};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const SHOP: &str = "/apps/shop/sandbox";

/// A node with one app, and more settings of it.
async fn start(world: &World, name: &str, more: &str) -> Process {
    let home = Home::new(world, name, "pyapns.toml");
    home.put("shop.pem", &world.simulator.identity().client_pem);
    home.configure(&format!("listen = '127.0.0.1:0'\n{more}\n{}", entry("shop", "shop.pem", "")));
    home.start().await
}

type Sender = SendRequest<Full<Bytes>>;

async fn connect(process: &Process) -> Option<Sender> {
    let socket = TcpStream::connect(process.address).await.ok()?;
    let (sender, connection) = handshake(TokioIo::new(socket)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

/// The answer, `None` if the connection ended without any.
async fn post(sender: &mut Sender, body: String) -> Option<(u16, Value)> {
    let request = http::Request::post(format!("{SHOP}/notifications")).header("host", "localhost");
    sender.ready().await.ok()?;
    let answer = sender.send_request(request.body(body.into()).expect("a request")).await.ok()?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("an answer that began is whole").to_bytes();
    Some((status, serde_json::from_slice(&body).expect("JSON")))
}

/// What one caller saw until its connection ended: answered identifiers, and those it never heard of.
async fn call_until_closed(mut sender: Sender, caller: usize) -> (Vec<String>, Vec<String>) {
    let mut answered = Vec::new();
    for number in 0_usize.. {
        let id = |item: usize| format!("00000000-0000-4000-8000-{caller:04x}{number:06x}{item:02x}");
        let one = |item| json!({"token": token(item), "identifier": id(item), "payload": {"aps": {}}});
        let batch = Value::Array((0..10).map(one).collect());
        let ids = (0..10).map(id).collect::<Vec<_>>();
        match post(&mut sender, batch.to_string()).await {
            Some((status, answer)) => {
                assert_eq!(status, 201, "{answer}");
                let outcomes = answer["response"].as_array().expect("a list");
                assert!(outcomes.iter().all(|outcome| outcome["outcome"] == "accepted"), "{answer}");
                answered.extend(ids);
            }
            None => return (answered, ids),
        }
    }
    unreachable!("numbers do not end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_answers_every_request_and_exits_with_zero() {
    let world = World::start().await;
    world
        .simulator
        .set_script(Script { latency: Some(Latency::FixedMs(30.0)), ..Script::default() })
        .expect("a script");
    let process = start(&world, "sigterm", "").await;
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let sender = connect(&process).await.expect("a connection");
        callers.spawn(call_until_closed(sender, caller));
    }
    let mut idle = connect(&process).await.expect("a connection");
    world.simulator.ledger().wait_until(|totals| totals.accepted >= 400).await;
    process.signal("TERM");
    let (mut answered, mut unheard) = (Vec::new(), Vec::new());
    while let Some(caller) = callers.join_next().await {
        let (heard, not_heard) = caller.expect("no broken answer");
        answered.extend(heard);
        unheard.extend(not_heard);
    }
    let address = process.address;
    assert_eq!(process.ended().await, Some(0));
    let arrived = world.simulator.ledger().accepted_ids();
    assert!(answered.len() >= 400);
    assert!(answered.iter().all(|id| arrived.get(id) == Some(&1)), "what was told accepted is with Apple, once");
    let lost: Vec<_> = unheard.iter().filter(|id| arrived.contains_key(*id)).collect();
    assert!(lost.is_empty(), "sent for callers that never heard of it: {lost:?}");
    assert!(idle.ready().await.is_err(), "an idle connection is closed");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    world.stop().await;
}

#[tokio::test]
async fn an_answer_while_draining_asks_the_caller_to_close() {
    let world = World::start().await;
    world
        .simulator
        .set_script(Script { latency: Some(Latency::FixedMs(500.0)), ..Script::default() })
        .expect("a script");
    let mut process = start(&world, "close", "").await;
    let mut socket = TcpStream::connect(process.address).await.expect("a connection");
    let body = to(&token(1)).to_string();
    let head = format!("POST {SHOP}/notifications HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
    socket.write_all(format!("{head}{body}").as_bytes()).await.expect("sent");
    world.simulator.ledger().wait_until(|totals| totals.requests >= 1).await;
    process.signal("TERM");
    process.logs("draining", 1).await;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer, then the end");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.contains(r#""outcome":"accepted""#), "{answer}");
    assert_eq!(process.ended().await, Some(0));
    world.stop().await;
}

fn silent() -> Script {
    Script { faults: vec![Fault::new(Act::Silence { processed: false })], ..Script::default() }
}

#[tokio::test]
async fn what_apple_does_not_answer_is_told_before_the_drains_budget_is_over() {
    let world = World::start().await;
    world.simulator.set_script(silent()).expect("a script");
    let process = start(&world, "budget", "drain_seconds = 2").await;
    let mut sender = connect(&process).await.expect("a connection");
    let asked = tokio::spawn(async move { post(&mut sender, to(&token(1)).to_string()).await });
    world.simulator.ledger().wait_until(|totals| totals.requests >= 1).await;
    let began = Instant::now();
    process.signal("TERM");
    let (status, answer) = asked.await.expect("no panic").expect("an answer");
    assert_eq!((status, &answer["response"]["outcome"]), (201, &json!("unknown")), "{answer}");
    assert_eq!(process.ended().await, Some(0));
    assert!(began.elapsed().as_secs() >= 1, "it had its time before");
    world.stop().await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let world = World::start().await;
    world.simulator.set_script(silent()).expect("a script");
    let mut process = start(&world, "second", "drain_seconds = 3600").await;
    let mut sender = connect(&process).await.expect("a connection");
    let asked = tokio::spawn(async move { post(&mut sender, to(&token(1)).to_string()).await });
    world.simulator.ledger().wait_until(|totals| totals.requests >= 1).await;
    process.signal("TERM");
    process.logs("draining", 1).await;
    process.signal("INT");
    process.logs("told to stop a second time", 1).await;
    assert_eq!(process.ended().await, Some(1));
    assert!(asked.await.expect("no panic").is_none());
    world.stop().await;
}

#[tokio::test]
async fn a_data_directory_in_use_or_of_a_newer_pyapns_is_refused_with_a_sentence() {
    let world = World::start().await;
    let home = Home::new(&world, "directory", "pyapns.toml");
    home.configure("listen = '127.0.0.1:0'");
    let process = home.start().await;
    let (code, said) = home.refused().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("belongs to another pyapns that is running: stop it, or choose another"), "{said}");
    process.stop().await;

    let store = rusqlite::Connection::open(home.data().join("pyapns.db")).expect("the store");
    store.pragma_update(None, "user_version", 999).expect("a version");
    drop(store);
    let (code, said) = home.refused().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("was written by a newer pyapns (schema 999, this one knows"), "{said}");
    world.stop().await;
}

#[tokio::test]
async fn the_configuration_of_pyapns_0_5_works_unchanged() {
    let world = World::start().await;
    let home = Home::new(&world, "old", "config.json");
    home.put("shop.pem", &world.simulator.identity().client_pem);
    let cert = home.folder.join("shop.pem");
    let text = json!({
        "host": "localhost", "port": 7077, "rest_port": 0, "log_file_name": "pyapns.log",
        "autoprovision": [{"app_id": "shop", "cert": cert, "environment": "sandbox", "timeout": 15}],
    });
    home.configure(&serde_json::to_string_pretty(&text).expect("JSON"));
    let mut process = home.start().await;
    for old in ["`port` has no meaning any more", "`log_file_name` has no meaning any more"] {
        process.logs(old, 1).await;
    }
    let shop = process.client().await.get(SHOP).await;
    assert_eq!((&shop.response()["certificate"], &shop.response()["timeout"]), (&json!(cert), &json!(15)), "{shop:?}");
    let sent = process.client().await.post(&format!("{SHOP}/notifications"), to(&token(1)).to_string()).await;
    assert_eq!(sent.outcomes(), ["accepted"], "{sent:?}");
    process.stop().await;
    world.stop().await;
}
