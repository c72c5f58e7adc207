//! The owners of apps as a map file of HAProxy, with the keys of `haproxy/haproxy.cfg`: `app_id/environment node`.

use crate::api::{Api, ClusterAccess};
use crate::model::AppKey;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use std::fmt::Write;

/// One line for each app with one lane. An app with several lanes has several owners, and no line.
pub fn respond(api: &Api, cluster: &ClusterAccess, shown: impl Fn(&AppKey) -> bool) -> Response {
    let own = &cluster.peers.membership().node;
    let mut lines = String::new();
    for app in api.registry.list().iter().filter(|app| app.lanes == 1 && shown(&app.key) && fits(&app.key)) {
        let sender = api.intake.forwards_to(app);
        let sender = sender.as_ref().unwrap_or(own);
        writeln!(lines, "{} {sender}", app.key).expect("text into memory cannot fail");
    }
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], lines).into_response()
}

/// Ids that an earlier version accepted may have characters that end a key in the file, or make a line a comment.
fn fits(app: &AppKey) -> bool {
    let id = app.id.as_str();
    !id.starts_with('#') && !id.contains(|character: char| character.is_whitespace() || character.is_control())
}
