//! `POST /apps/:app_id/:environment/notifications`: the hot path.

pub mod answer;
pub mod fault;
pub mod field;
pub mod parse;
mod plain;
pub mod stream;

use super::unbuilt;
use crate::api::Api;
use crate::api::error::Failure;
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

/// Seconds that `?timeout=` may ask for.
pub const TIMEOUT_RANGE: RangeInclusive<f64> = 1.0..=300.0;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// What the query and headers of a send ask for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    timeout: Duration,
    retry_unknown: bool,
}

impl Asked {
    fn read(request: &Request) -> Result<Self, Failure> {
        let query = Query::read(request.uri().query(), &["timeout", "retry_unknown", "wait"])?;
        unbuilt::refuse(request.headers(), &query)?;
        Ok(Self {
            timeout: query.seconds("timeout", TIMEOUT_RANGE)?.unwrap_or(TIMEOUT_DEFAULT),
            retry_unknown: query.truth("retry_unknown")?.unwrap_or(false),
        })
    }
}

/// Sends one notification, a list or a stream of lines, and answers with what became of each.
pub async fn send(
    State(api): State<Arc<Api>>,
    path: Result<AppPath, Failure>,
    request: Request,
) -> Result<Response, Failure> {
    let asked = Asked::read(&request);
    if stream::is_wanted(request.headers()) {
        let wanted = asked.and_then(|asked| path.map(|AppPath(key)| (asked, key)));
        return Box::pin(stream::send(api, wanted, request)).await;
    }
    let (asked, AppPath(key)) = (asked?, path?);
    let body = api.bodies.collect(request).await?;
    let app = api.app(&key)?;
    let Parsed { mut batch, list } = parse::parse(&body.bytes, app.push_type, api.limits.items)?;
    api.compat.read_as_meant(&mut batch);
    if batch.is_empty() {
        return Ok(envelope::raw(StatusCode::CREATED, answer::write(&batch, &[], list)));
    }
    let sending = Sending { deadline: Instant::now() + asked.timeout, retry_unknown: asked.retry_unknown };
    let sent = api.intake.send(app, batch, sending).await?;
    let answer = answer::write(&sent.batch, &sent.outcomes, list);
    Ok(envelope::raw(StatusCode::CREATED, api.bodies.hold(answer, body.into_place())))
}
