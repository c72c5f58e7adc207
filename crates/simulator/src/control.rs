//! The control port: the simulator's script, tokens and ledger as JSON over HTTP/1.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::channels::AppListing;
use super::script::Script;
use super::shared::{ACCEPT_PAUSE, Shared};
use super::tokens::TokenListing;

const BODY_MAX: usize = 64 << 20;
const PAGE_DEFAULT: usize = 1000;
const PAGE_MAX: usize = 10_000;

/// Serves the control port until `stopping`.
pub async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    applied: Vec<watch::Receiver<u64>>,
    stopping: CancellationToken,
    tasks: TaskTracker,
) {
    let applied: Arc<[_]> = applied.into();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (shared, applied, stopping) = (Arc::clone(&shared), Arc::clone(&applied), stopping.clone());
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = connection(socket, shared, applied) => {}
            }
        });
    }
}

async fn connection(socket: TcpStream, shared: Arc<Shared>, applied: Arc<[watch::Receiver<u64>]>) {
    let service = service_fn(move |request| {
        let (shared, applied) = (Arc::clone(&shared), Arc::clone(&applied));
        async move {
            let answer = answer(request, &shared).await;
            shared.wait_until_applied(&applied).await;
            Ok::<_, Infallible>(answer)
        }
    });
    let served = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(socket), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a control connection ended early");
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let (status, body) = match route(request, shared).await {
        Ok(body) => (StatusCode::OK, body),
        Err((status, error)) => (status, json!({ "error": error })),
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

type Refusal = (StatusCode, String);

async fn route(request: Request<Incoming>, shared: &Shared) -> Result<Value, Refusal> {
    let (head, body) = request.into_parts();
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/") => Ok(summary(shared)),
        (&Method::GET, "/ledger") => ledger(head.uri.query().unwrap_or_default(), shared),
        (&Method::POST, "/script") => {
            let script: Script = read_json(body).await?;
            shared.set_script(script).map_err(|error| refused(&error))?;
            Ok(summary(shared))
        }
        (&Method::POST, "/tokens") => tokens(read_json(body).await?, shared),
        (&Method::GET, "/channels") => Ok(json!({ "channels": shared.channels.states(shared.clock.now_ms()) })),
        (&Method::POST, "/apps") => {
            let listings: Vec<AppListing> = read_json(body).await?;
            listings.into_iter().for_each(|listing| shared.channels.set_broadcast(listing));
            Ok(summary(shared))
        }
        (&Method::POST, "/clock") => {
            let moved: ClockMove = read_json(body).await?;
            shared.clock.advance(moved.advance_ms);
            Ok(json!({ "now_ms": shared.clock.now_ms() }))
        }
        (&Method::POST, "/reset") => {
            shared.reset();
            Ok(summary(shared))
        }
        (_, "/" | "/ledger" | "/script" | "/tokens" | "/channels" | "/apps" | "/clock" | "/reset") => {
            Err((StatusCode::METHOD_NOT_ALLOWED, format!("{} is not allowed here", head.method)))
        }
        (_, path) => Err((StatusCode::NOT_FOUND, format!("the control port has no {path}"))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockMove {
    advance_ms: i64,
}

async fn read_json<T: DeserializeOwned>(body: Incoming) -> Result<T, Refusal> {
    let limited = Limited::new(body, BODY_MAX);
    let bytes = limited.collect().await.map_err(|error| (StatusCode::PAYLOAD_TOO_LARGE, error.to_string()))?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| refused(&error))
}

fn refused(error: &dyn std::fmt::Display) -> Refusal {
    (StatusCode::BAD_REQUEST, error.to_string())
}

/// All items are read before any takes effect.
fn tokens(listings: Vec<TokenListing>, shared: &Shared) -> Result<Value, Refusal> {
    let now_ms = shared.clock.now_ms();
    let changes: Result<Vec<_>, _> = listings.into_iter().map(|listing| listing.into_state(now_ms)).collect();
    shared.set_tokens(changes.map_err(|error| refused(&error))?);
    Ok(summary(shared))
}

fn summary(shared: &Shared) -> Value {
    let (script, tokens) = shared.summary();
    json!({
        "totals": shared.ledger.totals(),
        "ledger": shared.ledger.mode(),
        "tokens": tokens,
        "channels": shared.channels.len(),
        "script": script,
        "now_ms": shared.clock.now_ms(),
    })
}

fn ledger(query: &str, shared: &Shared) -> Result<Value, Refusal> {
    let (mut cursor, mut limit) = (0, PAGE_DEFAULT);
    for (name, value) in query.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| pair.split_once('=')) {
        let number: u64 = value.parse().map_err(|_| refused(&format!("{name} must be a whole number")))?;
        match name {
            "cursor" => cursor = number,
            "limit" => limit = usize::try_from(number).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX),
            _ => return Err(refused(&format!("unknown parameter `{name}`, expected `cursor` or `limit`"))),
        }
    }
    let (entries, next) = shared.ledger.page(cursor, limit);
    Ok(json!({ "entries": entries, "cursor": next, "totals": shared.ledger.totals() }))
}
