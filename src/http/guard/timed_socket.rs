//! A client's socket with timeouts: for its first request, for headers, between requests, and for reading a response.

use super::canned_responses::{self, Replacement};
use super::http2_flood::Http2FloodGuard;
use super::request_start::RequestStart;
use crate::drain::Drain;
use crate::http::Limits;
use http::Version;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// The bytes of a response that a client must read within each write timeout.
const WRITE_PROGRESS_BYTES_MIN: usize = 64 << 10;

/// The requests and responses of a connection, counted for its socket's timeouts.
#[derive(Debug, Default)]
pub struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
    http2: AtomicBool,
    /// The parts of responses that HTTP/2 has not written yet.
    unsent: AtomicU64,
    drain: Drain,
}

impl Activity {
    /// `drain` runs the tasks that outlast a request.
    pub fn new(drain: Drain) -> Self {
        Self { drain, ..Self::default() }
    }

    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Counts a request whose headers are complete. It is active until the returned guard is dropped.
    pub fn begin(activity: &Arc<Self>, version: Version) -> ActiveRequest {
        activity.http2.store(version == Version::HTTP_2, Relaxed);
        activity.begun.fetch_add(1, Relaxed);
        ActiveRequest(Arc::clone(activity))
    }

    fn is_idle(&self) -> bool {
        self.begun.load(Relaxed) == self.ended.load(Relaxed)
    }

    /// Returns true if the connection is HTTP/2 and has neither an active request nor unsent bytes.
    pub fn is_idle_http2(&self) -> bool {
        self.is_idle() && self.unsent.load(Relaxed) == 0 && self.http2.load(Relaxed)
    }
}

pub struct ActiveRequest(Arc<Activity>);

impl ActiveRequest {
    /// Counts a part of a response that the client has not taken yet.
    pub fn unsent(&self) -> Unsent {
        self.0.unsent.fetch_add(1, Relaxed);
        Unsent(Arc::clone(&self.0))
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}

/// A part of a response that the client has not read yet; dropped once it has.
pub struct Unsent(Arc<Activity>);

impl Drop for Unsent {
    fn drop(&mut self) {
        self.0.unsent.fetch_sub(1, Relaxed);
    }
}

/// The state of the client's next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    FirstRequest,
    /// Some bytes of a request have arrived; its headers are not complete.
    Headers,
    NextRequest,
}

/// A socket whose reads and writes fail with `TimedOut` when the client is too slow, and whose reads fail when the
/// client floods the connection.
pub struct TimedSocket<Io> {
    io: Io,
    activity: Arc<Activity>,
    header_timeout: Duration,
    idle_timeout: Duration,
    write_timeout: Duration,
    awaited: Option<Awaited>,
    /// Requests that had begun and ended at the last check.
    begun: u64,
    ended: u64,
    /// Bytes have arrived since that check, while no request was being answered.
    partial: bool,
    request_start: RequestStart,
    body_bytes: usize,
    read_timer: Timer,
    /// Set while the socket's buffer is full.
    blocked: Option<WriteProgress>,
    /// Set while HTTP/2 holds data back for lack of a window.
    withheld: Option<WriteProgress>,
    flood_guard: Http2FloodGuard,
    /// The response written in place of hyper's bare one.
    replacement: Option<Replacement>,
}

impl<Io: AsyncWrite + Unpin> TimedSocket<Io> {
    pub fn new(io: Io, activity: Arc<Activity>, limits: &Limits) -> Self {
        Self {
            io,
            activity,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            write_timeout: limits.write_timeout,
            awaited: Some(Awaited::FirstRequest),
            begun: 0,
            ended: 0,
            partial: false,
            request_start: RequestStart::default(),
            body_bytes: limits.body_bytes,
            read_timer: Timer::new(limits.header_timeout),
            blocked: None,
            withheld: None,
            flood_guard: Http2FloodGuard::new(Instant::now()),
            replacement: None,
        }
    }

