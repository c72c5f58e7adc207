//! A name with several addresses, and the simulator behind a pipe: two ways to put something in the place of
//! the network.

use pyapns::apns::connect::{Connect, ConnectError, Connecting, Resolving, TlsConnect};
use pyapns::apns::endpoint::Endpoint;
use simulator::{ConnectionAct, Point, Script, Simulator};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Resolves every name to these addresses; the rest is as in production.
pub struct Hosts {
    addresses: Vec<SocketAddr>,
    inner: TlsConnect,
}

impl Hosts {
    pub fn new(addresses: &[SocketAddr]) -> Self {
        Self { addresses: addresses.to_vec(), inner: TlsConnect::new(None) }
    }
}

impl Connect for Hosts {
    fn resolve(&self, _: &Endpoint) -> Resolving {
        Box::pin(std::future::ready(Ok(self.addresses.clone())))
    }

    fn connect(
        &self,
        endpoint: &Endpoint,
        address: SocketAddr,
        tls: Arc<rustls::ClientConfig>,
        timeout: Duration,
    ) -> Connecting {
        self.inner.connect(endpoint, address, tls, timeout)
    }
}

/// Every connection leads into the simulator, without socket and TLS, so that time can be virtual.
pub struct Piped {
    pub simulator: Simulator,
    dials: Mutex<Vec<Instant>>,
}

impl Piped {
    pub async fn start() -> Arc<Self> {
        let simulator = Simulator::start(Default::default()).await.expect("a simulator");
        Arc::new(Self { simulator, dials: Mutex::default() })
    }

    pub fn script(&self, script: Script) {
        self.simulator.set_script(script).expect("a good script");
    }

    /// The times when connections were begun.
    pub fn dials(&self) -> Vec<Instant> {
        self.dials.lock().expect("no panic").clone()
    }
}

impl Connect for Piped {
    fn resolve(&self, _: &Endpoint) -> Resolving {
        Box::pin(std::future::ready(Ok(vec![SocketAddr::from(([17, 0, 0, 1], 443))])))
    }

    fn connect(
        &self,
        endpoint: &Endpoint,
        address: SocketAddr,
        _: Arc<rustls::ClientConfig>,
        within: Duration,
    ) -> Connecting {
        let number = {
            let mut dials = self.dials.lock().expect("no panic");
            dials.push(Instant::now());
            dials.len()
        };
        let script = self.simulator.script();
        let is_hole = |act: &ConnectionAct| matches!(act, ConnectionAct::Break { at: Point::Accept, .. });
        let stream = self.simulator.pipe();
        // A pipe has no handshake that could hang: what breaks on accept never gets as far as a stream.
        if number == 1 && script.connections.iter().any(|fault| is_hole(&fault.act)) {
            let cause = io::ErrorKind::TimedOut.into();
            let error = ConnectError::Tcp { endpoint: endpoint.clone(), address, cause };
            return Box::pin(async move {
                tokio::time::sleep(within).await;
                drop(stream);
                Err(error)
            });
        }
        Box::pin(std::future::ready(Ok(Box::new(stream) as _)))
    }
}
