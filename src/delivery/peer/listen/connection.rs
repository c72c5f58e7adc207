//! One accepted connection: reads the batches of a peer, and writes their outcomes.

use super::{Fault, HANDSHAKE_TIMEOUT, Shared};
use crate::budget::{Budget, Permit};
use crate::clock::boot_ms;
use crate::delivery::peer::clock;
use crate::delivery::peer::greeting::{self, Mismatch};
use crate::delivery::peer::link::{ERRAND_BYTES_MAX, ERRANDS_MAX};
use crate::delivery::peer::outbox::Outbox;
use crate::delivery::peer::pipe::Pipe;
use crate::delivery::peer::wire::calls::{self, CallAnswer};
use crate::delivery::peer::wire::{
    self, AppFigures, BatchHead, Decoder, Features, Frame, Lane, Received, Refusal, Seen, StatusOf,
};
use crate::model::{AppKey, Batch, Outcome};
use crate::subject::Subject;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

/// While more bytes of answers wait, nothing is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// A peer sends PING at least every five seconds. A peer that is silent for this time, or reads nothing, is lost.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// A leaving node waits so long for a peer to close the connection, once everything is answered. After the same time it
/// refuses what a peer sends that does not mind LEAVING.
const LEAVING_MAX: Duration = Duration::from_secs(1);
/// The refusal of what has no room.
const FULL: Refusal = Refusal::NodeOverloaded { retry_after_seconds: 1 };
/// CALLs without an answer, on one connection.
const CALLS_MAX: usize = 256;
/// STATUS of apps without an answer, on one connection.
const FIGURES_MAX: usize = 64;
/// The longest deadline that a peer may ask for.
const DEADLINE_MAX: Duration = Duration::from_secs(600);

/// The answer to the frame with that id.
type Answered = (u64, Answer);

enum Answer {
    Call(CallAnswer),
    Batch(Result<Vec<Outcome>, Refusal>),
    Warm(Vec<Lane>),
    Figures(Vec<AppFigures>),
}

