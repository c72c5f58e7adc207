//! A stranger to the cluster is refused and counted, and nothing is sent for it.

use crate::support::fleet::{Fleet, Plan, app_owned_among, epoch, name, new_identity};
use crate::support::world::{to, token};
use pyapns::cluster::Identity;
use pyapns::delivery::peer::wire::{self, Decoder, Features, Frame, Hello, Limits, VERSION_MAX, VERSION_MIN};
use pyapns::model::NodeSession;
use pyapns::store::Epoch;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const LIMITS: Limits = Limits { frame_bytes: 1 << 20, items: 100 };

pub fn refused(why: &str) -> String {
    format!("pyapns_peer_refused_total{{why=\"{why}\"}}")
}

/// A client of the second node that has this identity.
pub async fn connect(fleet: &Fleet, identity: &Identity) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(fleet.links[1]).await?;
    let tls = TlsConnector::from(Arc::new(identity.client().expect("settings")));
    tls.connect(Identity::server_name(), socket).await
}

/// The introduction of the first node, as the second one expects it.
fn hello() -> Hello {
    Hello {
        versions: (VERSION_MIN, VERSION_MAX),
        features: Features::NONE,
        limits: LIMITS,
        ring: 0,
        session: NodeSession::from_bits(1),
        epoch: epoch(),
        node: name(0),
    }
}

/// Says something as a client with the cluster's identity, and waits for the end of the connection.
async fn say(fleet: &Fleet, bytes: &[u8]) {
    let mut stream = connect(fleet, &fleet.identity).await.expect("TLS");
    stream.write_all(bytes).await.expect("written");
    let mut heard = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(8), stream.read_to_end(&mut heard)).await;
    assert!(ended.is_ok(), "the node keeps the connection");
    assert_hello_alone(&heard);
}

/// The node introduces itself, and answers nothing else.
fn assert_hello_alone(heard: &[u8]) {
    let (mut decoder, mut input) = (Decoder::new(LIMITS), heard);
    while let Some(received) = decoder.next(&mut input).expect("frames") {
        assert!(matches!(received.frame, Frame::Hello(_)), "{received:?}");
    }
}

fn frames(hello: &Hello, more: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::put_hello(&mut bytes, hello);
    bytes.extend_from_slice(more);
    bytes
}

async fn pair() -> Fleet {
    Fleet::ready(Plan::of(2), &[&app_owned_among(2, 1)]).await
}

/// Nothing reached Apple, and the cluster works on.
async fn end(fleet: Fleet) {
    assert_eq!(fleet.simulator.ledger().totals().requests, 0);
    let answer = fleet.send(0, &app_owned_among(2, 1), &to(&token(1))).await;
    assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
    assert_eq!((fleet.attempts(0).await, fleet.attempts(1).await), (0, 1));
    fleet.stop().await;
}

#[tokio::test]
async fn a_client_without_the_clusters_identity_is_refused_in_the_handshake() {
    let fleet = pair().await;
    // No certificate. The server's is not checked: the point is who lets whom in.
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let foreign = new_identity(fleet.directory.path(), "foreign.pem");
    let accepted = fleet.identity.client().expect("settings");
    config.enable_sni = accepted.enable_sni;
    let socket = TcpStream::connect(fleet.links[1]).await.expect("it listens");
    let name = ServerName::try_from("pyapns.cluster").expect("a name");
    assert!(TlsConnector::from(Arc::new(config)).connect(name, socket).await.is_err());
    fleet.wait_metric(1, &refused("tls"), 1.0).await;
    // Another cluster's.
    assert!(connect(&fleet, &foreign).await.is_err());
    fleet.wait_metric(1, &refused("tls"), 2.0).await;
    // No TLS at all.
    let mut socket = TcpStream::connect(fleet.links[1]).await.expect("it listens");
    socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("written");
    fleet.wait_metric(1, &refused("tls"), 3.0).await;
    end(fleet).await;
}

