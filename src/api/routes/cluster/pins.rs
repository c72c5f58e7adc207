//! `/cluster/pins/APP/ENVIRONMENT/LANE`: gives a lane an owner by hand, and takes that back.

use super::nodes::param;
use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::path::AppPath;
use crate::http::access_log::KeyId;
use crate::http::envelope;
use crate::http::query::Query;
use crate::json::{self, Object, ObjectFault};
use crate::model::{AppKey, NodeName};
use crate::registry::LANES_MAX;
use crate::store::members::Pin;
use axum::Extension;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;

/// `PUT {"node": …}`: this member owns the lane while it is one. The ring decides while it is none.
pub async fn put(
    State(api): State<Arc<Api>>,
    key: Option<Extension<KeyId>>,
    app: Result<AppPath, ApiError>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &[]);
    let body = api.bodies.collect(request).await?;
    query?;
    let name = parse(&body.bytes)?;
    let cluster = api.cluster()?;
    let AppPath(app) = app?;
    let lanes = api.app(&app)?.lanes;
    let lane = param(path.ok().as_ref(), "lane").parse().ok().filter(|lane| *lane < lanes);
    let Some(lane) = lane else { return Err(ApiError::UnknownLane { key: app, lanes }) };
    let node = cluster.member(&name)?;
    let pin = Pin::Lane { app: app.clone(), lane, node: node.clone() };
    let changed = cluster.decide(pin).await?;
    Ok(respond(key, "pin", &app, lane, Some(&node), changed))
}

/// `DELETE`: the ring decides again. The app and its lane may be gone.
pub async fn delete(
    State(api): State<Arc<Api>>,
    key: Option<Extension<KeyId>>,
    AppPath(app): AppPath,
    path: Result<RawPathParams, RawPathParamsRejection>,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::read(uri.query(), &[])?;
    let cluster = api.cluster()?;
    let lane = param(path.ok().as_ref(), "lane").parse();
    let Ok(lane) = lane else {
        let lanes = api.app(&app).map_or(LANES_MAX, |app| app.lanes);
        return Err(ApiError::UnknownLane { key: app, lanes });
    };
    // The name of the node does not matter.
    let node = cluster.peers.membership().node.clone();
    let changed = cluster.undo(Pin::Lane { app: app.clone(), lane, node }).await?;
    Ok(respond(key, "unpin", &app, lane, None, changed))
}

fn respond(
    key: Option<Extension<KeyId>>,
    action: &'static str,
    app: &AppKey,
    lane: u16,
    node: Option<&NodeName>,
    changed: bool,
) -> Response {
    let key_id = key.as_ref().map(|Extension(KeyId(id))| &**id);
    let node = node.map(NodeName::as_str);
    tracing::info!(key_id, action, %app, lane, node, changed, "an operator's decision about a lane is stored");
    let (app_id, environment) = (app.id.as_str(), app.environment.as_str());
    let decided = json!({
        "type": "pin", "app_id": app_id, "environment": environment, "lane": lane, "node": node, "changed": changed,
    });
    envelope::success(StatusCode::OK, &decided)
}

fn parse(body: &[u8]) -> Result<String, ObjectFault> {
    let mut object = Object::read(json::text(body)?)?;
    let (name, expected) = ("node", "the name of a member");
    let node: Option<String> = object.take(name, expected)?;
    object.take_type("pin", "`pin`, or left out")?;
    object.finish()?;
    node.ok_or(ObjectFault::WrongType { name, expected })
}
