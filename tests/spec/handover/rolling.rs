//! A rolling restart under load, without a load balancer: callers change the node when it asks them to close.

use super::NAMES;
use crate::support::full;
use crate::support::site::{Site, apps_of};
use crate::support::world::{to, token};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

const CALLERS: usize = 8;
const PAUSE: Duration = Duration::from_millis(20);

/// The callers' common knowledge.
struct Load {
    nodes: watch::Receiver<Vec<SocketAddr>>,
    apps: Vec<String>,
    next: AtomicUsize,
    is_over: AtomicBool,
}

/// A connection that a node has not asked to close.
struct Connection(http1::SendRequest<Full<Bytes>>);

impl Connection {
    async fn open(address: SocketAddr) -> Option<Self> {
        let socket = TcpStream::connect(address).await.ok()?;
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.ok()?;
        tokio::spawn(async { drop(connection.await) });
        Some(Self(sender))
    }
}

/// Sends until the load is over. Returns what was told of each notification, by its `apns-id`.
async fn call(load: Arc<Load>, first: usize) -> BTreeMap<String, String> {
    let (mut told, mut at, mut open) = (BTreeMap::new(), first, None);
    while !load.is_over.load(Ordering::Relaxed) {
        let Some(Connection(mut sender)) = open.take() else {
            at += 1;
            let address = { load.nodes.borrow()[at % NAMES.len()] };
            open = Connection::open(address).await;
            continue;
        };
        if sender.ready().await.is_err() {
            continue;
        }
        let number = load.next.fetch_add(1, Ordering::Relaxed);
        let path = format!("{}/notifications", load.apps[number % load.apps.len()]);
        let request = http::Request::post(path).header("host", "localhost");
        let request = request.body(Full::new(to(&token(number)).to_string().into())).expect("a request");
        let answer = sender.send_request(request).await.expect("no request is cut off");
        let (head, body) = answer.into_parts();
        let body: Value = serde_json::from_slice(&body.collect().await.expect("whole").to_bytes()).expect("JSON");
        assert_eq!(head.status, 201, "{body}");
        let text = |field: &str| body["response"][field].as_str().unwrap_or_default().to_owned();
        told.insert(text("apns_id"), format!("{} {}", text("outcome"), text("reason")));
        let asks_to_close = head.headers.get("connection").is_some_and(|said| said == "close");
        open = (!asks_to_close).then_some(Connection(sender));
        sleep(PAUSE).await;
    }
    told
}

#[tokio::test]
async fn in_a_rolling_restart_every_notification_is_accepted_and_sent_once() {
    let rounds = if full() { 5 } else { 1 };
    let site = Site::new(&[]).await.with_notice(3);
    let apps: Vec<_> = (0..3).flat_map(|index| apps_of(&NAMES, index, 3)).collect();
    let mut nodes: Vec<_> = site.ready(NAMES, &apps).await.into();
    let (tell, addresses) = watch::channel(nodes.iter().map(|node| node.process.address).collect());
    let load = Load { nodes: addresses, apps, next: AtomicUsize::new(0), is_over: AtomicBool::new(false) };
    let (load, mut callers) = (Arc::new(load), JoinSet::new());
    (0..CALLERS).for_each(|first| drop(callers.spawn(call(Arc::clone(&load), first))));
    for round in 0..rounds {
        for name in NAMES {
            sleep(Duration::from_millis(500)).await;
            let old = nodes.remove(0);
            old.process.stop().await;
            nodes.push(site.start(name, name).await);
            let first = nodes.iter().position(|node| node.name == "a").expect("one of them");
            tell.send_replace((0..3).map(|at| nodes[(first + at) % 3].process.address).collect());
            site.wait_joined(&[&nodes[0], &nodes[1], &nodes[2]]).await;
            println!("round {round}: {name} was restarted, {} sent so far", load.next.load(Ordering::Relaxed));
        }
    }
    load.is_over.store(true, Ordering::Relaxed);
    let mut told = BTreeMap::new();
    while let Some(of_caller) = callers.join_next().await {
        told.extend(of_caller.expect("a caller without a fault"));
    }
    let sent = load.next.load(Ordering::Relaxed);
    let not_accepted: Vec<_> = told.values().filter(|outcome| *outcome != "accepted ").collect();
    assert!(not_accepted.is_empty() && told.len() == sent, "{} of {sent}: {not_accepted:?}", told.len());
    let ledger = site.simulator.ledger().accepted_ids();
    assert!(told.keys().all(|id| ledger.get(id) == Some(&1)), "each once");
    assert_eq!(ledger.len(), sent);
    assert!(sent > 500, "{sent}");
}
