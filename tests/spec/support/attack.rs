//! Malicious callers, frame by frame, and an honest one at the same time.

use super::client::Client;
use super::world::{APP, to, token};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `GET / HTTP/2` of host `x`, as HPACK.
const GET: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 1, b'x'];
/// A `POST` of the same.
const POST: [u8; 6] = [0x83, 0x86, 0x84, 0x41, 1, b'x'];

/// Frames that a client sends on one HTTP/2 connection, without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    RapidReset,
    MadeYouReset,
    Continuation,
    EmptyData,
    Ping,
    Settings,
}

impl Flood {
    pub const ALL: [Self; 6] =
        [Self::RapidReset, Self::MadeYouReset, Self::Continuation, Self::EmptyData, Self::Ping, Self::Settings];

    /// The bytes that are sent in the `turn`th turn.
    fn frames(self, turn: u32) -> Vec<u8> {
        let stream = 2 * turn + 1;
        let both = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
        match self {
            Self::RapidReset => both(
                frame(HEADERS, END_HEADERS | END_STREAM, stream, &GET),
                frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
            ),
            Self::MadeYouReset => {
                both(frame(HEADERS, END_HEADERS, stream, &POST), frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 0]))
            }
            Self::Continuation if turn == 0 => frame(HEADERS, 0, 1, &GET),
            Self::Continuation => frame(CONTINUATION, 0, 1, &[]),
            Self::EmptyData if turn == 0 => frame(HEADERS, END_HEADERS, 1, &POST),
            Self::EmptyData => frame(DATA, 0, 1, &[]),
            Self::Ping => frame(PING, 0, 0, &turn.to_be_bytes().repeat(2)),
            Self::Settings => frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        }
    }

    /// Floods the node until it hangs up: after how many turns.
    pub async fn run(self, address: SocketAddr) -> u32 {
        let mut stream = TcpStream::connect(address).await.expect("the node listens");
        let (mut read, mut write) = stream.split();
        let mut turn = 0;
        let flood = async {
            if write.write_all(&preface(&[])).await.is_err() {
                return;
            }
            loop {
                let many: Vec<u8> = (turn..turn + 64).flat_map(|turn| self.frames(turn)).collect();
                if write.write_all(&many).await.is_err() {
                    return;
                }
                turn += 64;
                tokio::task::yield_now().await;
            }
        };
        // Its answers are read, so that only the flood ends it.
        let mut nowhere = tokio::io::sink();
        tokio::select! {
            biased;
            _ = tokio::io::copy(&mut read, &mut nowhere) => {}
            () = flood => {}
        }
        turn
    }
}

/// An HTTP/2 client's first bytes, with these settings.
pub fn preface(settings: &[u8]) -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, settings)].concat()
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Asks over HTTP/2 and lets no byte of the answer come: until the node hangs up.
pub async fn withhold_the_window(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.expect("the node listens");
    let asked = [preface(&[0, 4, 0, 0, 0, 0]), frame(HEADERS, END_HEADERS | END_STREAM, 1, &GET)].concat();
    stream.write_all(&asked).await.expect("the node reads");
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// Asks over HTTP/1 for one answer after another and reads none; gives the socket, which the node has given up.
pub async fn ask_and_read_nothing(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the node listens");
    let ask = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    while stream.write_all(ask.as_bytes()).await.is_ok() {}
    stream
}

/// An attacker that does not complete a request, or sends nothing.
pub async fn linger(address: SocketAddr, beginning: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(beginning).await.ok()?;
    Some(stream)
}

/// Sends a body without end until the node hangs up.
pub async fn endless_body(address: SocketAddr) {
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    let head = format!("POST {APP}/notifications HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
    let (mut read, mut write) = stream.split();
    let send = async {
        if write.write_all(head.as_bytes()).await.is_ok() {
            while write.write_all(&chunk).await.is_ok() {}
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        biased;
        _ = read.read_to_end(&mut answer) => {}
        () = send => {}
    }
}

/// Callers that send what they should, one notification after another, until they are stopped.
pub struct Honest {
    stop: watch::Sender<bool>,
    answers: watch::Receiver<usize>,
    callers: Vec<JoinHandle<Vec<Duration>>>,
}

impl Honest {
    pub async fn start(address: SocketAddr, callers: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (answered, answers) = watch::channel(0);
        let answered = Arc::new(answered);
        let mut started = Vec::new();
        for caller in 0..callers {
            let (mut client, stopped) = (Client::connect(address).await, stopped.clone());
            let answered = Arc::clone(&answered);
            started.push(tokio::spawn(async move {
                let mut took = Vec::new();
                while !*stopped.borrow() {
                    let body = to(&token(caller * 1_000_000 + took.len())).to_string();
                    let began = Instant::now();
                    let answer = client.post(&format!("{APP}/notifications"), body).await;
                    took.push(began.elapsed());
                    assert_eq!((answer.status, answer.outcomes()), (201, vec!["accepted"]), "{answer:?}");
                    answered.send_modify(|count| *count += 1);
                }
                took
            }));
        }
        Self { stop, answers, callers: started }
    }

    /// Returns how many answers all have received so far.
    pub fn answers(&self) -> usize {
        *self.answers.borrow()
    }

    /// Returns how long each answer took; each was as expected.
    pub async fn end(self) -> Vec<Duration> {
        let _ = self.stop.send(true);
        let mut took = Vec::new();
        for caller in self.callers {
            took.extend(caller.await.expect("an honest caller without a fault"));
        }
        took
    }
}
