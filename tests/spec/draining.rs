//! A node that stops, as callers and load balancers see it: they learn of it in time, and no caller is cut off.

use crate::support::process::{Process, start};
use crate::support::world::{World, to, token};
use bytes::Bytes;
use h2::client::SendRequest;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use simulator::{Latency, Script};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const SHOP: &str = "/apps/shop/sandbox";

/// From now on Apple takes so long for an answer.
fn slow(world: &World, milliseconds: f64) {
    let script = Script { latency: Some(Latency::FixedMs(milliseconds)), ..Script::default() };
    world.simulator.set_script(script).expect("a script");
}

/// A caller that keeps its HTTP/1 connection for as long as it may.
struct Caller(http1::SendRequest<Empty<Bytes>>);

impl Caller {
    async fn connect(process: &Process) -> Self {
        let socket = TcpStream::connect(process.address).await.expect("the node listens");
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.expect("HTTP/1");
        tokio::spawn(async { drop(connection.await) });
        Self(sender)
    }

    /// Status and reason, and whether it was asked to close.
    async fn get(&mut self, path: &str) -> (u16, String, bool) {
        let request = http::Request::get(path).header("host", "localhost").body(Empty::new()).expect("a request");
        self.0.ready().await.expect("an open connection");
        let answer = self.0.send_request(request).await.expect("an answer");
        let (head, body) = answer.into_parts();
        let body: Value = serde_json::from_slice(&body.collect().await.expect("whole").to_bytes()).expect("JSON");
        let reason = body["reason"].as_str().unwrap_or_default().to_owned();
        (head.status.as_u16(), reason, head.headers.get("connection").is_some_and(|said| said == "close"))
    }
}

#[tokio::test]
async fn a_node_that_drains_is_not_ready_and_healthy_on_old_connections_and_on_new_ones() {
    let world = World::start().await;
    let mut process = start(&world, "ready", "drain_notice_seconds = 2").await;
    let [mut ready, mut healthy] = [Caller::connect(&process).await, Caller::connect(&process).await];
    for caller in [&mut ready, &mut healthy] {
        for path in ["/readyz", "/healthz"] {
            assert_eq!(caller.get(path).await, (200, String::new(), false), "{path}");
        }
    }
    process.signal("TERM");
    process.logs("draining", 1).await;
    let not_ready = (503, "shutting_down".to_owned(), true);
    assert_eq!(ready.get("/readyz").await, not_ready);
    assert_eq!(healthy.get("/healthz").await, (200, String::new(), true));
    for old in [&mut ready, &mut healthy] {
        assert!(old.0.ready().await.is_err(), "it was closed as announced");
    }
    assert_eq!(Caller::connect(&process).await.get("/readyz").await, not_ready);
    assert_eq!(Caller::connect(&process).await.get("/healthz").await, (200, String::new(), true));
    assert_eq!(process.ended().await, Some(0));
    world.stop().await;
}

/// A caller's HTTP/2 connection, and the task that drives it.
async fn http2(process: &Process) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let socket = TcpStream::connect(process.address).await.expect("the node listens");
    let (sender, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    (sender, tokio::spawn(connection))
}

/// A request on a separate stream. Returns the status, true if it has HTTP/1's header that asks to close, and the body.
async fn ask(
    sender: &SendRequest<Bytes>,
    method: &str,
    path: &str,
    body: String,
) -> Result<(u16, bool, String), h2::Error> {
    let mut sender = sender.clone().ready().await?;
    let request = http::Request::builder().method(method).uri(format!("http://localhost{path}"));
    let (answer, mut stream) = sender.send_request(request.body(()).expect("a request"), false)?;
    stream.send_data(body.into(), true)?;
    let (head, mut body) = answer.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        bytes.extend_from_slice(&part);
    }
    let text = String::from_utf8(bytes).expect("text");
    Ok((head.status.as_u16(), head.headers.contains_key("connection"), text))
}

#[tokio::test]
async fn an_http2_caller_gets_a_goaway_after_the_notice_and_answers_on_all_streams_before_it() {
    let world = World::start().await;
    slow(&world, 3000.0);
    let mut process = start(&world, "goaway", "drain_notice_seconds = 1").await;
    let (sender, connection) = http2(&process).await;
    let before = sender.clone();
    let sent = tokio::spawn(async move {
        let body = to(&token(1)).to_string();
        ask(&before, "POST", &format!("{SHOP}/notifications"), body).await
    });
    world.simulator.ledger().wait_until(|totals| totals.requests >= 1).await;
    process.signal("TERM");
    process.logs("draining", 1).await;
    let mut during = 0;
    let told = loop {
        match ask(&sender, "GET", "/healthz", String::new()).await {
            Ok((status, asked_to_close, body)) => {
                assert_eq!((status, asked_to_close), (200, false), "{body}");
                during += 1;
            }
            Err(error) => break error,
        }
    };
    assert!(during > 0, "requests are taken until the notice is over");
    assert!(told.is_go_away() && told.is_remote() && told.reason() == Some(h2::Reason::NO_ERROR), "{told:?}");
    assert!(!sent.is_finished(), "that was said while a request was in flight");
    let (status, _, body) = sent.await.expect("no panic").expect("an answer");
    assert!(status == 201 && body.contains(r#""outcome":"accepted""#), "{status} {body}");
    drop(sender);
    connection.await.expect("no panic").expect("a good end");
    assert_eq!(process.ended().await, Some(0));
    world.stop().await;
}

#[tokio::test]
async fn an_http2_caller_that_hears_nothing_any_more_does_not_keep_a_node_from_stopping() {
    let world = World::start().await;
    let process = start(&world, "deaf", "drain_notice_seconds = 0").await;
    let socket = TcpStream::connect(process.address).await.expect("the node listens");
    let (sender, mut connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let answered = tokio::select! {
        biased;
        answered = ask(&sender, "GET", "/healthz", String::new()) => answered,
        ended = &mut connection => panic!("{ended:?}"),
    };
    assert_eq!(answered.expect("an answer").0, 200);
    // From here on the client does not read the connection, which stays open.
    let began = Instant::now();
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop((sender, connection));
    world.stop().await;
}
