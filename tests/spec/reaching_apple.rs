//! The way to Apple: names and addresses, a proxy, TLS and whom it trusts, and what is said when it is barred.

use crate::support::client::Client;
use crate::support::connect_proxy::{ConnectProxy, Manner};
use crate::support::tls_server::{Clients, Recipe, TlsServer};
use crate::support::world::{APP, Running, to};
use pyapns::apns::connect::{Connect, ConnectError, TlsConnect, Transport, certificate_alert};
use pyapns::apns::endpoint::Endpoint;
use pyapns::apns::trust::Trust;
use pyapns::credentials::{Credential, Material, Secret};
use rustls::SupportedProtocolVersion;
use simulator::{Identity, Options, Simulator, SimulatorError};
use std::io::BufRead;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Reports a refused client certificate before the handshake ends.
const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
const PATIENCE: Duration = Duration::from_secs(8);
/// As `Proxy-Authorization` carries `scott` and `tiger%/@`.
const SCOTT: &str = "Basic c2NvdHQ6dGlnZXIlL0A=";
const SCOTT_IN_URL: &str = "scott:tiger%25%2F%40";

fn endpoint(host: &str, port: u16) -> Endpoint {
    format!("https://{host}:{port}").parse().expect("a URL")
}

fn token() -> Credential {
    let identity = Identity::generate().expect("an identity");
    let (p8, key_id, team_id) = (Secret::from(identity.key_pem), identity.key_id, identity.team_id);
    Credential::parse(&Material::Key { p8, key_id, team_id }).expect("a key")
}

fn certificate() -> Credential {
    let pem = Secret::from(Identity::generate().expect("an identity").client_pem);
    Credential::parse(&Material::Certificate { pem }).expect("a certificate")
}

/// A connection, at the first address.
async fn connect(
    connect: &TlsConnect,
    endpoint: &Endpoint,
    ca_file: Option<&Path>,
    credential: &Credential,
) -> Result<Box<dyn Transport>, ConnectError> {
    let tls = Trust::load(ca_file).expect("roots").client_config(endpoint, credential).expect("settings");
    let addresses = connect.resolve(endpoint).await.expect("addresses");
    connect.connect(endpoint, addresses[0], Arc::new(tls), PATIENCE).await
}

/// Connects to a server with these settings at `host` and returns the lane's error. `trusted`: the lane trusts its CA.
async fn failure(recipe: Recipe, host: &str, trusted: bool, credential: &Credential) -> ConnectError {
    let server = TlsServer::start(recipe).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    server.write_authority(&ca_file);
    let endpoint = endpoint(host, server.address.port());
    let direct = TlsConnect::new(None);
    let ca_file = trusted.then_some(ca_file.as_path());
    connect(&direct, &endpoint, ca_file, credential).await.err().expect("a failure")
}

/// A simulator that listens there, with its files beside a node's.
async fn simulator(directory: &Path, listen: &str) -> Result<Simulator, SimulatorError> {
    let (directory, listen) = (Some(directory.join("simulator")), listen.to_owned());
    Simulator::start(Options { listen, directory, ..Options::default() }).await
}

/// A node with these settings of the way to Apple and an app of the simulator's.
async fn node(directory: &Path, simulator: &Simulator, apple: &str) -> Running {
    let node = Running::with(directory, apple).await;
    provision(node.address, simulator).await;
    node
}

async fn provision(node: SocketAddr, simulator: &Simulator) {
    let certificate = simulator.identity().client_pem.clone();
    let answer = Client::connect(node).await.post(APP, certificate).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// The outcome of one notification.
async fn push(node: SocketAddr) -> String {
    let path = format!("{APP}/notifications");
    let answer = Client::connect(node).await.post(&path, to("00fc").to_string()).await;
    answer.outcomes()[0].to_owned()
}

#[tokio::test]
async fn a_notification_reaches_apple_through_a_proxy_with_a_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulator = simulator(folder.path(), "127.0.0.1:0").await.expect("a simulator");
    let gateway = format!("localhost:{}", simulator.address().port());
    let proxy = ConnectProxy::start(Manner::TunnelFor(SCOTT), &[(&gateway, simulator.address())]).await;
    let apple = format!("sandbox = 'https://{gateway}'\nproxy = 'http://{SCOTT_IN_URL}@{}'", proxy.address);
    let node = node(folder.path(), &simulator, &apple).await;
    assert_eq!(push(node.address).await, "accepted");
    assert_eq!(proxy.targets(), [gateway]);
    assert_eq!(simulator.ledger().totals().accepted, 1);
    node.stop().await;
}

