//! A valve between HTTP/2 and the transport of a scripted connection, which breaks it as the script requests.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

use super::pump::FrameWalk;
use super::script::{Breakage, Point};

/// The transport of a connection.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the drop of the transport send a RST.
    fn abort(&self);
}

impl Transport for TcpStream {
    fn abort(&self) {
        let _ = socket2::SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Transport for TlsStream<TcpStream> {
    fn abort(&self) {
        self.get_ref().0.abort();
    }
}

impl Transport for tokio::io::DuplexStream {
    /// A pipe has no RST: its end is all that the peer sees.
    fn abort(&self) {}
}

/// Breaks a connection before HTTP/2 begins.
pub async fn break_connection(mut transport: impl Transport, how: Breakage) {
    match how {
        Breakage::Silence => {
            let mut lost = [0; 4096];
            while matches!(transport.read(&mut lost).await, Ok(count) if count > 0) {}
        }
        Breakage::Deaf => std::future::pending().await,
        Breakage::Reset => transport.abort(),
        Breakage::HalfClose | Breakage::Close => {}
    }
}

/// A transport that a script breaks at a point.
pub struct Valve<S> {
    inner: S,
    at: Point,
    how: Breakage,
    state: State,
    read: u64,
    written: u64,
    outgoing: FrameWalk,
    idle: Pin<Box<Sleep>>,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum State {
    Open,
    /// Broken, and our end of the stream is still to be sent.
    Ending,
    Broken,
}

impl<S: Transport> Valve<S> {
    pub fn new(inner: S, at: Point, how: Breakage) -> Self {
        let idle = Box::pin(tokio::time::sleep(idle_after(at).unwrap_or_default()));
        Self { inner, at, how, state: State::Open, read: 0, written: 0, outgoing: FrameWalk::default(), idle }
    }

    /// Returns how many of these bytes may be written: none beyond the point.
    fn up_to_point(&self, bytes: &[u8]) -> usize {
        let mut walk = self.outgoing.clone();
        for at in 0..bytes.len() {
            walk.pass(&bytes[at..=at]);
            let count = at + 1;
            if self.is_reached(&walk, self.written + count as u64) {
                return count;
            }
        }
        bytes.len()
    }

    fn is_reached(&self, outgoing: &FrameWalk, written: u64) -> bool {
        match self.at {
            // The first frame is SETTINGS.
            Point::Settings => written > 0 && outgoing.at_boundary(),
            Point::Answers(count) => outgoing.at_boundary() && outgoing.streams_ended() >= count,
            Point::BytesOut(count) => written >= count,
            Point::Accept | Point::Tls | Point::BytesIn(_) | Point::IdleMs(_) => false,
        }
    }

    fn shut(&mut self) {
        if self.state != State::Open {
            return;
        }
        self.state = match self.how {
            Breakage::HalfClose => State::Ending,
            _ => State::Broken,
        };
        if self.how == Breakage::Reset {
            self.inner.abort();
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) {
        if idle_after(self.at).is_some() && self.state == State::Open && self.idle.as_mut().poll(cx).is_ready() {
            self.shut();
        }
    }

    /// Reads from a shut valve.
    fn poll_read_shut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.how {
            Breakage::Deaf => Poll::Pending,
            Breakage::Close | Breakage::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Breakage::Silence | Breakage::HalfClose => loop {
                let mut lost = [0; 4096];
                let mut lost = ReadBuf::new(&mut lost);
                ready!(Pin::new(&mut self.inner).poll_read(cx, &mut lost))?;
                if lost.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            },
        }
    }
}

fn idle_after(at: Point) -> Option<Duration> {
    match at {
        Point::IdleMs(ms) => Some(Duration::from_millis(ms)),
        _ => None,
    }
}

impl<S: Transport> AsyncRead for Valve<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_idle(cx);
        if this.state != State::Open && this.how != Breakage::HalfClose {
            return this.poll_read_shut(cx);
        }
        let room = match this.at {
            Point::BytesIn(bytes) if this.state == State::Open => {
                usize::try_from(bytes - this.read).unwrap_or(usize::MAX)
            }
            _ => usize::MAX,
        };
        let room = room.min(out.remaining());
        let mut limited = ReadBuf::new(out.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut limited))?;
        let count = limited.filled().len();
        out.advance(count);
        this.read += count as u64;
        if let Some(after) = idle_after(this.at).filter(|_| count > 0) {
            this.idle.as_mut().reset(Instant::now() + after);
        }
        if matches!(this.at, Point::BytesIn(bytes) if this.read >= bytes) {
            this.shut();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Transport> AsyncWrite for Valve<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.poll_idle(cx);
        if this.state != State::Open {
            return match this.how {
                Breakage::Close | Breakage::Reset => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Breakage::Silence | Breakage::Deaf | Breakage::HalfClose => Poll::Ready(Ok(bytes.len())),
            };
        }
        let room = this.up_to_point(bytes);
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, &bytes[..room]))?;
        this.outgoing.pass(&bytes[..written]);
        this.written += written as u64;
        if this.is_reached(&this.outgoing, this.written) {
            this.shut();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        if this.state == State::Ending {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            this.state = State::Broken;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.state {
            State::Broken => Poll::Ready(Ok(())),
            State::Open | State::Ending => Pin::new(&mut this.inner).poll_shutdown(cx),
        }
    }
}
