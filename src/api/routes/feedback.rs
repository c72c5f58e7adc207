//! `…/feedback`: the dead tokens of an app.

use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::page::{PageRequest, cursor_error, through};
use crate::api::path::AppPath;
use crate::http::envelope;
use crate::model::Feedback;
use crate::store::Cursor;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

#[derive(Serialize)]
struct FeedbackObject<'a> {
    r#type: &'static str,
    timestamp: f64,
    token: &'a str,
    reason: &'a str,
    app_id: &'a str,
    environment: &'static str,
}

impl<'a> FeedbackObject<'a> {
    fn new(feedback: &'a Feedback) -> Self {
        Self {
            r#type: "feedback",
            timestamp: feedback.timestamp,
            token: &feedback.token,
            reason: &feedback.reason,
            app_id: feedback.app.id.as_str(),
            environment: feedback.app.environment.as_str(),
        }
    }
}

/// `GET`: lists the entries. Deletes them only if `clear_on_read` is set for clients of v0.5.
pub async fn list(
    State(api): State<Arc<Api>>,
    AppPath(key): AppPath,
    method: Method,
    uri: Uri,
) -> Result<Response, ApiError> {
    let asked = PageRequest::read(uri.query(), Cursor::parse)?;
    api.app(&key)?;
    let page = api.events.feedback(&key, asked.after.unwrap_or(Cursor::START), asked.limit).await;
    let page = page.map_err(cursor_error("cursor"))?;
    if api.compat.clear_on_read && method == Method::GET && !page.entries.is_empty() {
        api.events.acknowledge_feedback(&key, page.cursor).await?;
    }
    let entries: Vec<_> = page.entries.iter().map(FeedbackObject::new).collect();
    Ok(envelope::list(&entries, page.cursor.to_string()))
}

/// `DELETE ?through=<cursor>`: acknowledges the entries up to the cursor.
pub async fn acknowledge(State(api): State<Arc<Api>>, AppPath(key): AppPath, uri: Uri) -> Result<Response, ApiError> {
    let through = through(uri.query(), Cursor::parse)?;
    api.app(&key)?;
    let removed = api.events.acknowledge_feedback(&key, through).await.map_err(cursor_error("through"))?;
    Ok(envelope::success(StatusCode::OK, &json!({"type": "acknowledgement", "removed": removed})))
}
