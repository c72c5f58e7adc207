//! Keep-alive connections of a load. A request is sent again only if nothing of it was written.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use tokio::net::TcpStream;

type Sender = SendRequest<Full<Bytes>>;

/// The connections that no request uses, by the address that they lead to.
#[derive(Default)]
pub struct Connections {
    idle: Mutex<HashMap<SocketAddr, Vec<Sender>>>,
}

/// The end of a request.
pub enum Exchanged {
    Answered {
        front: SocketAddr,
        status: u16,
        body: Bytes,
    },
    /// Some of it may have been written, and there is no whole answer.
    Broken {
        front: Option<SocketAddr>,
    },
    /// Nothing of it was written: no address takes connections.
    Unreached,
}

impl Connections {
    /// Sends a request to the address whose turn it is, and if that takes no connections, to the next one.
    pub async fn exchange(&self, fronts: &[SocketAddr], turn: usize, path: &str, body: String) -> Exchanged {
        let body = Bytes::from(body);
        for front in fronts.iter().cycle().skip(turn % fronts.len()).take(fronts.len()).copied() {
            while let Some(sender) = self.take(front).await {
                if let Some(exchanged) = self.attempt(front, sender, path, body.clone()).await {
                    return exchanged;
                }
            }
        }
        Exchanged::Unreached
    }

    /// An idle connection, or else a new one; `None` if the address takes none.
    async fn take(&self, front: SocketAddr) -> Option<Sender> {
        while let Some(mut sender) = self.pop(front) {
            if sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
        let socket = TcpStream::connect(front).await.ok()?;
        socket.set_nodelay(true).ok()?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await.ok()?;
        tokio::spawn(async { drop(connection.await) });
        Some(sender)
    }

    fn pop(&self, front: SocketAddr) -> Option<Sender> {
        self.idle.lock().expect("no panic").get_mut(&front)?.pop()
    }

    /// `None` if nothing was written.
    async fn attempt(&self, front: SocketAddr, mut sender: Sender, path: &str, body: Bytes) -> Option<Exchanged> {
        let request = http::Request::post(path).header("host", "localhost").body(Full::new(body)).expect("a request");
        let answer = match sender.try_send_request(request).await {
            Ok(answer) => answer,
            Err(mut error) => {
                let is_unwritten = error.take_message().is_some();
                return if is_unwritten { None } else { Some(Exchanged::Broken { front: Some(front) }) };
            }
        };
        let status = answer.status().as_u16();
        let Ok(body) = answer.into_body().collect().await else {
            return Some(Exchanged::Broken { front: Some(front) });
        };
        self.idle.lock().expect("no panic").entry(front).or_default().push(sender);
        Some(Exchanged::Answered { front, status, body: body.to_bytes() })
    }
}