#[tokio::test]
async fn openssl_gets_in_with_the_clusters_identity_and_not_without_it() {
    let fleet = pair().await;
    let pem = fleet.directory.path().join("cluster.pem");
    let run = async |with: bool| {
        let mut command = tokio::process::Command::new("openssl");
        command.args(["s_client", "-connect", &fleet.links[1].to_string(), "-tls1_3"]);
        if with {
            command.arg("-cert").arg(&pem).arg("-key").arg(&pem);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("openssl");
        // The node ends the connection: no HELLO comes.
        let stdin = child.stdin.take();
        let output = tokio::time::timeout(Duration::from_secs(8), child.wait_with_output()).await;
        drop(stdin);
        output.expect("the node ends the connection").expect("an output")
    };
    let without = run(false).await;
    let text = String::from_utf8_lossy(&without.stderr).into_owned() + &String::from_utf8_lossy(&without.stdout);
    assert!(text.contains("certificate required"), "{text}");
    fleet.wait_metric(1, &refused("tls"), 1.0).await;
    let with = run(true).await;
    assert!(!String::from_utf8_lossy(&with.stderr).contains("certificate required"));
    fleet.wait_metric(1, &refused("timeout"), 1.0).await;
    end(fleet).await;
}

#[tokio::test]
async fn a_node_that_is_no_member_is_refused_after_its_introduction() {
    let fleet = pair().await;
    let liars = [
        ("session", Hello { session: NodeSession::from_bits(99), ..hello() }),
        ("session", Hello { node: "stranger".parse().expect("a name"), ..hello() }),
        // It would talk to itself.
        ("session", Hello { node: name(1), session: NodeSession::from_bits(2), ..hello() }),
        ("epoch", Hello { epoch: Epoch::stored(8), ..hello() }),
        ("version", Hello { versions: (VERSION_MAX + 1, VERSION_MAX + 2), ..hello() }),
    ];
    for (at, (why, liar)) in liars.iter().enumerate() {
        say(&fleet, &frames(liar, &[])).await;
        let before = liars[..at].iter().filter(|(other, _)| other == why).count();
        fleet.wait_metric(1, &refused(why), (before + 1) as f64).await;
    }
    end(fleet).await;
}

#[tokio::test]
async fn frames_that_make_no_sense_end_the_connection() {
    let fleet = pair().await;
    let mut pong = Vec::new();
    wire::put_pong(&mut pong, 1, 1);
    let mut huge = u32::MAX.to_le_bytes().to_vec();
    huge.extend([2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let mut early = Vec::new();
    wire::put_ping(&mut early, 1);
    let nonsense = [
        vec![0xff; 64],
        early,
        frames(&hello(), &pong),
        frames(&hello(), &huge),
        frames(&hello(), &[0xff; 64]),
        frames(&hello(), &frames(&hello(), &[])),
    ];
    for (at, bytes) in nonsense.iter().enumerate() {
        say(&fleet, bytes).await;
        fleet.wait_metric(1, &refused("malformed"), (at + 1) as f64).await;
    }
    end(fleet).await;
}

#[tokio::test]
async fn an_address_outside_the_networks_of_the_cluster_is_refused_before_a_byte_is_read() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::start(Plan::of(2).allow("10.0.0.0/8")).await;
    fleet.provision(&app, &serde_json::json!({})).await;
    let mut socket = TcpStream::connect(fleet.links[1]).await.expect("it listens");
    let mut heard = Vec::new();
    // The end may be a reset.
    let _ = socket.read_to_end(&mut heard).await;
    assert!(heard.is_empty());
    assert!(fleet.metric(1, &refused("address")).await >= 1.0);
    // Nor does it open connections to such an address.
    fleet.wait_link(0, 1, false).await;
    fleet.wait_link(1, 0, false).await;
    let answer = fleet.send(0, &app, &to(&token(1))).await;
    assert_eq!(answer.outcomes(), ["accepted"], "the node that took it sends: {answer:?}");
    assert_eq!((fleet.attempts(0).await, fleet.attempts(1).await), (1, 0));
    fleet.stop().await;
}