#[tokio::test]
async fn a_second_gateway_takes_over_where_the_first_cannot_be_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulator = simulator(folder.path(), "127.0.0.1:0").await.expect("a simulator");
    let apple = format!("sandbox = ['https://{}', 'https://{}']", closed_port().await, simulator.address());
    let node = node(folder.path(), &simulator, &apple).await;
    assert_eq!(push(node.address).await, "accepted");
    node.stop().await;
}

/// An address that refuses connections.
async fn closed_port() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    free.local_addr().expect("bound")
}

#[tokio::test]
async fn a_name_that_only_the_proxy_knows_is_left_to_the_proxy() {
    let server = TlsServer::start(Recipe { names: vec!["gateway.invalid"], ..Recipe::default() }).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    server.write_authority(&ca_file);
    let proxy = ConnectProxy::start(Manner::Tunnel, &[("gateway.invalid:443", server.address)]).await;
    let through = TlsConnect::new(Some(format!("http://{}", proxy.address).parse().expect("a proxy")));
    let endpoint = endpoint("gateway.invalid", 443);
    assert_eq!(through.resolve(&endpoint).await.expect("addresses"), [proxy.address]);
    assert!(connect(&through, &endpoint, Some(&ca_file), &token()).await.is_ok());

    let error = TlsConnect::new(None).resolve(&endpoint).await.expect_err("no address");
    assert!(error.to_string().starts_with("gateway.invalid: "), "{error}");
}

#[tokio::test]
async fn the_error_of_a_proxy_without_a_tunnel_names_it_and_the_remedy() {
    let cases = [
        (Manner::TunnelFor(SCOTT), "", "it requires a user and a password"),
        (Manner::TunnelFor(SCOTT), "scott:lion@", "it refuses the user and password of apple.proxy"),
        (Manner::Answer("HTTP/1.1 403 No\r\n\r\n"), "", "it refuses with HTTP 403"),
        (Manner::Answer("220 mail.example ESMTP\r\n"), "", "it does not answer as an HTTP proxy does"),
        (Manner::Close, "", "it closed the connection without an answer"),
        (Manner::Tunnel, "", "it refuses with HTTP 502"),
    ];
    for (manner, user, what) in cases {
        let proxy = ConnectProxy::start(manner, &[]).await;
        let through = TlsConnect::new(Some(format!("http://{user}{}", proxy.address).parse().expect("a proxy")));
        let error = connect(&through, &endpoint("gateway.invalid", 443), None, &token()).await.err().expect(what);
        let expected = format!("the proxy {} opens no tunnel to gateway.invalid:443: {what}", proxy.address);
        assert!(error.to_string().starts_with(&expected), "{error}, not {expected}");
        assert!(!error.is_credential() && !format!("{error:?}").contains("lion"), "{error:?}");
    }
}

#[tokio::test]
async fn a_step_that_hangs_is_given_up_in_time_and_named() {
    let timeout = Duration::from_secs(1);
    let tls = Trust::load(None).expect("roots").client_config(&endpoint("localhost", 1), &token()).expect("settings");
    let tls = Arc::new(tls);
    let attempt = async |connect: TlsConnect, address: SocketAddr, what: &str| {
        let began = Instant::now();
        let error = connect.connect(&endpoint("localhost", 1), address, Arc::clone(&tls), timeout).await;
        let error = error.err().expect(what).to_string();
        assert_eq!(error, format!("localhost:1 did not answer within 1 s ({what})"));
        assert!(began.elapsed() < timeout * 2, "{:?}", began.elapsed());
    };

    let full = full_listener().await;
    attempt(TlsConnect::new(None), full.0, "no TCP connection: a firewall may drop its packets").await;

    let mute = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    attempt(TlsConnect::new(None), mute.local_addr().expect("bound"), "the TLS handshake did not end").await;

    let proxy = ConnectProxy::start(Manner::Hang, &[]).await;
    let through = TlsConnect::new(Some(format!("http://{}", proxy.address).parse().expect("a proxy")));
    attempt(through, proxy.address, "the proxy opened no tunnel").await;
}

