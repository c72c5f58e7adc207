//! A caller that streams: lines go out while outcomes come in, over HTTP/1.1 or HTTP/2.

use super::world::APP;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::convert::Infallible;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// The lines of a request, as they are made.
struct Lines(mpsc::Receiver<Bytes>);

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|lines| lines.map(|lines| Ok(Frame::data(lines))))
    }
}

/// The outcomes of a stream, as they come.
pub struct Outcomes {
    pub status: u16,
    pub kind: String,
    /// The header `Pyapns-Owner`.
    pub owner: Option<String>,
    body: Incoming,
    rest: Vec<u8>,
    socket: std::net::TcpStream,
}

/// Opens a stream of notifications; lines go into the sender, which ends the stream when it is dropped.
pub async fn open(address: SocketAddr, protocol: Protocol) -> (mpsc::Sender<Bytes>, Outcomes) {
    open_for(APP, address, protocol).await
}

/// The same for another app.
pub async fn open_for(app: &str, address: SocketAddr, protocol: Protocol) -> (mpsc::Sender<Bytes>, Outcomes) {
    let (sender, lines) = mpsc::channel(1);
    let socket = TcpStream::connect(address).await.expect("the node listens").into_std().expect("a socket");
    let handle = socket.try_clone().expect("a second handle");
    let io = TokioIo::new(TcpStream::from_std(socket).expect("a socket"));
    let request = http::Request::post(format!("http://{address}{app}/notifications"));
    let request = request.header("host", address.to_string()).header("content-type", "application/x-ndjson");
    let request = request.body(Lines(lines)).expect("a request");
    let answer = match protocol {
        Protocol::Http1 => {
            let (mut requests, connection) = http1::handshake(io).await.expect("HTTP/1");
            tokio::spawn(async { drop(connection.await) });
            requests.send_request(request).await
        }
        Protocol::Http2 => {
            let (mut requests, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
            tokio::spawn(async { drop(connection.await) });
            requests.send_request(request).await
        }
    };
    let answer = answer.expect("an answer");
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
    let owner = answer.headers().get("pyapns-owner").map(|owner| owner.to_str().expect("text").to_owned());
    (sender, Outcomes { status, kind, owner, body: answer.into_body(), rest: Vec::new(), socket: handle })
}

impl Outcomes {
    /// Some more whole lines; `None` at the end.
    pub async fn more(&mut self) -> Option<Vec<Value>> {
        loop {
            let Some(frame) = self.body.frame().await else {
                assert!(self.rest.is_empty(), "the answer ends within a line");
                return None;
            };
            let Ok(data) = frame.expect("a whole answer").into_data() else { continue };
            self.rest.extend_from_slice(&data);
            let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { continue };
            let lines = self.rest[..end].split(|byte| *byte == b'\n');
            let outcomes = lines.map(|line| serde_json::from_slice(line).expect("an outcome")).collect();
            self.rest.drain(..=end);
            return Some(outcomes);
        }
    }

    /// Closes the connection in the middle.
    pub fn hang_up(self) {
        self.socket.shutdown(Shutdown::Both).expect("an open socket");
    }
}
