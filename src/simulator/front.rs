//! The front door of Apple's side: accepts, does the TLS handshake, hands over to the connection.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::certificate::ClientCertificate;
use super::connection;
use super::identity::{Identity, IdentityError};
use super::ledger::Totals;
use super::server::{Shared, SimulatorError};

const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Rest after a failed accept: out of descriptors, it would spin otherwise.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts Apple's side.
#[derive(Clone)]
pub struct Front {
    shared: Arc<Shared>,
    acceptor: TlsAcceptor,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Front {
    pub fn new(shared: Arc<Shared>, acceptor: TlsAcceptor, stopping: CancellationToken, tasks: TaskTracker) -> Self {
        Self { shared, acceptor, stopping, tasks }
    }

    /// Accepts until told to stop; each connection is a task.
    pub async fn run(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, _)) => {
                    let front = self.clone();
                    self.tasks.spawn(async move {
                        let stopping = front.stopping.clone();
                        tokio::select! {
                            biased;
                            () = stopping.cancelled() => {}
                            () = front.connection(socket) => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the simulator cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self, socket: TcpStream) {
        // Without it, Nagle's algorithm and delayed acknowledgements would hold answers back.
        let _ = socket.set_nodelay(true);
        let handshake = tokio::time::timeout(HANDSHAKE_MAX, self.acceptor.accept(socket)).await;
        let Ok(Ok(stream)) = handshake else {
            return self.shared.ledger.add(&Totals { failed_handshakes: 1, ..Totals::default() });
        };
        self.shared.ledger.add(&Totals { connections: 1, ..Totals::default() });
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.and_then(ClientCertificate::read);
        let (number, plan) = self.shared.admit();
        connection::serve(stream, certificate, number, self.shared, plan).await;
    }
}

/// TLS as Apple's: a client certificate is asked for and not required, ALPN `h2`.
pub fn acceptor(identity: &Identity, host: &str) -> Result<TlsAcceptor, SimulatorError> {
    let tls = |error: &dyn std::fmt::Display| SimulatorError::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(identity.authority.certificate().clone()).map_err(|error| tls(&error))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| tls(&error))?;
    let (certificate, key) = identity.authority.server_certificate(host).map_err(IdentityError::from)?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| tls(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)
        .map_err(|error| tls(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
