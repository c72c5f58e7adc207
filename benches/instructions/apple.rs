//! Apple on a pipe in memory: every request is accepted immediately, with the headers of Apple's answers. Hardly any of
//! it is counted.

use pyapns::apns::connect::{Connect, Connecting, Resolving};
use pyapns::apns::endpoint::Endpoint;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The client's preface, and the greeting: SETTINGS with 1,000 streams, its ACK, a connection window of 1 GiB.
const PREFACE_BYTES: usize = 24;
const GREETING: [u8; 37] =
    [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 3, 232, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 4, 8, 0, 0, 0, 0, 0, 64, 0, 0, 0];
const DATA: u8 = 0;
const END_STREAM: u8 = 1;
/// `:status: 200`, then `apns-id` to be inserted: its name spelled out the first time, then that of the newest entry.
const FIRST: [u8; 10] = [0x88, 0x40, 7, b'a', b'p', b'n', b's', b'-', b'i', b'd'];
const LATER: [u8; 2] = [0x88, 0x7e];
/// An id of 36 characters, Huffman coded.
const APNS_ID: [u8; 27] = [
    0x80 | 26,
    0x79,
    0xc9,
    0x04,
    0xf3,
    0x4d,
    0x89,
    0x61,
    0xc8,
    0xfc,
    0xab,
    0x34,
    0x36,
    0xdf,
    0x59,
    0xf7,
    0x46,
    0xea,
    0xd1,
    0xc6,
    0x22,
    0x14,
    0x32,
    0x3e,
    0xf0,
    0x48,
    0xf7,
];

/// A gateway that accepts every push.
pub struct Apple;

impl Connect for Apple {
    fn resolve(&self, endpoint: &Endpoint) -> Resolving {
        let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port()));
        Box::pin(std::future::ready(Ok(vec![address])))
    }

    fn connect(&self, _: &Endpoint, _: SocketAddr, _: Arc<rustls::ClientConfig>, _: Duration) -> Connecting {
        Box::pin(std::future::ready(Ok(Box::new(Pipe::new()) as _)))
    }
}

struct Pipe {
    /// Bytes received and not yet read.
    input: Vec<u8>,
    /// Answers to be read, from `taken` on.
    output: Vec<u8>,
    taken: usize,
    answered: bool,
    preface: usize,
    reader: Option<Waker>,
}

impl Pipe {
    fn new() -> Self {
        let (input, output) = (Vec::with_capacity(1 << 20), GREETING.to_vec());
        Self { input, output, taken: 0, answered: false, preface: PREFACE_BYTES, reader: None }
    }

    #[inline(never)]
    fn uncounted_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let rest = &self.output[self.taken..];
        if rest.is_empty() {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = rest.len().min(into.remaining());
        into.put_slice(&rest[..count]);
        self.taken += count;
        Poll::Ready(Ok(()))
    }

    #[inline(never)]
    fn uncounted_write(&mut self, bytes: &[u8]) -> usize {
        let skipped = self.preface.min(bytes.len());
        self.preface -= skipped;
        self.input.extend_from_slice(&bytes[skipped..]);
        if self.taken == self.output.len() {
            (self.output, self.taken) = (Vec::with_capacity(1 << 16), 0);
        }
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        while let Some((head, payload)) = rest.split_first_chunk::<9>() {
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            let Some((_, after)) = payload.split_at_checked(length) else { break };
            rest = after;
            if head[3] == DATA && head[4] & END_STREAM != 0 {
                self.answer([head[5], head[6], head[7], head[8]]);
            }
        }
        self.input.extend_from_slice(rest);
        self.reader.take().into_iter().for_each(Waker::wake);
        bytes.len()
    }

    fn answer(&mut self, stream: [u8; 4]) {
        let fields: &[u8] = if std::mem::replace(&mut self.answered, true) { &LATER } else { &FIRST };
        let length = u8::try_from(fields.len() + APNS_ID.len()).expect("short");
        self.output.extend_from_slice(&[0, 0, length, 1, 5]);
        self.output.extend_from_slice(&stream);
        self.output.extend_from_slice(fields);
        self.output.extend_from_slice(&APNS_ID);
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().uncounted_read(cx, into)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.get_mut().uncounted_write(bytes)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
