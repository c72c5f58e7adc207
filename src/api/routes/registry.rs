//! `POST /cluster/registry`: the decision of an operator on a shared store that has lost apps, or about the key that seals
//! credentials there.

use crate::api::Api;
use crate::api::auth::{AccessFault, RestrictedCaller};
use crate::api::error::ApiError;
use crate::http::access_log::KeyId;
use crate::http::envelope;
use crate::http::query::Query;
use crate::json::{self, Object, ObjectFault};
use crate::registry::{Recover, Recovered};
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;

/// `POST {"action": "write_back" | "accept" | "reseal"}`. The first two change nothing if the shared store has lost nothing.
pub async fn recover(
    State(api): State<Arc<Api>>,
    caller: Option<Extension<RestrictedCaller>>,
    key: Option<Extension<KeyId>>,
    request: Request,
) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &[]);
    let body = api.bodies.collect(request).await?;
    query?;
    let action = parse_action(&body.bytes)?;
    if caller.is_some() {
        return Err(AccessFault::AllApps.into());
    }
    let (action, done) = match action {
        Action::Recover(how @ Recover::WriteBack) => ("write_back", api.registry.recover(how).await),
        Action::Recover(how @ Recover::Accept) => ("accept", api.registry.recover(how).await),
        Action::Reseal => ("reseal", api.registry.reseal_shared().await),
    };
    let Recovered { written, apps, left } = done?;
    let key_id = key.as_ref().map(|Extension(KeyId(id))| &**id);
    tracing::info!(key_id, action, written, apps, "an operator decided about the apps of the shared store");
    let recovered = json!({"type": "registry", "action": action, "written": written, "apps": apps, "left": left});
    Ok(envelope::success(StatusCode::OK, &recovered))
}

/// The decisions of an operator.
enum Action {
    Recover(Recover),
    Reseal,
}

fn parse_action(body: &[u8]) -> Result<Action, ObjectFault> {
    let mut object = Object::read(json::text(body)?)?;
    let (name, expected) = ("action", "`write_back`, `accept` or `reseal`");
    let action: Option<String> = object.take(name, expected)?;
    object.take_type("registry", "`registry`, or left out")?;
    object.finish()?;
    match action.as_deref() {
        Some("write_back") => Ok(Action::Recover(Recover::WriteBack)),
        Some("accept") => Ok(Action::Recover(Recover::Accept)),
        Some("reseal") => Ok(Action::Reseal),
        _ => Err(ObjectFault::WrongType { name, expected }),
    }
}
