//! A client for the tests: sends requests, reads answers, keeps the frames that came.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Method};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::{ClientSubject, Environment, Identity, Options, Simulator};

pub const TOKEN: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
pub const APNS_ID: &str = "123e4567-e89b-12d3-a456-426655440000";

pub const CHANNELS: &str = "/1/apps/com.example.app/channels";
pub const ALL_CHANNELS: &str = "/1/apps/com.example.app/all-channels";
pub const BROADCASTS: &str = "/4/broadcasts/apps/com.example.app";
/// Bodies of create calls, by the policy.
pub const POLICIES: [&str; 2] = [
    r#"{"message-storage-policy":0,"push-type":"LiveActivity"}"#,
    r#"{"message-storage-policy":1,"push-type":"LiveActivity"}"#,
];

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;

pub async fn start() -> Simulator {
    start_with(Options::default()).await
}

pub async fn start_with(options: Options) -> Simulator {
    Simulator::start(options).await.unwrap()
}

/// The way in which a client authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    Certificate,
    Token,
}

/// Fails the test if `work` takes longer than any of them may.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(8), work).await.expect("took too long")
}

/// The value of an `authorization` header.
pub fn bearer(key_pem: &str, key_id: &str, team_id: &str, issued_at: i64) -> String {
    signed(&ECDSA_P256_SHA256_FIXED_SIGNING, key_pem, key_id, team_id, issued_at)
}

/// A token with its signature in DER, like Pushy's and the one of Apple's shell recipe.
pub fn bearer_in_der(key_pem: &str, key_id: &str, team_id: &str, issued_at: i64) -> String {
    signed(&ECDSA_P256_SHA256_ASN1_SIGNING, key_pem, key_id, team_id, issued_at)
}

fn signed(form: &'static EcdsaSigningAlgorithm, key_pem: &str, key_id: &str, team_id: &str, issued_at: i64) -> String {
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(form, key.secret_der()).unwrap();
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"ES256","kid":"{key_id}"}}"#));
    let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"{team_id}","iat":{issued_at}}}"#));
    let message = format!("{header}.{claims}");
    let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    format!("bearer {message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token of the demo key, issued so many seconds ago by the simulator's clock.
pub fn bearer_aged(simulator: &Simulator, seconds: i64) -> String {
    let identity = simulator.identity();
    let issued_at = simulator.clock().now_ms() / 1000 - seconds;
    bearer(&identity.key_pem, &identity.key_id, &identity.team_id, issued_at)
}

/// A client certificate with no topic but its bundle id.
pub fn subject(bundle: &str) -> ClientSubject<'_> {
    ClientSubject { bundle, topics: &[], sandbox: true, production: true, not_before_year: 2020, not_after_year: 2100 }
}

/// A request in the making.
#[derive(Debug, Clone)]
pub struct Push {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Push {
    pub fn new() -> Self {
        Self {
            method: Method::POST,
            path: format!("/3/device/{TOKEN}"),
            headers: Vec::new(),
            body: br#"{"aps":{"alert":"Hello"}}"#.to_vec(),
        }
        .with("apns-topic", "com.example.app")
        .with("apns-push-type", "alert")
        .with("apns-priority", "10")
        .with("apns-expiration", "0")
        .with("apns-id", APNS_ID)
    }

