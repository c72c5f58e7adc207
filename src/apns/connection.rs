//! One connection to Apple: a socket, the session on it, its timers. It owns no task; the lane that uses it polls it.

use super::connect::{HandshakeError, Transport, certificate_alert};
use super::liveness::{Action, Liveness, SETTINGS_WITHIN};
use super::request::{Heads, with_request};
use crate::model::{Batch, Notification};
use http2::{Blocked, Config, Event, Request, Session, StreamId};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The time limit of an answer; then its stream is reset and its slot is free again.
pub const ATTEMPT_DEADLINE: Duration = Duration::from_secs(10);
/// Attempts begun within this time share a deadline, which is early by at most as much.
const DEADLINE_GRANULARITY: Duration = Duration::from_millis(50);
/// The points that the session's abuse budget regains per second (nghttp2's number).
const REFILL_PER_SECOND: u32 = 330;
/// The number of our resets allowed per second: peers treat more than 100 in 30 s as an attack.
const RESETS_PER_SECOND: u32 = 3;
/// The time in which answers and a GOAWAY are still read after a failed write.
const READ_AFTER_WRITE_ERROR_FOR: Duration = Duration::from_secs(2);

/// The reason that a connection is over.
#[derive(Debug, thiserror::Error)]
pub enum Over {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("the peer does not answer, not even a PING")]
    Silent,
    #[error("the peer completed TLS and sent no HTTP/2 SETTINGS within {} s", SETTINGS_WITHIN.as_secs())]
    NoSettings,
    #[error("the peer broke HTTP/2: {0}")]
    Fault(String),
    #[error("it was drained")]
    Drained,
}

impl Over {
    /// The word for the metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken(_) => "broken",
            Self::Silent | Self::NoSettings => "silent",
            Self::Fault(_) => "fault",
            Self::Drained => "drained",
        }
    }

    /// The refusal of our certificate, if it is the reason of the end: under TLS 1.3 that alert arrives after the
    /// handshake.
    pub fn certificate_refused(&self) -> Option<HandshakeError> {
        let Self::Broken(error) = self else { return None };
        certificate_alert(error).map(HandshakeError::CertificateRefused)
    }
}

/// One connection to Apple. `T` is what the lane attaches to a request, and `H` the heads of its requests.
pub struct Connection<T, H = Heads> {
    io: Box<dyn Transport>,
    session: Session<T>,
    heads: H,
    liveness: Liveness,
    /// The start time and first stream id of groups of attempts, oldest first.
    attempt_deadlines: VecDeque<(Instant, StreamId)>,
    next_id: StreamId,
    /// The time of the last answer.
    answered: Instant,
    refilled: Instant,
    /// Set by a write error: reading continues until this time.
    linger: Option<(Instant, io::Error)>,
    retired: bool,
    /// The number of PINGs since it was last read.
    pings: u32,
}

impl<T> Connection<T> {
    /// Makes a request of a notification, which the next flush sends.
    pub fn send(&mut self, batch: &Batch, item: &Notification, tag: T, now: Instant) -> Result<(), (T, Blocked)> {
        self.begin(now, |heads, session| with_request(heads, batch, item, |request| session.request(request, tag)))
    }
}

impl<T, H> Connection<T, H> {
    pub fn new(io: Box<dyn Transport>, heads: H, now: Instant) -> Self {
        Self::with(io, heads, Config::default(), now)
    }

    /// A connection whose answers have bodies of up to `body_max` bytes.
    pub fn with_bodies_of(body_max: usize, io: Box<dyn Transport>, heads: H, now: Instant) -> Self {
        Self::with(io, heads, Config { body_max, ..Config::default() }, now)
    }

    fn with(io: Box<dyn Transport>, heads: H, config: Config, now: Instant) -> Self {
        let session = Session::new(config);
        let liveness = Liveness::new(now);
        let attempt_deadlines = VecDeque::new();
        let (answered, refilled) = (now, now);
        let (next_id, linger, retired, pings) = (1, None, false, 0);
        Self { io, session, heads, liveness, attempt_deadlines, next_id, answered, refilled, linger, retired, pings }
    }

    /// The number of requests that can start now, by the limit of streams. 0 while a PING is unanswered.
    pub fn slots_free(&self) -> usize {
        if self.retired || self.linger.is_some() || self.is_in_doubt() { 0 } else { self.session.slots_free() }
    }

