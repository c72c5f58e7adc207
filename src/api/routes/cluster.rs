//! `/cluster`: the cluster as this node sees it.

mod lane;
mod map;
mod members;
pub mod nodes;
pub mod owner;
pub mod pins;

use super::health;
use crate::api::auth::RestrictedCaller;
use crate::api::error::ApiError;
use crate::api::{Api, ClusterAccess};
use crate::delivery::peer::peers::shown::LinkState;
use crate::http::query::Query;
use crate::http::{RequestError, envelope};
use crate::model::AppKey;
use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use lane::LaneObject;
use members::MemberObject;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// The most lanes that `GET /cluster` lists.
const LANES_SHOWN_MAX: usize = 1_000;

#[derive(Serialize)]
struct ClusterObject {
    r#type: &'static str,
    /// The node that answers.
    node: String,
    state: Option<&'static str>,
    /// 16 hex digits, equal on nodes that agree on the owner of every lane.
    ring: String,
    members: Vec<MemberObject>,
    links: Vec<LinkObject>,
    /// Lanes that this node holds connections for.
    lanes_held: usize,
    /// The last used of them: 1,000 at most, and only those of the caller's apps.
    lanes: Vec<LaneObject>,
    pins: Vec<PinObject>,
    degraded: Vec<Value>,
}

#[derive(Serialize)]
struct LinkObject {
    node: String,
    reachable: bool,
    round_trip_seconds: Option<f64>,
    in_flight: i64,
}

#[derive(Serialize)]
struct PinObject {
    #[serde(flatten)]
    lane: LaneObject,
    node: String,
}

/// `GET /cluster`: members, links, lanes and decisions. `?format=haproxy`: the owners of apps as a map of HAProxy.
pub async fn show(
    State(api): State<Arc<Api>>,
    caller: Option<Extension<RestrictedCaller>>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = Query::read(uri.query(), &["format"])?;
    let is_map = match query.text("format") {
        None | Some("json") => false,
        Some("haproxy") => true,
        Some(_) => {
            let expected = "`json` or `haproxy`".to_owned();
            return Err(RequestError::BadParameter { name: "format", expected }.into());
        }
    };
    let cluster = api.cluster()?;
    let shown = |app: &AppKey| caller.as_ref().is_none_or(|caller| caller.may_use(app.id.as_str()));
    if is_map {
        return Ok(map::respond(&api, cluster, shown));
    }
    Ok(envelope::success(StatusCode::OK, &object(&api, cluster, shown)))
}

fn object(api: &Api, cluster: &ClusterAccess, shown: impl Fn(&AppKey) -> bool) -> ClusterObject {
    let ClusterAccess { peers, standing, .. } = cluster;
    let (view, standing) = (peers.view(), standing.borrow().clone());
    let held = peers.all_held();
    let lanes_held = held.len();
    let held = held.into_iter().filter(|(app, _)| shown(app)).take(LANES_SHOWN_MAX);
    let pinned = view.pins().lanes.iter().filter(|(app, _)| shown(app));
    let pins = pinned.flat_map(|(app, lanes)| {
        lanes.iter().map(move |(lane, node)| PinObject { lane: LaneObject::new(app, *lane), node: node.to_string() })
    });
    let links = peers.links().into_iter().map(|LinkState { node, is_reachable, round_trip, in_flight }| {
        let (node, reachable, round_trip_seconds) = (node.to_string(), is_reachable, round_trip);
        LinkObject { node, reachable, round_trip_seconds, in_flight }
    });
    let own = &peers.membership().node;
    let state = standing.state.or_else(|| view.member(own).map(|own| own.state));
    ClusterObject {
        r#type: "cluster",
        node: own.to_string(),
        state: state.map(|state| state.as_str()),
        ring: format!("{:016x}", view.hash()),
        members: members::of(&standing, &view),
        links: links.collect(),
        lanes_held,
        lanes: held.map(|(app, lane)| LaneObject::new(&app, lane)).collect(),
        pins: pins.collect(),
        degraded: api.health.degraded().iter().map(health::degraded_object).collect(),
    }
}