    /// Sets a header, replacing one of that name.
    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).and(name, value)
    }

    /// Adds a header, even a second one of that name.
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(present, _)| present != name);
        self
    }

    pub fn to(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    pub fn by(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// A request to channel management, without headers and body.
    pub fn channels(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// A call that creates a channel.
    pub fn create_channel(body: &str) -> Self {
        Self::channels(Method::POST, CHANNELS).carrying(body)
    }

    /// A broadcast that misses nothing.
    pub fn broadcast(channel: &str) -> Self {
        Self::channels(Method::POST, BROADCASTS)
            .with("apns-channel-id", channel)
            .with("apns-push-type", "liveactivity")
            .with("apns-expiration", "0")
            .with("apns-priority", "10")
            .carrying(r#"{"aps":{"event":"update"}}"#)
    }

    pub fn carrying(mut self, body: &str) -> Self {
        self.body = body.as_bytes().to_vec();
        self
    }

    pub fn of(mut self, length: usize) -> Self {
        self.body = vec![b'x'; length];
        self
    }

    fn head(&self) -> http::Request<()> {
        let mut request = http::Request::builder().method(&self.method).uri(format!("https://localhost{}", self.path));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(()).unwrap()
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn reason(&self) -> String {
        if self.body.is_empty() { String::new() } else { self.json()["reason"].as_str().unwrap().to_owned() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// One connection.
pub struct Client {
    pub send: SendRequest<Bytes>,
    pub driver: JoinHandle<Result<(), h2::Error>>,
    authorization: Option<String>,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Client {
    pub async fn connect(simulator: &Simulator, auth: Auth) -> Self {
        Self::connect_to(simulator.address(), simulator, auth).await
    }

    /// Connects to channel management.
    pub async fn connect_to_channels(simulator: &Simulator, environment: Environment, auth: Auth) -> Self {
        Self::connect_to(simulator.channels_address(environment).unwrap(), simulator, auth).await
    }

    pub async fn connect_to(address: SocketAddr, simulator: &Simulator, auth: Auth) -> Self {
        let pem = (auth == Auth::Certificate).then_some(simulator.identity().client_pem.as_str());
        let mut client = Self::with_certificate_to(address, simulator, pem).await.unwrap();
        if auth == Auth::Token {
            client.authorization = Some(bearer_aged(simulator, 60));
        }
        client
    }

    /// Connects with any client certificate, or none; requests carry no `authorization`.
    pub async fn with_certificate(simulator: &Simulator, pem: Option<&str>) -> io::Result<Self> {
        Self::with_certificate_to(simulator.address(), simulator, pem).await
    }

    /// As [`Self::with_certificate`], to any of the simulator's addresses.
    pub async fn with_certificate_to(
        address: SocketAddr,
        simulator: &Simulator,
        pem: Option<&str>,
    ) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::new(tls(simulator.identity(), pem)));
        let stream = connector.connect(ServerName::try_from("localhost").unwrap(), socket).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let received = Arc::new(Mutex::new(Vec::new()));
        let recorder = Recorder { inner: stream, received: Arc::clone(&received) };
        let (send, connection) =
            h2::client::Builder::new().enable_push(false).handshake(recorder).await.map_err(io::Error::other)?;
        let client = Self { send, driver: tokio::spawn(connection), authorization: None, received };
        Ok(client)
    }

    /// Waits for the server's first SETTINGS.
    pub async fn settled(&self) {
        self.until(|frames| frames.iter().any(|frame| frame.kind == SETTINGS && frame.flags == 0)).await;
    }

    /// Waits until the frames received satisfy `reached`.
    pub async fn until(&self, reached: impl Fn(&[Frame]) -> bool) {
        soon(async {
            while !reached(&self.frames()) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Sends a whole request and returns its future answer.
    pub async fn begin(&mut self, push: Push) -> Result<ResponseFuture, h2::Error> {
        let push = match &self.authorization {
            Some(token) if !push.headers.iter().any(|(name, _)| name == "authorization") => {
                push.with("authorization", token)
            }
            _ => push,
        };
        let mut send = self.send.clone().ready().await?;
        let (response, mut stream) = send.send_request(push.head(), push.body.is_empty())?;
        if !push.body.is_empty() {
            stream.send_data(Bytes::from(push.body), true)?;
        }
        Ok(response)
    }

    /// Sends a request and reads its answer whole.
    pub async fn push(&mut self, push: Push) -> Result<Answer, h2::Error> {
        let response = self.begin(push).await?;
        soon(finish(response)).await
    }

    /// Every whole frame received so far.
    pub fn frames(&self) -> Vec<Frame> {
        let received = self.received.lock().unwrap();
        let mut rest = &received[..];
        let mut frames = Vec::new();
        while rest.len() >= 9 {
            let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
            let Some(payload) = rest.get(9..9 + length) else { break };
            let stream = u32::from_be_bytes([rest[5], rest[6], rest[7], rest[8]]);
            frames.push(Frame { kind: rest[3], flags: rest[4], stream, payload: payload.to_vec() });
            rest = &rest[9 + length..];
        }
        frames
    }

    pub fn frames_of(&self, kind: u8) -> Vec<Frame> {
        self.frames().into_iter().filter(|frame| frame.kind == kind).collect()
    }

    /// Last stream id, code and debug data of each GOAWAY received.
    pub fn goaways(&self) -> Vec<(u32, u32, String)> {
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        let read = |frame: Frame| {
            let debug = String::from_utf8_lossy(&frame.payload[8..]).into_owned();
            (number(&frame.payload[..4]), number(&frame.payload[4..8]), debug)
        };
        self.frames_of(GOAWAY).into_iter().map(read).collect()
    }
}

pub async fn finish(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        whole.extend_from_slice(&data?);
    }
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: whole.into() })
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

fn tls(identity: &Identity, pem: Option<&str>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(identity.authority.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match pem {
        Some(pem) => {
            let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

struct Recorder<S> {
    inner: S,
    received: Arc<Mutex<Vec<u8>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorder<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, out);
        self.received.lock().unwrap().extend_from_slice(&out.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorder<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
