//! A TLS connection between two nodes, read and written by one task without waiting.

use crate::apns::connect::Transport;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};

/// The most that one read returns.
const READ_BYTES: usize = 64 << 10;

/// Buffers what a socket reads for TLS, which asks for 4 KiB at a time: a batch of 100 is ten times that.
pub fn read_ahead<S: AsyncRead>(socket: S) -> BufReader<S> {
    BufReader::with_capacity(READ_BYTES, socket)
}

/// An open connection.
pub struct Pipe {
    stream: Box<dyn Transport>,
    buffer: Box<[u8]>,
}

impl Pipe {
    pub fn new(stream: impl Transport + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: vec![0; READ_BYTES].into() }
    }

    /// Reads what has arrived; no bytes are the end of the connection.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let mut into = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into))?;
        let count = into.filled().len();
        Poll::Ready(Ok(&self.buffer[..count]))
    }

    /// Hands bytes to TLS, and returns how many it took. After an error it took none of this call.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    /// Writes what TLS holds back.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Tells the peer that nothing more comes, as far as that goes without waiting.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
