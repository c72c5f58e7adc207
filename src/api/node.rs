//! `/healthz`, `/readyz` and `/metrics`: what machines ask about the node itself.

use super::auth::Caller;
use super::error::Failure;
use super::{Api, envelope};
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// Prometheus's text format, with the version that its scrapers look for.
const TEXT_FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// How long an answer of the store holds: whoever asks, and how often, it is not made to work more.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long the store may take.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// Why a node is to get no traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    #[error("it is stopping")]
    Draining,
    #[error("its store cannot be written: its log says why")]
    StoreFailed,
    #[error("its store takes too long to write")]
    StoreSlow,
}

impl NotReady {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Draining => "shutting_down",
            Self::StoreFailed => "store_failed",
            Self::StoreSlow => "store_slow",
        }
    }
}

/// What the store said last, and when.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Option<(Instant, Result<(), NotReady>)>>);

/// `GET /readyz`: the node can do its work.
pub async fn ready(State(api): State<Arc<Api>>) -> Result<Response, Failure> {
    if api.drain.has_begun() {
        return Err(Failure::NotReady(NotReady::Draining));
    }
    store_is_ready(&api).await.map_err(Failure::NotReady)?;
    Ok(envelope::success(StatusCode::OK, &json!({"type": "readiness", "status": "ready"})))
}

async fn store_is_ready(api: &Api) -> Result<(), NotReady> {
    let mut last = api.readiness.0.lock().await;
    if let Some((at, said)) = *last
        && at.elapsed() < ASK_EVERY
    {
        return said;
    }
    let said = match timeout(STORE_PATIENCE, api.events.can_record()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the store cannot be written");
            Err(NotReady::StoreFailed)
        }
        Err(_) => Err(NotReady::StoreSlow),
    };
    *last = Some((Instant::now(), said));
    said
}

/// `GET /healthz`: the process answers. It looks at nothing else: who restarts a node for the sake of its disk helps nobody.
pub async fn health() -> Response {
    envelope::success(StatusCode::OK, &json!({"type": "health", "status": "ok"}))
}

/// The metrics as they were last made, and from when on.
#[derive(Debug, Default)]
pub struct Rendered(Mutex<Option<(Instant, Bytes)>>);

/// `GET /metrics`. They are made by one at a time, and once for all who wait for that: making them is dear. A caller whose
/// key is for some apps sees no series of another app.
pub async fn metrics(State(api): State<Arc<Api>>, caller: Option<Extension<Caller>>) -> Response {
    let asked = Instant::now();
    let mut rendered = api.rendered.0.lock().await;
    let text = match (&*rendered, caller) {
        (_, Some(caller)) => api.telemetry.render_for(|app| caller.may_use(app)).into(),
        (Some((from, text)), None) if *from > asked => text.clone(),
        _ => {
            let (from, text) = (Instant::now(), Bytes::from(api.telemetry.render()));
            *rendered = Some((from, text.clone()));
            text
        }
    };
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response()
}
