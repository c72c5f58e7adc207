//! A keep-alive connection to the daemon, as cheap as can be: one write, few reads, nothing parsed but what must be.

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The size of one read.
const READ_BYTES: usize = 64 << 10;
/// The text of an expected outcome.
const ACCEPTED: &[u8] = br#""outcome":"accepted""#;
/// The beginning of every response to a sender.
pub const CREATED: &[u8] = b"HTTP/1.1 201 ";

pub struct Connection {
    socket: TcpStream,
    heard: Vec<u8>,
}

impl Connection {
    pub async fn open(address: &str) -> Self {
        let socket = TcpStream::connect(address).await.expect("the daemon listens");
        socket.set_nodelay(true).expect("a socket option");
        Self { socket, heard: Vec::with_capacity(READ_BYTES) }
    }

    /// Sends a request and checks that it was answered with 201 and so many accepted notifications.
    pub async fn send(&mut self, request: &[u8], notifications: usize) {
        let answer = self.ask(request, CREATED).await;
        let count = memmem::find_iter(answer, ACCEPTED).count();
        assert!(
            count == notifications,
            "{count} of {notifications} notifications were accepted: {}",
            String::from_utf8_lossy(&answer[..answer.len().min(2000)])
        );
    }

    /// Sends a request and returns the body of the answer, which must begin with `begin`.
    pub async fn ask(&mut self, request: &[u8], begin: &[u8]) -> &[u8] {
        self.socket.write_all(request).await.expect("the daemon reads");
        self.heard.clear();
        let head = loop {
            self.read().await;
            if let Some(end) = memmem::find(&self.heard, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let whole = head + content_length(&self.heard[..head]);
        self.heard.reserve(whole.saturating_sub(self.heard.len()));
        while self.heard.len() < whole {
            self.read().await;
        }
        assert!(self.heard.starts_with(begin), "{}", String::from_utf8_lossy(&self.heard));
        &self.heard[head..whole]
    }

    async fn read(&mut self) {
        if self.heard.capacity() - self.heard.len() < READ_BYTES / 4 {
            self.heard.reserve(READ_BYTES);
        }
        let read = self.socket.read_buf(&mut self.heard).await.expect("the daemon answers");
        assert!(read > 0, "the daemon hung up: {}", String::from_utf8_lossy(&self.heard));
    }

    /// The bare socket, for a stream.
    pub fn into_socket(self) -> TcpStream {
        self.socket
    }
}

fn content_length(head: &[u8]) -> usize {
    let name = b"content-length: ";
    let at = memmem::find(head, name).expect("a content-length") + name.len();
    head[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
}

/// Counts accepted notifications in an answer that comes in pieces.
#[derive(Default)]
pub struct Tally {
    /// The end of the last piece, where the word may have been cut.
    rest: Vec<u8>,
    pub accepted: usize,
}

impl Tally {
    pub fn add(&mut self, piece: &[u8]) {
        let kept = ACCEPTED.len() - 1;
        self.rest.extend_from_slice(&piece[..piece.len().min(kept)]);
        self.accepted += memmem::find_iter(&self.rest, ACCEPTED).count() + memmem::find_iter(piece, ACCEPTED).count();
        if piece.len() > kept {
            self.rest.clear();
            self.rest.extend_from_slice(&piece[piece.len() - kept..]);
        }
        self.rest.drain(..self.rest.len().saturating_sub(kept));
    }
}
