//! Requests that a balancer refuses, changes, or must not repeat.

use super::{Balanced, Balancer, Kind};
use crate::support::lasting_address::lasting_address;
use crate::support::raw::said;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").into_bytes()
}

/// The status of a response.
fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status: {answer:?}"))
}

async fn keeps_operators_calls_inside(kind: Kind) {
    let balanced = Balanced::start(kind).await;
    let front = balanced.balancer.address;
    let paths = ["/metrics", "/metrics/", "/metrics?x", "//metrics", "/%6detrics", "/cluster", "/cluster/nodes/push-1"];
    for path in paths.into_iter().chain(["/cluster%2fpins", "/%63luster/owner?app=x"]) {
        assert_eq!(status(&said(front, &get(path), false).await), 403, "{path}");
    }
    let node = balanced.nodes[0].process.address;
    assert_eq!(status(&said(node, &get("/metrics"), false).await), 200, "operators ask the node");
    for path in ["/readyz", "/healthz", "/apps"] {
        assert_eq!(status(&said(front, &get(path), false).await), 200, "{path}");
    }
    assert_eq!(status(&said(front, &get("/metricsx"), false).await), 404, "a path of the nodes");
    // The nodes still know the names in Host, and clients of HTTP/1.0 need none.
    let foreign = b"GET /apps HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    let answer = said(front, foreign, false).await;
    assert!(status(&answer) == 403 && answer.contains("host_not_allowed"), "{answer}");
    assert_eq!(status(&said(front, b"GET /apps HTTP/1.0\r\n\r\n", false).await), 200);
    balanced.stop().await;
}

#[tokio::test]
async fn haproxy_refuses_metrics_and_cluster_in_every_spelling_and_passes_the_rest() {
    keeps_operators_calls_inside(Kind::Haproxy).await;
}

#[tokio::test]
async fn nginx_refuses_metrics_and_cluster_in_every_spelling_and_passes_the_rest() {
    keeps_operators_calls_inside(Kind::Nginx).await;
}

type Heads = Arc<Mutex<Vec<String>>>;

/// A server in the place of a node, which is ready. It answers GET, and closes when it has read a POST. The header
/// `x-owner` of a request is the owner that its answer names, in place of push-2.
async fn play_node(name: &'static str, heads: Heads) -> SocketAddr {
    let listener = TcpListener::bind(lasting_address()).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(play_connection(name, stream, Arc::clone(&heads)));
        }
    });
    address
}

async fn play_connection(name: &str, mut stream: TcpStream, heads: Heads) {
    let mut read = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut read).await {
        let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        read.drain(..end + 4);
        let (is_check, is_post) = (head.starts_with("GET /readyz "), head.starts_with("POST "));
        let owner = head.lines().find_map(|line| line.strip_prefix("x-owner: ")).unwrap_or("push-2").to_owned();
        if !is_check {
            heads.lock().expect("no panic").push(head);
        }
        if is_post {
            return;
        }
        let answer = format!("HTTP/1.1 200 OK\r\npyapns-owner: {owner}\r\nx-node: {name}\r\ncontent-length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A balancer before two nodes that the test plays, and before one that is not there.
async fn before_played_nodes(kind: Kind) -> (Balancer, Heads) {
    let heads = Heads::default();
    let [a, b] = [play_node("push-1", Arc::clone(&heads)).await, play_node("push-2", Arc::clone(&heads)).await];
    (Balancer::start(kind, &[("push-1", a), ("push-2", b), ("push-3", lasting_address())]).await, heads)
}

async fn names_the_caller(kind: Kind) {
    let (balancer, heads) = before_played_nodes(kind).await;
    let request = "GET /apps/shop/sandbox HTTP/1.1\r\nhost: push.example:1\r\nx-forwarded-for: 10.9.8.7\r\nconnection: close\r\n\r\n";
    let answer = said(balancer.address, request.as_bytes(), false).await;
    assert_eq!(status(&answer), 200);
    assert!(!answer.to_ascii_lowercase().contains("pyapns-owner"), "{answer}");
    let head = heads.lock().expect("no panic").concat().to_ascii_lowercase();
    let lines: Vec<_> = head.lines().filter(|line| line.starts_with("x-forwarded-for:")).collect();
    assert_eq!(lines, ["x-forwarded-for: 127.0.0.1"], "{head}");
    assert!(head.contains("\r\nhost: push.example"), "{head}");
}

#[tokio::test]
async fn haproxy_names_the_caller_and_keeps_the_owner_to_itself() {
    names_the_caller(Kind::Haproxy).await;
}

#[tokio::test]
async fn nginx_names_the_caller_and_keeps_the_owner_to_itself() {
    names_the_caller(Kind::Nginx).await;
}

#[tokio::test]
async fn haproxy_sends_an_app_to_its_owner_and_to_any_node_once_the_app_has_several() {
    let (balancer, _) = before_played_nodes(Kind::Haproxy).await;
    let entry = async |owner: &str| {
        let request = format!(
            "GET /apps/shop/sandbox HTTP/1.1\r\nhost: localhost\r\nx-owner: {owner}\r\nconnection: close\r\n\r\n"
        );
        let answer = said(balancer.address, request.as_bytes(), false).await;
        let node = answer.lines().find_map(|line| line.strip_prefix("x-node: ")).map(str::to_owned);
        node.unwrap_or_else(|| panic!("a node answers: {answer}"))
    };
    entry("push-2").await;
    for _ in 0..10 {
        assert_eq!(entry("push-2").await, "push-2");
    }
    assert_eq!(entry("*").await, "push-2", "it does not know better yet");
    let mut entries = BTreeSet::new();
    for _ in 0..40 {
        entries.insert(entry("*").await);
    }
    assert_eq!(entries, BTreeSet::from(["push-1", "push-2"].map(str::to_owned)));
}

async fn repeats_nothing(kind: Kind) {
    const REQUESTS: usize = 20;
    let (balancer, heads) = before_played_nodes(kind).await;
    for number in 0..REQUESTS {
        let request = format!(
            "POST /apps/app-{number}/sandbox/notifications HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-length: 2\r\n\r\n[]"
        );
        let answer = said(balancer.address, request.as_bytes(), false).await;
        assert!(answer.is_empty() || status(&answer) == 502, "{answer}");
    }
    let heads = heads.lock().expect("no panic");
    let posts: Vec<_> = heads.iter().filter_map(|head| head.strip_prefix("POST ")?.split(' ').next()).collect();
    let distinct: BTreeSet<_> = posts.iter().collect();
    assert_eq!(distinct.len(), posts.len(), "each has reached one node at most: {posts:?}");
    // Nginx refuses requests itself for two seconds after all nodes have failed.
    assert!(posts.len() >= 2 && (kind == Kind::Nginx || posts.len() == REQUESTS), "{posts:?}");
}

#[tokio::test]
async fn haproxy_gives_a_request_that_a_node_may_have_read_to_no_other_node() {
    repeats_nothing(Kind::Haproxy).await;
}

#[tokio::test]
async fn nginx_gives_a_request_that_a_node_may_have_read_to_no_other_node() {
    repeats_nothing(Kind::Nginx).await;
}
