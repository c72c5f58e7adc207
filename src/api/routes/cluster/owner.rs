//! `POST /cluster/owner`: the node that sends for an app, or for one of its tokens, and why.

use crate::api::Api;
use crate::api::auth::{AccessFault, RestrictedCaller};
use crate::api::error::ApiError;
use crate::delivery::peer::peers::shown::Placement;
use crate::delivery::shard;
use crate::http::envelope;
use crate::http::query::Query;
use crate::json::{self, Object, ObjectFault};
use crate::model::{AppId, AppKey, Environment, device_token};
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct OwnerObject<'a> {
    r#type: &'static str,
    app_id: &'a str,
    environment: &'static str,
    /// The lane of the token; without a token all lanes of the app.
    lanes: Vec<PlacementObject>,
}

#[derive(Serialize)]
struct PlacementObject {
    lane: u16,
    owner: Option<String>,
    substitute: Option<String>,
    why: &'static str,
}

struct Asked {
    app_id: String,
    environment: String,
    token: Option<String>,
}

/// `POST {"app_id", "environment", "token"}`. The token is not logged: that is why it is in a body.
pub async fn find(
    State(api): State<Arc<Api>>,
    caller: Option<Extension<RestrictedCaller>>,
    request: Request,
) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &[]);
    let body = api.bodies.collect(request).await?;
    query?;
    let Asked { app_id, environment, token } = parse(&body.bytes)?;
    let cluster = api.cluster()?;
    if caller.is_some_and(|caller| !caller.may_use(&app_id)) {
        return Err(AccessFault::AppForbidden.into());
    }
    let environment = Environment::parse(&environment).ok_or(ApiError::UnknownEnvironment { environment })?;
    // An id that an earlier version accepted can still be used.
    let id = AppId::stored(&app_id).or_else(|_| AppId::new(&app_id))?;
    let app = api.app(&AppKey::new(id, environment))?;
    let token = token.as_deref().map(device_token::normalise).transpose()?;
    let lanes = match token {
        Some(token) => {
            let lane = shard::lane_of(token.as_bytes(), app.lanes);
            lane..lane + 1
        }
        None => 0..app.lanes,
    };
    let placements = cluster.peers.placements(&app.key, lanes.clone());
    let lanes = lanes.zip(placements).map(|(lane, Placement { owner, why, substitute })| PlacementObject {
        lane,
        owner: owner.map(|node| node.to_string()),
        substitute: substitute.map(|node| node.to_string()),
        why: why.as_str(),
    });
    let (app_id, environment) = (app.key.id.as_str(), app.key.environment.as_str());
    let owner = OwnerObject { r#type: "owner", app_id, environment, lanes: lanes.collect() };
    Ok(envelope::success(StatusCode::OK, &owner))
}

fn parse(body: &[u8]) -> Result<Asked, ObjectFault> {
    let mut object = Object::read(json::text(body)?)?;
    let app_id = object.take("app_id", "a text")?;
    let environment = object.take("environment", "`sandbox` or `production`")?;
    let token = object.take("token", "a text")?;
    object.take_type("owner", "`owner`, or left out")?;
    object.finish()?;
    let missing = |name, expected| ObjectFault::WrongType { name, expected };
    Ok(Asked {
        app_id: app_id.ok_or(missing("app_id", "a text"))?,
        environment: environment.ok_or(missing("environment", "`sandbox` or `production`"))?,
        token,
    })
}
