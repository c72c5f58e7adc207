//! Faults of whole connections and of listeners: where they break, how, and that they work again afterwards.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::support::*;
use crate::{
    AlertTo, Breakage, ConnectRate, ConnectionAct, ConnectionFault, Flaw, ListenerFault, Options, Point, Script, Shut,
    Simulator,
};

/// A time limit for everything that must end.
const A_WHILE: Duration = Duration::from_millis(300);

/// The first connection is faulty so, and no other.
async fn start_with_first(act: ConnectionAct) -> Simulator {
    let fault = ConnectionFault { times: Some(1), ..ConnectionFault::new(act) };
    start_with(Options { script: Script { connections: vec![fault], ..Script::default() }, ..Options::default() }).await
}

async fn start_broken(at: Point, how: Breakage) -> Simulator {
    start_with_first(ConnectionAct::Break { at, how }).await
}

async fn connect_error(simulator: &Simulator) -> io::Error {
    let pem = simulator.identity().client_pem.clone();
    let mut client = match Client::with_certificate(simulator, Some(&pem)).await {
        Ok(client) => client,
        Err(error) => return error,
    };
    // TLS 1.3 lets the client write before its certificate is judged.
    let driver = soon(&mut client.driver).await.unwrap();
    driver.unwrap_err().into_io().expect("an error of the transport")
}

