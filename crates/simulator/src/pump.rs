//! The frame pump between h2 and TLS: writes what h2's server cannot (its own SETTINGS, later SETTINGS, GOAWAY with
//! debug data), hides their acknowledgements from h2, and ends the connection cleanly.
//!
//! It only follows frame headers; payloads pass through. A connection without faults only pays for counting bytes.

mod frames;
mod heads;
mod huffman;
mod inbox;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use frames::FRAME_HEADER;
pub use frames::FrameWalk;
pub use frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, frame, goaway, settings};
pub use heads::{Field, Form};
use inbox::{Inbox, Seen};

/// Orders to the pump, from the task that drives h2 over it.
#[derive(Clone, Default)]
pub struct PumpHandle {
    orders: Arc<Orders>,
}

struct Orders {
    /// Whole frames to write at the next boundary of h2's own.
    frames: Mutex<BytesMut>,
    /// Frames to write only when h2 has written all of its frames.
    last: Mutex<BytesMut>,
    /// There are frames. Avoids the lock if there are none.
    has_frames: AtomicBool,
    seen: Mutex<Seen>,
    /// There are observations.
    has_seen: AtomicBool,
    /// Close once this many streams were ended by frames that have been written.
    close_after: AtomicU64,
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            frames: Mutex::default(),
            last: Mutex::default(),
            has_frames: AtomicBool::new(false),
            seen: Mutex::default(),
            has_seen: AtomicBool::new(false),
            close_after: AtomicU64::new(NEVER),
        }
    }
}

const NEVER: u64 = u64::MAX;

impl PumpHandle {
    /// Writes this whole frame between two of h2's, at the latest when h2 flushes.
    pub fn inject(&self, frame: &[u8]) {
        self.frames().extend_from_slice(frame);
        self.orders.has_frames.store(true, Ordering::Release);
    }

    /// Writes these whole frames after all that h2 has by now.
    pub fn inject_last(&self, frames: &[u8]) {
        self.orders.last.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(frames);
    }

    /// h2 has written everything.
    fn release_last(&self) {
        let last = std::mem::take(&mut *self.orders.last.lock().unwrap_or_else(PoisonError::into_inner));
        if !last.is_empty() {
            self.inject(&last);
        }
    }

    /// Ends the connection when `streams` answers have left whole: close_notify and FIN, then input is discarded until
    /// the peer closes too, so that no reset can overtake the last answers.
    pub fn close_after(&self, streams: u64) {
        self.orders.close_after.store(streams, Ordering::Release);
    }

    /// Returns what the peer sent since the last call and h2 does not report.
    pub fn take_seen(&self) -> Option<Seen> {
        self.orders.has_seen.swap(false, Ordering::AcqRel).then(|| std::mem::take(&mut *self.seen()))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.orders.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_frames(&self) -> BytesMut {
        if self.orders.has_frames.swap(false, Ordering::AcqRel) {
            std::mem::take(&mut *self.frames())
        } else {
            BytesMut::new()
        }
    }

    fn frames(&self) -> MutexGuard<'_, BytesMut> {
        self.orders.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream that h2 reads from and writes to.
pub struct Pump<S> {
    inner: S,
    handle: PumpHandle,
    inbox: Inbox,
    outgoing: FrameWalk,
    injecting: BytesMut,
    stage: Stage,
}

#[derive(PartialEq, Eq)]
enum Stage {
    /// The remaining bytes of h2's first SETTINGS frame, which is replaced by the one given at the start.
    First(Option<usize>),
    Open,
    ShuttingDown,
    /// Nothing is written any more; input is read and dropped until the end.
    Lingering,
}

impl<S> Pump<S> {
    /// `first` is the SETTINGS frame sent in place of h2's. `records`: header blocks are recorded.
    pub fn new(inner: S, first: &[u8], records: bool) -> (Self, PumpHandle) {
        let handle = PumpHandle::default();
        let pump = Self {
            inner,
            handle: handle.clone(),
            inbox: Inbox::new(records),
            outgoing: FrameWalk::default(),
            injecting: BytesMut::from(first),
            stage: Stage::First(None),
        };
        (pump, handle)
    }

    fn writes_nothing(&self) -> bool {
        matches!(self.stage, Stage::ShuttingDown | Stage::Lingering)
    }

    /// Swallows h2's first SETTINGS frame; says how many of the bytes belong to it.
    fn swallow_settings(&mut self, bytes: &[u8]) -> usize {
        let Stage::First(left) = &mut self.stage else { return 0 };
        // h2 writes its first frame in one piece; a part of its header would be shorter than any frame.
        let total = left.unwrap_or_else(|| frames::length(bytes).map_or(bytes.len(), |payload| FRAME_HEADER + payload));
        let taken = total.min(bytes.len());
        if taken == total {
            self.stage = Stage::Open;
        } else {
            *left = Some(total - taken);
        }
        taken
    }
}

impl<S: AsyncWrite + Unpin> Pump<S> {
    /// Writes the frames that were ordered, if h2's output is at a boundary.
    fn poll_inject(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.outgoing.at_boundary() {
            return Poll::Ready(Ok(()));
        }
        self.injecting.unsplit(self.handle.take_frames());
        while !self.injecting.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.injecting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.injecting.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn must_close(&self) -> bool {
        self.outgoing.at_boundary()
            && self.outgoing.streams_ended() >= self.handle.orders.close_after.load(Ordering::Acquire)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Pump<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let handed_on = this.stage != Stage::Lingering && this.inbox.hand_on(out);
            if let Some(more) = this.inbox.take_seen() {
                this.handle.seen().extend(more);
                this.handle.orders.has_seen.store(true, Ordering::Release);
            }
            if handed_on {
                return Poll::Ready(Ok(()));
            }
            if ready!(this.inbox.poll_fill(&mut this.inner, cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
            if this.stage == Stage::Lingering {
                this.inbox.clear();
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Pump<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.writes_nothing() {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        if matches!(this.stage, Stage::First(_)) {
            let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| &**slice);
            return Poll::Ready(Ok(this.swallow_settings(first)));
        }
        ready!(this.poll_inject(cx))?;
        let written = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, slices))?;
        let mut left = written;
        for slice in slices {
            let taken = left.min(slice.len());
            this.outgoing.pass(&slice[..taken]);
            left -= taken;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// h2 flushes when all its frames are written, so this is a boundary, and the place to inject and to close.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.writes_nothing() {
            if this.outgoing.at_boundary() {
                this.handle.release_last();
            }
            ready!(this.poll_inject(cx))?;
            ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
            if this.must_close() {
                this.stage = Stage::ShuttingDown;
            }
        }
        if this.stage == Stage::ShuttingDown {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            this.stage = Stage::Lingering;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.stage == Stage::Lingering {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}
