//! `application/x-ndjson`: one notification per line in, one outcome per line out, in constant memory for a stream of
//! any length.
//!
//! The response's body drives the stream: it reads and sends only while the caller reads outcomes.

mod block;
mod input;
mod log_excerpt;

use super::SendOptions;
use super::owner::name_owner;
use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::routes::not_implemented;
use crate::delivery::{Answer, Refused, Sending};
use crate::http::body::{self, StreamPermit};
use crate::model::{AppKey, Batch, NodeReason, Outcome, OutcomeKind, Records};
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use block::Block;
use bytes::Bytes;
use hyper::body::Frame;
use input::{Input, InputError};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};

const NDJSON: &str = "application/x-ndjson";
/// The maximum number of a stream's blocks in flight; with [`input::LINES_MAX`] they keep a connection to Apple busy at
/// any latency.
const BLOCKS_MAX: usize = 8;
/// With fewer blocks in flight than this, a block is sent before it is full.
const SMALL_BLOCKS_MAX: usize = 4;
/// The pause before a block that delivery had no room for is retried.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// The silence timeout of a stream while the node stops.
const DRAIN_SILENCE_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns true if a request's body is a stream of lines.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| not_implemented::has_token(kind.as_bytes(), b';', NDJSON.as_bytes()))
}

/// Answers a stream of lines with a stream of outcomes.
pub(super) async fn send(
    api: Arc<Api>,
    wanted: Result<(SendOptions, AppKey), ApiError>,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let admitted = wanted.and_then(|(options, key)| {
        body::refuse_encoded(&head.headers)?;
        let app = api.app(&key)?;
        Ok((options, key, app, api.bodies.reserve_stream()?))
    });
    let (options, key, app, permit) = admitted?;
    let mut input = Input::new(body, api.limits.idle_timeout);
    if head.headers.contains_key(header::EXPECT) {
        // `100 Continue` can only be sent before the response.
        input.first_bytes().await;
    }
    let (drain, intake) = (api.drain.clone(), Arc::clone(&api.intake));
    let outcomes = OutcomeStream {
        stop: Some(Box::pin(async move { drain.cancelled().await })),
        api,
        key,
        options,
        input,
        waiting: None,
        retry_timer: Box::pin(sleep_until(Instant::now())),
        in_flight: VecDeque::with_capacity(BLOCKS_MAX),
        permit: Arc::new(permit),
    };
    let kind = HeaderValue::from_static(NDJSON);
    let response = (StatusCode::CREATED, [(header::CONTENT_TYPE, kind)], Body::new(outcomes)).into_response();
    Ok(name_owner(response, &intake, &app))
}

/// The body of the response.
struct OutcomeStream {
    api: Arc<Api>,
    key: AppKey,
    options: SendOptions,
    input: Input,
    /// Resolves when the node stops; `None` after that.
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// A block that delivery had no room for, and its deadline.
    waiting: Option<(Block, Instant)>,
    /// The pause before its retry.
    retry_timer: Pin<Box<Sleep>>,
    /// The blocks in flight, in the order of their lines.
    in_flight: VecDeque<InFlight>,
    permit: Arc<StreamPermit>,
}

/// A block without its answer.
struct InFlight {
    block: Block,
    /// The time at which it ends.
    deadline: Instant,
    state: BlockState,
    /// Resolves once the disconnection log has the refused lines; `None` if there are none.
    logged: Option<oneshot::Receiver<()>>,
}

/// The state of a block: sent, or refused as a whole.
enum BlockState {
    Sent(Answer),
    /// Another node had no room for it: it is sent again then. Blocks behind it may overtake it.
    Again(Pin<Box<Sleep>>),
    NotSent(NodeReason),
}

impl BlockState {
    /// That of a block that was refused, and whose time is over at `deadline`.
    fn refused(refused: Refused, deadline: Instant) -> Self {
        let now = Instant::now();
        match refused {
            Refused::ShuttingDown => Self::NotSent(refused.reason()),
            _ if deadline <= now => Self::NotSent(refused.reason()),
            _ => Self::Again(Box::pin(sleep_until(now + RETRY_PAUSE))),
        }
    }
}

impl HttpBody for OutcomeStream {
    type Data = Bytes;
    type Error = InputError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, InputError>>> {
        let this = self.get_mut();
        this.advance(cx);
        let Some(InFlight { logged, .. }) = this.in_flight.front_mut() else {
            return match this.input.end() {
                Some(end) if this.waiting.is_none() => Poll::Ready(end.err().map(Err)),
                _ => Poll::Pending,
            };
        };
        if let Some(wait) = logged {
            // The sender is dropped if the writing task dies.
            let _ = ready!(Pin::new(wait).poll(cx));
            *logged = None;
        }
        let outcomes = ready!(this.poll_first(cx));
        let Some(InFlight { block, .. }) = this.in_flight.front() else { return Poll::Pending };
        let written = block.write(&outcomes, this.api.clock.unix_time());
        this.in_flight.pop_front();
        Poll::Ready(Some(Ok(Frame::data(written.into()))))
    }
}

