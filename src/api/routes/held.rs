//! `…/feedback/held`: held feedback: tokens that may be valid in another environment or topic.

use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::path::AppPath;
use crate::http::envelope;
use crate::http::query::Query;
use crate::json::{self, Object, ObjectFault};
use crate::model::Resolution;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;

/// `GET`: the number of held entries, with the time and the reason of the quarantine.
pub async fn show(State(api): State<Arc<Api>>, AppPath(key): AppPath, uri: Uri) -> Result<Response, ApiError> {
    Query::read(uri.query(), &[])?;
    api.app(&key)?;
    let count = api.events.counts(&key).await?.held;
    let hold = api.events.quarantine_of(&key);
    let (since, why) = hold.map(|hold| (hold.since, hold.why)).unzip();
    Ok(envelope::success(StatusCode::OK, &json!({"type": "held_feedback", "count": count, "since": since, "why": why})))
}

/// `POST {"action": "release" | "drop"}`. Changes nothing if no entry is held.
pub async fn resolve(
    State(api): State<Arc<Api>>,
    path: Result<AppPath, ApiError>,
    request: Request,
) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &[]);
    let body = api.bodies.collect(request).await?;
    let (_, AppPath(key)) = (query?, path?);
    api.app(&key)?;
    let (action, resolution) = parse_action(&body.bytes)?;
    let count = api.events.resolve(&key, resolution).await?;
    let resolved = json!({"type": "settlement", "action": action, "count": count});
    Ok(envelope::success(StatusCode::OK, &resolved))
}

fn parse_action(body: &[u8]) -> Result<(&'static str, Resolution), ObjectFault> {
    let mut object = Object::read(json::text(body)?)?;
    let (name, expected) = ("action", "`release` or `drop`");
    let action: Option<String> = object.take(name, expected)?;
    object.take_type("settlement", "`settlement`, or left out")?;
    object.finish()?;
    match action.as_deref() {
        Some("release") => Ok(("release", Resolution::Release)),
        Some("drop") => Ok(("drop", Resolution::Drop)),
        _ => Err(ObjectFault::WrongType { name, expected }),
    }
}
