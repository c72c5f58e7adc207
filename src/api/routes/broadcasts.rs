//! `POST /apps/:app_id/:environment/broadcasts`: one message to every device that subscribes to a channel.

pub mod parse;
mod response;

use super::notifications::SendOptions;
use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::path::AppPath;
use crate::apns::channels::Call;
use crate::delivery::Sending;
use crate::http::envelope;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use parse::Parsed;
use std::sync::Arc;
use tokio::time::Instant;

/// Sends one broadcast or a list, and answers with the outcome of each.
pub async fn send(
    State(api): State<Arc<Api>>,
    path: Result<AppPath, ApiError>,
    request: Request,
) -> Result<Response, ApiError> {
    let options = SendOptions::read(&request);
    let body = api.bodies.collect(request).await?;
    let (options, AppPath(key)) = (options?, path?);
    let app = api.app(&key)?;
    let Parsed { broadcasts, list } = parse::parse(&body.bytes, api.limits.items)?;
    let calls = broadcasts.iter().map(|broadcast| Call::Broadcast(Arc::clone(broadcast))).collect();
    let sending = Sending { deadline: Instant::now() + options.timeout, retry_unknown: options.retry_unknown };
    let results = api.caller.call(Arc::clone(&app), calls, sending)?.await;
    let answer = response::write(&app, &broadcasts, &results, list);
    Ok(envelope::raw(StatusCode::CREATED, api.bodies.hold(answer, body.into_permit())))
}
