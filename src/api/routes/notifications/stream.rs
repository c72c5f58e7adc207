//! `application/x-ndjson`: a notification a line in, an outcome a line out, in flat memory however long the stream is.
//!
//! The answer's body drives it all: it is only asked for more while the caller reads, and only then it reads and sends.

mod block;
mod input;
mod offending;

use super::Asked;
use crate::api::Api;
use crate::api::error::Failure;
use crate::api::routes::unbuilt;
use crate::delivery::{Answer, Refused, Sending};
use crate::http::body::{self, StreamPlace};
use crate::model::{AppKey, NodeReason, Outcome, OutcomeKind, Records};
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use block::Block;
use bytes::Bytes;
use hyper::body::Frame;
use input::{Broken, Input};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};

const NDJSON: &str = "application/x-ndjson";
/// Blocks of a stream in flight at a time; with [`input::LINES_MAX`] it keeps a connection to Apple busy at any latency.
const BLOCKS_MAX: usize = 8;
/// Blocks of what happens to have come are sent while there are fewer than these; then it is waited until one is full.
const SMALL_BLOCKS_MAX: usize = 4;
/// How long a stream rests when too much is in flight already.
const REST: Duration = Duration::from_millis(20);

/// How long a stream may be silent when the node stops.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// Whether a request's body is a stream of lines.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| unbuilt::names(kind.as_bytes(), b';', NDJSON.as_bytes()))
}

/// Answers a stream of lines with a stream of outcomes.
pub(super) async fn send(
    api: Arc<Api>,
    wanted: Result<(Asked, AppKey), Failure>,
    request: Request,
) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    let admitted = wanted.and_then(|(asked, key)| {
        body::plain(&head.headers)?;
        api.app(&key)?;
        Ok((asked, key, api.bodies.stream()?))
    });
    let (asked, key, place) = admitted?;
    let mut input = Input::new(body, api.limits.idle_timeout);
    if head.headers.contains_key(header::EXPECT) {
        // Our consent can only go out before our answer does.
        input.begin().await;
    }
    let drain = api.drain.clone();
    let outcomes = Outcomes {
        stop: Some(Box::pin(async move { drain.cancelled().await })),
        api,
        key,
        asked,
        input,
        turned_away: None,
        rest: Box::pin(sleep_until(Instant::now())),
        in_flight: VecDeque::with_capacity(BLOCKS_MAX),
        place: Arc::new(place),
    };
    let kind = HeaderValue::from_static(NDJSON);
    Ok((StatusCode::CREATED, [(header::CONTENT_TYPE, kind)], Body::new(outcomes)).into_response())
}

/// The body of the answer.
struct Outcomes {
    api: Arc<Api>,
    key: AppKey,
    asked: Asked,
    input: Input,
    /// Resolves when the node stops; `None` once it has.
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// A block that delivery had no room for, and when its time is over.
    turned_away: Option<(Block, Instant)>,
    /// Until it may be tried again.
    rest: Pin<Box<Sleep>>,
    /// In the order of their lines.
    in_flight: VecDeque<InFlight>,
    place: Arc<StreamPlace>,
}

/// A block that is not answered yet.
struct InFlight {
    block: Block,
    fate: Fate,
    /// Resolves once the disconnection log shows the lines that were refused; `None` if there is nothing to show.
    logged: Option<oneshot::Receiver<()>>,
}

/// What becomes of a block.
enum Fate {
    Sent(Answer),
    NotSent(NodeReason),
}

impl HttpBody for Outcomes {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        this.advance(cx);
        let Some(InFlight { block, fate, logged }) = this.in_flight.front_mut() else {
            return match this.input.end() {
                Some(end) if this.turned_away.is_none() => Poll::Ready(end.err().map(Err)),
                _ => Poll::Pending,
            };
        };
        if let Some(wait) = logged {
            // It is dropped without a word if the task that writes dies.
            let _ = ready!(Pin::new(wait).poll(cx));
            *logged = None;
        }
        let now = this.api.clock.unix_time();
        let outcomes = match fate {
            Fate::Sent(answer) => ready!(Pin::new(answer).poll(cx)).outcomes,
            Fate::NotSent(reason) => vec![not_sent(*reason, now); block.batch().len()],
        };
        let written = block.write(&outcomes, now);
        this.in_flight.pop_front();
        Poll::Ready(Some(Ok(Frame::data(written.into()))))
    }
}

impl Outcomes {
    /// Reads and sends as far as there is something to read and room for it.
    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.stop.as_mut().is_some_and(|stop| stop.as_mut().poll(cx).is_ready()) {
            self.stop = None;
            self.input.hurry(LAST_PATIENCE);
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
        if self.turned_away.is_some() {
            return if self.rest.as_mut().poll(cx).is_ready() { self.turned_away.take() } else { None };
        }
        let most = if self.input.is_full() { BLOCKS_MAX } else { SMALL_BLOCKS_MAX };
        if self.in_flight.len() >= most {
            return None;
        }
        let lines = self.input.cut()?;
        let of_topic = self.api.registry.get(&self.key).and_then(|app| app.push_type);
        Some((Block::read(lines, of_topic, self.api.compat), Instant::now() + self.asked.timeout))
    }

    /// Sends a block, or keeps it for later: none overtakes another.
    fn send(&mut self, block: Block, deadline: Instant) {
        let sending = Sending { deadline, retry_unknown: self.asked.retry_unknown };
        let fate = match self.api.registry.get(&self.key) {
            _ if self.stop.is_none() => Fate::NotSent(NodeReason::ShuttingDown),
            None => Fate::NotSent(NodeReason::AppRemoved),
            Some(app) => match self.api.intake.submit(app, Arc::clone(block.batch()), sending) {
                Ok(answer) => Fate::Sent(answer),
                Err(Refused::ShuttingDown) => Fate::NotSent(NodeReason::ShuttingDown),
                Err(_) if deadline <= Instant::now() => Fate::NotSent(NodeReason::Overloaded),
                Err(_) => {
                    self.turned_away = Some((block, deadline));
                    self.rest.as_mut().reset(Instant::now() + REST);
                    return;
                }
            },
        };
        let logged = self.log(&block);
        self.in_flight.push_back(InFlight { block, fate, logged });
    }

    /// Has the lines that were refused written to the disconnection log, of an app that is still there. They hold the
    /// stream's place until then, also if its caller leaves; a store that fails does not keep them: nothing came of them.
    fn log(&self, block: &Block) -> Option<oneshot::Receiver<()>> {
        let failed = block.disconnections(&self.key, self.api.clock.unix_time());
        if failed.is_empty() || self.api.registry.get(&self.key).is_none() {
            return None;
        }
        let (tell, told) = oneshot::channel();
        let (events, place) = (self.api.events.clone(), Arc::clone(&self.place));
        self.api.drain.spawn("record", async move {
            let written = events.record(Records { disconnections: failed, ..Records::default() }).await;
            let _ = tell.send(());
            if let Err(unwritten) = written {
                events.drop_records(&unwritten);
            }
            drop(place);
        });
        Some(told)
    }
}

fn not_sent(reason: NodeReason, timestamp: f64) -> Outcome {
    Outcome { kind: OutcomeKind::NotSent, status: None, reason: Some(reason.into()), timestamp, attempts: 0 }
}
