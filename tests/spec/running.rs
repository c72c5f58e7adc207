//! A node as a process: the signals that end it, its data directory, and the configuration of pyapns 0.5.

use crate::support::process::{Home, Process, start};
use crate::support::world::{World, to, token};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use simulator::{Act, Fault, Latency, Script, TokenState};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const SHOP: &str = "/apps/shop/sandbox";

type Sender = SendRequest<Full<Bytes>>;

async fn connect(process: &Process) -> Option<Sender> {
    let socket = TcpStream::connect(process.address).await.ok()?;
    let (sender, connection) = handshake(TokioIo::new(socket)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

/// The reason that there is no answer.
#[derive(Debug)]
enum NoAnswer {
    /// The connection had ended before anything was sent.
    Closed,
    /// It ended afterwards.
    Cut,
}

async fn post(sender: &mut Sender, body: String) -> Result<(u16, Value), NoAnswer> {
    let request = http::Request::post(format!("{SHOP}/notifications")).header("host", "localhost");
    sender.ready().await.map_err(|_| NoAnswer::Closed)?;
    let answer = sender.send_request(request.body(body.into()).expect("a request")).await.map_err(|_| NoAnswer::Cut)?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("an answer that began is whole").to_bytes();
    Ok((status, serde_json::from_slice(&body).expect("JSON")))
}

/// The identifiers that one caller sent and was answered until its connection ended.
async fn call_until_closed(mut sender: Sender, caller: usize) -> Vec<String> {
    let mut answered = Vec::new();
    for number in 0_usize.. {
        let id = |item: usize| format!("00000000-0000-4000-8000-{caller:04x}{number:06x}{item:02x}");
        let one = |item| json!({"token": token(item), "identifier": id(item), "payload": {"aps": {}}});
        let batch = Value::Array((0..10).map(one).collect());
        match post(&mut sender, batch.to_string()).await {
            Ok((status, answer)) => {
                assert_eq!(status, 201, "{answer}");
                let outcomes = answer["response"].as_array().expect("a list");
                assert!(outcomes.iter().all(|outcome| outcome["outcome"] == "accepted"), "{answer}");
                answered.extend((0..10).map(id));
            }
            Err(NoAnswer::Closed) => return answered,
            Err(NoAnswer::Cut) => panic!("request {number} of caller {caller} was cut off"),
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
    let mut answered = Vec::new();
    while let Some(caller) = callers.join_next().await {
        answered.extend(caller.expect("every request is answered"));
    }
    let address = process.address;
    assert_eq!(process.ended().await, Some(0));
    let arrived = world.simulator.ledger().accepted_ids();
    assert!(answered.len() >= 400);
    assert!(answered.iter().all(|id| arrived.get(id) == Some(&1)), "what was reported accepted is with Apple, once");
    assert_eq!(arrived.len(), answered.len(), "nothing else is");
    assert!(idle.ready().await.is_err(), "an idle connection is closed");
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
    world.stop().await;
}

#[tokio::test]
async fn a_draining_node_accepts_requests_for_a_while_and_each_response_asks_to_close() {
    let world = World::start().await;
    let slow = Script { latency: Some(Latency::FixedMs(500.0)), ..Script::default() };
    world.simulator.set_script(slow).expect("a script");
    let mut process = start(&world, "close", "drain_notice_seconds = 3").await;
    let mut socket = TcpStream::connect(process.address).await.expect("a connection");
    let body = to(&token(1)).to_string();
    let head =
        format!("POST {SHOP}/notifications HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    socket.write_all(format!("{head}{body}").as_bytes()).await.expect("sent");
    world.simulator.ledger().wait_until(|totals| totals.requests >= 1).await;
    process.signal("TERM");
    process.logs("draining", 1).await;
    let mut late = TcpStream::connect(process.address).await.expect("the notice is not over");
    late.write_all(b"GET /apps HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let (mut first, mut second) = (String::new(), String::new());
    socket.read_to_string(&mut first).await.expect("an answer, then the end");
    late.read_to_string(&mut second).await.expect("an answer, then the end");
    for (answer, status) in [(&first, "HTTP/1.1 201"), (&second, "HTTP/1.1 200")] {
        assert!(answer.starts_with(status), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    }
    assert!(first.contains(r#""outcome":"accepted""#), "{first}");
    assert_eq!(process.ended().await, Some(0));
    world.stop().await;
}

fn silent() -> Script {
    Script { faults: vec![Fault::new(Act::Silence { processed: false })], ..Script::default() }
}

#[tokio::test]
async fn unanswered_notifications_are_reported_before_the_drains_budget_is_over() {
    let world = World::start().await;
    world.simulator.set_script(silent()).expect("a script");
    let process = start(&world, "budget", "drain_seconds = 5").await;
    let mut sender = connect(&process).await.expect("a connection");
    let batch = Value::Array((0..1_500).map(|number| to(&token(number))).collect()).to_string();
    let asked = tokio::spawn(async move { post(&mut sender, batch).await });
    world.simulator.ledger().wait_until(|totals| totals.requests >= 1).await;
    let began = Instant::now();
    process.signal("TERM");
    let (status, answer) = asked.await.expect("no panic").expect("an answer");
    assert_eq!(status, 201, "{answer}");
    let outcomes = answer["response"].as_array().expect("a list");
    let (unknown, not_sent): (Vec<_>, Vec<_>) = outcomes.iter().partition(|outcome| outcome["outcome"] == "unknown");
    assert!(unknown.len() as u64 >= world.simulator.ledger().totals().requests, "Apple may have these");
    let stopped = |outcome: &&Value| outcome["outcome"] == "not_sent" && outcome["reason"] == "shutting_down";
    assert!(!not_sent.is_empty() && not_sent.iter().all(stopped), "{:?}", not_sent.first());
    assert_eq!(process.ended().await, Some(0));
    assert!(began.elapsed().as_secs() >= 1, "it had its time before");
    world.stop().await;
}

#[tokio::test]
async fn a_second_signal_ends_it_immediately() {
    let world = World::start().await;
    world.simulator.set_script(silent()).expect("a script");
    let mut process = start(&world, "second", "drain_seconds = 3600").await;
    let mut sender = connect(&process).await.expect("a connection");
    let asked = tokio::spawn(async move { post(&mut sender, to(&token(1)).to_string()).await });
    world.simulator.ledger().wait_until(|totals| totals.requests >= 1).await;
    process.signal("TERM");
    process.logs("draining", 1).await;
    process.signal("INT");
    process.logs("second signal to stop", 1).await;
    assert_eq!(process.ended().await, Some(1));
    assert!(matches!(asked.await.expect("no panic"), Err(NoAnswer::Cut)));
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
    assert!(said.contains("is in use by another pyapns process: stop it, or choose another"), "{said}");
    process.stop().await;

    let store = rusqlite::Connection::open(home.data().join("pyapns.db")).expect("the store");
    store.pragma_update(None, "user_version", 999).expect("a version");
    drop(store);
    let (code, said) = home.refused().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("was written by a newer pyapns (schema 999, this version supports"), "{said}");
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

/// Returns how many entries two reads of each list show, one after the other: of feedback, then of disconnections.
async fn read_twice(world: &World, process: &Process) -> [[usize; 2]; 2] {
    let states = [TokenState::Dead { reason: "Unregistered", timestamp: None }, TokenState::Bad];
    for (number, state) in states.into_iter().enumerate() {
        world.simulator.set_token(&token(number), Some(state));
    }
    let mut client = process.client().await;
    let bad = json!([to(&token(0)), to(&token(1))]).to_string();
    let sent = client.post(&format!("{SHOP}/notifications"), bad).await;
    assert_eq!(sent.outcomes(), ["rejected", "rejected"], "{sent:?}");
    let mut seen = [[0; 2]; 2];
    for (list, seen) in ["feedback", "disconnections"].into_iter().zip(&mut seen) {
        for seen in seen {
            let read = client.get(&format!("{SHOP}/{list}")).await;
            *seen = read.response().as_array().expect("a list").len();
        }
    }
    seen
}

#[tokio::test]
async fn reading_clears_under_the_configuration_of_0_5_and_not_under_that_of_today() {
    let world = World::start().await;
    let old = Home::of_0_5(&world, "clears");
    let process = old.start().await;
    assert_eq!(read_twice(&world, &process).await, [[2, 0], [1, 0]]);
    process.stop().await;

    let process = start(&world, "keeps", "").await;
    assert_eq!(read_twice(&world, &process).await, [[2, 2], [1, 1]]);
    process.stop().await;
    let process = start(&world, "asks", "compat.clear_on_read = true").await;
    assert_eq!(read_twice(&world, &process).await, [[2, 0], [1, 0]]);
    process.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn an_expiry_from_the_help_of_0_5_is_tried_once_under_its_configuration_and_expired_under_that_of_today() {
    let world = World::start().await;
    let old = Home::of_0_5(&world, "tries");
    let (clients_of_old, today) = (old.start().await, start(&world, "dates", "").await);
    for (process, expected) in [(clients_of_old, "accepted"), (today, "expired")] {
        let mut notification = to(&token(1));
        notification["expiry"] = json!(30);
        let path = format!("{SHOP}/notifications");
        let sent = process.client().await.post(&path, notification.to_string()).await;
        assert_eq!(sent.outcomes(), [expected], "{sent:?}");
        process.stop().await;
    }
    let shown: Vec<_> = world.simulator.ledger().entries().iter().map(|entry| entry.expiration.clone()).collect();
    assert_eq!(shown, [Some("0".to_owned())]);
    world.stop().await;
}