    /// Returns true if a PING is unanswered after a long silence.
    pub fn is_in_doubt(&self) -> bool {
        self.liveness.is_asking()
    }

    /// The number of concurrent requests that the peer allows; 0 once new work must go elsewhere.
    pub fn streams_granted(&self) -> usize {
        if self.is_ready() && !self.is_leaving() { self.session.stream_limit() as usize } else { 0 }
    }

    /// Returns true if the socket did not accept all output.
    pub fn is_writing(&self) -> bool {
        !self.session.output().is_empty()
    }

    /// Returns true if bodies wait for their stream's flow-control window.
    pub fn waits_for_window(&self) -> bool {
        self.session.bodies_wait()
    }

    /// The number of PINGs since the last call.
    pub fn take_pings(&mut self) -> u32 {
        std::mem::take(&mut self.pings)
    }

    /// The number of requests begun.
    pub fn requests(&self) -> u32 {
        self.next_id / 2
    }

    /// The tag of each request that has not ended.
    pub fn tags(&self) -> impl Iterator<Item = &T> {
        self.session.open_streams().map(|(_, tag)| tag)
    }

    /// The number of requests that have not ended.
    pub fn open(&self) -> usize {
        self.session.open()
    }

    /// Returns true once the peer's SETTINGS arrived.
    pub fn is_ready(&self) -> bool {
        self.session.is_ready()
    }

    /// Returns true if new work must go elsewhere.
    pub fn is_leaving(&self) -> bool {
        self.retired || self.linger.is_some() || self.session.is_draining() || self.session.fault().is_some()
    }

    /// Accepts no new work; open requests finish.
    pub fn retire(&mut self) {
        self.retired = true;
        self.session.shut_down();
    }

    pub fn heads(&mut self) -> &mut H {
        &mut self.heads
    }

    /// Makes a request, which the next flush sends.
    pub fn request(&mut self, request: &Request<'_>, tag: T, now: Instant) -> Result<(), (T, Blocked)> {
        self.begin(now, |_, session| session.request(request, tag))
    }

    #[inline]
    fn begin(
        &mut self,
        now: Instant,
        request: impl FnOnce(&mut H, &mut Session<T>) -> Result<StreamId, http2::Refused<T>>,
    ) -> Result<(), (T, Blocked)> {
        match request(&mut self.heads, &mut self.session) {
            Ok(id) => {
                if self.attempt_deadlines.back().is_none_or(|(at, _)| now.duration_since(*at) >= DEADLINE_GRANULARITY) {
                    self.attempt_deadlines.push_back((now, id));
                }
                self.next_id = id + 2;
                Ok(())
            }
            Err(refused) => Err((refused.tag, refused.why)),
        }
    }

    /// Reads once into `scratch`, and passes the events to `on_event`. `Ready(Ok(false))` is the end of the peer's
    /// stream.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        now: Instant,
        mut on_event: impl FnMut(Event<'_, T>),
    ) -> Poll<io::Result<bool>> {
        let mut buffer = ReadBuf::new(scratch);
        std::task::ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
        let mut input = buffer.filled();
        let alive = !input.is_empty();
        self.liveness.hear(now);
        while let Some(event) = self.session.receive(&mut input) {
            if let Event::Answered { .. } = event {
                self.answered = now;
            }
            on_event(event);
        }
        Poll::Ready(Ok(alive))
    }

