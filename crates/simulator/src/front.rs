//! The front of Apple's side: accepts, completes the TLS handshake, and starts the connection or breaks it by the
//! script.

mod listener;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use listener::ScriptedListener;
pub use tls::Tls;

use super::certificate::ClientCertificate;
use super::connection::{self, Opening, Window};
use super::identity::Identity;
use super::ledger::Totals;
use super::script::{AlertTo, Breakage, ConnectionAct, Plan, Point};
use super::shared::{ACCEPT_PAUSE, Shared};
use super::site::Site;
use super::valve::{Transport, Valve, break_connection};

const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Time that the peer may take to close after a failed handshake.
const LINGER: Duration = Duration::from_secs(5);
const PIPE_BYTES: usize = 64 * 1024;

/// A listener of Apple's side.
#[derive(Clone)]
pub struct Front {
    shared: Arc<Shared>,
    tls: Arc<Tls>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Front {
    pub fn new(shared: Arc<Shared>, tls: Arc<Tls>, stopping: CancellationToken, tasks: TaskTracker) -> Self {
        Self { shared, tls, stopping, tasks }
    }

    /// Accepts on this scripted listener until it is stopped; each connection is a task. Publishes the number of the
    /// script that it obeys.
    pub fn serve(&self, listener: usize, site: Site, scripted: ScriptedListener) -> watch::Receiver<u64> {
        let (obeys, applied) = watch::channel(0);
        self.tasks.spawn(self.clone().run((listener, site), scripted, obeys));
        applied
    }

    async fn run(self, (listener, site): (usize, Site), mut scripted: ScriptedListener, obeys: watch::Sender<u64>) {
        let mut plan = self.shared.plan();
        loop {
            let Plan { script, number, .. } = plan.borrow_and_update().clone();
            let shut = script.shut(listener);
            if let Err(error) = scripted.set(shut.map(|(shut, _)| shut)).await {
                tracing::warn!(%error, listener, "the simulator cannot shut or open its port as scripted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            obeys.send_replace(number);
            let until = shut.and_then(|(_, until)| until);
            let accepted = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                changed = plan.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => continue,
                accepted = scripted.accept() => accepted,
            };
            match accepted {
                Ok((socket, source)) => self.admit(self.clone().connection((listener, site), socket, source)),
                Err(error) => {
                    tracing::warn!(%error, "the simulator cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = connection => {}
            }
        });
    }

    async fn connection(self, (listener, site): (usize, Site), mut socket: TcpStream, source: SocketAddr) {
        // Otherwise Nagle's algorithm and delayed acknowledgements would delay answers.
        let _ = socket.set_nodelay(true);
        let plan = self.shared.plan();
        let (act, blocked) = plan.borrow().script.clone().connection_fault(listener, source.ip());
        self.shared.ledger.add(&Totals { sockets: 1, blocked: blocked.into(), ..Totals::default() });
        match act {
            Some(ConnectionAct::Break { at: Point::Accept, how }) => return break_connection(socket, how).await,
            Some(ConnectionAct::Alert { code, to: AlertTo::Hello }) => {
                let mut hello = [0; 4096];
                if socket.read(&mut hello).await.is_ok() {
                    let _ = socket.write_all(&tls::alert(code)).await;
                }
                self.handshake_failed();
                return close_after_alert(socket).await;
            }
            _ => {}
        }
        let acceptor = match self.tls.acceptor(act.as_ref()) {
            Ok(acceptor) => acceptor,
            Err(error) => return tracing::warn!(%error, "the simulator cannot do TLS as scripted"),
        };
        let handshake = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(socket).into_fallible()).await;
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err((_, socket))) => {
                self.handshake_failed();
                return close_after_alert(socket).await;
            }
            Err(_) => return self.handshake_failed(),
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.and_then(ClientCertificate::read);
        self.speak(site, stream, certificate, act).await;
    }

    fn handshake_failed(&self) {
        self.shared.ledger.add(&Totals { failed_handshakes: 1, ..Totals::default() });
    }

    /// Serves a connection from TLS on.
    async fn speak(
        self,
        site: Site,
        stream: impl Transport,
        certificate: Option<ClientCertificate>,
        act: Option<ConnectionAct>,
    ) {
        self.shared.ledger.add(&Totals { connections: 1, ..Totals::default() });
        let (number, plan) = self.shared.admit();
        let opening = Opening { number, site, certificate, window: None };
        match act {
            Some(ConnectionAct::Break { at: Point::Accept | Point::Tls, how }) => break_connection(stream, how).await,
            Some(ConnectionAct::Break { at, how }) => {
                connection::serve(Valve::new(stream, at, how), opening, self.shared, plan).await;
            }
            Some(ConnectionAct::Window { stream: bytes, updates }) => {
                let opening = Opening { window: Some(Window { stream: bytes, updates }), ..opening };
                connection::serve(stream, opening, self.shared, plan).await;
            }
            _ => connection::serve(stream, opening, self.shared, plan).await,
        }
    }

    /// The client's end of a connection without socket and TLS.
    pub fn pipe(&self, identity: &Identity, site: Site) -> DuplexStream {
        let (client, server) = tokio::io::duplex(PIPE_BYTES);
        let certificate = CertificateDer::from_pem_slice(identity.client_pem.as_bytes()).ok();
        let certificate = certificate.as_ref().and_then(ClientCertificate::read);
        let source = std::net::Ipv4Addr::LOCALHOST.into();
        let (act, blocked) = self.shared.plan().borrow().script.clone().connection_fault(0, source);
        self.shared.ledger.add(&Totals { sockets: 1, blocked: blocked.into(), ..Totals::default() });
        self.admit(self.clone().speak(site, server, certificate, act));
        client
    }
}

/// Closes a socket so that no RST overtakes the alert just written: reads the bytes that the peer has sent meanwhile.
async fn close_after_alert(mut socket: TcpStream) {
    let _ = socket.shutdown().await;
    let _ = tokio::time::timeout(LINGER, break_connection(socket, Breakage::Silence)).await;
}
