//! Apple over in-memory pipes, for tests in virtual time: each test says frame by frame what the gateway does.

use pyapns::apns::connect::{Connect, ConnectError, Connecting, Resolving};
use pyapns::apns::endpoint::Endpoint;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

const PREFACE: usize = 24;
const PIPE_BYTES: usize = 65_536;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;

/// The result of an attempt to connect.
pub enum Manner {
    Refuse,
    /// The process may open no more files.
    OutOfDescriptors,
    /// The socket is accepted, and that is all.
    Swallow,
    /// The handshake looks finished, then the alert comes, as under TLS 1.3.
    Alert(rustls::AlertDescription),
    Talk(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// Talks to a connection in this way.
pub fn talk(how: impl Future<Output = ()> + Send + 'static) -> Manner {
    Manner::Talk(Box::pin(how))
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Push {
    pub connection: usize,
    pub stream: u32,
    pub body: String,
    pub at: Instant,
}

/// An attempt to connect.
#[derive(Debug, Clone, Copy)]
pub struct Dial {
    pub address: SocketAddr,
    pub at: Instant,
    pub within: Duration,
}

/// The gateway's record of requests.
#[derive(Debug, Default)]
pub struct Ledger {
    pub dials: Vec<Dial>,
    pub lookups: usize,
    pub pushes: Vec<Push>,
    /// Accepted: connection and body.
    pub accepted: Vec<(usize, String)>,
    /// The time when the node closed the connection of that number.
    pub closed: Vec<(usize, Instant)>,
}

type Serve = Box<dyn Fn(Peer) -> Manner + Send + Sync>;

/// The gateway.
pub struct Gateway {
    pub ledger: Arc<Mutex<Ledger>>,
    addresses: Mutex<io::Result<Vec<SocketAddr>>>,
    serve: Serve,
}

impl Gateway {
    pub fn new(serve: impl Fn(Peer) -> Manner + Send + Sync + 'static) -> Arc<Self> {
        let addresses = Mutex::new(Ok(vec![address(1)]));
        Arc::new(Self { ledger: Arc::default(), addresses, serve: Box::new(serve) })
    }

    /// Sets the addresses of its name from now on.
    pub fn resolve_to(&self, addresses: io::Result<Vec<SocketAddr>>) {
        *self.addresses.lock().expect("no panic") = addresses;
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no panic")
    }

    /// Seconds between the connections' beginnings.
    pub fn dial_gaps(&self) -> Vec<f64> {
        let ledger = self.ledger();
        ledger.dials.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect()
    }

    /// The time when connection `number` was begun.
    pub fn dialed(&self, number: usize) -> Option<Instant> {
        self.ledger().dials.get(number).map(|dial| dial.at)
    }
}

pub fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([17, 0, 0, last], 443))
}

impl Connect for Gateway {
    fn resolve(&self, _: &Endpoint) -> Resolving {
        self.ledger().lookups += 1;
        let found = match &*self.addresses.lock().expect("no panic") {
            Ok(found) => Ok(found.clone()),
            Err(error) => Err(error.kind().into()),
        };
        Box::pin(std::future::ready(found))
    }

    fn connect(
        &self,
        endpoint: &Endpoint,
        address: SocketAddr,
        _: Arc<rustls::ClientConfig>,
        within: Duration,
    ) -> Connecting {
        let (client, io) = tokio::io::duplex(PIPE_BYTES);
        let mut ledger = self.ledger();
        let number = ledger.dials.len();
        ledger.dials.push(Dial { address, at: Instant::now(), within });
        drop(ledger);
        let peer = Peer { number, address, io, buffer: Vec::new(), silent: false, ledger: Arc::clone(&self.ledger) };
        let cannot = |cause| ConnectError::Tcp { endpoint: endpoint.clone(), address, cause };
        match (self.serve)(peer) {
            Manner::Refuse => {
                let error = cannot(io::ErrorKind::ConnectionRefused.into());
                Box::pin(std::future::ready(Err(error)))
            }
            Manner::OutOfDescriptors => {
                let error = cannot(rustix::io::Errno::MFILE.into());
                Box::pin(std::future::ready(Err(error)))
            }
            Manner::Swallow => {
                let error = cannot(io::ErrorKind::TimedOut.into());
                Box::pin(async move {
                    tokio::time::sleep(within).await;
                    Err(error)
                })
            }
            Manner::Alert(alert) => Box::pin(std::future::ready(Ok(Box::new(Alerted(alert)) as _))),
            Manner::Talk(talk) => {
                tokio::spawn(talk);
                Box::pin(std::future::ready(Ok(Box::new(client) as _)))
            }
        }
    }
}

/// A TLS stream whose first read finds an alert.
struct Alerted(rustls::AlertDescription);

impl tokio::io::AsyncRead for Alerted {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        let error = rustls::Error::AlertReceived(self.0);
        std::task::Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)))
    }
}

