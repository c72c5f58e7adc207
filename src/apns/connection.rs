//! One connection to Apple: a socket, the session on it, its timers. It owns no task; the lane that uses it polls it.

use super::connect::{HandshakeError, Transport, certificate_alert};
use super::liveness::{Action, Liveness, SETTINGS_WITHIN};
use super::request::{Heads, with_request};
use crate::model::{Batch, Notification};
use http2::{Blocked, Config, Event, Session, StreamId};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Longest wait for one answer; then its stream is reset and its slot is free again.
pub const ATTEMPT_DEADLINE: Duration = Duration::from_secs(10);
/// Attempts begun within this time share a mark, and so a deadline that is early by at most as much.
const DEADLINE_GRANULARITY: Duration = Duration::from_millis(50);
/// Points of the session's abuse budget handed back per second (nghttp2's figure).
const REFILL_PER_SECOND: u32 = 330;
/// Resets of ours allowed again per second: peers take more than 100 in 30 s for an attack.
const RESETS_PER_SECOND: u32 = 3;
/// The time during which answers and a GOAWAY are still read after a write failed.
const READ_AFTER_WRITE_ERROR_FOR: Duration = Duration::from_secs(2);

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub enum Over {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("the peer answers nothing, not even a PING")]
    Silent,
    #[error("the peer completed TLS and sent no HTTP/2 SETTINGS within {} s", SETTINGS_WITHIN.as_secs())]
    NoSettings,
    #[error("the peer broke HTTP/2: {0}")]
    Fault(String),
    #[error("it was drained")]
    Drained,
}

impl Over {
    /// One word for it, for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken(_) => "broken",
            Self::Silent | Self::NoSettings => "silent",
            Self::Fault(_) => "fault",
            Self::Drained => "drained",
        }
    }

    /// The refusal of our certificate, if that is why the peer ended it: under TLS 1.3 that alert comes only once the
    /// handshake looks finished.
    pub fn certificate_refused(&self) -> Option<HandshakeError> {
        let Self::Broken(error) = self else { return None };
        certificate_alert(error).map(HandshakeError::CertificateRefused)
    }
}

/// One connection to Apple. `T` is what the lane attaches to a request.
pub struct Connection<T> {
    io: Box<dyn Transport>,
    session: Session<T>,
    heads: Heads,
    liveness: Liveness,
    /// Since when, and from which stream id on, attempts run; oldest first.
    attempt_deadlines: VecDeque<(Instant, StreamId)>,
    next_id: StreamId,
    /// When the last answer came.
    answered: Instant,
    refilled: Instant,
    /// Set by a write error: reading goes on until here.
    linger: Option<(Instant, io::Error)>,
    retired: bool,
    /// PINGs sent since they were last asked for.
    pings: u32,
}

impl<T> Connection<T> {
    pub fn new(io: Box<dyn Transport>, heads: Heads, now: Instant) -> Self {
        let session = Session::new(Config::default());
        let liveness = Liveness::new(now);
        let attempt_deadlines = VecDeque::new();
        let (answered, refilled) = (now, now);
        let (next_id, linger, retired, pings) = (1, None, false, 0);
        Self { io, session, heads, liveness, attempt_deadlines, next_id, answered, refilled, linger, retired, pings }
    }

    /// Requests that can start now, as far as streams go. None while it is in doubt whether the peer lives.
    pub fn slots_free(&self) -> usize {
        if self.retired || self.linger.is_some() || self.is_in_doubt() { 0 } else { self.session.slots_free() }
    }

    /// True if the peer has been silent for long, and a PING is unanswered.
    pub fn is_in_doubt(&self) -> bool {
        self.liveness.is_asking()
    }

    /// Requests that the peer allows at once; none once new work must go elsewhere.
    pub fn streams_granted(&self) -> usize {
        if self.is_ready() && !self.is_leaving() { self.session.stream_limit() as usize } else { 0 }
    }

