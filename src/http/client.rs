//! An HTTP client of a node: one connection, over TCP, TLS or a Unix socket.

mod any_certificate;

use crate::credentials::Secret;
use crate::drain::Drain;
use crate::http::server::address::Address;
use any_certificate::AnyCertificate;
use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context as Polling, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

/// The URL on which a node listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeUrl {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

impl NodeUrl {
    /// The URL on which a node on this machine answers; a listener on all addresses answers on loopback.
    pub fn of_listener(address: &Address, tls: bool) -> Self {
        let address = match address {
            Address::Unix(path) => return Self::Unix(path.clone()),
            Address::Tcp(address) => address,
        };
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Self::Tcp { host: ip.to_string(), port: address.port(), tls }
    }
}

impl FromStr for NodeUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must look like http://HOST:PORT, https://HOST:PORT or unix:/path/of/the.sock";
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(FORM) };
        }
        let uri: http::Uri = text.parse().map_err(|_| FORM)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(FORM),
        };
        let host = uri.host().filter(|_| matches!(uri.path(), "" | "/") && uri.query().is_none()).ok_or(FORM)?;
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self::Tcp { host: host.trim_matches(['[', ']']).to_owned(), port, tls })
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
            Self::Tcp { host, port, tls } => {
                let (left, right) = if host.contains(':') { ("[", "]") } else { ("", "") };
                write!(out, "http{}://{left}{host}{right}:{port}", if *tls { "s" } else { "" })
            }
        }
    }
}

/// The body of a request: whole, or a stream of lines.
pub type Outgoing = Either<Full<Bytes>, LineBody>;

/// A body of lines from a channel; it ends when the sender is dropped.
pub struct LineBody(pub mpsc::Receiver<Bytes>);

impl Body for LineBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Polling<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|lines| lines.map(|lines| Ok(Frame::data(lines))))
    }
}

/// The node to call, and the API key and authorities to use.
#[derive(Debug)]
pub struct Target {
    pub node: NodeUrl,
    /// `ID.SECRET`.
    pub api_key: Option<Secret>,
    pub authorities: Authorities,
}

/// The authorities that are trusted for `https`.
#[derive(Debug)]
pub enum Authorities {
    Public,
    /// Those of a PEM file, and no others.
    File(PathBuf),
    /// Any certificate is accepted: for requests and answers without secrets.
    Any,
}

/// An open connection.
pub struct Client {
    requests: SendRequest<Outgoing>,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

impl Client {
    /// Connects. A task of `drain` drives the connection.
    pub async fn connect(target: &Target, drain: &Drain) -> anyhow::Result<Self> {
        let node = &target.node;
        let unreachable = || format!("no node answers at {node}: check that `pyapns serve` runs there");
        let requests = match node {
            NodeUrl::Unix(path) => open(UnixStream::connect(path).await.with_context(unreachable)?, drain).await,
            NodeUrl::Tcp { host, port, tls } => {
                let socket = TcpStream::connect((host.as_str(), *port)).await.with_context(unreachable)?;
                socket.set_nodelay(true)?;
                if *tls {
                    let connector = TlsConnector::from(Arc::new(trust(&target.authorities)?));
                    let name = ServerName::try_from(host.clone())
                        .context("the node's name is not a valid name for a certificate")?;
                    let secured = connector.connect(name, socket).await;
                    open(secured.with_context(|| format!("TLS with {node} failed"))?, drain).await
                } else {
                    open(socket, drain).await
                }
            }
        };
        let requests = requests.with_context(|| format!("{node} does not speak HTTP"))?;
        let host = match node {
            NodeUrl::Unix(_) => HeaderValue::from_static("localhost"),
            NodeUrl::Tcp { .. } => HeaderValue::from_str(node.to_string().split("//").nth(1).unwrap_or_default())?,
        };
        Ok(Self { requests, host, authorization: target.api_key.as_ref().map(authorization).transpose()? })
    }

    pub async fn send(&mut self, request: Request<Outgoing>) -> anyhow::Result<Response<Incoming>> {
        let mut request = request;
        request.headers_mut().insert(HOST, self.host.clone());
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        self.requests.ready().await.context("the node closed the connection")?;
        self.requests.send_request(request).await.context("the node closed the connection early")
    }

    /// Sends a request and returns the status and the JSON of the response.
    pub async fn exchange(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<(u16, Value)> {
        let request = Request::builder().method(method).uri(path).body(Either::Left(Full::new(body)))?;
        let answer = self.send(request).await?;
        let status = answer.status().as_u16();
        let body = answer
            .into_body()
            .collect()
            .await
            .context("the connection closed before the response was complete")?
            .to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

/// The sentence of a refusal, for somebody who runs a command.
pub fn refusal(status: u16, body: &Value) -> String {
    if body["reason"] == "api_key_missing" {
        return "the node requires an API key: set the variable PYAPNS_API_KEY to ID.SECRET".to_owned();
    }
    body["error"].as_str().map_or_else(|| format!("the node answered {status} without a reason"), str::to_owned)
}

async fn open<S>(socket: S, drain: &Drain) -> hyper::Result<SendRequest<Outgoing>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (requests, connection) = handshake(TokioIo::new(socket)).await?;
    drain.spawn("connection", async move {
        // The failing request reports the error.
        let _ = connection.await;
    });
    Ok(requests)
}

fn authorization(key: &Secret) -> anyhow::Result<HeaderValue> {
    let shown = [b"Bearer ", key.expose()].concat();
    let mut header = HeaderValue::from_bytes(&shown)
        .context("the API key has characters that no header allows: it must be ID.SECRET")?;
    header.set_sensitive(true);
    Ok(header)
}

fn trust(authorities: &Authorities) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let mut roots = RootCertStore::empty();
    match authorities {
        Authorities::Any => {
            let verifier = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
            return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
        }
        Authorities::Public => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Authorities::File(path) => {
            let unreadable = || format!("cannot read {}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).with_context(unreadable)? {
                roots.add(certificate.with_context(unreadable)?)?;
            }
            if roots.is_empty() {
                bail!("{} has no certificate: it must be PEM", path.display());
            }
        }
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_given_by_a_url_or_by_the_path_of_its_socket() {
        for (text, shown) in [
            ("http://127.0.0.1:8088", "http://127.0.0.1:8088"),
            ("http://[::1]:8088/", "http://[::1]:8088"),
            ("https://push.example", "https://push.example:443"),
            ("unix:/run/pyapns/api.sock", "unix:/run/pyapns/api.sock"),
        ] {
            assert_eq!(text.parse::<NodeUrl>().map(|node| node.to_string()), Ok(shown.to_owned()), "{text}");
        }
        for bad in ["", "127.0.0.1:8088", "ftp://a:1", "http://a/apps", "http://a?b", "unix:api.sock"] {
            assert!(bad.parse::<NodeUrl>().is_err(), "{bad}");
        }
    }
}
