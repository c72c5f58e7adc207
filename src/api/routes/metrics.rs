//! `/healthz` and `/metrics`: what machines ask about the node itself.

use super::health;
use crate::api::Api;
use crate::api::auth::RestrictedCaller;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Prometheus's text format, with the version that its scrapers look for.
const TEXT_FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The metrics as they were last made, and from when on.
#[derive(Debug, Default)]
pub struct RenderedMetrics(Mutex<Option<(Instant, Bytes)>>);

/// `GET /metrics`. They are made by one at a time, and once for all who wait for that: making them is expensive. A caller
/// whose key is for some apps sees no series of another app.
pub async fn metrics(State(api): State<Arc<Api>>, caller: Option<Extension<RestrictedCaller>>) -> Response {
    let asked = Instant::now();
    let mut rendered = api.rendered.0.lock().await;
    let text = match (&*rendered, caller) {
        (_, Some(caller)) => {
            health::check_store(&api).await;
            api.telemetry.render_for(|app| caller.may_use(app)).into()
        }
        (Some((from, text)), None) if *from > asked => text.clone(),
        _ => {
            // What is wrong is to be seen as it is now, and not as it was when somebody last wrote.
            health::check_store(&api).await;
            let (from, text) = (Instant::now(), Bytes::from(api.telemetry.render()));
            *rendered = Some((from, text.clone()));
            text
        }
    };
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response()
}
