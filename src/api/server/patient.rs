//! A client's socket with limits to our patience: for its first request, for headers, between requests, and for taking
//! an answer.

use crate::api::Limits;
use http::Version;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// What a connection's socket has to know of its requests.
#[derive(Debug, Default)]
pub struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
    http2: AtomicBool,
}

impl Activity {
    /// A request's headers are complete. It lasts until its guard is dropped.
    pub fn begin(activity: &Arc<Self>, version: Version) -> Busy {
        activity.http2.store(version == Version::HTTP_2, Relaxed);
        activity.begun.fetch_add(1, Relaxed);
        Busy(Arc::clone(activity))
    }
}

pub struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}

/// What the other side is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    FirstRequest,
    /// Some bytes of a request have come, its headers are not complete.
    Headers,
    NextRequest,
}

/// A socket whose reads and writes fail with `TimedOut` when the other side keeps us waiting too long.
pub struct Patient<Io> {
    io: Io,
    activity: Arc<Activity>,
    header_timeout: Duration,
    idle_timeout: Duration,
    write_timeout: Duration,
    waiting: Option<Waiting>,
    /// How many requests had begun when `waiting` was set.
    begun: u64,
    /// Bytes came while no request was being answered.
    partial: bool,
    reading: Timer,
    writing: Option<Timer>,
}

impl<Io> Patient<Io> {
    pub fn new(io: Io, activity: Arc<Activity>, limits: &Limits) -> Self {
        Self {
            io,
            activity,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            write_timeout: limits.write_timeout,
            waiting: Some(Waiting::FirstRequest),
            begun: 0,
            partial: false,
            reading: Timer::new(limits.header_timeout),
            writing: None,
        }
    }

    /// Whether a read that found nothing has waited too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let begun = self.activity.begun.load(Relaxed);
        if begun != self.begun {
            (self.begun, self.partial, self.waiting) = (begun, false, None);
        }
        let waiting = if self.activity.ended.load(Relaxed) < begun {
            self.waiting = None;
            return Poll::Pending;
        } else if begun == 0 {
            Waiting::FirstRequest
        } else if self.partial && !self.activity.http2.load(Relaxed) {
            Waiting::Headers
        } else {
            Waiting::NextRequest
        };
        if self.waiting != Some(waiting) {
            self.waiting = Some(waiting);
            self.reading.restart(if waiting == Waiting::NextRequest { self.idle_timeout } else { self.header_timeout });
        }
        self.reading.poll(cx)
    }

    fn written<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing = None;
            // Being idle begins after the last byte of an answer.
            if self.waiting == Some(Waiting::NextRequest) {
                self.waiting = None;
            }
            return written;
        }
        let timer = self.writing.get_or_insert_with(|| Timer::new(self.write_timeout));
        timer.poll(cx).map(Err)
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Patient<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.io).poll_read(cx, into) {
            Poll::Ready(read) => {
                this.partial = true;
                Poll::Ready(read)
            }
            Poll::Pending => this.poll_patience(cx).map(Err),
        }
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Patient<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.written(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

/// A deadline that is cheap to move back: the runtime's timer is only touched when it goes off early.
struct Timer {
    deadline: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl Timer {
    fn new(patience: Duration) -> Self {
        let deadline = Instant::now() + patience;
        Self { deadline, alarm: Box::pin(sleep_until(deadline)) }
    }

    fn restart(&mut self, patience: Duration) {
        self.deadline = Instant::now() + patience;
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

    fn pair() -> (Patient<DuplexStream>, DuplexStream, Arc<Activity>) {
        let (ours, theirs) = duplex(8);
        let activity = Arc::new(Activity::default());
        (Patient::new(ours, Arc::clone(&activity), &limits()), theirs, activity)
    }

    /// Seconds until a read gives up.
    async fn seconds_until_timeout(patient: &mut Patient<DuplexStream>) -> u64 {
        let began = Instant::now();
        let error = patient.read_u8().await.expect_err("nothing to read");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_waited_for_ten_seconds() {
        let (mut patient, _client, _activity) = pair();
        assert_eq!(seconds_until_timeout(&mut patient).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_trickle_in_do_not_buy_time() {
        let (mut patient, mut client, _activity) = pair();
        let trickle = async {
            loop {
                tokio::time::sleep(Duration::from_secs(3)).await;
                client.write_u8(b'x').await.unwrap();
            }
        };
        let read = async {
            let began = Instant::now();
            while patient.read_u8().await.is_ok() {}
            began.elapsed().as_secs()
        };
        let seconds = tokio::select! { biased; () = trickle => 0, seconds = read => seconds };
        assert_eq!(seconds, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_a_connection_may_rest_for_75_seconds_but_headers_have_ten() {
        let (mut patient, mut client, activity) = pair();
        client.write_u8(b'x').await.unwrap();
        patient.read_u8().await.unwrap();
        drop(Activity::begin(&activity, Version::HTTP_11));
        assert_eq!(seconds_until_timeout(&mut patient).await, 75);

        drop(Activity::begin(&activity, Version::HTTP_11));
        assert!(tokio::time::timeout(Duration::from_secs(60), patient.read_u8()).await.is_err());
        client.write_u8(b'x').await.unwrap();
        patient.read_u8().await.unwrap();
        assert_eq!(seconds_until_timeout(&mut patient).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn frames_between_http2_requests_are_no_headers() {
        let (mut patient, mut client, activity) = pair();
        drop(Activity::begin(&activity, Version::HTTP_2));
        client.write_u8(b'x').await.unwrap();
        patient.read_u8().await.unwrap();
        assert_eq!(seconds_until_timeout(&mut patient).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_request_is_answered_nothing_is_expected_of_its_client() {
        let (mut patient, _client, activity) = pair();
        let busy = Activity::begin(&activity, Version::HTTP_11);
        assert!(tokio::time::timeout(Duration::from_secs(300), patient.read_u8()).await.is_err());
        drop(busy);
        assert_eq!(seconds_until_timeout(&mut patient).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_taken_fails_after_30_seconds_and_every_byte_taken_buys_time() {
        let (mut patient, mut client, _activity) = pair();
        let began = Instant::now();
        let take = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            client.read_u8().await.unwrap();
            std::future::pending::<()>().await;
        };
        let error = tokio::select! {
            biased;
            error = patient.write_all(&[0; 64]) => error.expect_err("nobody reads"),
            () = take => unreachable!("it never ends"),
        };
        assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, 50));
    }
}
