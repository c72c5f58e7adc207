//! The rules of `POST /4/broadcasts/apps/<bundle>`.

use http::Method;

use super::target::{PAYLOAD_EMPTY, PAYLOAD_TOO_LARGE};
use super::{Acceptance, Context, Credential, Push, Rejection, Verdict, app, headers};
use crate::channels::StoragePolicy;

const METHOD_NOT_ALLOWED: Rejection = Rejection::new(405, "MethodNotAllowed");
const BAD_PATH: Rejection = Rejection::new(404, "BadPath");
const MISSING_PUSH_TYPE: Rejection = Rejection::new(400, "MissingPushType");
const INVALID_PUSH_TYPE: Rejection = Rejection::new(400, "InvalidPushType");
const BAD_EXPIRATION_DATE: Rejection = Rejection::new(400, "BadExpirationDate");
const BAD_PRIORITY: Rejection = Rejection::new(400, "BadPriority");

/// Bytes of the body.
const PAYLOAD_MAX: usize = 5120;

/// The start of the path; the bundle id follows.
const PATH: &str = "/4/broadcasts/apps/";

pub fn judge(push: &Push<'_>, credential: &mut Credential, context: &Context<'_>) -> Verdict {
    if *push.method != Method::POST {
        return Err(METHOD_NOT_ALLOWED);
    }
    let bundle = push.path.strip_prefix(PATH).filter(|bundle| app::is_bundle(bundle)).ok_or(BAD_PATH)?;
    app::check(bundle, push, credential, context)?;
    let id = app::channel_id(push)?;
    let push_type = push.push_type.ok_or(MISSING_PUSH_TYPE)?;
    if !push_type.as_bytes().eq_ignore_ascii_case(b"liveactivity") {
        return Err(INVALID_PUSH_TYPE);
    }
    let expiration = push.expiration.and_then(headers::integer).ok_or(BAD_EXPIRATION_DATE)?;
    if !push.priority.is_some_and(|priority| matches!(priority.as_bytes(), b"10" | b"5" | b"1")) {
        return Err(BAD_PRIORITY);
    }
    match push.length {
        0 => return Err(PAYLOAD_EMPTY),
        length if length > PAYLOAD_MAX => return Err(PAYLOAD_TOO_LARGE),
        _ => {}
    }
    let environment = context.site.environment;
    let policy = context.channels.policy(environment, bundle, id).map_err(app::absent)?;
    if policy == StoragePolicy::Nothing && expiration != 0 {
        return Err(BAD_EXPIRATION_DATE);
    }
    let expiration_ms = expiration.saturating_mul(1000);
    context.channels.broadcast(environment, bundle, id, push.body, expiration_ms, context.now_ms);
    Ok(Acceptance::OK)
}
