//! An HTTP proxy for the connections to Apple: its setting, and the tunnel through it (RFC 9110 9.3.6, CONNECT).

use crate::apns::endpoint::Endpoint;
use crate::credentials::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::io;
use std::str::FromStr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The maximum size of the proxy's answer, in bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024;
/// The beginning of every response in HTTP/1.
const VERSION: &[u8] = b"HTTP/1.";

const FORM: &str = "must look like http://HOST:PORT or http://USER:PASSWORD@HOST:PORT";
const ESCAPE: &str = "a % in the user or password must be followed by two hex digits: write %25 for the sign itself";
const COLON: &str = "the user of a proxy must not contain a colon";

/// The proxy's address and credentials. Displayed without user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// A name or an address; IPv6 without brackets.
    host: String,
    port: u16,
    /// User and password, encoded for `Proxy-Authorization: Basic`.
    credentials: Option<Secret>,
}

/// The reason that the proxy opens no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("it requires a user and a password: set apple.proxy to http://USER:PASSWORD@HOST:PORT")]
    CredentialsWanted,
    #[error("it refuses the user and password of apple.proxy (sent as Basic, the only supported scheme)")]
    CredentialsRefused,
    #[error("it refuses with HTTP {status}: it must allow CONNECT to that host and port")]
    Refused { status: u16 },
    #[error("it does not answer as an HTTP proxy does: check host and port of apple.proxy")]
    Garbage,
    #[error("it closed the connection without an answer")]
    Closed,
    #[error("no connection to it: {0}")]
    Broken(#[from] io::Error),
}

impl Proxy {
    /// A name or an address; IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Requests a tunnel to `endpoint`. Afterwards `socket` carries only the bytes of the two ends.
    pub async fn open_tunnel<S>(&self, socket: &mut S, endpoint: &Endpoint) -> Result<(), ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        socket.write_all(self.request(endpoint).expose()).await?;
        match read_status(socket).await? {
            200..=299 => Ok(()),
            407 if self.credentials.is_none() => Err(ProxyError::CredentialsWanted),
            407 => Err(ProxyError::CredentialsRefused),
            status => Err(ProxyError::Refused { status }),
        }
    }

    fn request(&self, endpoint: &Endpoint) -> Secret {
        let mut request = format!("CONNECT {endpoint} HTTP/1.1\r\nHost: {endpoint}\r\n").into_bytes();
        if let Some(credentials) = &self.credentials {
            request.extend_from_slice(b"Proxy-Authorization: Basic ");
            request.extend_from_slice(credentials.expose());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request.into()
    }
}

/// The status of an answer that ends with its headers: the gateway waits for the client's first bytes, so that nothing
/// follows.
async fn read_status(socket: &mut (impl AsyncRead + Unpin)) -> Result<u16, ProxyError> {
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let mut length = 0;
    loop {
        let read = socket.read(&mut answer[length..]).await?;
        length += read;
        let answer = &answer[..length];
        let begun = &answer[..length.min(VERSION.len())];
        if !VERSION.starts_with(begun) {
            return Err(ProxyError::Garbage);
        }
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            let status = status_of(answer).ok_or(ProxyError::Garbage)?;
            // A refusal may have a body. The answer that opens a tunnel may not.
            let speaks_first = end + 4 < length && (200..300).contains(&status);
            return if speaks_first { Err(ProxyError::Garbage) } else { Ok(status) };
        }
        match (read, length) {
            (0, ANSWER_BYTES_MAX) => return Err(ProxyError::Garbage),
            (0, _) => return Err(ProxyError::Closed),
            _ => {}
        }
    }
}

/// The status of `HTTP/1.1 200 …`.
fn status_of(answer: &[u8]) -> Option<u16> {
    let [_, b' ', status @ ..] = answer.strip_prefix(VERSION)? else { return None };
    let (status, rest) = status.split_at_checked(3)?;
    let ends = rest.first().is_some_and(|next| matches!(next, b' ' | b'\r'));
    let digits = status.iter().all(u8::is_ascii_digit).then_some(status)?;
    str::from_utf8(digits).ok().filter(|_| ends)?.parse().ok()
}

impl FromStr for Proxy {
    type Err = &'static str;

    /// Parses `http://USER:PASSWORD@HOST:PORT`; user and password may be percent-encoded, or left out.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_prefix("http://").ok_or(FORM)?;
        let text = text.strip_suffix('/').unwrap_or(text);
        let (credentials, place) = match text.rsplit_once('@') {
            Some((credentials, place)) => (Some(basic(credentials)?), place),
            None => (None, text),
        };
        let authority: http::uri::Authority = place.parse().map_err(|_| FORM)?;
        let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        match authority.port_u16() {
            Some(port) if port > 0 && !host.is_empty() => Ok(Self { host, port, credentials }),
            _ => Err(FORM),
        }
    }
}

/// RFC 7617 2.
fn basic(credentials: &str) -> Result<Secret, &'static str> {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let (user, password) = (unescape(user)?, unescape(password)?);
    if user.expose().is_empty() {
        return Err(FORM);
    }
    if user.expose().contains(&b':') {
        return Err(COLON);
    }
    let pair = Secret::from([user.expose(), b":", password.expose()].concat());
    Ok(STANDARD.encode(pair.expose()).into())
}

/// Decodes percent-encoding (RFC 3986 2.1), and refuses an invalid escape.
fn unescape(text: &str) -> Result<Secret, &'static str> {
    let is_escape =
        |after: &[u8]| after.first_chunk().is_some_and(|digits: &[u8; 2]| digits.iter().all(u8::is_ascii_hexdigit));
    if !text.as_bytes().split(|byte| *byte == b'%').skip(1).all(is_escape) {
        return Err(ESCAPE);
    }
    Ok(percent_decode_str(text).collect::<Vec<u8>>().into())
}

