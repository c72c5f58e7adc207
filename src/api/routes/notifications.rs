//! `POST /apps/:app_id/:environment/notifications`: the hot path.

pub mod fault;
pub mod field;
mod owner;
pub mod parse;
pub mod response;
pub mod stream;

use super::not_implemented;
use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::path::AppPath;
use crate::delivery::Sending;
use crate::http::envelope;
use crate::http::query::Query;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use parse::Parsed;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The range of `?timeout=`, in seconds.
pub const TIMEOUT_RANGE: RangeInclusive<f64> = 1.0..=300.0;
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// The options of a send, from its query and headers.
#[derive(Debug, Clone, Copy)]
pub struct SendOptions {
    pub timeout: Duration,
    pub retry_unknown: bool,
}

impl SendOptions {
    pub fn read(request: &Request) -> Result<Self, ApiError> {
        let query = Query::read(request.uri().query(), &["timeout", "retry_unknown", "wait"])?;
        not_implemented::refuse(request.headers(), &query)?;
        Ok(Self {
            timeout: query.seconds("timeout", TIMEOUT_RANGE)?.unwrap_or(TIMEOUT_DEFAULT),
            retry_unknown: query.truth("retry_unknown")?.unwrap_or(false),
        })
    }
}

/// Sends one notification, a list or a stream of lines, and answers with the outcome of each.
pub async fn send(
    State(api): State<Arc<Api>>,
    path: Result<AppPath, ApiError>,
    request: Request,
) -> Result<Response, ApiError> {
    let options = SendOptions::read(&request);
    if stream::is_wanted(request.headers()) {
        let wanted = options.and_then(|options| path.map(|AppPath(key)| (options, key)));
        return Box::pin(stream::send(api, wanted, request)).await;
    }
    let (options, AppPath(key)) = (options?, path?);
    let body = api.bodies.collect(request).await?;
    let app = api.app(&key)?;
    let Parsed { mut batch, list } = parse::parse(&body.bytes, app.push_type, api.limits.items)?;
    api.compat.apply_legacy_expiry(&mut batch);
    if batch.is_empty() {
        return Ok(envelope::raw(StatusCode::CREATED, response::write(&batch, &[], list)));
    }
    let sending = Sending { deadline: Instant::now() + options.timeout, retry_unknown: options.retry_unknown };
    let sent = api.intake.send(Arc::clone(&app), batch, sending).await?;
    let answer = response::write(&sent.batch, &sent.outcomes, list);
    let response = envelope::raw(StatusCode::CREATED, api.bodies.hold(answer, body.into_permit()));
    Ok(owner::name_owner(response, &api.intake, &app))
}
