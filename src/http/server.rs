//! The accept loop: HTTP/1 and HTTP/2 on one port, with timeouts and limits that axum's loop lacks.

pub mod address;
mod graceful_close;
mod listener;
mod socket;
pub mod tls;
mod unix;

pub use listener::Listener;

pub use super::guard::connection_limit::ConnectionLimit;

use super::guard::connection_limit::Permit;
use super::guard::lingering_body::LingeringBody;
use super::guard::timed_socket::{Activity, TimedSocket};
use super::guard::{canned_responses, guarded_body};
use super::metrics::Metrics;
use super::{Limits, Service};
use crate::drain::Drain;
use axum::body::Body;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use listener::Accepted;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// The pause before the next accept if the machine is out of sockets or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The read and write buffer of an HTTP/1 connection. Larger than the header limit, so that our response to longer
/// headers can be sent.
const HTTP1_BUFFER_BYTES: usize = 64 << 10;
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// The limit of streams that a client resets before they are accepted.
const PENDING_RESETS_MAX: usize = 20;
/// The limit of streams that the server resets because of the client's errors, during a connection.
const LOCAL_RESETS_MAX: usize = 32;
/// A client that is silent for the interval gets a PING, and has the timeout to answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts connections on `listener` until the drain has begun and its notice is over. Then it returns. The open
/// connections finish their requests, as tasks that the drain waits for.
pub async fn serve<S: Service>(
    listener: Listener,
    service: S,
    drain: Drain,
    limits: Limits,
    connection_limit: Arc<ConnectionLimit>,
    metrics: Arc<Metrics>,
) {
    let mut last_error = None;
    let mut follow = std::pin::pin!(listener.follow(&drain));
    let mut over = std::pin::pin!(graceful_close::notice_over(&drain, limits.drain_notice));
    let admit = |accepted: Accepted| match connection_limit.acquire(accepted.peer()) {
        Ok(permit) => {
            metrics.connections.inc();
            let service = service.clone().of_client(accepted.peer());
            let connection = Connection { service, drain: drain.clone(), limits: limits.clone() };
            let metrics = Arc::clone(&metrics);
            drain.spawn("connection", async move {
                connection.answer(accepted, permit).await;
                metrics.connections.dec();
            });
        }
        Err(reached) => {
            metrics.connections_refused.inc();
            tracing::debug!(peer = ?accepted.peer(), ?reached, "a connection was refused");
            accepted.refuse(canned_responses::limit_reached(reached).as_bytes());
        }
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = over.as_mut() => break,
            () = follow.as_mut() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => {
                last_error = None;
                admit(accepted);
            }
            Err(error) => pause_after(&error, &mut last_error).await,
        }
    }
    // The kernel has told these clients that they are connected. Closing the listener would reset them, with requests
    // that a load balancer cannot send to another node.
    std::iter::from_fn(|| listener.accept_waiting().ok()).take(listener::BACKLOG as usize).for_each(admit);
}

/// Pauses after a failed accept, unless the client disconnected in the queue. A lack of sockets ends when other
/// connections close. One line is logged until a connection is accepted again.
async fn pause_after(error: &io::Error, last_error: &mut Option<io::ErrorKind>) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        if last_error.replace(error.kind()) != Some(error.kind()) {
            tracing::warn!(%error, "connections cannot be accepted");
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

struct Connection<S> {
    service: S,
    drain: Drain,
    limits: Limits,
}

impl<S: Service> Connection<S> {
    async fn answer(self, accepted: Accepted, _permit: Permit) {
        let stream = match accepted.handshake().await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "a client did not finish its TLS handshake");
                return;
            }
        };
        answer(stream, self.service, self.drain, self.limits).await;
    }
}

/// Answers a client on its byte stream until either side closes.
pub async fn answer<Io, S>(io: Io, service: S, drain: Drain, limits: Limits)
where
    S: Service,
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::new(drain.clone()));
    let io = TokioIo::new(TimedSocket::new(io, Arc::clone(&activity), &limits));
    let requests = Arc::clone(&activity);
    let answering = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let version = request.version();
        let busy = Activity::begin(&activity, version);
        let (head, body) = request.into_parts();
        let body = Body::new(LingeringBody::new(body, &head.headers, version, &activity));
        let answer = service.clone().answer(hyper::Request::from_parts(head, body));
        let activity = Arc::clone(&activity);
        async move {
            let response = guarded_body::hold(answer.await, busy, version);
            Ok::<_, Infallible>(graceful_close::ask_to_close(response, version, activity.drain()))
        }
    });
    let builder = builder(&limits);
    let mut connection = std::pin::pin!(builder.serve_connection(io, answering));
    let ended = tokio::select! {
        biased;
        () = graceful_close::notice_over(&drain, limits.drain_notice) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = graceful_close::goaway_unanswered(&requests) => Ok(()),
            }
        }
        ended = connection.as_mut() => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a client's connection ended early");
    }
}

/// [`TimedSocket`] has all timeouts, below the protocol: hyper's own header timeout would also cut idle connections.
fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().header_read_timeout(None).max_buf_size(HTTP1_BUFFER_BYTES);
    builder
        .http2()
        .max_concurrent_streams(limits.streams_per_connection)
        .max_header_list_size(u32::try_from(limits.header_list_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_RESETS_MAX)
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}

#[cfg(test)]
mod tests;
