//! A member of a cluster that a test plays: it has the cluster's identity, and answers as the test wants.

use super::fleet::{epoch, name};
use pyapns::apns::channels::Call;
use pyapns::cluster::Identity;
use pyapns::delivery::peer::wire::calls::decode_call;
use pyapns::delivery::peer::wire::{
    self, Agreed, BatchHead, Decoder, Features, Frame, Hello, Limits, StatusOf, VERSION_MAX, VERSION_MIN,
};
use pyapns::model::{AppKey, Batch, NodeSession};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub const LIMITS: Limits = Limits { frame_bytes: 32 << 20, items: 10_000 };

/// The bytes that it sends first on its connection of that number, from 0.
pub type Greeting = Box<dyn Fn(usize) -> Vec<u8> + Send + Sync>;
/// Its answer to the STATUS of that id about these apps.
pub type Telling = Box<dyn Fn(u64, &[AppKey]) -> Vec<u8> + Send + Sync>;
/// Its answer to the CALL of that id; `None` ends the connection.
pub type Calling = Box<dyn Fn(u64, &[Call]) -> Option<Vec<u8>> + Send + Sync>;
/// Its answer to the BATCH of that id; `None` ends the connection.
pub type Answering = Box<dyn Fn(u64, &BatchHead, &Batch) -> Option<Vec<u8>> + Send + Sync>;

pub struct FalsePeer {
    pub greeting: Greeting,
    /// Its clock, as its PONGs tell it.
    pub clock_ms: u64,
    pub answering: Answering,
    pub telling: Telling,
    pub calling: Calling,
    pub connections: AtomicUsize,
    pub batches: AtomicUsize,
    /// STATUS of apps.
    pub questions: AtomicUsize,
    pub calls: AtomicUsize,
}

/// The introduction of the member of that index.
pub fn hello(index: usize) -> Hello {
    Hello {
        versions: (VERSION_MIN, VERSION_MAX),
        features: Features::NONE,
        limits: LIMITS,
        ring: 0,
        session: NodeSession::from_bits(index as u128 + 1),
        epoch: epoch(),
        node: name(index),
    }
}

/// HELLO, and what follows it.
pub fn frames(hello: &Hello, more: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::put_hello(&mut bytes, hello);
    bytes.extend_from_slice(more);
    bytes
}

impl FalsePeer {
    /// The member of that index, which introduces itself well.
    pub fn new(index: usize, answering: Answering) -> Self {
        let greeting = Box::new(move |_| frames(&hello(index), &[]));
        let [connections, batches, questions, calls] = [0; 4].map(AtomicUsize::new);
        let telling = Box::new(|_, _: &[AppKey]| Vec::new());
        let calling = Box::new(|_, _: &[Call]| None);
        Self { greeting, clock_ms: 1, answering, telling, calling, connections, batches, questions, calls }
    }

    /// Takes connections from now on.
    pub fn start(self, listener: TcpListener, identity: &Identity) -> Arc<Self> {
        let tls = TlsAcceptor::from(Arc::new(identity.server().expect("settings")));
        let peer = Arc::new(self);
        let played = Arc::clone(&peer);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let number = played.connections.fetch_add(1, Ordering::SeqCst);
                let (tls, played) = (tls.clone(), Arc::clone(&played));
                tokio::spawn(async move { played.play(number, socket, tls).await });
            }
        });
        peer
    }

    async fn play(&self, number: usize, socket: TcpStream, tls: TlsAcceptor) -> std::io::Result<()> {
        let mut stream = tls.accept(socket).await?;
        stream.write_all(&(self.greeting)(number)).await?;
        let (mut decoder, mut buffer) = (Decoder::new(LIMITS), vec![0; 64 << 10]);
        loop {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            let (mut input, mut said) = (&buffer[..count], Vec::new());
            while let Some(received) = decoder.next(&mut input).expect("a node sends frames") {
                match received.frame {
                    Frame::Ping => wire::put_pong(&mut said, received.id, self.clock_ms),
                    Frame::Batch(head, batch) => {
                        self.batches.fetch_add(1, Ordering::SeqCst);
                        let Some(answer) = (self.answering)(received.id, &head, &batch) else { return Ok(()) };
                        said.extend(answer);
                    }
                    Frame::Call(body) => {
                        self.calls.fetch_add(1, Ordering::SeqCst);
                        let (_, calls) = decode_call(&body, LIMITS.items).expect("a node sends good calls");
                        let Some(answer) = (self.calling)(received.id, &calls) else { return Ok(()) };
                        said.extend(answer);
                    }
                    Frame::Hello(hello) => {
                        decoder.agree(Agreed { version: 1, features: hello.features, limits: LIMITS });
                    }
                    Frame::Status(StatusOf::Apps(apps)) => {
                        self.questions.fetch_add(1, Ordering::SeqCst);
                        said.extend((self.telling)(received.id, &apps));
                    }
                    _ => {}
                }
            }
            stream.write_all(&said).await?;
        }
    }

    pub fn batches(&self) -> usize {
        self.batches.load(Ordering::SeqCst)
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
