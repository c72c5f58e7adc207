//! The rules of channel management: `/1/apps/<bundle>/channels` and `/1/apps/<bundle>/all-channels`.

use http::Method;
use serde_json::{Map, Value, json};

use super::target::{PAYLOAD_EMPTY, PAYLOAD_TOO_LARGE};
use super::{Acceptance, Context, Credential, Push, Rejection, Verdict, app};
use crate::channels::StoragePolicy;
use crate::site::Call;

const METHOD_NOT_ALLOWED: Rejection = Rejection::new(405, "MethodNotAllowed");
const BAD_PATH: Rejection = Rejection::new(404, "BadPath");
const BAD_REQUEST_PAYLOAD: Rejection = Rejection::new(400, "BadRequestPayload");
const BAD_REQUEST_PARAMS: Rejection = Rejection::new(400, "BadRequestParams");
const MISSING_PUSH_TYPE: Rejection = Rejection::new(400, "MissingPushType");
const INVALID_PUSH_TYPE: Rejection = Rejection::new(400, "InvalidPushType");
const CANNOT_CREATE: Rejection = Rejection::new(400, "CannotCreateChannelConfig");

/// Bytes of the body of a create call. Apple documents no limit of its own; this is the one of broadcasts.
const BODY_MAX: usize = 5120;
const POLICY: &str = "message-storage-policy";
const PUSH_TYPE: &str = "push-type";
const LIVE_ACTIVITY: &str = "LiveActivity";

/// The part of the path after the bundle id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Resource {
    Channels,
    AllChannels,
}

pub fn judge(push: &Push<'_>, credential: &mut Credential, context: &Context<'_>) -> Verdict {
    let (bundle, resource) = target(push.path).ok_or(BAD_PATH)?;
    let call = call_of(resource, push.method).ok_or(METHOD_NOT_ALLOWED)?;
    app::check(bundle, push, credential, context)?;
    match call {
        Call::CreateChannel => create(bundle, push, context),
        Call::ReadChannel => read(bundle, push, context),
        Call::DeleteChannel => delete(bundle, push, context),
        _ => Ok(list(bundle, context)),
    }
}

/// The call of a request; `None` if path or method is none of this service.
pub fn call(method: &Method, path: &str) -> Option<Call> {
    call_of(target(path)?.1, method)
}

fn call_of(resource: Resource, method: &Method) -> Option<Call> {
    match (resource, method) {
        (Resource::Channels, &Method::POST) => Some(Call::CreateChannel),
        (Resource::Channels, &Method::GET) => Some(Call::ReadChannel),
        (Resource::Channels, &Method::DELETE) => Some(Call::DeleteChannel),
        (Resource::AllChannels, &Method::GET) => Some(Call::ListChannels),
        _ => None,
    }
}

fn target(path: &str) -> Option<(&str, Resource)> {
    let (bundle, resource) = path.strip_prefix("/1/apps/")?.split_once('/')?;
    let resource = match resource {
        "channels" => Resource::Channels,
        "all-channels" => Resource::AllChannels,
        _ => return None,
    };
    app::is_bundle(bundle).then_some((bundle, resource))
}

fn create(bundle: &str, push: &Push<'_>, context: &Context<'_>) -> Verdict {
    let policy = requested_policy(push)?;
    let created = context.channels.create(context.site.environment, bundle, policy, context.channel_limit);
    let id = created.ok_or(CANNOT_CREATE)?;
    Ok(Acceptance { status: 201, channel_id: Some(id), body: None })
}

/// The policy in the body of a create call. That a wrong policy is `BadRequestParams` is not documented.
fn requested_policy(push: &Push<'_>) -> Result<StoragePolicy, Rejection> {
    match push.length {
        0 => return Err(PAYLOAD_EMPTY),
        length if length > BODY_MAX => return Err(PAYLOAD_TOO_LARGE),
        _ => {}
    }
    let fields: Map<String, Value> = serde_json::from_slice(push.body).map_err(|_| BAD_REQUEST_PAYLOAD)?;
    if fields.keys().any(|name| name != POLICY && name != PUSH_TYPE) {
        return Err(BAD_REQUEST_PARAMS);
    }
    let push_type = fields.get(PUSH_TYPE).ok_or(MISSING_PUSH_TYPE)?;
    if !push_type.as_str().is_some_and(|push_type| push_type.eq_ignore_ascii_case(LIVE_ACTIVITY)) {
        return Err(INVALID_PUSH_TYPE);
    }
    fields.get(POLICY).and_then(Value::as_u64).and_then(StoragePolicy::new).ok_or(BAD_REQUEST_PARAMS)
}

fn read(bundle: &str, push: &Push<'_>, context: &Context<'_>) -> Verdict {
    let id = app::channel_id(push)?;
    let policy = context.channels.policy(context.site.environment, bundle, id).map_err(app::absent)?;
    let body = json!({ POLICY: policy, PUSH_TYPE: LIVE_ACTIVITY }).to_string();
    Ok(Acceptance { body: Some(body), ..Acceptance::OK })
}

/// Apple's sandbox answers 404 for a channel that is not there, deleted or never created.
fn delete(bundle: &str, push: &Push<'_>, context: &Context<'_>) -> Verdict {
    let id = app::channel_id(push)?;
    let deleted = context.channels.delete(context.site.environment, bundle, id);
    if deleted { Ok(Acceptance { status: 204, ..Acceptance::OK }) } else { Err(BAD_PATH) }
}

fn list(bundle: &str, context: &Context<'_>) -> Acceptance {
    let channels = context.channels.list(context.site.environment, bundle);
    Acceptance { body: Some(json!({ "channels": channels }).to_string()), ..Acceptance::OK }
}
