//! The accept loop: HTTP/1 and HTTP/2 in clear on one port, with the timers and limits that axum's own loop lacks.

pub mod address;
mod beginning;
pub mod descriptors;
mod farewell;
mod frames;
mod lasting;
mod listener;
mod patient;
mod places;
mod socket;
pub mod tls;
mod unix;
mod unread;
mod words;

pub use listener::Listener;
pub use places::{Network, Places};

use super::Limits;
use super::entry::Entry;
use super::metrics::Metrics;
use crate::drain::Drain;
use axum::body::Body;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use listener::Arrived;
use patient::{Activity, Patient};
use places::Place;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use unread::Given;

/// How long to leave the listener alone when the machine is out of sockets or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Read and write buffer of an HTTP/1 connection; above the header limit, so that our own answer to it can be given.
const HTTP1_BUFFER_BYTES: usize = 64 << 10;
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// Streams that a client took back before we saw them.
const UNSEEN_RESETS_MAX: usize = 20;
/// Streams that we had to take back because of what the client sent on them, over a connection's life.
const ERRORS_MAX: usize = 32;
/// A client that is silent for so long is asked whether it is there, and has so long to answer.
const PING_AFTER: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// Answers on `listener` until the drain has begun and its notice is over. Then it takes no more connections and returns;
/// those it has finish the requests they carry, as tasks that the drain waits for.
pub async fn serve(
    listener: Listener,
    entry: impl Into<Entry>,
    drain: Drain,
    limits: Limits,
    places: Arc<Places>,
    metrics: Arc<Metrics>,
) {
    let entry = entry.into();
    let mut trouble = None;
    let mut follow = std::pin::pin!(listener.follow());
    let mut over = std::pin::pin!(farewell::over(&drain, limits.drain_notice));
    loop {
        let accepted = tokio::select! {
            biased;
            () = over.as_mut() => return,
            () = follow.as_mut() => continue,
            accepted = listener.accept() => accepted,
        };
        let arrived = match accepted {
            Ok(arrived) => arrived,
            Err(error) => {
                rest_after(&error, &mut trouble).await;
                continue;
            }
        };
        trouble = None;
        match places.take(arrived.peer()) {
            Ok(place) => {
                metrics.connections.inc();
                let connection = Connection { entry: entry.clone(), drain: drain.clone(), limits: limits.clone() };
                let metrics = Arc::clone(&metrics);
                drain.spawn("connection", async move {
                    connection.answer(arrived, place).await;
                    metrics.connections.dec();
                });
            }
            Err(full) => {
                metrics.connections_refused.inc();
                tracing::debug!(peer = ?arrived.peer(), ?full, "a connection was turned away");
                arrived.turn_away(words::full(full).as_bytes());
            }
        }
    }
}

/// A connection that died while it waited costs nothing; being out of sockets passes when others close. The log is told
/// once until a connection could be accepted again.
async fn rest_after(error: &io::Error, trouble: &mut Option<io::ErrorKind>) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        if trouble.replace(error.kind()) != Some(error.kind()) {
            tracing::warn!(%error, "no connection can be accepted");
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

struct Connection {
    entry: Entry,
    drain: Drain,
    limits: Limits,
}

impl Connection {
    async fn answer(self, arrived: Arrived, _place: Place) {
        let stream = match arrived.open().await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "a client did not finish its TLS handshake");
                return;
            }
        };
        answer(stream, self.entry, self.drain, self.limits).await;
    }
}

/// Answers a client on its byte stream until one of both leaves.
pub async fn answer<Io>(io: Io, entry: Entry, drain: Drain, limits: Limits)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::new(drain.clone()));
    let io = TokioIo::new(Patient::new(io, Arc::clone(&activity), &limits));
    let requests = Arc::clone(&activity);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let version = request.version();
        let busy = Activity::begin(&activity, version);
        let (head, body) = request.into_parts();
        let body = Body::new(Given::new(body, &head.headers, version, &activity));
        let answer = entry.clone().answer(hyper::Request::from_parts(head, body));
        let activity = Arc::clone(&activity);
        async move {
            let response = lasting::hold(answer.await, busy, version);
            Ok::<_, Infallible>(farewell::mark(response, version, activity.drain()))
        }
    });
    let builder = builder(&limits);
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let ended = tokio::select! {
        biased;
        () = farewell::over(&drain, limits.drain_notice) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = farewell::unheard(&requests) => Ok(()),
            }
        }
        ended = connection.as_mut() => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a client's connection ended early");
    }
}

/// All waiting is timed by [`Patient`], below the protocol: hyper's own header timeout would also cut idle connections.
fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().header_read_timeout(None).max_buf_size(HTTP1_BUFFER_BYTES);
    builder
        .http2()
        .max_concurrent_streams(limits.streams_per_connection)
        .max_header_list_size(u32::try_from(limits.header_list_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_pending_accept_reset_streams(UNSEEN_RESETS_MAX)
        .max_local_error_reset_streams(ERRORS_MAX)
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_WITHIN);
    builder
}

#[cfg(test)]
mod tests;
