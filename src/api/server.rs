//! The accept loop: HTTP/1 and HTTP/2 in clear on one port, with the timers and limits that axum's own loop lacks.

mod lasting;
mod patient;

use super::Limits;
use super::metrics::Metrics;
use crate::drain::Drain;
use axum::Router;
use axum::body::Body;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use patient::{Activity, Patient};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

/// How long to leave the listener alone when the machine is out of sockets or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Read and write buffer of an HTTP/1 connection; above the header limit, so that our own answer to it can be given.
const HTTP1_BUFFER_BYTES: usize = 64 << 10;
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// To a client that comes when all connections are taken.
const FULL: &str = r#"{"error":"all connections are taken: send it again soon","code":503,"type":"error","message":"all connections are taken: send it again soon","reason":"too_many_connections","args":{}}"#;

/// Answers on `listener` until the drain begins. Then it takes no more connections and returns; those it has finish the
/// requests they carry, as tasks that the drain waits for.
pub async fn serve(listener: TcpListener, router: Router, drain: Drain, limits: Limits, metrics: Arc<Metrics>) {
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                rest_after(&error).await;
                continue;
            }
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                metrics.connections.inc();
                // Fails only for a connection that is gone, which the first read will tell.
                let _ = stream.set_nodelay(true);
                let answering = answer(stream, router.clone(), drain.clone(), limits.clone());
                let metrics = Arc::clone(&metrics);
                drain.spawn("connection", async move {
                    answering.await;
                    metrics.connections.dec();
                    drop(place);
                });
            }
            Err(_) => {
                metrics.connections_refused.inc();
                turn_away(&stream);
            }
        }
    }
}

/// A connection that died while it waited costs nothing; being out of sockets passes when others close.
async fn rest_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(%error, "no connection can be accepted");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Tells a client at once that it is one too many, in HTTP/1 whatever it speaks. A fresh socket has room for it, and a
/// client that is gone already does not matter.
fn turn_away(stream: &TcpStream) {
    let length = FULL.len();
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1";
    let _ =
        stream.try_write(format!("{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{FULL}").as_bytes());
}

/// Answers a client on its byte stream until one of both leaves.
pub async fn answer<Io>(io: Io, router: Router, drain: Drain, limits: Limits)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let io = TokioIo::new(Patient::new(io, Arc::clone(&activity), &limits));
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let busy = Activity::begin(&activity, request.version());
        let router = router.clone();
        async move {
            let response = router.oneshot(request.map(Body::new)).await;
            response.map(|response| lasting::hold(response, busy))
        }
    });
    let builder = builder(&limits);
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let ended = tokio::select! {
        biased;
        () = drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
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
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    builder
}

#[cfg(test)]
mod tests;
