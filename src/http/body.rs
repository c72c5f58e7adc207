//! Collects a request's body once, into one piece of memory, within the limits.

mod pieces;

use super::Limits;
use super::error::RequestError;
use crate::budget::{Budget, Permit};
use axum::body::Body;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use pieces::Pieces;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The number of bytes that must arrive in each window: 1 KiB a second.
const PACE_WINDOW: Duration = Duration::from_secs(5);
const PACE_WINDOW_BYTES_MIN: usize = 5 << 10;
/// The step of memory reservations. Memory is reserved as bytes arrive, so that a declared length takes nothing from
/// other bodies.
const RESERVE_STEP_BYTES: usize = 64 << 10;
/// Bodies that take longer than one window share the budget divided by this number. The rest is for fast bodies.
const SLOW_BODIES_DIVISOR: usize = 4;
/// The memory of a stream of lines: its blocks in flight with their outcomes, and the bytes being read and written.
pub const STREAM_BYTES: usize = 4 << 20;

/// Limits the memory of all bodies that are being read or answered.
#[derive(Debug, Clone)]
pub struct Bodies {
    body_bytes: usize,
    in_flight_bytes: usize,
    in_flight: Arc<Budget>,
    /// The share of slow bodies.
    slow: Arc<Budget>,
    /// The permits of open streams.
    streams: Arc<Budget>,
}

/// A stream's permit: its share of the body budget, and one of the streams.
#[derive(Debug)]
pub struct StreamPermit {
    _bytes: Permit,
    _stream: Permit,
}

/// A body with its share of the budget.
#[derive(Debug)]
pub struct Collected {
    pub bytes: Bytes,
    permit: BodyPermit,
}

/// Memory reserved for a body, or for its response afterwards.
#[derive(Debug)]
pub struct BodyPermit(Permit);

impl Collected {
    /// The permit, for the response.
    pub fn into_permit(self) -> BodyPermit {
        self.permit
    }
}

/// A response that holds its permit until its last byte is written, so that callers who do not read are counted.
struct ResponseBytes {
    response: Vec<u8>,
    _permit: BodyPermit,
}

impl AsRef<[u8]> for ResponseBytes {
    fn as_ref(&self) -> &[u8] {
        &self.response
    }
}

impl Bodies {
    pub fn new(limits: &Limits) -> Self {
        let in_flight_bytes = limits.in_flight_bytes;
        let in_flight = Budget::new(in_flight_bytes);
        // Streams get at most half of the memory, so that plain requests always get some.
        let streams = Budget::new((in_flight_bytes / 2 / STREAM_BYTES).max(1));
        let slow = Budget::new(in_flight_bytes / SLOW_BODIES_DIVISOR);
        Self { body_bytes: limits.body_bytes, in_flight_bytes, in_flight, slow, streams }
    }

    /// Makes `response` a body that holds `permit` for as long as it is in memory, grown to the size of the response.
    /// The caller must get its outcomes, so the body is created even beyond the budget.
    pub fn hold(&self, response: Vec<u8>, mut permit: BodyPermit) -> Bytes {
        let _grown = permit.0.try_grow(response.len().saturating_sub(permit.0.amount()));
        Bytes::from_owner(ResponseBytes { response, _permit: permit })
    }

    /// Reserves the memory of a stream, which holds at most [`STREAM_BYTES`] at a time.
    pub fn reserve_stream(&self) -> Result<StreamPermit, RequestError> {
        let stream = self.streams.try_acquire(1);
        let bytes = self.in_flight.try_acquire(STREAM_BYTES.min(self.in_flight_bytes));
        match (stream, bytes) {
            (Some(stream), Some(bytes)) => Ok(StreamPermit { _bytes: bytes, _stream: stream }),
            _ => Err(RequestError::TooManyBytesInFlight { limit: self.in_flight_bytes }),
        }
    }

    /// Reads the whole body of `request`, with any `Content-Type`.
    pub async fn collect(&self, request: Request<Body>) -> Result<Collected, RequestError> {
        refuse_encoded(request.headers())?;
        self.read_body(request.into_body()).await
    }

    async fn read_body(&self, mut body: Body) -> Result<Collected, RequestError> {
        let declared = body.size_hint().exact().map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if declared > isize::MAX as usize {
            return Err(RequestError::LengthTooLarge { limit: self.body_bytes });
        }
        if declared > self.body_bytes {
            return Err(RequestError::BodyTooLarge { limit: self.body_bytes });
        }
        let mut permit = self.in_flight.empty_permit();
        self.reserve(&mut permit, declared.min(RESERVE_STEP_BYTES))?;
        let mut slow = None;
        let mut pace = Pace { began: Instant::now(), window_start: Instant::now(), due_bytes: PACE_WINDOW_BYTES_MIN };
        let mut pieces = Pieces::expecting(declared);
        loop {
            let frame = match timeout_at(pace.window_start + PACE_WINDOW, body.frame()).await {
                Ok(Some(frame)) => frame.map_err(|_| RequestError::BodyIncomplete)?,
                Ok(None) => break,
                Err(_) => return Err(RequestError::BodyTooSlow),
            };
            let Ok(data) = frame.into_data() else { continue };
            let total = pieces.len() + data.len();
            if total > permit.amount() {
                self.reserve_more(&mut permit, total, declared)?;
            }
            if pace.is_slow(total) {
                self.reserve_slow(&mut slow, permit.amount())?;
            }
            pieces.add(data).await;
        }
        let bytes = pieces.join().await;
        Ok(Collected { bytes, permit: BodyPermit(permit) })
    }

