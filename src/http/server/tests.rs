//! Tests of the accept loop over real sockets.

use super::*;
use crate::http::body::Bodies;
use crate::telemetry;
use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use http_body_util::BodyExt;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

struct Running {
    address: SocketAddr,
    drain: Drain,
    metrics: Arc<Metrics>,
    loop_ended: tokio::task::JoinHandle<()>,
}

async fn start(router: Router, limits: Limits) -> Running {
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), address::Mode(0o600), None).await.unwrap();
    let address = listener.address().unwrap();
    let places =
        ConnectionLimit::new(limits.connections, limits.connections_per_address, limits.shared_addresses.clone());
    let (drain, metrics) = (Drain::new(), Arc::new(Metrics::new(&telemetry::Metrics::new(), "/")));
    let loop_ended = drain.spawn("api", serve(listener, router, drain.clone(), limits, places, Arc::clone(&metrics)));
    Running { address, drain, metrics, loop_ended }
}

fn echo() -> Router {
    let answer = |request: Request| async { request.into_body().collect().await.unwrap().to_bytes() };
    Router::new().route("/", get(async || "hello")).route("/echo", post(answer))
}

/// Returns everything that the server sends until it closes.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the response counts as a close.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn both_protocols_are_answered_on_one_port() {
    let running = start(echo(), Limits::default()).await;
    let answer = exchange(running.address, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello"), "{answer}");

    let stream = TcpStream::connect(running.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    running.drain.spawn("client", async { drop(connection.await) });
    let uri = format!("http://{}/", running.address);
    let (answer, _) = client.send_request(http::Request::get(uri).body(()).unwrap(), true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    drop((answer, client));
    assert!(running.drain.finish(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_client_that_sends_no_headers_is_closed() {
    let limits = Limits { header_timeout: Duration::from_millis(50), ..Limits::default() };
    let running = start(echo(), limits).await;
    for beginning in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\nhost:"] {
        let answer = exchange(running.address, beginning).await;
        assert!(!answer.contains("200"), "{answer}");
    }
}

#[tokio::test]
async fn a_drain_closes_idle_connections_and_finishes_requests() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, wait) = (Arc::clone(&entered), Arc::clone(&release));
    let slow = get(async move || {
        enter.notify_one();
        wait.notified().await;
        "finished"
    });
    let running = start(Router::new().route("/slow", slow), Limits::default()).await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    let request = exchange(running.address, b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
    let drain = async {
        entered.notified().await;
        running.drain.begin();
        running.loop_ended.await.unwrap();
        assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(TcpStream::connect(running.address).await.is_err());
        release.notify_one();
        running.drain.finish(Duration::from_secs(5)).await
    };
    let (answer, in_time) = tokio::join!(request, drain);
    assert!(answer.ends_with("finished"), "{answer}");
    assert!(in_time);
}

#[tokio::test]
async fn requests_on_connections_that_wait_to_be_accepted_when_the_listener_closes_are_answered() {
    let limits = Limits { drain_notice: Duration::from_millis(50), ..Limits::default() };
    let running = start(echo(), limits).await;
    exchange(running.address, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    running.drain.begin();
    tokio::task::yield_now().await;
    // The only thread of the runtime is busy here until the notice is over.
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let mut client = std::net::TcpStream::connect(running.address).unwrap();
            io::Write::write_all(&mut client, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            client
        })
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    running.loop_ended.await.unwrap();
    for client in clients {
        client.set_nonblocking(true).unwrap();
        let (mut client, mut answer) = (TcpStream::from_std(client).unwrap(), Vec::new());
        client.read_to_end(&mut answer).await.expect("no reset");
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(running.drain.finish(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_burst_of_connections_waits_in_the_kernel_while_the_node_is_busy() {
    const BURST: usize = 300;
    let limit = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|text| text.trim().parse().ok());
    if limit.is_some_and(|limit: usize| limit < BURST) {
        println!("skipped: net.core.somaxconn is below {BURST}");
        return;
    }
    let running = start(echo(), Limits::default()).await;
    // The only thread of the runtime is busy here. A SYN that the kernel drops is sent again after a second.
    let connect = || std::net::TcpStream::connect_timeout(&running.address, Duration::from_millis(900));
    let clients: Vec<_> = (0..BURST).map(|_| connect().expect("it waits in the kernel")).collect();
    assert_eq!(clients.len(), BURST);
}

#[tokio::test]
async fn a_connection_over_the_limit_is_refused_immediately() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let running = start(echo(), limits).await;
    let mut first = TcpStream::connect(running.address).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(first.read(&mut [0; 64]).await.unwrap() > 0);
    let answer = exchange(running.address, b"").await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains(&format!("content-length: {}", body.len())), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["reason"], &body["code"]), (&"too_many_connections".into(), &503.into()));
    assert_eq!(running.metrics.connections_refused.get(), 1);
    assert_eq!(running.metrics.connections.get(), 1);
}

#[tokio::test]
async fn a_sender_that_reads_only_after_its_last_byte_still_gets_the_413() {
    let bodies = Bodies::new(&Limits { body_bytes: 1024, ..Limits::default() });
    let take = post(async move |request: Request| bodies.collect(request).await.map(|body| body.bytes));
    let running = start(Router::new().route("/", take), Limits::default()).await;
    let body = "x".repeat(8 << 20);
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let chunk = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
        body.len()
    );
    for (head, tail) in [(head, ""), (chunk, "\r\n0\r\n\r\n")] {
        let answer = exchange(running.address, format!("{head}{body}{tail}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");
    }
}

/// Returns what the server sends up to the end of a response's head, and the bytes that come with it.
async fn first_answer(stream: &mut TcpStream) -> String {
    let (mut answer, mut part) = (String::new(), [0; 4 << 10]);
    while !answer.contains("\r\n\r\n") {
        match stream.read(&mut part).await {
            Ok(read @ 1..) => answer.push_str(&String::from_utf8_lossy(&part[..read])),
            _ => break,
        }
    }
    answer
}

#[tokio::test]
async fn a_refused_request_is_answered_before_its_body_arrives_and_the_connection_stays_usable() {
    let bodies = Bodies::new(&Limits { body_bytes: 1024, ..Limits::default() });
    let take = post(async move |request: Request| bodies.collect(request).await.map(|body| body.bytes));
    let running = start(echo().route("/take", take), Limits::default()).await;
    let length = 1 << 20;
    let (half, chunk) = ("x".repeat(length / 2), format!("{length:x}\r\n"));
    for (path, framing, status, tail) in [
        ("/nowhere", format!("content-length: {length}\r\n\r\n"), "404", ""),
        ("/take", format!("content-length: {length}\r\n\r\n"), "413", ""),
        ("/take", format!("transfer-encoding: chunked\r\n\r\n{chunk}"), "413", "\r\n0\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let began = std::time::Instant::now();
        let begin = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{framing}{half}");
        stream.write_all(begin.as_bytes()).await.unwrap();
        let answer = first_answer(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {answer}");
        assert!(began.elapsed() < Duration::from_secs(2), "{path} {framing:?} waits for the rest");
        stream.write_all(format!("{half}{tail}GET / HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut next = String::new();
        while !next.contains("hello") {
            let more = first_answer(&mut stream).await;
            assert!(!more.is_empty(), "{path} {framing:?} {next}");
            next.push_str(&more);
        }
    }
}

#[tokio::test]
async fn a_sender_that_expects_100_continue_gets_its_refusal_and_the_connection_ends() {
    let running = start(echo(), Limits::default()).await;
    let began = std::time::Instant::now();
    let head = "POST /nowhere HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    let answer = exchange(running.address, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && began.elapsed() < Duration::from_secs(2), "{answer}");
}

#[tokio::test]
async fn a_body_of_four_mebibytes_arrives_whole() {
    let running = start(echo(), Limits::default()).await;
    let body = "x".repeat(4 << 20);
    let head = format!("POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let (mut read, mut write) = stream.split();
    let send = async {
        write.write_all(head.as_bytes()).await.unwrap();
        write.write_all(body.as_bytes()).await.unwrap();
    };
    let mut answer = Vec::new();
    let (_, received) = tokio::join!(send, read.read_to_end(&mut answer));
    received.unwrap();
    assert!(answer.ends_with(body.as_bytes()));
}