    /// True if the socket did not take all output.
    pub fn is_writing(&self) -> bool {
        !self.session.output().is_empty()
    }

    /// True if bodies wait for their stream's flow-control window.
    pub fn waits_for_window(&self) -> bool {
        self.session.bodies_wait()
    }

    /// PINGs sent since this was last asked.
    pub fn take_pings(&mut self) -> u32 {
        std::mem::take(&mut self.pings)
    }

    /// Requests begun so far.
    pub fn requests(&self) -> u32 {
        self.next_id / 2
    }

    /// The tag of each request that has not ended.
    pub fn tags(&self) -> impl Iterator<Item = &T> {
        self.session.open_streams().map(|(_, tag)| tag)
    }

    /// Requests without an end yet.
    pub fn open(&self) -> usize {
        self.session.open()
    }

    /// True once the peer's SETTINGS arrived.
    pub fn is_ready(&self) -> bool {
        self.session.is_ready()
    }

    /// True if new work must go elsewhere.
    pub fn is_leaving(&self) -> bool {
        self.retired || self.linger.is_some() || self.session.is_draining() || self.session.fault().is_some()
    }

    /// Takes no new work; what is open finishes.
    pub fn retire(&mut self) {
        self.retired = true;
        self.session.shut_down();
    }

    pub fn heads(&mut self) -> &mut Heads {
        &mut self.heads
    }

    /// Turns a notification into a request, to go out with the next flush.
    pub fn send(&mut self, batch: &Batch, item: &Notification, tag: T, now: Instant) -> Result<(), (T, Blocked)> {
        let session = &mut self.session;
        let sent = with_request(&mut self.heads, batch, item, |request| session.request(request, tag));
        match sent {
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

    /// Reads once into `scratch` and tells what it held. `Ready(Ok(false))` is the peer's end of the stream.
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

    /// Writes what waits. `Ready(true)` if bytes left; an error is kept until reading has run dry, since answers and a
    /// GOAWAY may be waiting.
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

    /// Serves the timers. Attempts past their deadline end through `on_event`; an error says that the connection is
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
            // It answers PINGs, maybe, but no request; those given up before their time count, too.
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
        // The slots count as taken until the peer is heard, which may owe us nothing else now.
        if !ids.is_empty() {
            self.ping();
        }
        // Slots of streams that could not be reset any more are lost to this connection.
        if self.session.resets_left() == 0 {
            self.retire();
        }
    }

    /// When [`Self::on_time`] has something to do.
    pub fn next_time(&self) -> Option<Instant> {
        let attempt =
            self.attempt_deadlines.front().filter(|_| self.open() > 0).map(|(began, _)| *began + ATTEMPT_DEADLINE);
        let linger = self.linger.as_ref().map(|(until, _)| *until);
        [attempt, linger, self.liveness.next(self.session.is_ready())].into_iter().flatten().min()
    }

    /// The reason why nothing is left to do here: the peer broke the protocol, or a leaving connection has drained. Ask
    /// after a flush, which is the peer's one chance to hear of it.
    pub fn over(&self) -> Option<Over> {
        if let Some(fault) = self.session.fault() {
            return Some(Over::Fault(fault.to_string()));
        }
        let leaving = self.retired || self.session.is_draining();
        (leaving && self.open() == 0).then_some(Over::Drained)
    }

    /// Ends the attempts chosen by `which`; `on_event` receives the end of each.
    pub fn cancel(&mut self, mut which: impl FnMut(&T) -> bool, mut on_event: impl FnMut(Event<'_, T>)) {
        let chosen: Vec<StreamId> =
            self.session.open_streams().filter(|(_, tag)| which(tag)).map(|(id, _)| id).collect();
        self.cancel_all(&chosen, &mut on_event);
    }

    /// The socket is closed: the end of each attempt still open.
    pub fn close(mut self, mut on_event: impl FnMut(Event<'_, T>)) {
        while let Some(event) = self.session.closed() {
            on_event(event);
        }
    }
}