/// A listener whose backlog is full, so that the kernel drops further connection attempts; and what fills it.
async fn full_listener() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let listener = socket.listen(1).expect("listening");
    let address = listener.local_addr().expect("bound");
    let mut fill = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        fill.push(stream);
    }
    (address, listener, fill)
}

#[tokio::test]
async fn the_error_of_a_failed_handshake_has_the_remedy() {
    let cases = [
        (Recipe::default(), "localhost", false, "put its authority's certificate (PEM) into apple.ca_file"),
        (Recipe { not_after_year: 2021, ..Recipe::default() }, "localhost", true, "expired on Jan  1 00:00:00 2021"),
        (
            Recipe { not_before_year: 2099, ..Recipe::default() },
            "localhost",
            true,
            "not valid yet: check this machine's",
        ),
        (
            Recipe { names: vec!["push.example", "10.0.0.1"], ..Recipe::default() },
            "localhost",
            true,
            "is for push.example, 10.0.0.1, not for localhost: set the URL",
        ),
        (Recipe { names: vec![], ..Recipe::default() }, "127.0.0.1", true, "is for no name at all, not for 127.0.0.1"),
        (Recipe { shows_authority: true, ..Recipe::default() }, "localhost", true, "that of an authority (CA:TRUE)"),
        (Recipe { protocols: &[], ..Recipe::default() }, "localhost", true, "does not speak HTTP/2 (ALPN h2)"),
        (
            Recipe { protocols: &[b"http/1.1"], ..Recipe::default() },
            "localhost",
            true,
            "does not speak HTTP/2 (ALPN h2)",
        ),
    ];
    for (recipe, host, trusted, what) in cases {
        let error = failure(recipe, host, trusted, &certificate()).await;
        assert!(error.to_string().starts_with(&format!("TLS with {host}:")), "{error}");
        assert!(error.to_string().contains(what), "{error}, not {what}");
        assert!(!error.is_credential(), "{error}");
    }
}

#[tokio::test]
async fn a_port_without_tls_is_reported_as_that() {
    for (says, what) in [("HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS on this port"), ("", "it closed")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = endpoint("localhost", listener.local_addr().expect("bound").port());
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut hello = [0; 1024];
            let _ = socket.read(&mut hello).await;
            let _ = socket.write_all(says.as_bytes()).await;
        });
        let direct = TlsConnect::new(None);
        let tls = Trust::load(None).expect("roots").client_config(&endpoint, &token()).expect("settings");
        let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port()));
        let error = direct.connect(&endpoint, address, Arc::new(tls), PATIENCE).await.err().expect(what);
        assert!(error.to_string().contains(what), "{error}, not {what}");
        server.await.expect("served");
    }
}