impl fmt::Display for Proxy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(out, "{open}{}{close}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Proxy({self}{})", if self.credentials.is_some() { ", with a password" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    fn endpoint() -> Endpoint {
        "https://gateway.example:2197".parse().unwrap()
    }

    fn proxy(text: &str) -> Proxy {
        text.parse().unwrap()
    }

    /// The result of a response, and the request that the proxy received.
    async fn ask(proxy: &Proxy, answer: &[u8]) -> (Result<(), ProxyError>, String) {
        let (mut ours, mut theirs) = duplex(64 * 1024);
        theirs.write_all(answer).await.unwrap();
        theirs.shutdown().await.unwrap();
        let outcome = proxy.open_tunnel(&mut ours, &endpoint()).await;
        drop(ours);
        let mut asked = String::new();
        theirs.read_to_string(&mut asked).await.unwrap();
        (outcome, asked)
    }

    #[tokio::test]
    async fn the_proxy_is_asked_for_the_endpoint_with_user_and_password() {
        let (outcome, asked) = ask(&proxy("http://proxy:3128"), b"HTTP/1.1 200 Connection established\r\n\r\n").await;
        assert!(outcome.is_ok());
        assert_eq!(asked, "CONNECT gateway.example:2197 HTTP/1.1\r\nHost: gateway.example:2197\r\n\r\n");

        // RFC 7617 2: Aladdin, open sesame.
        let (outcome, asked) =
            ask(&proxy("http://Aladdin:open%20sesame@[::1]:1/"), b"HTTP/1.0 204 x\r\nA: b\r\n\r\n").await;
        assert!(outcome.is_ok());
        assert!(asked.contains("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn the_error_of_every_other_answer_has_the_remedy() {
        let plain = proxy("http://proxy:3128");
        let known = proxy("http://user:pass@proxy:3128");
        let long = [b"HTTP/1.1 200 ".as_slice(), &[b'x'; ANSWER_BYTES_MAX]].concat();
        let wanted = |error: &ProxyError, what: &str| error.to_string().contains(what);
        let cases: [(&Proxy, &[u8], &str); 12] = [
            (
                &plain,
                b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=x\r\n\r\n",
                "requires a user and a password",
            ),
            (&known, b"HTTP/1.1 407 Who?\r\n\r\n", "refuses the user and password"),
            (&plain, b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nnever", "refuses with HTTP 403"),
            (&plain, b"HTTP/1.1 502\r\n\r\n", "refuses with HTTP 502"),
            (&plain, b"", "closed the connection"),
            (&plain, b"HTTP/1.1 200 OK\r\nA: b\r\n", "closed the connection"),
            (&plain, b"SSH-2.0-OpenSSH_9\r\n", "does not answer as an HTTP proxy"),
            (&plain, b"HTTP/2.0 200 OK\r\n\r\n", "does not answer as an HTTP proxy"),
            (&plain, b"HTTP/1.1 2000 OK\r\n\r\n", "does not answer as an HTTP proxy"),
            (&plain, b"HTTP/1.1 +20 OK\r\n\r\n", "does not answer as an HTTP proxy"),
            (&plain, b"HTTP/1.1 200 OK\r\n\r\n\x16\x03", "does not answer as an HTTP proxy"),
            (&plain, &long, "does not answer as an HTTP proxy"),
        ];
        for (proxy, answer, what) in cases {
            let error = ask(proxy, answer).await.0.expect_err(what);
            assert!(wanted(&error, what), "{error}, not {what}");
        }
    }

    #[tokio::test]
    async fn an_answer_may_arrive_in_pieces() {
        let (mut ours, mut theirs) = duplex(1024);
        let known = proxy("http://proxy:3128");
        let answer = async {
            for piece in b"HTTP/1.1 200 OK\r\n\r\n".chunks(1) {
                theirs.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let target = endpoint();
        let (outcome, ()) = tokio::join!(known.open_tunnel(&mut ours, &target), answer);
        assert!(outcome.is_ok());
    }

    #[test]
    fn a_proxy_prints_without_user_and_password() {
        let known = proxy("http://scott:tiger@Proxy.example:3128");
        assert_eq!(known.to_string(), "proxy.example:3128");
        assert_eq!(format!("{known:?}"), "Proxy(proxy.example:3128, with a password)");
        assert_eq!(proxy("http://[::1]:3128").to_string(), "[::1]:3128");
    }

    #[test]
    fn an_invalid_proxy_is_refused() {
        for text in [
            "",
            "proxy:3128",
            "https://proxy:3128",
            "socks5://proxy:1080",
            "http://proxy",
            "http://proxy:0",
            "http://:3128",
            "http://proxy:3128/path",
            "http://:secret@proxy:3128",
            "http://user:secret@",
        ] {
            assert_eq!(text.parse::<Proxy>(), Err(FORM), "{text}");
        }
        assert_eq!("http://user:50%@proxy:1".parse::<Proxy>(), Err(ESCAPE));
        assert_eq!("http://user:%+1@proxy:1".parse::<Proxy>(), Err(ESCAPE));
        assert_eq!("http://us%3Aer:secret@proxy:1".parse::<Proxy>(), Err(COLON));
        assert_eq!(proxy("http://user:p@ss:w%40rd@proxy:1"), proxy("http://user:p%40ss%3aw@rd@proxy:1"));
    }
}