    /// Resolves once a read without data has waited too long.
    fn poll_read_timeout(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.activity.unsent.load(Relaxed) == 0 {
            self.withheld = None;
        } else if let Poll::Ready(error) =
            self.withheld.get_or_insert_with(|| WriteProgress::new(self.write_timeout)).poll(cx)
        {
            return Poll::Ready(error);
        }
        let (begun, ended) = (self.activity.begun.load(Relaxed), self.activity.ended.load(Relaxed));
        if begun != self.begun {
            (self.begun, self.partial, self.awaited) = (begun, false, None);
        }
        if ended != self.ended {
            // The bytes before the end were that request's body.
            (self.ended, self.partial) = (ended, false);
        }
        let awaited = if ended < begun {
            self.awaited = None;
            return Poll::Pending;
        } else if begun == 0 {
            Awaited::FirstRequest
        } else if self.partial && !self.activity.http2.load(Relaxed) {
            Awaited::Headers
        } else {
            Awaited::NextRequest
        };
        if self.awaited != Some(awaited) {
            self.awaited = Some(awaited);
            self.read_timer.restart(if awaited == Awaited::NextRequest {
                self.idle_timeout
            } else {
                self.header_timeout
            });
        }
        let error = ready!(self.read_timer.poll(cx));
        if awaited != Awaited::NextRequest && self.partial && self.flood_guard.is_http1() {
            // There is nothing else to write, and a client whose socket has no room does not read.
            let _ = Pin::new(&mut self.io).poll_write(cx, canned_responses::headers_too_slow().as_bytes());
            let _ = Pin::new(&mut self.io).poll_flush(cx);
        }
        Poll::Ready(error)
    }

