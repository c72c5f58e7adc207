//! A caller: one keep-alive connection to a node.

use super::api_description;
use bytes::Bytes;
use http::response::Parts;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    /// The API description describes the answers.
    is_described: bool,
}

type Header<'a> = Option<(&'a str, &'a str)>;

/// A node's answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The header `Pyapns-Owner`.
    pub owner: Option<String>,
    pub body: Value,
}

impl Answer {
    fn of(head: &Parts, body: &Bytes) -> Self {
        let owner = head.headers.get("pyapns-owner").map(|owner| owner.to_str().expect("text").to_owned());
        let body = serde_json::from_slice(body).unwrap_or(Value::Null);
        Self { status: head.status.as_u16(), owner, body }
    }

    /// The value of `response`.
    pub fn response(&self) -> &Value {
        &self.body["response"]
    }

    /// The reason of a refusal.
    pub fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }

    /// The outcomes' kinds, in order; of one object, its own.
    pub fn outcomes(&self) -> Vec<&str> {
        let list = self.response().as_array().map_or_else(|| vec![self.response()], |list| list.iter().collect());
        list.into_iter().map(|outcome| outcome["outcome"].as_str().unwrap_or("no outcome")).collect()
    }
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.expect("the node listens");
        socket.set_nodelay(true).expect("a socket option");
        let (sender, connection) = handshake(TokioIo::new(socket)).await.expect("HTTP/1");
        tokio::spawn(async { drop(connection.await) });
        Self { sender, is_described: true }
    }

    /// A caller of the simulator's control listener.
    pub async fn of_simulator(address: SocketAddr) -> Self {
        Self { is_described: false, ..Self::connect(address).await }
    }

    pub async fn call(&mut self, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
        let (head, bytes) = self.exchange(method, path, None, body.into()).await;
        Answer::of(&head, &bytes)
    }

    /// Sends a request to a node that may die: `None` if there is no complete response.
    pub async fn attempt(&mut self, method: &str, path: &str, body: impl Into<Bytes>) -> Option<Answer> {
        let (head, bytes) = self.try_exchange(method, path, None, body.into()).await?;
        Some(Answer::of(&head, &bytes))
    }

    /// Returns the value at `path`, as text.
    pub async fn text(&mut self, path: &str) -> String {
        let (_, bytes) = self.exchange("GET", path, None, Bytes::new()).await;
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    async fn exchange(&mut self, method: &str, path: &str, header: Header<'_>, body: Bytes) -> (Parts, Bytes) {
        self.try_exchange(method, path, header, body).await.expect("a whole answer")
    }

    async fn try_exchange(
        &mut self,
        method: &str,
        path: &str,
        header: Header<'_>,
        body: Bytes,
    ) -> Option<(Parts, Bytes)> {
        let mut request = http::Request::builder().method(method).uri(path).header("host", "localhost");
        if let Some((name, value)) = header {
            request = request.header(name, value.as_bytes());
        }
        let request = request.body(Full::new(body)).expect("a request");
        self.sender.ready().await.ok()?;
        let answer = self.sender.send_request(request).await.ok()?;
        let (head, body) = answer.into_parts();
        let bytes = body.collect().await.ok()?.to_bytes();
        let kind = head.headers.get("content-type").map_or(&b""[..], |kind| kind.as_bytes());
        if self.is_described {
            api_description::hold(method, path, head.status.as_u16(), kind, &bytes);
        }
        Some((head, bytes))
    }

    /// Calls with one more header.
    pub async fn call_with(
        &mut self,
        method: &str,
        path: &str,
        header: (&str, &str),
        body: impl Into<Bytes>,
    ) -> Answer {
        let (head, bytes) = self.exchange(method, path, Some(header), body.into()).await;
        Answer::of(&head, &bytes)
    }

    /// With one more header.
    pub async fn post_with(&mut self, path: &str, header: (&str, &str), body: impl Into<Bytes>) -> Answer {
        let (head, bytes) = self.exchange("POST", path, Some(header), body.into()).await;
        Answer::of(&head, &bytes)
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.call("GET", path, "").await
    }

    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.call("POST", path, body).await
    }
}
