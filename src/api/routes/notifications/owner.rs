//! The header `Pyapns-Owner`, from which a load balancer learns the node to prefer for an app.

use crate::delivery::Intake;
use crate::registry::App;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

const OWNER: HeaderName = HeaderName::from_static("pyapns-owner");

/// Adds the name of the node to which this one forwards the app's notifications now. A node that sends them itself adds
/// nothing, and nor does a node alone. An app with several lanes has several owners, and gets no header.
pub fn name_owner(mut response: Response, intake: &Intake, app: &App) -> Response {
    if let Some(node) = intake.forwards_to(app)
        && let Ok(name) = HeaderValue::from_str(node.as_str())
    {
        response.headers_mut().insert(OWNER, name);
    }
    response
}