    /// Writes the waiting output. `Ready(true)` if bytes were written. An error is kept until everything is read, since
    /// answers and a GOAWAY may be waiting.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<bool> {
        if self.linger.is_some() {
            return Poll::Pending;
        }
        let mut wrote = false;
        loop {
            let waiting = self.session.output();
            let step = if waiting.is_empty() {
                Pin::new(&mut self.io).poll_flush(cx).map_ok(|()| 0)
            } else {
                Pin::new(&mut self.io).poll_write(cx, waiting)
            };
            match step {
                Poll::Ready(Ok(0)) if waiting.is_empty() => break,
                Poll::Ready(Ok(0)) => return self.write_failed(now, io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(taken)) => {
                    self.session.handed(taken);
                    wrote = true;
                }
                Poll::Ready(Err(error)) => return self.write_failed(now, error),
                Poll::Pending => break,
            }
        }
        self.liveness.expect(self.session.open() > 0, now);
        if wrote { Poll::Ready(true) } else { Poll::Pending }
    }

    fn write_failed(&mut self, now: Instant, error: io::Error) -> Poll<bool> {
        self.linger = Some((now + READ_AFTER_WRITE_ERROR_FOR, error));
        Poll::Ready(true)
    }

    /// Serves the timers. Attempts past their deadline end through `on_event`; an error means that the connection is
    /// over.
    pub fn on_time(&mut self, now: Instant, mut on_event: impl FnMut(Event<'_, T>)) -> Result<(), Over> {
        self.refill(now);
        while let Some(&(began, _)) = self.attempt_deadlines.front() {
            if now < began + ATTEMPT_DEADLINE {
                break;
            }
            self.attempt_deadlines.pop_front();
            let before = self.attempt_deadlines.front().map_or(self.next_id, |(_, id)| *id);
            let overdue: Vec<StreamId> = self.session.open_before(before).collect();
            self.cancel_all(&overdue, &mut on_event);
            // The peer may answer PINGs, but no request; requests that were given up early count too.
            if self.answered < began {
                self.retire();
            }
        }
        if let Some((_, error)) = self.linger.take_if(|(until, _)| *until <= now) {
            return Err(Over::Broken(error));
        }
        match self.liveness.next_action(self.session.is_ready(), now) {
            Action::Fine => Ok(()),
            Action::Dead if self.is_ready() => Err(Over::Silent),
            Action::Dead => Err(Over::NoSettings),
            Action::Ping => {
                self.ping();
                Ok(())
            }
        }
    }

    fn refill(&mut self, now: Instant) {
        let seconds = u32::try_from(now.duration_since(self.refilled).as_secs()).unwrap_or(u32::MAX);
        if seconds > 0 {
            self.session.refill(seconds.saturating_mul(REFILL_PER_SECOND));
            self.session.refill_resets(seconds.saturating_mul(RESETS_PER_SECOND));
            self.refilled = now;
        }
    }

    fn ping(&mut self) {
        self.session.ping(u64::from(self.next_id));
        self.pings += 1;
    }

    fn cancel_all(&mut self, ids: &[StreamId], on_event: &mut impl FnMut(Event<'_, T>)) {
        for id in ids {
            if let Some(event) = self.session.cancel(*id) {
                on_event(event);
            }
        }
        // The slots count as taken until the peer sends something, which may otherwise not be due now.
        if !ids.is_empty() {
            self.ping();
        }
        // The slots of streams that could not be reset are lost for this connection.
        if self.session.resets_left() == 0 {
            self.retire();
        }
    }

    /// The time of the next [`Self::on_time`].
    pub fn next_time(&self) -> Option<Instant> {
        let attempt =
            self.attempt_deadlines.front().filter(|_| self.open() > 0).map(|(began, _)| *began + ATTEMPT_DEADLINE);
        let linger = self.linger.as_ref().map(|(until, _)| *until);
        [attempt, linger, self.liveness.next(self.session.is_ready())].into_iter().flatten().min()
    }

    /// The reason that the connection is over: the peer broke the protocol, or a leaving connection has drained. Call
    /// it after a flush, which informs the peer.
    pub fn over(&self) -> Option<Over> {
        if let Some(fault) = self.session.fault() {
            return Some(Over::Fault(fault.to_string()));
        }
        let leaving = self.retired || self.session.is_draining();
        (leaving && self.open() == 0).then_some(Over::Drained)
    }

    /// Ends the attempts that `which` selects; `on_event` receives the end of each.
    pub fn cancel(&mut self, mut which: impl FnMut(&T) -> bool, mut on_event: impl FnMut(Event<'_, T>)) {
        let chosen: Vec<StreamId> =
            self.session.open_streams().filter(|(_, tag)| which(tag)).map(|(id, _)| id).collect();
        self.cancel_all(&chosen, &mut on_event);
    }

    /// Ends each open attempt, because the socket is closed.
    pub fn close(mut self, mut on_event: impl FnMut(Event<'_, T>)) {
        while let Some(event) = self.session.closed() {
            on_event(event);
        }
    }
}
