//! The floor: a bare loop over the h2 crate in a process of its own. No REST, no outcomes, no retries.

use crate::IN_FLIGHT;
use crate::load::{payload, token};
use crate::process::{Program, Usage, cpu_of};
use bytes::Bytes;
use http::{HeaderValue, Request};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::collections::VecDeque;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Makes this program the floor.
pub const ARGUMENT: &str = "floor";

/// Runs the floor and reads what it used.
pub fn run(simulator: &Program, notifications: usize) -> Usage {
    let said = simulator.json();
    let text = |key: &str| said[key].as_str().expect("a text").to_owned();
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.arg(ARGUMENT).args([text("listen"), text("ca_file"), text("certificate_file"), text("topic")]);
    let floor = Program::start(command.arg(notifications.to_string())).json();
    let seconds = |key: &str| Duration::from_secs_f64(floor[key].as_f64().expect("seconds"));
    Usage { cpu: seconds("cpu"), wall: seconds("wall") }
}

/// The floor's own process.
pub fn main() {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let [listen, ca_file, certificate_file, topic, notifications] = &arguments[..] else { panic!("five arguments") };
    let notifications: usize = notifications.parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut client = connect(listen, ca_file, certificate_file).await;
        send(&mut client, listen, topic, notifications / 10).await;
        let (cpu, began) = (cpu_of("self"), Instant::now());
        send(&mut client, listen, topic, notifications).await;
        let cpu = cpu_of("self") - cpu;
        println!(r#"{{"cpu":{},"wall":{}}}"#, cpu.as_secs_f64(), began.elapsed().as_secs_f64());
    });
}

async fn connect(listen: &str, ca_file: &str, certificate_file: &str) -> h2::client::SendRequest<Bytes> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file).expect("a certificate")).expect("a root");
    let chain = CertificateDer::pem_file_iter(certificate_file).expect("a file").map(|one| one.expect("a certificate"));
    let key = PrivateKeyDer::from_pem_file(certificate_file).expect("a key");
    let mut tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.collect(), key)
        .expect("an identity");
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TcpStream::connect(listen).await.expect("the simulator listens");
    socket.set_nodelay(true).expect("a socket option");
    let host = listen.rsplit_once(':').expect("host and port").0.to_owned();
    let name = ServerName::try_from(host).expect("a name");
    let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, socket).await.expect("TLS");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    client
}

async fn send(client: &mut h2::client::SendRequest<Bytes>, listen: &str, topic: &str, notifications: usize) {
    let body = Bytes::from(payload());
    let mut waiting = VecDeque::with_capacity(IN_FLIGHT);
    for number in 0..notifications {
        if waiting.len() == IN_FLIGHT {
            accepted(waiting.pop_front().expect("one in flight")).await;
        }
        let id = uuid::Uuid::new_v4().to_string();
        let mut request = Request::post(format!("https://{listen}/3/device/{}", token(number % 8000)))
            .header("apns-topic", topic)
            .header("apns-push-type", "alert")
            .header("apns-priority", "10")
            .body(())
            .expect("a request");
        let mut id = HeaderValue::from_str(&id).expect("a header");
        id.set_sensitive(number > 0);
        request.headers_mut().insert("apns-id", id);
        let mut ready = client.clone().ready().await.expect("a usable connection");
        let (answer, mut stream) = ready.send_request(request, false).expect("a stream");
        stream.send_data(body.clone(), true).expect("a body");
        waiting.push_back(answer);
    }
    for answer in waiting {
        accepted(answer).await;
    }
}

async fn accepted(answer: h2::client::ResponseFuture) {
    assert_eq!(answer.await.expect("an answer").status(), 200);
}
