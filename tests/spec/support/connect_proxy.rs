//! An HTTP proxy that opens tunnels, or fails in different ways.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// The proxy's treatment of a request for a tunnel.
#[derive(Clone, Copy)]
pub enum Manner {
    Tunnel,
    /// Opens tunnels for this `Proxy-Authorization` only; 407 for any other.
    TunnelFor(&'static str),
    /// Answers this, and opens no tunnel.
    Answer(&'static str),
    /// Reads the request and says nothing.
    Hang,
    /// Closes the connection without a word.
    Close,
}

/// A running proxy. It ends with the test's runtime.
pub struct ConnectProxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    /// `places` maps names to addresses; other targets must be addresses.
    pub async fn start(manner: Manner, places: &[(&str, SocketAddr)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let places: HashMap<String, SocketAddr> =
            places.iter().map(|(name, place)| ((*name).to_owned(), *place)).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, manner, places.clone(), Arc::clone(&heard)));
            }
        });
        Self { address, asked }
    }

    /// The targets asked for so far.
    pub fn targets(&self) -> Vec<String> {
        self.asked.lock().expect("no panic elsewhere").clone()
    }
}

async fn serve(
    mut socket: TcpStream,
    manner: Manner,
    places: HashMap<String, SocketAddr>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let head = read_head(&mut socket).await;
    let Some(target) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else { return };
    asked.lock().expect("no panic elsewhere").push(target.to_owned());
    let authorized = |credentials: &str| head.contains(&format!("\r\nProxy-Authorization: {credentials}\r\n"));
    let answer = match manner {
        Manner::Tunnel => "",
        Manner::TunnelFor(credentials) if authorized(credentials) => "",
        Manner::TunnelFor(_) => "HTTP/1.1 407 Who is it?\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n",
        Manner::Answer(answer) => answer,
        Manner::Hang => return wait_for_end(&mut socket).await,
        Manner::Close => return,
    };
    if !answer.is_empty() {
        let _ = socket.write_all(answer.as_bytes()).await;
        return wait_for_end(&mut socket).await;
    }
    let place = places.get(target).copied().or_else(|| target.parse().ok());
    let Some(mut far) = connect(place).await else {
        let _ = socket.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await;
        return;
    };
    if socket.write_all(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n").await.is_ok() {
        let _ = copy_bidirectional(&mut socket, &mut far).await;
    }
}

async fn connect(place: Option<SocketAddr>) -> Option<TcpStream> {
    TcpStream::connect(place?).await.ok()
}

async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn wait_for_end(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest).await;
}