    /// Accounts for a write of `wanted` bytes.
    fn after_write(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.flood_guard.wrote(bytes);
                for progress in [&mut self.blocked, &mut self.withheld].into_iter().flatten() {
                    progress.add(bytes);
                }
                if bytes == wanted {
                    self.blocked = None;
                }
                // The connection is idle from the last byte of a response on. In HTTP/2, frames between responses do
                // not count.
                if bytes > 0 && self.awaited == Some(Awaited::NextRequest) && !self.activity.http2.load(Relaxed) {
                    self.awaited = None;
                }
                written
            }
            Poll::Ready(Err(_)) => written,
            Poll::Pending => {
                self.blocked.get_or_insert_with(|| WriteProgress::new(self.write_timeout)).poll(cx).map(Err)
            }
        }
    }

    /// Writes the replacement; then the `written` bytes that it replaces count as written.
    fn poll_replacement(&mut self, cx: &mut Context<'_>, written: usize) -> Poll<io::Result<usize>> {
        while let Some(replacement) = &mut self.replacement {
            let rest = replacement.rest();
            let (wanted, io) = (rest.len(), Pin::new(&mut self.io));
            let polled = io.poll_write(cx, rest);
            if let Poll::Ready(Ok(bytes)) = polled {
                replacement.wrote(bytes);
                if bytes == wanted || bytes == 0 {
                    self.replacement = None;
                }
            }
            ready!(self.after_write(cx, wanted, polled))?;
        }
        Poll::Ready(Ok(written))
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncRead for TimedSocket<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, into) {
            Poll::Ready(Ok(())) => {
                this.partial = true;
                let seen = this.flood_guard.observe(&into.filled()[before..], Instant::now);
                if this.flood_guard.is_http1() && this.activity.is_idle() {
                    this.request_start.add(this.activity.begun.load(Relaxed), &into.filled()[before..]);
                }
                if seen.is_err() {
                    into.set_filled(before);
                }
                Poll::Ready(seen.map_err(io::Error::other))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.poll_read_timeout(cx).map(Err),
        }
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for TimedSocket<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.replacement.is_none() && this.flood_guard.is_http1() {
            this.replacement = Replacement::for_bare_response(bytes, || {
                this.request_start.has_endless_length().then_some(this.body_bytes)
            });
        }
        if this.replacement.is_some() {
            return this.poll_replacement(cx, bytes.len());
        }
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.after_write(cx, bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Hyper writes its bare responses in one slice.
        let mut some = slices.iter().filter(|slice| !slice.is_empty());
        if let (Some(only), None) = (some.next(), some.next()) {
            return self.as_mut().poll_write(cx, only);
        }
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.after_write(cx, slices.iter().map(|slice| slice.len()).sum(), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx).map_ok(|()| 0);
        // TLS buffers the bytes that the socket does not accept yet.
        this.after_write(cx, 0, flushed).map_ok(drop)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

/// The progress of a client in reading bytes.
struct WriteProgress {
    timer: Timer,
    timeout: Duration,
    taken: usize,
}

impl WriteProgress {
    fn new(timeout: Duration) -> Self {
        Self { timer: Timer::new(timeout), timeout, taken: 0 }
    }

    fn add(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= WRITE_PROGRESS_BYTES_MIN {
            self.taken = 0;
            self.timer.restart(self.timeout);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.timer.poll(cx)
    }
}

/// A deadline that is cheap to postpone: the runtime's timer is changed only when it fires early.
struct Timer {
    deadline: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl Timer {
    fn new(timeout: Duration) -> Self {
        let deadline = Instant::now() + timeout;
        Self { deadline, alarm: Box::pin(sleep_until(deadline)) }
    }

    fn restart(&mut self, timeout: Duration) {
        self.deadline = Instant::now() + timeout;
        if self.deadline < self.alarm.deadline() {
            self.alarm.as_mut().reset(self.deadline);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            if self.alarm.deadline() >= self.deadline {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            self.alarm.as_mut().reset(self.deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    fn limits() -> Limits {
        Limits {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            ..Limits::default()
        }
    }

    fn pair() -> (TimedSocket<DuplexStream>, DuplexStream, Arc<Activity>) {
        let (ours, theirs) = duplex(8);
        let activity = Arc::new(Activity::default());
        (TimedSocket::new(ours, Arc::clone(&activity), &limits()), theirs, activity)
    }

    /// The seconds until a read times out.
    async fn seconds_until_timeout(socket: &mut TimedSocket<DuplexStream>) -> u64 {
        let began = Instant::now();
        let error = socket.read_u8().await.expect_err("nothing to read");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_times_out_after_ten_seconds() {
        let (mut socket, _client, _activity) = pair();
        assert_eq!(seconds_until_timeout(&mut socket).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_trickle_in_do_not_extend_the_deadline() {
        let (mut socket, mut client, _activity) = pair();
        let trickle = async {
            loop {
                tokio::time::sleep(Duration::from_secs(3)).await;
                client.write_u8(b'x').await.unwrap();
            }
        };
        let read = async {
            let began = Instant::now();
            while socket.read_u8().await.is_ok() {}
            began.elapsed().as_secs()
        };
        let seconds = tokio::select! { biased; () = trickle => 0, seconds = read => seconds };
        assert_eq!(seconds, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_may_be_idle_for_75_seconds_between_requests_but_headers_have_ten() {
        let (mut socket, mut client, activity) = pair();
        client.write_u8(b'x').await.unwrap();
        socket.read_u8().await.unwrap();
        drop(Activity::begin(&activity, Version::HTTP_11));
        assert_eq!(seconds_until_timeout(&mut socket).await, 75);

        drop(Activity::begin(&activity, Version::HTTP_11));
        assert!(tokio::time::timeout(Duration::from_secs(60), socket.read_u8()).await.is_err());
        client.write_u8(b'x').await.unwrap();
        socket.read_u8().await.unwrap();
        assert_eq!(seconds_until_timeout(&mut socket).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_after_its_headers_does_not_count_as_the_next_request() {
        let (mut socket, mut client, activity) = pair();
        let busy = Activity::begin(&activity, Version::HTTP_11);
        assert!(tokio::time::timeout(Duration::from_secs(1), socket.read_u8()).await.is_err());
        client.write_u8(b'x').await.unwrap();
        socket.read_u8().await.unwrap();
        drop(busy);
        assert_eq!(seconds_until_timeout(&mut socket).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn frames_between_http2_requests_do_not_count_as_headers() {
        let (mut socket, mut client, activity) = pair();
        drop(Activity::begin(&activity, Version::HTTP_2));
        client.write_u8(b'x').await.unwrap();
        socket.read_u8().await.unwrap();
        assert_eq!(seconds_until_timeout(&mut socket).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_no_deadline_while_its_request_is_answered() {
        let (mut socket, _client, activity) = pair();
        let busy = Activity::begin(&activity, Version::HTTP_11);
        assert!(tokio::time::timeout(Duration::from_secs(300), socket.read_u8()).await.is_err());
        drop(busy);
        assert_eq!(seconds_until_timeout(&mut socket).await, 75);
    }

    /// Writes `bytes` to a client that reads `every` bytes each ten seconds. Returns true if it succeeds, and the
    /// seconds.
    async fn write_slowly(bytes: usize, every: usize) -> (bool, u64) {
        let (ours, mut client) = duplex(1024);
        let mut socket = TimedSocket::new(ours, Arc::new(Activity::default()), &limits());
        let (began, answer) = (Instant::now(), vec![b'x'; bytes]);
        let take = async {
            loop {
                tokio::time::sleep(Duration::from_secs(10)).await;
                client.read_exact(&mut vec![0; every]).await.unwrap();
            }
        };
        let written = tokio::select! {
            biased;
            written = socket.write_all(&answer) => written,
            () = take => unreachable!("it never ends"),
        };
        assert!(written.as_ref().err().is_none_or(|error| error.kind() == io::ErrorKind::TimedOut));
        (written.is_ok(), began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_hardly_read_fails_after_30_seconds_and_64_kibibytes_extend_them() {
        for (bytes, every) in [(1 << 20, 0), (1 << 20, 100), (2048, 1), (1 << 20, 20 << 10)] {
            assert_eq!(write_slowly(bytes, every).await, (false, 30), "{bytes} bytes, {every} at a time");
        }
        assert_eq!(write_slowly(10 * (32 << 10) + 1024, 32 << 10).await, (true, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn http2_waits_at_most_30_seconds_for_the_clients_window() {
        let (mut socket, mut client, activity) = pair();
        let busy = Activity::begin(&activity, Version::HTTP_2);
        let unsent = busy.unsent();
        assert_eq!(seconds_until_timeout(&mut socket).await, 30);
        drop(unsent);
        // Frames outside responses do not make an idle connection busy.
        drop(busy);
        let ping = async {
            loop {
                tokio::time::sleep(Duration::from_secs(20)).await;
                client.read_exact(&mut [0; 4]).await.unwrap();
            }
        };
        let idle = async {
            let began = Instant::now();
            loop {
                let read = tokio::time::timeout(Duration::from_secs(20), socket.read_u8()).await;
                if read.is_ok() {
                    return began.elapsed().as_secs();
                }
                socket.write_all(b"ping").await.unwrap();
            }
        };
        let seconds = tokio::select! { biased; () = ping => 0, seconds = idle => seconds };
        assert_eq!(seconds, 75);
    }

    #[tokio::test]
    async fn a_flood_of_frames_ends_the_connection() {
        let (ours, mut client) = duplex(1 << 20);
        let mut socket = TimedSocket::new(ours, Arc::new(Activity::default()), &limits());
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        for _ in 0..3_000 {
            client.write_all(&[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).await.unwrap();
        }
        let error = socket.read_to_end(&mut Vec::new()).await.expect_err("a flood");
        assert!(error.to_string().contains("frame after frame"), "{error}");
    }

    #[tokio::test]
    async fn a_bare_response_of_hyper_is_replaced_by_an_envelope() {
        let (ours, mut client) = duplex(1 << 10);
        let mut socket = TimedSocket::new(ours, Arc::new(Activity::default()), &limits());
        client.write_all(b"nonsense").await.unwrap();
        socket.read_exact(&mut [0; 8]).await.unwrap();
        let bare = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        socket.write_all(bare).await.unwrap();
        socket.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        drop(socket);
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n") && said.contains("\"malformed_http\""), "{said}");
        assert!(said.ends_with("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}"), "{said}");
    }
}
