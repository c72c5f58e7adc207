//! `…/feedback`: the dead tokens of an app.

use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::path::AppPath;
use crate::api::routes::records;
use crate::http::envelope;
use crate::model::Feedback;
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::response::Response;
use serde::Serialize;
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
    let read = async |after, limit| api.events.feedback(&key, after, limit).await;
    let clear = async |cursor| api.events.acknowledge_feedback(&key, cursor).await;
    let page = records::page((&api, &key), (&method, &uri), read, clear).await?;
    let entries: Vec<_> = page.entries.iter().map(FeedbackObject::new).collect();
    Ok(envelope::list(&entries, page.cursor.to_string()))
}

/// `DELETE ?through=<cursor>`: acknowledges the entries up to the cursor.
pub async fn acknowledge(State(api): State<Arc<Api>>, AppPath(key): AppPath, uri: Uri) -> Result<Response, ApiError> {
    let clear = async |cursor| api.events.acknowledge_feedback(&key, cursor).await;
    records::acknowledge((&api, &key), &uri, clear).await
}
