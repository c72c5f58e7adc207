//! The floor: a bare loop over the h2 crate in a separate process. No REST, no outcomes, no retries.

use crate::latency::{self, Percentiles};
use crate::load::message::{payload, token};
use crate::load::runtime;
use crate::process::{Program, own_cpu};
use crate::sender::{Order, Pace, Used};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderValue, Request};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::collections::VecDeque;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Makes this program the floor; its order follows.
pub const ARGUMENT: &str = "floor";

/// Tokens that are sent to in turn.
const TOKENS: usize = 8000;

/// Runs the floor and reads what it used.
pub fn run(simulator: &Program, notifications: usize) -> Used {
    carry_out(&Order::closed(simulator, notifications))
}

/// Runs the floor on any server.
pub fn carry_out(order: &Order) -> Used {
    order.give(&mut command())
}

/// The floor in an open loop.
pub fn paced(simulator: &Program, notifications: usize, pace: Pace) -> Percentiles {
    let order = Order { pace: Some(pace), ..Order::closed(simulator, notifications) };
    carry_out(&order).latency.expect("latencies")
}

fn command() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(ARGUMENT);
    command
}

/// Notifications sent before the measurement.
pub fn warm_up(notifications: usize) -> usize {
    notifications / 10
}

/// The floor's own process.
pub fn main() {
    let order = std::env::args().nth(2).expect("an order");
    let order: Order = serde_json::from_str(&order).expect("an order as JSON");
    runtime().block_on(async {
        let mut floor = Floor::connect(&order).await;
        floor.send(warm_up(order.notifications)).await;
        let (cpu, began) = (own_cpu(), Instant::now());
        let latency = match order.pace {
            Some(pace) => Some(floor.pace(order.notifications, pace).await),
            None => {
                floor.send(order.notifications).await;
                None
            }
        };
        let used = Used { cpu: (own_cpu() - cpu).as_secs_f64(), wall: began.elapsed().as_secs_f64(), latency };
        println!("{}", serde_json::to_string(&used).expect("JSON"));
    });
}

struct Floor<'a> {
    order: &'a Order,
    client: SendRequest<Bytes>,
    payload: Bytes,
    sent: usize,
}

impl<'a> Floor<'a> {
    async fn connect(order: &'a Order) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&order.ca_file).expect("a certificate")).expect("a root");
        let file = &order.certificate_file;
        let chain = CertificateDer::pem_file_iter(file).expect("a file").map(|one| one.expect("a certificate"));
        let key = PrivateKeyDer::from_pem_file(file).expect("a key");
        let mut tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.collect(), key)
            .expect("an identity");
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let socket = TcpStream::connect(&order.listen).await.expect("the simulator listens");
        socket.set_nodelay(true).expect("a socket option");
        let host = order.listen.rsplit_once(':').expect("host and port").0.to_owned();
        let name = ServerName::try_from(host).expect("a name");
        let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, socket).await.expect("TLS");
        let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self { order, client, payload: Bytes::from(payload()), sent: 0 }
    }

    /// Closed loop: one more goes out for each that is answered.
    async fn send(&mut self, notifications: usize) {
        let mut waiting = VecDeque::with_capacity(self.order.in_flight);
        for _ in 0..notifications {
            if waiting.len() == self.order.in_flight {
                accepted(waiting.pop_front().expect("one in flight")).await;
            }
            waiting.push_back(self.begin().await);
        }
        for answer in waiting {
            accepted(answer).await;
        }
    }

    /// Open loop: the latencies of bursts, from the time they were meant to be sent to their last answer.
    async fn pace(&mut self, notifications: usize, pace: Pace) -> Percentiles {
        let mut due = latency::pace(notifications / pace.burst, pace.bursts_per_second);
        let mut bursts = JoinSet::new();
        while let Some(due) = due.recv().await {
            let mut answers = Vec::with_capacity(pace.burst);
            for _ in 0..pace.burst {
                answers.push(self.begin().await);
            }
            bursts.spawn(async move {
                for answer in answers {
                    accepted(answer).await;
                }
                due.elapsed()
            });
        }
        Percentiles::of(bursts.join_all().await)
    }

    async fn begin(&mut self) -> ResponseFuture {
        let Order { listen, topic, .. } = self.order;
        let mut request = Request::post(format!("https://{listen}/3/device/{}", token(self.sent % TOKENS)))
            .header("apns-topic", topic)
            .header("apns-push-type", "alert")
            .header("apns-priority", "10")
            .body(())
            .expect("a request");
        let mut id = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).expect("a header");
        // After the first the name is known to HPACK; the values would only push each other out of its table.
        id.set_sensitive(self.sent > 0);
        request.headers_mut().insert("apns-id", id);
        self.sent += 1;
        let mut ready = self.client.clone().ready().await.expect("a usable connection");
        let (answer, mut stream) = ready.send_request(request, false).expect("a stream");
        stream.send_data(self.payload.clone(), true).expect("a body");
        answer
    }
}

async fn accepted(answer: ResponseFuture) {
    assert_eq!(answer.await.expect("an answer").status(), 200);
}