impl OutcomeStream {
    /// Waits for the outcomes of the first block in flight.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Vec<Outcome>> {
        loop {
            let Some(InFlight { block, deadline, state, .. }) = self.in_flight.front_mut() else {
                return Poll::Pending;
            };
            let deadline = *deadline;
            match state {
                BlockState::Sent(answer) => match ready!(Pin::new(answer).poll(cx)) {
                    Ok(sent) => return Poll::Ready(sent.outcomes),
                    Err(refused) => {
                        *state = BlockState::refused(refused, deadline);
                        continue;
                    }
                },
                BlockState::Again(timer) => ready!(timer.as_mut().poll(cx)),
                BlockState::NotSent(reason) => {
                    let outcome = not_sent(*reason, self.api.clock.unix_time());
                    return Poll::Ready(vec![outcome; block.batch().len()]);
                }
            }
            let batch = Arc::clone(block.batch());
            let sent = self.submit(batch, deadline);
            if let Some(first) = self.in_flight.front_mut() {
                first.state = sent.unwrap_or_else(|refused| BlockState::refused(refused, deadline));
            }
        }
    }

    /// Reads and sends blocks until no bytes or no room are left.
    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.stop.as_mut().is_some_and(|stop| stop.as_mut().poll(cx).is_ready()) {
            self.stop = None;
            self.input.limit_silence(DRAIN_SILENCE_TIMEOUT);
        }
        loop {
            self.input.fill(cx);
            let Some((block, deadline)) = self.next_block(cx) else { return };
            if !block.is_empty() {
                self.send(block, deadline);
            }
        }
    }

    fn next_block(&mut self, cx: &mut Context<'_>) -> Option<(Block, Instant)> {
        if self.waiting.is_some() {
            return if self.retry_timer.as_mut().poll(cx).is_ready() { self.waiting.take() } else { None };
        }
        let most = if self.input.is_full() { BLOCKS_MAX } else { SMALL_BLOCKS_MAX };
        if self.in_flight.len() >= most {
            return None;
        }
        let lines = self.input.take_lines()?;
        let of_topic = self.api.registry.get(&self.key).and_then(|app| app.push_type);
        Some((Block::read(lines, of_topic, self.api.compat), Instant::now() + self.options.timeout))
    }

    /// Sends a block, or keeps it for later, so that the blocks stay in order.
    fn send(&mut self, block: Block, deadline: Instant) {
        let state = match self.submit(Arc::clone(block.batch()), deadline) {
            Ok(state) => state,
            Err(Refused::ShuttingDown) => BlockState::NotSent(NodeReason::ShuttingDown),
            Err(_) if deadline <= Instant::now() => BlockState::NotSent(NodeReason::Overloaded),
            Err(_) => {
                self.waiting = Some((block, deadline));
                self.retry_timer.as_mut().reset(Instant::now() + RETRY_PAUSE);
                return;
            }
        };
        let logged = self.log(&block);
        self.in_flight.push_back(InFlight { block, deadline, state, logged });
    }

    /// Hands a batch to delivery under the app as it is now.
    fn submit(&self, batch: Arc<Batch>, deadline: Instant) -> Result<BlockState, Refused> {
        let sending = Sending { deadline, retry_unknown: self.options.retry_unknown };
        match self.api.registry.get(&self.key) {
            _ if self.stop.is_none() => Ok(BlockState::NotSent(NodeReason::ShuttingDown)),
            None => Ok(BlockState::NotSent(NodeReason::AppRemoved)),
            Some(app) => self.api.intake.submit(app, batch, sending).map(BlockState::Sent),
        }
    }

    /// Writes the refused lines to the disconnection log, unless the app was removed. The writing task holds the
    /// stream's permit until it is done, even if the caller disconnects. If the store fails they are dropped from the log.
    fn log(&self, block: &Block) -> Option<oneshot::Receiver<()>> {
        let failed = block.disconnections(&self.key, self.api.clock.unix_time());
        if failed.is_empty() || self.api.registry.get(&self.key).is_none() {
            return None;
        }
        let (tell, told) = oneshot::channel();
        let (events, permit) = (self.api.events.clone(), Arc::clone(&self.permit));
        self.api.drain.spawn("record", async move {
            let written = events.record(Records { disconnections: failed, ..Records::default() }).await;
            let _ = tell.send(());
            if let Err(unwritten) = written {
                events.drop_records(&unwritten);
            }
            drop(permit);
        });
        Some(told)
    }
}

fn not_sent(reason: NodeReason, timestamp: f64) -> Outcome {
    Outcome { kind: OutcomeKind::NotSent, status: None, reason: Some(reason.into()), timestamp, attempts: 0 }
}
