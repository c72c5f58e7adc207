//! `/openapi.json`: the description of the API.

use crate::api::error::ApiError;
use crate::http::envelope;
use crate::http::query::Query;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

/// The description in OpenAPI 3.1, written by hand. Tests compare it with the routes, the parsers and the answers.
pub const DESCRIPTION: &str = include_str!("../openapi.json");

/// `GET /openapi.json`.
pub async fn show(uri: Uri) -> Result<Response, ApiError> {
    Query::read(uri.query(), &[])?;
    Ok(envelope::raw(StatusCode::OK, DESCRIPTION))
}