/// A connection of a peer.
pub struct Connection {
    pipe: Pipe,
    shared: Arc<Shared>,
    decoder: Decoder,
    outbox: Outbox,
    is_greeted: bool,
    features: Features,
    /// The most bytes that the peer takes in a frame.
    frame_bytes: u32,
    /// Batches without an answer.
    unanswered: usize,
    /// CALLs without an answer. They may wait for Apple for long, so that they take no place of a batch.
    calls_unanswered: usize,
    /// A WARM has no answer yet.
    is_warming: bool,
    /// STATUS of apps without an answer.
    figures_asked: usize,
    /// Their bytes. A link has no more without an answer.
    bytes: Arc<Budget>,
    answers: mpsc::Receiver<Answered>,
    answerer: mpsc::Sender<Answered>,
    last_heard: Instant,
    last_written: Instant,
    /// The time at which LEAVING was sent.
    left: Option<Instant>,
    /// The same, or when the last batch after it was answered.
    leaving_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Connection {
    pub fn new(pipe: Pipe, shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        let (answerer, answers) = mpsc::channel(ERRANDS_MAX);
        let mut outbox = Outbox::default();
        let hello = shared.peers.hello();
        outbox.append(|bytes| wire::put_hello(bytes, &hello));
        Self {
            pipe,
            decoder: Decoder::new(hello.limits),
            shared,
            outbox,
            is_greeted: false,
            features: Features::NONE,
            frame_bytes: 0,
            unanswered: 0,
            calls_unanswered: 0,
            is_warming: false,
            figures_asked: 0,
            bytes: Budget::new(ERRAND_BYTES_MAX),
            answers,
            answerer,
            last_heard: now,
            last_written: now,
            left: None,
            leaving_since: None,
            timer: Box::pin(tokio::time::sleep_until(now + HANDSHAKE_TIMEOUT)),
        }
    }

    /// Serves the peer until it closes the connection, breaks a rule, is silent for too long, or this node has left.
    pub async fn run(mut self) -> Result<(), Fault> {
        let drain = self.shared.drain.clone();
        let mut leaving = std::pin::pin!(drain.cancelled());
        std::future::poll_fn(|cx| {
            if self.leaving_since.is_none() && leaving.as_mut().poll(cx).is_ready() {
                self.left = Some(Instant::now());
                self.leaving_since = self.left;
                self.outbox.append(wire::put_leaving);
            }
            self.poll(cx)
        })
        .await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            let now = Instant::now();
            let mut has_moved = false;
            match self.read(cx, now) {
                Ok(Read::Ended) => return Poll::Ready(Ok(())),
                Ok(Read::Moved) => has_moved = true,
                Ok(Read::Nothing) => {}
                Err(fault) => return Poll::Ready(Err(fault)),
            }
            has_moved |= self.take_answers(cx, now);
            match self.write(cx, now) {
                Ok(moved) => has_moved |= moved,
                Err(_) => return Poll::Ready(Ok(())),
            }
            if !has_moved {
                return self.poll_timer(cx, now);
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<Read, Fault> {
        if self.outbox.pending().len() >= ANSWER_BYTES_MAX {
            // It is not the peer's silence.
            self.last_heard = now;
            return Ok(Read::Nothing);
        }
        let Self { pipe, decoder, .. } = self;
        let mut input = match pipe.poll_read(cx) {
            Poll::Pending => return Ok(Read::Nothing),
            Poll::Ready(Ok([]) | Err(_)) => return Ok(Read::Ended),
            Poll::Ready(Ok(bytes)) => bytes,
        };
        self.last_heard = now;
        let mut frames = Vec::new();
        while let Some(received) = decoder.next(&mut input).map_err(Mismatch::from)? {
            frames.push(received);
        }
        frames.into_iter().try_for_each(|received| self.take(received, now))?;
        Ok(Read::Moved)
    }

    fn take(&mut self, Received { id, frame }: Received, now: Instant) -> Result<(), Fault> {
        match frame {
            Frame::Hello(theirs) => {
                let hello = self.shared.peers.hello();
                let is_member = self.shared.peers.is_member(&theirs.node, theirs.session);
                let agreed = greeting::check(&hello, &theirs, is_member)?;
                self.decoder.agree(agreed);
                (self.is_greeted, self.features) = (true, agreed.features);
                self.frame_bytes = agreed.limits.frame_bytes;
            }
            Frame::Ping => {
                let clock = boot_ms();
                self.outbox.append(|bytes| wire::put_pong(bytes, id, clock));
            }
            Frame::Batch(head, batch) => self.serve(id, head, batch, now),
            Frame::Call(body) => self.call(id, &body, now)?,
            Frame::Warm(lanes) => self.warm(id, lanes),
            Frame::Status(StatusOf::Held) => {
                let held = Seen::Held(self.shared.serve.held());
                self.outbox.append(|bytes| wire::put_seen(bytes, id, &held));
            }
            Frame::Status(StatusOf::Apps(apps)) if self.features.contains(Features::APP_FIGURES) => {
                self.figures(id, apps);
            }
            _ => return Err(Mismatch::Unexpected.into()),
        }
        Ok(())
    }

    /// Reads figures in a task of their own: batches must not wait behind a long list. Too many questions at a time are
    /// not answered.
    fn figures(&mut self, id: u64, apps: Vec<AppKey>) {
        if self.figures_asked == FIGURES_MAX {
            return;
        }
        self.figures_asked += 1;
        let (serve, answerer) = (Arc::clone(&self.shared.serve), self.answerer.clone());
        self.shared.drain.spawn("figures", async move {
            let _ = answerer.send((id, Answer::Figures(serve.figures(&apps)))).await;
        });
    }

    fn serve(&mut self, id: u64, head: BatchHead, batch: Batch, now: Instant) {
        self.shared.metrics.received.inc();
        let room = match self.admit(&batch, now) {
            Ok(room) => room,
            Err(refusal) => {
                self.outbox.append(|bytes| wire::put_refused(bytes, id, refusal));
                return;
            }
        };
        self.unanswered += 1;
        let left = clock::time_left(head.deadline_ms, boot_ms()).unwrap_or_default().min(DEADLINE_MAX);
        let subject = head.request_id.clone().map(Subject::Request);
        let serving = self.shared.serve.serve(head, batch, now + left);
        let answerer = self.answerer.clone();
        let work = async move {
            let answer = serving.await;
            drop(room);
            // Fails where the connection has ended: nobody waits for the answer then.
            let _ = answerer.send((id, Answer::Batch(answer))).await;
        };
        match subject {
            Some(subject) => self.shared.drain.spawn("forwarded", subject.scope(work)),
            None => self.shared.drain.spawn("forwarded", work),
        };
    }

    /// Makes calls. The intake of the calls limits their bytes.
    fn call(&mut self, id: u64, body: &[u8], now: Instant) -> Result<(), Fault> {
        let (head, calls) = calls::decode_call(body, self.shared.membership.limits.items).map_err(Mismatch::from)?;
        // The peer makes itself the calls that a leaving node refuses.
        if self.has_left(now) || self.calls_unanswered >= CALLS_MAX {
            let answer = calls::encode_result(&Err(Refusal::Leaving));
            self.outbox.append(|bytes| wire::put_result(bytes, id, &answer));
            return Ok(());
        }
        self.calls_unanswered += 1;
        let left = clock::time_left(head.deadline_ms, boot_ms()).unwrap_or_default().min(DEADLINE_MAX);
        let subject = head.request_id.clone().map(Subject::Request);
        let (calling, answerer) = (self.shared.serve.call(head, calls, now + left), self.answerer.clone());
        let work = async move {
            let answer = calling.await;
            let _ = answerer.send((id, Answer::Call(answer))).await;
        };
        match subject {
            Some(subject) => self.shared.drain.spawn("forwarded", subject.scope(work)),
            None => self.shared.drain.spawn("forwarded", work),
        };
        Ok(())
    }

    /// Opens connections to Apple. One WARM at a time is served; a further one is answered with no lane.
    fn warm(&mut self, id: u64, lanes: Vec<Lane>) {
        if std::mem::replace(&mut self.is_warming, true) {
            self.outbox.append(|bytes| wire::put_ready(bytes, id, &[]));
            return;
        }
        let (warming, answerer) = (Arc::clone(&self.shared.serve).warm(lanes), self.answerer.clone());
        self.shared.drain.spawn("warm", async move {
            let ready = warming.await;
            let _ = answerer.send((id, Answer::Warm(ready))).await;
        });
    }

    /// The room of a batch among those without an answer. It may wait for the store before the intake counts it.
    fn admit(&self, batch: &Batch, now: Instant) -> Result<Permit, Refusal> {
        if self.has_left(now) {
            return Err(Refusal::Leaving);
        }
        if self.unanswered >= ERRANDS_MAX {
            return Err(FULL);
        }
        self.bytes.try_acquire_any_if_unused(wire::batch_bytes(batch)).ok_or(FULL)
    }

    /// Returns true if LEAVING was sent so long ago that a peer must mind it.
    fn has_left(&self, now: Instant) -> bool {
        self.left.is_some_and(|left| now.saturating_duration_since(left) >= LEAVING_MAX)
    }

    fn take_answers(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut has_moved = false;
        while self.outbox.pending().len() < ANSWER_BYTES_MAX
            && let Poll::Ready(Some((id, answer))) = self.answers.poll_recv(cx)
        {
            match answer {
                Answer::Batch(answer) => {
                    self.unanswered -= 1;
                    self.outbox.append(|bytes| match answer {
                        Ok(outcomes) => wire::put_outcomes(bytes, id, &outcomes),
                        Err(refusal) => wire::put_refused(bytes, id, refusal),
                    });
                    self.leaving_since = self.leaving_since.map(|_| now);
                }
                Answer::Call(answer) => {
                    self.calls_unanswered -= 1;
                    let answer = self.fitting(calls::encode_result(&answer));
                    self.outbox.append(|bytes| wire::put_result(bytes, id, &answer));
                    self.leaving_since = self.leaving_since.map(|_| now);
                }
                Answer::Figures(figures) => {
                    self.figures_asked -= 1;
                    self.outbox.append(|bytes| wire::put_seen(bytes, id, &Seen::Apps(figures)));
                }
                Answer::Warm(ready) => {
                    self.is_warming = false;
                    self.outbox.append(|bytes| wire::put_ready(bytes, id, &ready));
                }
            }
            has_moved = true;
        }
        has_moved
    }

    /// The body of a RESULT that the peer takes. Only a list of channels can be too long: the peer asks for it itself then.
    fn fitting(&self, answer: Vec<u8>) -> Vec<u8> {
        let fits = answer.len() <= self.frame_bytes as usize;
        if fits { answer } else { calls::encode_result(&Err(Refusal::Malformed)) }
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> std::io::Result<bool> {
        let mut has_moved = false;
        loop {
            if self.outbox.is_empty() {
                self.last_written = now;
                if let Poll::Ready(flushed) = self.pipe.poll_flush(cx) {
                    flushed?;
                }
                return Ok(has_moved);
            }
            match self.pipe.poll_write(cx, self.outbox.pending()) {
                Poll::Pending => return Ok(has_moved),
                Poll::Ready(written) => self.outbox.advance(written?),
            }
            self.last_written = now;
            has_moved = true;
        }
    }

    /// Sleeps until the peer has been silent for too long.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Result<(), Fault>> {
        let is_left = self.unanswered + self.calls_unanswered == 0 && self.outbox.is_empty();
        let left = self.leaving_since.filter(|_| is_left).map(|since| since + LEAVING_MAX);
        let silence = if self.is_greeted { SILENCE_MAX } else { HANDSHAKE_TIMEOUT };
        let due = left.into_iter().fold(self.last_heard.min(self.last_written) + silence, Instant::min);
        if due <= now {
            return Poll::Ready(if self.is_greeted { Ok(()) } else { Err(Fault::Timeout) });
        }
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// The end of a read.
enum Read {
    Nothing,
    Moved,
    Ended,
}
