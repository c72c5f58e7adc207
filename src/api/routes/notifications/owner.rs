//! The header `Pyapns-Owner`, from which a load balancer learns the node to prefer for an app.

use crate::delivery::Intake;
use crate::registry::App;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

const OWNER: HeaderName = HeaderName::from_static("pyapns-owner");
/// No node is better than another one. It is no node's name.
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Adds the name of the node to which this one forwards the app's notifications now, or `*` if the app has several lanes
/// with several owners: a balancer then forgets the owner that it knew. A node that sends all of them itself adds nothing,
/// and nor does a node alone.
pub fn name_owner(mut response: Response, intake: &Intake, app: &App) -> Response {
    let value = if app.lanes > 1 {
        intake.forwards_some_of(app).then_some(ANY)
    } else {
        intake.forwards_to(app).and_then(|node| HeaderValue::from_str(node.as_str()).ok())
    };
    if let Some(value) = value {
        response.headers_mut().insert(OWNER, value);
    }
    response
}
