//! `/metrics`: the node's metrics in Prometheus's text format.

use super::health;
use crate::api::Api;
use crate::api::auth::RestrictedCaller;
use crate::delivery::metrics::apps::OTHER;
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

/// The last rendered metrics, and the time when their rendering began.
#[derive(Debug, Default)]
pub struct RenderedMetrics(Mutex<Option<(Instant, Bytes)>>);

/// `GET /metrics`. One request renders at a time, for all requests that wait: rendering is expensive. A caller with a
/// key for some apps sees no series of another app, nor those of all other apps together.
pub async fn metrics(State(api): State<Arc<Api>>, caller: Option<Extension<RestrictedCaller>>) -> Response {
    let asked = Instant::now();
    let mut rendered = api.rendered.0.lock().await;
    let text = match (&*rendered, caller) {
        (_, Some(caller)) => {
            health::check_store(&api).await;
            api.telemetry.render_for(|app| app != OTHER && caller.may_use(app)).into()
        }
        (Some((from, text)), None) if *from > asked => text.clone(),
        _ => {
            // Checks the store now, so that the metrics do not show its state at the last write.
            health::check_store(&api).await;
            let (from, text) = (Instant::now(), Bytes::from(api.telemetry.render()));
            *rendered = Some((from, text.clone()));
            text
        }
    };
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response()
}
