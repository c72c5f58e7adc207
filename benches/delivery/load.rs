//! The callers: a few keep-alive connections that each send one batch after another.

use crate::IN_FLIGHT;
use crate::process::Program;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::fmt::Write as _;
use tokio::net::TcpStream;

const PATH: &str = "/apps/com.example.app/sandbox";

/// A payload of 160 bytes.
pub fn payload() -> String {
    let (start, end) = (r#"{"aps":{"alert":{"title":"Bench","body":""#, r#""},"sound":"default"}}"#);
    let payload = format!("{start}{}{end}", "x".repeat(160 - start.len() - end.len()));
    assert_eq!(payload.len(), 160);
    payload
}

/// A device token of 64 hex digits.
pub fn token(number: usize) -> String {
    format!("{:064x}", (number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn body(batch: usize, from: usize) -> Bytes {
    let payload = payload();
    let mut body = String::from("[");
    for number in from..from + batch {
        let comma = if number > from { "," } else { "" };
        let _ = write!(body, r#"{comma}{{"token":"{}","payload":{payload},"identifier":"{number}"}}"#, token(number));
    }
    body.push(']');
    Bytes::from(body)
}

/// One app, with the simulator's certificate.
pub fn provision(daemon: &Program, simulator: &Program) {
    let pem = std::fs::read(simulator.json()["certificate_file"].as_str().expect("a path")).expect("the certificate");
    runtime().block_on(async {
        let mut client = connect(daemon.address()).await;
        let (status, body) = post(&mut client, PATH, Bytes::from(pem)).await;
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
    });
}

/// Sends `notifications` in batches, with [`IN_FLIGHT`] of them at a time, and checks that each was accepted.
pub fn run(daemon: &Program, batch: usize, notifications: usize) {
    let callers = (IN_FLIGHT / batch).max(1);
    let each = notifications / batch / callers;
    runtime().block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for caller in 0..callers {
            let mut client = connect(daemon.address()).await;
            let bodies: Vec<Bytes> = (0..16).map(|at| body(batch, (caller * 16 + at) * batch)).collect();
            tasks.spawn(async move {
                for at in 0..each {
                    let (status, answer) =
                        post(&mut client, &format!("{PATH}/notifications"), bodies[at % bodies.len()].clone()).await;
                    assert_eq!(status, 201);
                    let accepted = answer.windows(10).filter(|word| word == b"\"accepted\"").count();
                    assert_eq!(accepted, batch, "{}", String::from_utf8_lossy(&answer));
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("a caller without a fault");
        }
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn connect(address: &str) -> SendRequest<Full<Bytes>> {
    let socket = TcpStream::connect(address).await.expect("the daemon listens");
    socket.set_nodelay(true).expect("a socket option");
    let (client, connection) = http1::handshake(TokioIo::new(socket)).await.expect("HTTP/1");
    tokio::spawn(connection);
    client
}

async fn post(client: &mut SendRequest<Full<Bytes>>, path: &str, body: Bytes) -> (u16, Bytes) {
    let request = http::Request::post(path).header("host", "localhost").body(Full::new(body)).expect("a request");
    client.ready().await.expect("a free connection");
    let answer = client.send_request(request).await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.into_body().collect().await.expect("a whole answer").to_bytes())
}