async fn works(simulator: &Simulator) {
    let mut client = Client::connect(simulator, Auth::Certificate).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_black_hole_takes_everything_and_says_nothing() {
    for how in [Breakage::Silence, Breakage::Deaf] {
        let simulator = start_broken(Point::Answers(2), how).await;
        let mut client = Client::connect(&simulator, Auth::Certificate).await;
        assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
        assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
        let third = client.begin(Push::new()).await.unwrap();
        assert!(tokio::time::timeout(A_WHILE, finish(third)).await.is_err(), "{how:?}: no answer, no end");
        assert_eq!(simulator.ledger().totals().requests, 2);
        works(&simulator).await;
    }
}

#[tokio::test]
async fn a_connection_may_fall_silent_before_or_after_its_settings() {
    for (at, settings) in [(Point::Tls, 0), (Point::Settings, 1)] {
        let simulator = start_broken(at, Breakage::Silence).await;
        let mut client = Client::connect(&simulator, Auth::Certificate).await;
        let push = client.begin(Push::new()).await.unwrap();
        assert!(tokio::time::timeout(A_WHILE, finish(push)).await.is_err());
        assert_eq!(client.frames_of(SETTINGS).len(), settings, "{at:?}");
        assert_eq!(client.frames().len(), settings, "{at:?}");
        works(&simulator).await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_dropped_without_a_word() {
    let simulator = start_broken(Point::IdleMs(50), Breakage::Silence).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    tokio::time::sleep(A_WHILE).await;
    let late = client.begin(Push::new()).await.unwrap();
    assert!(tokio::time::timeout(A_WHILE, finish(late)).await.is_err());
    assert!(!client.driver.is_finished());
    works(&simulator).await;
}

#[tokio::test]
async fn a_half_closed_connection_processes_what_it_cannot_answer() {
    let simulator = start_broken(Point::Answers(1), Breakage::HalfClose).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let answers = [client.begin(Push::new()).await.unwrap(), client.begin(Push::new()).await.unwrap()];
    let [first, second] = answers;
    assert_eq!(soon(finish(first)).await.unwrap().status, 200);
    assert!(soon(finish(second)).await.is_err());
    assert_eq!(soon(simulator.ledger().wait_until(|totals| totals.accepted == 2)).await.accepted, 2);
    works(&simulator).await;
}

#[tokio::test]
async fn a_reset_comes_in_the_middle_of_a_request_or_of_an_answer() {
    // Preface, SETTINGS, its ACK and the HEADERS of a push are longer than 80 bytes and shorter than the whole.
    for at in [Point::BytesIn(80), Point::BytesOut(40)] {
        let simulator = start_broken(at, Breakage::Reset).await;
        let mut client = Client::connect(&simulator, Auth::Certificate).await;
        assert!(client.push(Push::new()).await.is_err());
        let error = soon(&mut client.driver).await.unwrap().unwrap_err();
        let kind = error.get_io().map(io::Error::kind);
        assert!(matches!(kind, Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)), "{at:?}: {error:?}");
        works(&simulator).await;
    }
}

#[tokio::test]
async fn a_socket_may_be_broken_as_soon_as_it_is_accepted() {
    for how in [Breakage::Close, Breakage::Reset] {
        let simulator = start_broken(Point::Accept, how).await;
        connect_error(&simulator).await;
        works(&simulator).await;
        let totals = simulator.ledger().totals();
        assert_eq!((totals.sockets, totals.connections), (2, 1));
    }
    let simulator = start_broken(Point::Accept, Breakage::Silence).await;
    let pem = simulator.identity().client_pem.clone();
    assert!(tokio::time::timeout(A_WHILE, Client::with_certificate(&simulator, Some(&pem))).await.is_err());
    works(&simulator).await;
}

#[tokio::test]
async fn alerts_answer_the_hello_or_the_certificate() {
    for (code, to, name) in [
        (40, AlertTo::Hello, "HandshakeFailure"),
        (44, AlertTo::Hello, "CertificateRevoked"),
        (42, AlertTo::Certificate, "BadCertificate"),
        (43, AlertTo::Certificate, "UnsupportedCertificate"),
        (44, AlertTo::Certificate, "CertificateRevoked"),
        (45, AlertTo::Certificate, "CertificateExpired"),
        (46, AlertTo::Certificate, "CertificateUnknown"),
        (48, AlertTo::Certificate, "UnknownCA"),
        (49, AlertTo::Certificate, "AccessDenied"),
    ] {
        let simulator = start_with_first(ConnectionAct::Alert { code, to }).await;
        let error = connect_error(&simulator).await.to_string();
        assert!(error.contains(name), "{code}: {error}");
        works(&simulator).await;
    }
    let simulator = start_with_first(ConnectionAct::Alert { code: 44, to: AlertTo::Certificate }).await;
    let mut client = Client::connect(&simulator, Auth::Token).await;
    assert_eq!(
        client.push(Push::new()).await.unwrap().status,
        200,
        "a client without a certificate gets no such alert"
    );
}

#[tokio::test]
async fn the_servers_certificate_may_be_wrong_in_three_ways() {
    for (flaw, name) in
        [(Flaw::Untrusted, "UnknownIssuer"), (Flaw::Expired, "expired"), (Flaw::WrongName, "not valid for name")]
    {
        let simulator = start_with_first(ConnectionAct::Certificate(flaw)).await;
        let error = connect_error(&simulator).await.to_string();
        assert!(error.contains(name), "{flaw:?}: {error}");
        works(&simulator).await;
    }
}

#[tokio::test]
async fn h2_may_be_missing_among_the_protocols() {
    let simulator = start_with_first(ConnectionAct::Alpn(vec!["http/1.1".to_owned()])).await;
    let error = connect_error(&simulator).await.to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    works(&simulator).await;
}

#[tokio::test]
async fn a_stream_gets_no_window_at_all_and_a_connection_no_more_than_it_has() {
    let simulator = start_with_first(ConnectionAct::Window { stream: 0, updates: true }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    client.settled().await;
    let push = client.begin(Push::new()).await.unwrap();
    assert!(tokio::time::timeout(A_WHILE, finish(push)).await.is_err());
    assert_eq!(simulator.ledger().totals().requests, 0);
    works(&simulator).await;

    let simulator = start_with_first(ConnectionAct::Window { stream: 65_535, updates: false }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    client.settled().await;
    for _ in 0..15 {
        assert_eq!(client.push(Push::new().of(4096)).await.map_err(|error| error.to_string()).unwrap().status, 200);
    }
    let push = client.begin(Push::new().of(4096)).await.unwrap();
    assert!(tokio::time::timeout(A_WHILE, finish(push)).await.is_err(), "the window held 65,535 bytes");
    assert!(client.frames_of(8).is_empty(), "no WINDOW_UPDATE");
}

async fn refused_or_lost(address: SocketAddr) -> Option<io::ErrorKind> {
    let connect = tokio::time::timeout(A_WHILE, TcpStream::connect(address)).await;
    connect.map_or(None, |made| made.map_or_else(|error| Some(error.kind()), |_| panic!("a connection")))
}

#[tokio::test]
async fn a_listener_is_shut_alone_and_opened_again_on_its_port() {
    let simulator = start_with(Options { beside: vec!["127.0.0.2:0".to_owned()], ..Options::default() }).await;
    let [first, second] = *simulator.addresses() else { panic!("two listeners") };
    assert_eq!(first.port(), second.port());
    for (state, expected) in [(Shut::Closed, Some(io::ErrorKind::ConnectionRefused)), (Shut::Stalled, None)] {
        let fault = ListenerFault { listener: Some(0), state, for_ms: None };
        simulator.set_script(Script { listeners: vec![fault], ..Script::default() }).unwrap();
        simulator.script_applied().await;
        assert_eq!(refused_or_lost(first).await, expected);
        assert!(TcpStream::connect(second).await.is_ok());
        simulator.set_script(Script::default()).unwrap();
        simulator.script_applied().await;
        works(&simulator).await;
    }
    let short = ListenerFault { listener: None, state: Shut::Closed, for_ms: Some(50) };
    simulator.set_script(Script { listeners: vec![short], ..Script::default() }).unwrap();
    simulator.script_applied().await;
    assert_eq!(refused_or_lost(second).await, Some(io::ErrorKind::ConnectionRefused));
    soon(async { while TcpStream::connect(first).await.is_err() {} }).await;
}

#[tokio::test]
async fn who_connects_too_often_is_blocked_for_a_while() {
    let rate = ConnectRate { limit: 2, seconds: 60, block_ms: 200, how: Breakage::Close };
    let script = Script { connect_rate: Some(rate), ..Script::default() };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    works(&simulator).await;
    works(&simulator).await;
    let mut third = TcpStream::connect(simulator.address()).await.unwrap();
    assert_eq!(soon(third.read(&mut [0; 1])).await.unwrap(), 0);
    connect_error(&simulator).await;
    assert_eq!(simulator.ledger().totals().blocked, 2);
    soon(async {
        let pem = simulator.identity().client_pem.clone();
        while Client::with_certificate(&simulator, Some(&pem)).await.is_err() {}
    })
    .await;
}