#[tokio::test]
async fn a_closed_port_is_reported_with_its_address() {
    let address = closed_port().await;
    let endpoint = endpoint("127.0.0.1", address.port());
    let error = connect(&TlsConnect::new(None), &endpoint, None, &token()).await.err().expect("a failure");
    let expected = format!("cannot connect to {address} at {address}: Connection refused");
    assert!(error.to_string().starts_with(&expected), "{error}");

    let through = TlsConnect::new(Some(format!("http://{address}").parse().expect("a proxy")));
    let error = connect(&through, &endpoint, None, &token()).await.err().expect("a failure");
    let expected = format!("the proxy {address} opens no tunnel to {address}: no connection to it: Connection refused");
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[tokio::test]
async fn a_refused_client_certificate_is_the_credentials_fault() {
    let tls12 = || Recipe { versions: TLS12, clients: Clients::Nobody, ..Recipe::default() };
    let error = failure(tls12(), "localhost", true, &certificate()).await;
    assert!(error.is_credential(), "{error}");
    assert!(error.to_string().contains("it refuses the client certificate with the alert unknown_ca (48)"), "{error}");

    let error = failure(tls12(), "localhost", true, &token()).await;
    assert!(!error.is_credential(), "a signing key is in no handshake: {error}");
}

/// TLS 1.3 ends the handshake for the client before the server checks its certificate.
#[tokio::test]
async fn a_certificate_refused_after_the_handshake_is_known_by_the_first_read() {
    let server = TlsServer::start(Recipe { clients: Clients::Nobody, ..Recipe::default() }).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    server.write_authority(&ca_file);
    let endpoint = endpoint("localhost", server.address.port());
    let opened = connect(&TlsConnect::new(None), &endpoint, Some(&ca_file), &certificate()).await;
    let mut stream = opened.expect("a connection that does not know yet");
    let error = stream.read_u8().await.expect_err("an alert");
    assert_eq!(certificate_alert(&error).map(u8::from), Some(48), "{error}");
}

#[tokio::test]
async fn a_gateway_on_ipv6_is_reached_by_address_and_through_a_proxy() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulator = match simulator(folder.path(), "[::1]:0").await {
        Ok(simulator) => simulator,
        Err(error) => return println!("SKIPPED: this machine has no IPv6 loopback ({error})"),
    };
    let proxy = ConnectProxy::start(Manner::Tunnel, &[]).await;
    for proxy in [String::new(), format!("proxy = 'http://{}'", proxy.address)] {
        let apple = format!("sandbox = 'https://{}'\n{proxy}", simulator.address());
        let node = node(folder.path(), &simulator, &apple).await;
        assert_eq!(push(node.address).await, "accepted");
        node.stop().await;
    }
    assert_eq!(simulator.ledger().totals().accepted, 2);
    assert_eq!(proxy.targets(), [simulator.address().to_string()]);
}

/// Runs the whole program, so that everything printed or logged is checked.
#[tokio::test]
async fn the_log_shows_the_handshake_at_debug_and_never_a_proxys_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulator = simulator(folder.path(), "127.0.0.1:0").await.expect("a simulator");

    let opening = ConnectProxy::start(Manner::TunnelFor(SCOTT), &[]).await;
    let lines = log_until(folder.path(), &simulator, &opening, "TLS handshake done").await;
    let line = lines.last().expect("the handshake");
    assert!(line.contains("CN=pyapns simulator until ") && line.contains("signed by CN=pyapns simulator CA"), "{line}");
    assert!(line.contains(&simulator.address().to_string()), "{line}");

    let barred = ConnectProxy::start(Manner::TunnelFor("Basic nobody"), &[]).await;
    let more = log_until(folder.path(), &simulator, &barred, "refuses the user").await;
    let all = [lines, more].concat().join("\n");
    for secret in ["tiger", SCOTT.trim_start_matches("Basic ")] {
        assert!(!all.contains(secret), "{all}");
    }
}

/// Runs a node behind this proxy, sends a notification, and gives its log up to the first line with `wanted`.
async fn log_until(folder: &Path, simulator: &Simulator, proxy: &ConnectProxy, wanted: &'static str) -> Vec<String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pyapns"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.join("data"))
        .env("PYAPNS_APPLE_SANDBOX", format!("https://{}", simulator.address()))
        .env("PYAPNS_APPLE_PROXY", format!("http://{SCOTT_IN_URL}@{}", proxy.address))
        .env("PYAPNS_APPLE_CA_FILE", folder.join("simulator/ca.pem"))
        .env("PYAPNS_LOG_LEVEL", "debug")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let stdout = std::io::BufReader::new(child.stdout.take().expect("piped"));
    let stderr = std::io::BufReader::new(child.stderr.take().expect("piped"));
    let announced = tokio::task::spawn_blocking(|| stdout.lines().next().expect("a line").expect("text"));
    let announced = announced.await.expect("a line");
    let node: SocketAddr = announced.rsplit('/').next().and_then(|at| at.parse().ok()).expect("an address");
    provision(node, simulator).await;
    let pushed = tokio::spawn(async move { push(node).await });
    let log = tokio::task::spawn_blocking(move || {
        let mut lines = Vec::new();
        for line in stderr.lines().map_while(Result::ok) {
            lines.push(line);
            if lines.last().is_some_and(|line| line.contains(wanted)) {
                break;
            }
        }
        lines
    });
    let lines = tokio::time::timeout(PATIENCE, log).await;
    pushed.abort();
    child.kill().expect("it runs");
    child.wait().expect("its end");
    lines.unwrap_or_else(|_| panic!("no `{wanted}` in the log")).expect("read")
}
