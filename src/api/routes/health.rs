//! `/healthz` and `/readyz`: the liveness of the process, the readiness of the node, and its degraded components.

use crate::api::Api;
use crate::api::error::ApiError;
use crate::health::{Cause, Component, Degraded, Detail};
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

/// The time for which a check of the store is valid, so that more requests do not cause more checks.
const STORE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The time limit of a check of the store.
const STORE_CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The components that a check of the store covers.
const STORE_COMPONENTS: [Component; 3] = [Component::Store, Component::SharedStore, Component::DataDirectory];

const STOPPING: Cause = Cause { reason: "shutting_down", why: "it is stopping" };
const STORE_FULL: Cause = Cause {
    reason: "store_failed",
    why: "its store cannot be written, because its disk is full: sends are answered, and nothing else can be stored",
};
const STORE_FAILED: Cause = Cause { reason: "store_failed", why: "its store cannot be written: its log has the cause" };
const STORE_SLOW: Cause = Cause { reason: "store_slow", why: "its store takes too long to write" };
const MOVED: Cause = Cause {
    reason: "data_directory_moved",
    why: "its data directory was moved or deleted: sends are answered, and nothing else can be stored; put it back, or restart the node",
};

/// The time of the last check of the store.
#[derive(Debug, Default)]
pub struct StoreCheck(Mutex<Option<Instant>>);

/// The error of a node that should get no traffic.
#[derive(Debug, thiserror::Error)]
#[error("the node is not ready: {}", cause.why)]
pub struct NotReady {
    pub cause: Cause,
    degraded: Vec<Degraded>,
}

impl NotReady {
    /// The `response` of `/readyz`, beside `error`.
    pub fn response(&self) -> Value {
        readiness_object("not_ready", &self.degraded)
    }
}

fn readiness_object(status: &str, degraded: &[Degraded]) -> Value {
    let degraded: Vec<_> = degraded.iter().map(degraded_object).collect();
    json!({"type": "readiness", "status": status, "degraded": degraded})
}

/// A component that does not work, as responses have it.
pub(super) fn degraded_object(trouble: &Degraded) -> Value {
    let mut part = json!({"what": trouble.component.as_str(), "why": trouble.cause.why, "since": trouble.since});
    match trouble.detail {
        Some(Detail::AsOf(time)) => part["as_of"] = json!(time),
        Some(Detail::Key(id)) => {
            part["key"] = id.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        }
        None => {}
    }
    part
}

/// `GET /healthz`: the process answers. It checks nothing else: a restart does not
/// repair a full disk.
pub async fn healthz() -> Response {
    envelope::success(StatusCode::OK, &json!({"type": "health", "status": "ok"}))
}

/// `GET /readyz`: 200 while the node can do at least a part of its work; else 503.
pub async fn readyz(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    let is_stopping = api.drain.has_begun();
    if !is_stopping {
        check_store(&api).await;
    }
    let degraded = api.health.degraded();
    let missing = degraded.iter().find(|trouble| trouble.component.is_required()).map(|trouble| trouble.cause);
    if let Some(cause) = if is_stopping { Some(STOPPING) } else { missing } {
        return Err(ApiError::NotReady(NotReady { cause, degraded }));
    }
    let status = if degraded.is_empty() { "ready" } else { "degraded" };
    Ok(envelope::success(StatusCode::OK, &readiness_object(status, &degraded)))
}

/// Checks that the store can be written, at most once in [`STORE_CHECK_INTERVAL`], and records the result. A shared store
/// is checked by [`watch`] alone: a load balancer waits half a second for `/readyz`, and would give all nodes up at once
/// while the shared store hangs.
pub(super) async fn check_store(api: &Api) {
    if api.registry.is_shared() {
        return;
    }
    let mut last = api.store_check.0.lock().await;
    if last.is_some_and(|at| at.elapsed() < STORE_CHECK_INTERVAL) {
        return;
    }
    record(api, timeout(STORE_CHECK_TIMEOUT, api.events.can_record()).await);
    *last = Some(Instant::now());
}

/// Checks once a second that a shared store can be written, or that the data directory has not moved and degraded parts
/// of the store work again. Returns when the drain begins.
pub async fn watch(api: Arc<Api>) {
    loop {
        tokio::select! {
            biased;
            () = api.drain.cancelled() => return,
            () = sleep(STORE_CHECK_INTERVAL) => {}
        }
        if api.registry.is_shared() {
            record(&api, timeout(STORE_CHECK_TIMEOUT, api.events.can_record()).await);
        } else if !api.health.degraded().is_empty() {
            check_store(&api).await;
        } else {
            match timeout(STORE_CHECK_TIMEOUT, api.events.look()).await {
                // A store that exists may still fail to write.
                Ok(Ok(())) => {}
                trouble => record(&api, trouble),
            }
        }
    }
}

fn record(api: &Api, said: Result<Result<(), StoreError>, Elapsed>) {
    let health = &api.health;
    let store = if api.registry.is_shared() { Component::SharedStore } else { Component::Store };
    let (part, cause, detail) = match said {
        Ok(Ok(())) => return STORE_COMPONENTS.into_iter().for_each(|component| health.restore(component)),
        Ok(Err(error @ StoreError::Moved { .. })) => (Component::DataDirectory, MOVED, error.to_string()),
        Ok(Err(error @ StoreError::Full)) => (store, STORE_FULL, error.to_string()),
        Ok(Err(error)) => (store, STORE_FAILED, error.to_string()),
        Err(slow) => (store, STORE_SLOW, slow.to_string()),
    };
    STORE_COMPONENTS.into_iter().filter(|other| *other != part).for_each(|other| health.restore(other));
    health.degrade(part, cause, detail);
}