impl tokio::io::AsyncWrite for Alerted {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

/// The gateway's end of one connection.
pub struct Peer {
    /// Which attempt to connect this is, from 0.
    pub number: usize,
    pub address: SocketAddr,
    io: DuplexStream,
    buffer: Vec<u8>,
    /// Leaves PINGs unanswered.
    pub silent: bool,
    ledger: Arc<Mutex<Ledger>>,
}

impl Peer {
    /// Takes the preface and allows so many streams.
    pub async fn handshake(&mut self, streams: u32) {
        while self.buffer.len() < PREFACE && self.fill().await {}
        self.buffer.drain(..PREFACE.min(self.buffer.len()));
        self.allow(streams).await;
    }

    /// Changes MAX_CONCURRENT_STREAMS.
    pub async fn allow(&mut self, streams: u32) {
        let mut payload = vec![0, 3];
        payload.extend(streams.to_be_bytes());
        self.write(SETTINGS, 0, 0, &payload).await;
    }

    /// The next request; `None` once the node has closed the connection. Can be cancelled.
    pub async fn next(&mut self) -> Option<Push> {
        loop {
            let Some((kind, flags, stream, payload)) = self.frame() else {
                if self.fill().await {
                    continue;
                }
                let mut ledger = self.ledger.lock().expect("no panic");
                ledger.closed.push((self.number, Instant::now()));
                return None;
            };
            match kind {
                SETTINGS if flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[]).await,
                PING if flags & ACK == 0 && !self.silent => self.write(PING, ACK, 0, &payload).await,
                DATA if flags & END_STREAM != 0 => {
                    let body = String::from_utf8(payload).expect("JSON");
                    let push = Push { connection: self.number, stream, body, at: Instant::now() };
                    self.ledger.lock().expect("no panic").pushes.push(push.clone());
                    return Some(push);
                }
                _ => {}
            }
        }
    }

    /// 200.
    pub async fn accept(&mut self, push: &Push) {
        self.ledger.lock().expect("no panic").accepted.push((self.number, push.body.clone()));
        self.write(HEADERS, END_STREAM | 4, push.stream, &[0x88]).await;
    }

    /// Another status, with this reason.
    pub async fn refuse(&mut self, push: &Push, status: u16, reason: &str) {
        let mut block = vec![0x08, 3];
        block.extend(status.to_string().as_bytes());
        self.write(HEADERS, 4, push.stream, &block).await;
        self.write(DATA, END_STREAM, push.stream, format!(r#"{{"reason":"{reason}"}}"#).as_bytes()).await;
    }

    pub async fn goaway(&mut self, last_id: u32, debug: &str) {
        let mut payload = last_id.to_be_bytes().to_vec();
        payload.extend([0; 4]);
        payload.extend(debug.as_bytes());
        self.write(GOAWAY, 0, 0, &payload).await;
    }

    /// Accepts everything, each after `latency`, until the node closes the connection.
    pub async fn serve(mut self, streams: u32, latency: Duration) {
        self.handshake(streams).await;
        self.go_on(latency).await;
    }

    /// Waits for a connection that was greeted.
    pub async fn go_on(mut self, latency: Duration) {
        let mut open: std::collections::VecDeque<Push> = std::collections::VecDeque::new();
        loop {
            let due = open.front().map(|push| push.at + latency);
            tokio::select! {
                biased;
                () = async { tokio::time::sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {
                    let push = open.pop_front().expect("one is due");
                    self.accept(&push).await;
                }
                push = self.next() => match push {
                    Some(push) => open.push_back(push),
                    None => return,
                },
            }
        }
    }

    /// Reads nothing and says nothing any more.
    pub async fn hang(self) {
        std::future::pending().await
    }

    fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let head = self.buffer.get(..9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.buffer.get(9..9 + length)?.to_vec();
        self.buffer.drain(..9 + length);
        Some((kind, flags, stream, payload))
    }

    async fn fill(&mut self) -> bool {
        let mut bytes = [0; 16_384];
        let count = self.io.read(&mut bytes).await.unwrap_or(0);
        self.buffer.extend(&bytes[..count]);
        count > 0
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).expect("short").to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // A connection that the node has left is found out by reading.
        let _ = self.io.write_all(&frame).await;
    }
}