    /// Doubles the reservation if the budget allows it, so that reservations are rare; else reserves the bytes needed.
    fn reserve_more(&self, permit: &mut Permit, total: usize, declared: usize) -> Result<(), RequestError> {
        let bound = if declared > 0 { declared } else { self.body_bytes };
        let wanted = (2 * permit.amount()).min(bound).max(total);
        self.reserve(permit, wanted).or_else(|_| self.reserve(permit, total))
    }

    fn reserve_slow(&self, slow: &mut Option<Permit>, total: usize) -> Result<(), RequestError> {
        let slow = slow.get_or_insert_with(|| self.slow.empty_permit());
        let limit = self.in_flight_bytes / SLOW_BODIES_DIVISOR;
        slow.try_grow(total - slow.amount()).then_some(()).ok_or(RequestError::TooManySlowBodies { limit })
    }

    /// Makes `permit` that of a body of `total` bytes.
    fn reserve(&self, permit: &mut Permit, total: usize) -> Result<(), RequestError> {
        if total > self.body_bytes {
            return Err(RequestError::BodyTooLarge { limit: self.body_bytes });
        }
        let limit = self.in_flight_bytes;
        permit.try_grow(total - permit.amount()).then_some(()).ok_or(RequestError::TooManyBytesInFlight { limit })
    }
}

/// The progress of a body.
struct Pace {
    began: Instant,
    /// The start of the current window.
    window_start: Instant,
    /// The number of bytes that must have arrived by the window's end.
    due_bytes: usize,
}

impl Pace {
    /// Starts a new window if `received` bytes are enough. Returns true if the body has taken longer than one window.
    fn is_slow(&mut self, received: usize) -> bool {
        let now = Instant::now();
        if received >= self.due_bytes {
            self.window_start = now;
            self.due_bytes = received + PACE_WINDOW_BYTES_MIN;
        }
        now - self.began > PACE_WINDOW
    }
}

