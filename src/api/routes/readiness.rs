//! `/readyz`: whether a node should get traffic, and which of its parts are in trouble.

use crate::api::Api;
use crate::api::error::Failure;
use crate::health::{Cause, Component, Degraded, Health};
use crate::http::envelope;
use crate::store::StoreError;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};

/// How long an answer of the store holds: whoever asks, and how often, it is not made to work more.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long the store may take.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// The parts that the store's answer tells of.
const OF_STORE: [Component; 2] = [Component::Store, Component::DataDirectory];

const STOPPING: Cause = Cause { reason: "shutting_down", why: "it is stopping" };
const STORE_FULL: Cause = Cause {
    reason: "store_failed",
    why: "its store cannot be written, since its disk is full: sends are answered, nothing else can be kept",
};
const STORE_FAILED: Cause = Cause { reason: "store_failed", why: "its store cannot be written: its log says why" };
const STORE_SLOW: Cause = Cause { reason: "store_slow", why: "its store takes too long to write" };
const MOVED: Cause = Cause {
    reason: "data_directory_moved",
    why: "its data directory was moved or deleted: sends are answered, nothing else can be kept; put it back, or start the node again",
};

/// When the store was last asked.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Option<Instant>>);

/// A node that should get no traffic.
#[derive(Debug, thiserror::Error)]
#[error("the node is not ready: {}", cause.why)]
pub struct NotReady {
    pub cause: Cause,
    degraded: Vec<Degraded>,
}

impl NotReady {
    /// What `/readyz` answers beside the error.
    pub fn response(&self) -> Value {
        readiness("not_ready", &self.degraded)
    }
}

fn readiness(status: &str, degraded: &[Degraded]) -> Value {
    let part = |trouble: &Degraded| json!({"what": trouble.component.as_str(), "why": trouble.cause.why, "since": trouble.since});
    let degraded: Vec<_> = degraded.iter().map(part).collect();
    json!({"type": "readiness", "status": status, "degraded": degraded})
}

/// `GET /readyz`: 200 while the node can do its work, if only in part; else 503.
pub async fn ready(State(api): State<Arc<Api>>) -> Result<Response, Failure> {
    let is_stopping = api.drain.has_begun();
    if !is_stopping {
        examine(&api).await;
    }
    let degraded = api.health.degraded();
    let missing = degraded.iter().find(|trouble| trouble.component.is_required()).map(|trouble| trouble.cause);
    if let Some(cause) = if is_stopping { Some(STOPPING) } else { missing } {
        return Err(Failure::NotReady(NotReady { cause, degraded }));
    }
    let status = if degraded.is_empty() { "ready" } else { "degraded" };
    Ok(envelope::success(StatusCode::OK, &readiness(status, &degraded)))
}

/// Tries whether the store can be written, at most once in [`ASK_EVERY`], and lists what is wrong.
pub(super) async fn examine(api: &Api) {
    let mut last = api.readiness.0.lock().await;
    if last.is_some_and(|at| at.elapsed() < ASK_EVERY) {
        return;
    }
    list(&api.health, timeout(STORE_PATIENCE, api.events.can_record()).await);
    *last = Some(Instant::now());
}

/// Looks once a second whether the data directory is where it was, and tries whether what is in trouble works again,
/// until the drain begins.
pub async fn watch(api: Arc<Api>) {
    loop {
        tokio::select! {
            biased;
            () = api.drain.cancelled() => return,
            () = sleep(ASK_EVERY) => {}
        }
        if !api.health.degraded().is_empty() {
            examine(&api).await;
        } else {
            match timeout(STORE_PATIENCE, api.events.look()).await {
                // That it is there does not mean that it can be written.
                Ok(Ok(())) => {}
                trouble => list(&api.health, trouble),
            }
        }
    }
}

fn list(health: &Health, said: Result<Result<(), StoreError>, Elapsed>) {
    let (part, cause, detail) = match said {
        Ok(Ok(())) => return OF_STORE.into_iter().for_each(|part| health.restore(part)),
        Ok(Err(error @ StoreError::Moved { .. })) => (Component::DataDirectory, MOVED, error.to_string()),
        Ok(Err(error @ StoreError::Full)) => (Component::Store, STORE_FULL, error.to_string()),
        Ok(Err(error)) => (Component::Store, STORE_FAILED, error.to_string()),
        Err(slow) => (Component::Store, STORE_SLOW, slow.to_string()),
    };
    OF_STORE.into_iter().filter(|other| *other != part).for_each(|other| health.restore(other));
    health.degrade(part, cause, detail);
}
