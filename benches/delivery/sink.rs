//! The least server there can be over the h2 crate, to set the simulator against: it reads everything, judges nothing and
//! says 200.

use crate::figures::median;
use crate::floor;
use crate::options::Options;
use crate::process::Program;
use crate::sender::Order;
use bytes::Bytes;
use http::Response;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Makes this program the server; the folder for its certificate follows.
pub const ARGUMENT: &str = "sink";

/// The floor's load on both servers in turn: what the simulator's checks cost.
pub fn compare(options: &Options, dir: &Path, simulator: &Program) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let sink = Program::start(command.arg(ARGUMENT).arg(dir));
    let (mut rates, mut cpus) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 1..=options.rounds() {
        for (at, (name, server)) in [("simulator", simulator), ("bare h2 server", &sink)].into_iter().enumerate() {
            let (said, order) = (server.json(), Order::closed(simulator, options.notifications()));
            let text = |key: &str| said[key].as_str().expect("a text").to_owned();
            let order = Order { listen: text("listen"), ca_file: text("ca_file"), ..order };
            let before = server.cpu();
            let used = floor::carry_out(&order);
            let notifications = (order.notifications + floor::warm_up(order.notifications)) as f64;
            cpus[at].push((server.cpu() - before).as_secs_f64() * 1e6 / notifications);
            rates[at].push(order.notifications as f64 / used.wall);
            let (rate, cpu) = (rates[at][round - 1], cpus[at][round - 1]);
            println!("round {round}  {name:16} {rate:9.0}/s {cpu:7.2} µs CPU");
        }
    }
    let [[rate, bare_rate], [cpu, bare_cpu]] =
        [rates, cpus].map(|both| both.map(|figures| median(figures.into_iter())));
    println!(
        "The simulator takes {rate:.0} notifications/s from the floor, {:.0} % of a bare h2 server's {bare_rate:.0}; its CPU \
         for each is {cpu:.2} µs, the bare server's {bare_cpu:.2}.",
        rate / bare_rate * 100.0
    );
}

/// The server's own process.
pub fn main() {
    let folder = std::env::args().nth(2).expect("a folder");
    let ca_file = Path::new(&folder).join("sink.pem");
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    std::fs::write(&ca_file, made.cert.pem()).expect("a file");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let builder = ServerConfig::builder().with_no_client_auth();
    let mut tls = builder.with_single_cert(vec![made.cert.der().clone()], key).expect("an identity");
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    // As the simulator's.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let listen = listener.local_addr().expect("an address").to_string();
        println!("{}", serde_json::json!({"listen": listen, "ca_file": ca_file}));
        loop {
            let (socket, _) = listener.accept().await.expect("a connection");
            tokio::spawn(serve(socket, acceptor.clone()));
        }
    });
}

async fn serve(socket: TcpStream, acceptor: TlsAcceptor) {
    socket.set_nodelay(true).expect("a socket option");
    let stream = acceptor.accept(socket).await.expect("TLS");
    let mut builder = h2::server::Builder::new();
    builder.initial_connection_window_size(16 << 20).max_concurrent_streams(1000);
    let mut connection = builder.handshake::<_, Bytes>(stream).await.expect("HTTP/2");
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let id = request.headers().get("apns-id").cloned();
            let mut body = request.into_body();
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
            }
            let mut response = Response::new(());
            id.into_iter().for_each(|id| drop(response.headers_mut().insert("apns-id", id)));
            let _ = respond.send_response(response, true);
        });
    }
}
