//! `POST /cluster/nodes/NODE`: cordons a node, and takes that back.

use crate::api::Api;
use crate::api::auth::{AccessFault, RestrictedCaller};
use crate::api::error::ApiError;
use crate::http::access_log::KeyId;
use crate::http::envelope;
use crate::http::query::Query;
use crate::json::{self, Object, ObjectFault};
use crate::model::NodeName;
use crate::store::members::Pin;
use axum::Extension;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;

#[derive(Clone, Copy)]
enum Action {
    Cordon,
    Uncordon,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Cordon => "cordon",
            Self::Uncordon => "uncordon",
        }
    }
}

/// `POST {"action": "cordon" | "uncordon"}`. A cordon stays until it is taken back, also while the node is away.
pub async fn decide(
    State(api): State<Arc<Api>>,
    caller: Option<Extension<RestrictedCaller>>,
    key: Option<Extension<KeyId>>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &[]);
    let body = api.bodies.collect(request).await?;
    query?;
    let action = parse_action(&body.bytes)?;
    let cluster = api.cluster()?;
    if caller.is_some() {
        return Err(AccessFault::AllApps.into());
    }
    let name = param(path.ok().as_ref(), "node");
    let (node, changed) = match action {
        Action::Cordon => {
            let node = cluster.member(&name)?;
            let changed = cluster.decide(Pin::Cordoned(node.clone())).await?;
            (node, changed)
        }
        // The node may be gone for good.
        Action::Uncordon => {
            let node: NodeName = name.parse().map_err(|_| ApiError::UnknownNode { node: name })?;
            let changed = cluster.undo(Pin::Cordoned(node.clone())).await?;
            (node, changed)
        }
    };
    let (action, key_id) = (action.as_str(), key.as_ref().map(|Extension(KeyId(id))| &**id));
    tracing::info!(key_id, action, %node, changed, "an operator's decision about a node is stored");
    let decided = json!({"type": "node", "node": node.as_str(), "action": action, "changed": changed});
    Ok(envelope::success(StatusCode::OK, &decided))
}

/// A part of a path, decoded; empty if it is not UTF-8.
pub(super) fn param(path: Option<&RawPathParams>, wanted: &str) -> String {
    let found = path.and_then(|path| path.iter().find(|(name, _)| *name == wanted));
    found.map(|(_, value)| value.to_owned()).unwrap_or_default()
}

fn parse_action(body: &[u8]) -> Result<Action, ObjectFault> {
    let mut object = Object::read(json::text(body)?)?;
    let (name, expected) = ("action", "`cordon` or `uncordon`");
    let action: Option<String> = object.take(name, expected)?;
    object.take_type("node", "`node`, or left out")?;
    object.finish()?;
    match action.as_deref() {
        Some("cordon") => Ok(Action::Cordon),
        Some("uncordon") => Ok(Action::Uncordon),
        _ => Err(ObjectFault::WrongType { name, expected }),
    }
}
