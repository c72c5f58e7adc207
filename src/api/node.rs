//! `/healthz` and `/metrics`: what machines ask about the node itself.

use super::{Api, envelope};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;

/// Prometheus's text format, with the version that its scrapers look for.
const TEXT_FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// `GET /healthz`: the process answers.
pub async fn health() -> Response {
    envelope::success(StatusCode::OK, &json!({"type": "health", "status": "ok"}))
}

/// `GET /metrics`.
pub async fn metrics(State(api): State<Arc<Api>>) -> Response {
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], api.telemetry.render()).into_response()
}
