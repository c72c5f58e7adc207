//! `…/disconnections`: the log of notifications that failed for good and of connections that ended.

use crate::api::Api;
use crate::api::compat::{self, Compat};
use crate::api::error::ApiError;
use crate::api::path::AppPath;
use crate::api::routes::records;
use crate::http::envelope;
use crate::model::{Disconnection, NodeName};
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

#[derive(Serialize)]
struct DisconnectionObject<'a> {
    r#type: &'static str,
    code: u8,
    internal_identifier: u32,
    /// JSON. Stored text that is not valid JSON becomes null, so that the list stays valid.
    #[serde(skip_serializing_if = "OffendingNotification::is_left_out")]
    offending_notification: OffendingNotification<'a>,
    timestamp: f64,
    verbose_message: &'a str,
    reason: &'a str,
    status: Option<u16>,
    apns_id: Option<&'a str>,
    node: Option<&'a str>,
    affected: u32,
}

/// The notification at fault.
#[derive(Serialize)]
#[serde(untagged)]
enum OffendingNotification<'a> {
    AsKept(Option<&'a RawValue>),
    ForV05(Option<Box<RawValue>>),
}

impl OffendingNotification<'_> {
    fn is_left_out(&self) -> bool {
        matches!(self, Self::ForV05(None))
    }
}

impl<'a> DisconnectionObject<'a> {
    fn new(event: &'a Disconnection, compat: Compat) -> Self {
        let kept = event.offending_notification.as_deref();
        let offending = if compat.v05_shapes {
            OffendingNotification::ForV05(kept.and_then(compat::without_nulls))
        } else {
            OffendingNotification::AsKept(kept.and_then(|json| serde_json::from_str(json).ok()))
        };
        Self {
            r#type: "disconnection",
            code: event.code,
            internal_identifier: event.internal_identifier,
            offending_notification: offending,
            timestamp: event.timestamp,
            verbose_message: &event.verbose_message,
            reason: &event.reason,
            status: event.status,
            apns_id: event.apns_id.as_deref(),
            node: event.node.as_ref().map(NodeName::as_str),
            affected: event.affected,
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
    let read = async |after, limit| api.events.disconnections(&key, after, limit).await;
    let clear = async |cursor| api.events.acknowledge_disconnections(&key, cursor).await;
    let page = records::page((&api, &key), (&method, &uri), read, clear).await?;
    let entries: Vec<_> = page.entries.iter().map(|event| DisconnectionObject::new(event, api.compat)).collect();
    Ok(envelope::list(&entries, page.cursor.to_string()))
}

/// `DELETE ?through=<cursor>`: acknowledges the entries up to the cursor.
pub async fn acknowledge(State(api): State<Arc<Api>>, AppPath(key): AppPath, uri: Uri) -> Result<Response, ApiError> {
    let clear = async |cursor| api.events.acknowledge_disconnections(&key, cursor).await;
    records::acknowledge((&api, &key), &uri, clear).await
}
