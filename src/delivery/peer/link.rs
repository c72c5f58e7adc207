//! A link: the one task that owns a connection to a peer, from its inbox of errands to the socket. It is a lane's twin:
//! an errand comes in as one message and goes out as one.

pub mod exchange;
mod inbox;
mod liveness;
mod pauses;

pub use inbox::{ERRAND_BYTES_MAX, ERRANDS_MAX, Inbox, LinkPlace, Outlet, Seat, Sign};

use super::dial;
use super::greeting::Mismatch;
use super::metrics::{Ends, PeerMetrics};
use super::peers::Peers;
use super::pipe::Pipe;
use crate::model::NodeName;
use exchange::{End, Exchange, Phase};
use liveness::Finding;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// Rounds in a row before other tasks get their turn.
const ROUNDS_MAX: usize = 16;

/// Opens a connection to the peer.
pub type Dial = Box<dyn Fn() -> Dialling + Send>;
pub type Dialling = Pin<Box<dyn Future<Output = io::Result<Pipe>> + Send>>;

/// The state of the connection.
enum Io {
    Down,
    Dialling(Dialling),
    Open(Pipe),
}

/// The task of a link.
pub struct Link {
    node: NodeName,
    inbox: Outlet,
    /// No more errands will come.
    is_closed: bool,
    /// Since it was woken all that were ready had their turn, so that their errands go out in the same write.
    gave_way: bool,
    exchange: Exchange,
    io: Io,
    dial: Dial,
    peers: Arc<Peers>,
    metrics: PeerMetrics,
    /// The last fault that was logged; cleared once the peer answers.
    logged: Option<String>,
    timer: Pin<Box<Sleep>>,
    /// `None` once there is no time to finish things.
    forced: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// The parts of a link.
pub struct Parts {
    pub node: NodeName,
    pub inbox: Outlet,
    pub exchange: Exchange,
    pub dial: Dial,
    pub peers: Arc<Peers>,
    pub metrics: PeerMetrics,
    pub forced: WaitForCancellationFutureOwned,
}

impl Link {
    pub fn new(parts: Parts) -> Self {
        let Parts { node, inbox, exchange, dial, peers, metrics, forced } = parts;
        Self {
            node,
            inbox,
            is_closed: false,
            gave_way: false,
            exchange,
            io: Io::Down,
            dial,
            peers,
            metrics,
            logged: None,
            timer: Box::pin(tokio::time::sleep_until(Instant::now())),
            forced: Some(Box::pin(forced)),
        }
    }

