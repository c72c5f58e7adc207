//! Lists of records that a caller reads in pages and acknowledges: feedback and the disconnection log.

use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::page::{PageRequest, cursor_error, through};
use crate::http::envelope;
use crate::model::AppKey;
use crate::store::{Cursor, Page, StoreError};
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::json;

/// Returns the page that a request asks for. Reading clears nothing, unless `clear_on_read` is set for clients of v0.5:
/// then a `GET` acknowledges the page with `acknowledge`.
pub async fn page<T>(
    (api, key): (&Api, &AppKey),
    (method, uri): (&Method, &Uri),
    read: impl AsyncFnOnce(Cursor, usize) -> Result<Page<T>, StoreError>,
    acknowledge: impl AsyncFnOnce(Cursor) -> Result<u64, StoreError>,
) -> Result<Page<T>, ApiError> {
    let asked = PageRequest::read(uri.query(), Cursor::parse)?;
    api.app(key)?;
    let page = read(asked.after.unwrap_or(Cursor::START), asked.limit).await.map_err(cursor_error("cursor"))?;
    if api.compat.clear_on_read && method == Method::GET && !page.entries.is_empty() {
        acknowledge(page.cursor).await?;
    }
    Ok(page)
}

/// Answers `DELETE ?through=<cursor>`: deletes the entries up to the cursor with `acknowledge`, and returns how many
/// those were.
pub async fn acknowledge(
    (api, key): (&Api, &AppKey),
    uri: &Uri,
    acknowledge: impl AsyncFnOnce(Cursor) -> Result<u64, StoreError>,
) -> Result<Response, ApiError> {
    let through = through(uri.query(), Cursor::parse)?;
    api.app(key)?;
    let removed = acknowledge(through).await.map_err(cursor_error("through"))?;
    Ok(envelope::success(StatusCode::OK, &json!({"type": "acknowledgement", "removed": removed})))
}