/// Refuses a body with a `Content-Encoding`.
pub fn refuse_encoded(headers: &HeaderMap) -> Result<(), RequestError> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            Err(RequestError::ContentEncoding { encoding: String::from_utf8_lossy(encoding.as_bytes()).into_owned() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::HttpBody;
    use http_body_util::Full;
    use hyper::body::Frame;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// A chunked body: its pieces, then its end or an endless stall.
    struct Pieces {
        pieces: Vec<&'static [u8]>,
        stalls: bool,
    }

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.pieces.is_empty() {
                return if self.stalls { Poll::Pending } else { Poll::Ready(None) };
            }
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.pieces.remove(0))))))
        }
    }

    fn bodies(body_bytes: usize, in_flight_bytes: usize) -> Bodies {
        Bodies::new(&Limits { body_bytes, in_flight_bytes, ..Limits::default() })
    }

    fn chunked(pieces: &[&'static [u8]]) -> Request<Body> {
        Request::new(Body::new(Pieces { pieces: pieces.to_vec(), stalls: false }))
    }

    fn declared(body: &'static [u8]) -> Request<Body> {
        Request::new(Body::new(Full::new(Bytes::from_static(body))))
    }

    #[tokio::test]
    async fn a_body_of_one_piece_is_copied_only_if_small_and_pieces_are_joined() {
        const WHOLE: &[u8] = b"0123456789";
        const LARGE: &[u8] = &[b'x'; 5_000];
        let bodies = bodies(5_000, 50_000);
        let large = bodies.collect(declared(LARGE)).await.unwrap();
        assert_eq!(large.bytes.as_ptr(), LARGE.as_ptr());
        let small = bodies.collect(declared(WHOLE)).await.unwrap();
        assert!(small.bytes == WHOLE && small.bytes.as_ptr() != WHOLE.as_ptr(), "else it holds what it was read into");
        let pieces = bodies.collect(chunked(&[b"", b"012", b"", b"3456", b"789"])).await.unwrap();
        assert_eq!(pieces.bytes, WHOLE);
        assert!(bodies.collect(chunked(&[])).await.unwrap().bytes.is_empty());
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_with_and_without_a_declared_length() {
        let bodies = bodies(10, 100);
        for request in [declared(b"0123456789a"), chunked(&[b"01234", b"56789", b"a"])] {
            assert!(matches!(bodies.collect(request).await, Err(RequestError::BodyTooLarge { limit: 10 })));
        }
        assert_eq!(bodies.in_flight.left(), 100);
    }

    #[tokio::test]
    async fn all_bodies_together_stay_within_their_limit_and_release_their_memory() {
        let bodies = bodies(10, 15);
        let first = bodies.collect(declared(b"0123456789")).await.unwrap();
        for request in [declared(b"012345"), chunked(&[b"012", b"345"])] {
            assert!(matches!(bodies.collect(request).await, Err(RequestError::TooManyBytesInFlight { limit: 15 })));
        }
        drop(first);
        assert!(bodies.collect(declared(b"012345")).await.is_ok());
        assert_eq!(bodies.in_flight.left(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_is_refused_after_five_seconds() {
        let began = Instant::now();
        let request = Request::new(Body::new(Pieces { pieces: vec![b"{"], stalls: true }));
        assert!(matches!(bodies(10, 10).collect(request).await, Err(RequestError::BodyTooSlow)));
        assert_eq!(began.elapsed().as_secs(), 5);
    }

    /// A piece every `every`.
    struct Trickle {
        piece: &'static [u8],
        every: Duration,
        next: Pin<Box<tokio::time::Sleep>>,
    }

    impl HttpBody for Trickle {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            std::task::ready!(self.next.as_mut().poll(cx));
            let next = Instant::now() + self.every;
            self.next.as_mut().reset(next);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.piece)))))
        }
    }

    fn trickle(piece: &'static [u8], seconds: u64) -> Request<Body> {
        let every = Duration::from_secs(seconds);
        Request::new(Body::new(Trickle { piece, every, next: Box::pin(tokio::time::sleep(every)) }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_must_arrive_at_a_kibibyte_a_second_also_after_a_burst() {
        let began = Instant::now();
        let slow = bodies(1 << 20, 1 << 20).collect(trickle(&[b'x'; 4000], 4)).await;
        assert!(matches!(slow, Err(RequestError::BodyTooSlow)));
        assert_eq!(began.elapsed().as_secs(), 5);

        // A burst does not extend the deadline.
        let began = Instant::now();
        static BURST: [u8; 1 << 20] = [b'x'; 1 << 20];
        let request = Request::new(Body::new(Pieces { pieces: vec![&BURST], stalls: true }));
        assert!(matches!(bodies(2 << 20, 2 << 20).collect(request).await, Err(RequestError::BodyTooSlow)));
        assert_eq!(began.elapsed().as_secs(), 5);

        let steady = bodies(20_000, 1 << 20).collect(trickle(&[b'x'; 6000], 4)).await;
        assert!(
            matches!(steady, Err(RequestError::BodyTooLarge { limit: 20_000 })),
            "it is accepted while it arrives at that rate"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn slow_bodies_leave_memory_for_fast_ones() {
        let bodies = bodies(100_000, 80_000);
        let slow = || bodies.collect(trickle(&[b'x'; 8000], 4));
        let (one, two, three) = tokio::join!(slow(), slow(), slow());
        for ended in [one, two, three] {
            assert!(matches!(ended, Err(RequestError::TooManySlowBodies { limit: 20_000 })), "{ended:?}");
        }
        assert_eq!((bodies.in_flight.left(), bodies.slow.left()), (80_000, 20_000));
    }

    #[tokio::test]
    async fn a_declared_length_reserves_no_memory() {
        struct Declared;
        impl HttpBody for Declared {
            type Data = Bytes;
            type Error = Infallible;
            fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
                Poll::Pending
            }
            fn size_hint(&self) -> hyper::body::SizeHint {
                hyper::body::SizeHint::with_exact(4 << 20)
            }
        }
        let bodies = bodies(4 << 20, 4 << 20);
        let mut reading = std::pin::pin!(bodies.collect(Request::new(Body::new(Declared))));
        assert!(futures_poll(reading.as_mut()).await.is_pending());
        assert_eq!(bodies.in_flight.left(), (4 << 20) - RESERVE_STEP_BYTES);
    }

    async fn futures_poll<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
        std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
    }

    #[tokio::test]
    async fn a_response_holds_its_memory_until_its_bytes_are_written() {
        let bodies = bodies(100, 1_000);
        let permit = bodies.collect(declared(b"0123456789")).await.unwrap().into_permit();
        let response = bodies.hold(vec![b'x'; 400], permit);
        let rest = response.slice(399..);
        drop(response);
        assert_eq!(bodies.in_flight.left(), 600);
        drop(rest);
        assert_eq!(bodies.in_flight.left(), 1_000);
    }

    #[tokio::test]
    async fn a_body_with_a_content_encoding_is_refused() {
        let mut request = declared(b"{}");
        request.headers_mut().insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        let refused = bodies(10, 10).collect(request).await.expect_err("an encoding");
        assert_eq!(refused.to_string(), "the body is encoded as `gzip`: send it without an encoding");
    }
}