    /// Runs until the inbox is closed and every errand has ended.
    pub async fn run(mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.gave_way, true) {
            for _ in 0..ROUNDS_MAX {
                let has_moved = self.round(cx);
                if self.is_closed && self.exchange.is_idle() {
                    return Poll::Ready(());
                }
                if !has_moved && self.poll_timer(cx).is_pending() {
                    self.gave_way = false;
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Returns `true` if anything moved.
    fn round(&mut self, cx: &mut Context<'_>) -> bool {
        let now = Instant::now();
        // What arrived comes first: see `Exchange::elapse`.
        let mut has_moved = self.poll_connection(cx, now);
        has_moved |= self.take_errands(cx, now);
        if self.exchange.elapse(now) == Finding::Dead {
            self.close(now, "it has not answered, or taken bytes, for 3 seconds");
        }
        has_moved |= self.write(cx, now);
        if self.exchange.is_finished() {
            if let Io::Open(pipe) = &mut self.io {
                // It is a courtesy: the peer sees the end of the connection in any case.
                let _ = pipe.poll_close(cx);
            }
            self.close(now, "it leaves");
        }
        if self.forced.as_mut().is_some_and(|forced| forced.as_mut().poll(cx).is_ready()) {
            self.forced = None;
        }
        if self.forced.is_none() {
            self.exchange.finish(now);
        }
        self.set_reachable(self.exchange.is_reachable());
        let round_trip = self.exchange.take_round_trip();
        round_trip.into_iter().for_each(|time| self.metrics.round_trip.set(time.as_secs_f64()));
        self.finish_errands();
        has_moved
    }

    fn take_errands(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut has_moved = false;
        while let Poll::Ready(Some(question)) = self.inbox.questions.poll_recv(cx) {
            self.exchange.ask(question, now);
            has_moved = true;
        }
        while !self.is_closed {
            match self.inbox.receiver.poll_recv(cx) {
                Poll::Ready(Some(forwarded)) => {
                    self.metrics.errands.inc();
                    self.exchange.push(forwarded, now);
                    has_moved = true;
                }
                Poll::Ready(None) => self.is_closed = true,
                Poll::Pending => break,
            }
        }
        has_moved
    }

    /// Opens the connection when it is time, and reads what arrived.
    fn poll_connection(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        match &mut self.io {
            Io::Down => {
                let may_open = matches!(self.exchange.phase(), Phase::Down { until } if until <= now);
                if may_open && !self.is_closed {
                    self.exchange.connecting();
                    self.io = Io::Dialling((self.dial)());
                    return true;
                }
                false
            }
            Io::Dialling(dialling) => match dialling.as_mut().poll(cx) {
                Poll::Ready(Ok(pipe)) => {
                    self.exchange.opened(self.peers.hello(), now);
                    self.io = Io::Open(pipe);
                    true
                }
                Poll::Ready(Err(error)) => {
                    dial::refusal(&error).into_iter().for_each(|why| self.peers.metrics().refuse(why));
                    self.close(now, &error.to_string());
                    true
                }
                Poll::Pending => false,
            },
            Io::Open(_) => self.read(cx, now),
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut has_moved = false;
        while let Io::Open(pipe) = &mut self.io {
            let fault = match pipe.poll_read(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok([])) => Fault::Ended("it closed the connection".to_owned()),
                Poll::Ready(Err(error)) => Fault::Ended(error.to_string()),
                Poll::Ready(Ok(bytes)) => match self.exchange.received(bytes, now) {
                    Ok(()) => {
                        has_moved = true;
                        continue;
                    }
                    Err(mismatch) => Fault::Peers(mismatch),
                },
            };
            if let Fault::Peers(mismatch) = &fault {
                self.peers.metrics().refuse(mismatch.label());
            }
            self.close(now, &fault.to_string());
            has_moved = true;
        }
        has_moved
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut has_moved = false;
        while let Io::Open(pipe) = &mut self.io {
            let bytes = self.exchange.fill(now);
            let written =
                if bytes.is_empty() { pipe.poll_flush(cx).map_ok(|()| 0) } else { pipe.poll_write(cx, bytes) };
            match written {
                Poll::Ready(Ok(0)) | Poll::Pending => break,
                Poll::Ready(Ok(count)) => {
                    self.exchange.taken(count, now);
                    has_moved = true;
                }
                Poll::Ready(Err(error)) => {
                    // Its last answers may have arrived before.
                    self.read(cx, now);
                    self.close(now, &error.to_string());
                    has_moved = true;
                }
            }
        }
        has_moved
    }

    /// Drops the connection, if there still is one. The fault is logged once until the peer answers again.
    fn close(&mut self, now: Instant, why: &str) {
        if matches!(self.exchange.phase(), Phase::Down { .. }) {
            return;
        }
        self.io = Io::Down;
        if self.logged.as_deref() != Some(why) {
            tracing::warn!(peer = %self.node, "the connection to this node is down: {why}");
            self.logged = Some(why.to_owned());
        }
        self.exchange.closed(now, fastrand::f64());
    }

    fn set_reachable(&mut self, is_reachable: bool) {
        if self.inbox.sign.0.swap(is_reachable, Ordering::AcqRel) == is_reachable {
            return;
        }
        if is_reachable {
            tracing::info!(peer = %self.node, "this node takes batches");
            self.logged = None;
        } else if !self.is_closed {
            tracing::warn!(peer = %self.node, "this node takes no batches now");
        }
        self.peers.refresh();
    }

    fn finish_errands(&mut self) {
        for (mut forwarded, end) in self.exchange.take_ended() {
            self.metrics.errands.dec();
            forwarded.seat = None;
            let time = self.peers.unix_time();
            let counted = match end {
                End::Answered(outcomes) => {
                    forwarded.end(outcomes);
                    Ends::Answered
                }
                End::Refused(refused) => {
                    forwarded.end_refused(refused, time);
                    Ends::Refused
                }
                End::Here => {
                    self.peers.send_here(forwarded);
                    Ends::Refused
                }
                End::Elsewhere => {
                    self.peers.reroute(forwarded, &self.inbox.sign);
                    Ends::Rerouted
                }
                End::NotSent(reason) => {
                    forwarded.end_not_sent(reason, time);
                    Ends::NotSent
                }
                End::Unknown(reason) => {
                    forwarded.end_unknown(reason, time);
                    Ends::Unknown
                }
            };
            self.metrics.ended(counted);
        }
    }

    /// Sleeps until something is due. `Ready` means that it is.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.exchange.next_time(Instant::now()) else { return Poll::Pending };
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(cx)
    }
}

/// Also after a panic: an inbox that nobody reads must not count as reachable.
impl Drop for Link {
    fn drop(&mut self) {
        self.set_reachable(false);
    }
}

/// The reason that a connection ends.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Ended(String),
    #[error(transparent)]
    Peers(#[from] Mismatch),
}

#[cfg(test)]
mod tests;
