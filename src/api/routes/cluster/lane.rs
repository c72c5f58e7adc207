//! A lane of an app in responses.

use crate::model::AppKey;
use serde::Serialize;

#[derive(Serialize)]
pub struct LaneObject {
    app_id: String,
    environment: &'static str,
    /// From 0.
    lane: u16,
}

impl LaneObject {
    pub fn new(app: &AppKey, lane: u16) -> Self {
        Self { app_id: app.id.as_str().to_owned(), environment: app.environment.as_str(), lane }
    }
}
