//! `…/channels`: the broadcast channels that Apple keeps for an app.

pub mod advice;
pub mod fault;

use super::not_implemented;
use super::notifications::{TIMEOUT_DEFAULT, TIMEOUT_RANGE};
use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::page::PageRequest;
use crate::api::path::{AppPath, ChannelPath};
use crate::apns::channels::{Call, Reply};
use crate::delivery::Sending;
use crate::delivery::calls::CallResult;
use crate::http::access_log::KeyId;
use crate::http::query::Query;
use crate::http::{RequestError, envelope};
use crate::json::{self, Object, ObjectFault};
use crate::model::{ChannelId, Outcome, OutcomeKind, Reason, StoragePolicy};
use crate::registry::App;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use fault::ChannelFault;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Reads the query and the headers of a call to Apple. Returns the query and the time limit.
fn options(query: Option<&str>, headers: &HeaderMap, known: &[&'static str]) -> Result<(Query, Duration), ApiError> {
    let query = Query::read(query, &[known, &["timeout"]].concat())?;
    not_implemented::refuse(headers, &query)?;
    let timeout = query.seconds("timeout", TIMEOUT_RANGE)?.unwrap_or(TIMEOUT_DEFAULT);
    Ok((query, timeout))
}

/// `POST {"message_storage_policy": 0 | 1}`: creates a channel.
pub async fn create(
    State(api): State<Arc<Api>>,
    path: Result<AppPath, ApiError>,
    caller: Option<Extension<KeyId>>,
    request: Request,
) -> Result<Response, ApiError> {
    let options = options(request.uri().query(), request.headers(), &[]);
    let body = api.bodies.collect(request).await?;
    let ((_, timeout), AppPath(key)) = (options?, path?);
    let policy = parse_policy(&body.bytes)?;
    let app = api.app(&key)?;
    match change(&api, &app, Call::Create(policy), caller, timeout).await? {
        Reply::Created(id) => {
            let policy = policy.number();
            let created = json!({"type": "channel", "id": id.as_str(), "message_storage_policy": policy,
                "push_type": "liveactivity"});
            Ok(envelope::success(StatusCode::CREATED, &created))
        }
        _ => Err(RequestError::Panicked.into()),
    }
}

/// `GET`: lists the ids of the app's channels, sorted. Apple has no pages: each page asks Apple for the whole list.
pub async fn list(
    State(api): State<Arc<Api>>,
    AppPath(key): AppPath,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (query, timeout) = options(uri.query(), &headers, &["limit", "cursor"])?;
    let page = PageRequest::of(&query, |text| ChannelId::of_apple(text.as_bytes()))?;
    let app = api.app(&key)?;
    let Reply::Channels(mut ids) = one(&api, &app, Call::List, timeout).await? else {
        return Err(RequestError::Panicked.into());
    };
    ids.sort_unstable();
    let entries: Vec<_> = ids.iter().filter(|id| page.after.as_ref().is_none_or(|after| *id > after)).collect();
    let entries = &entries[..entries.len().min(page.limit)];
    let cursor = entries.last().copied().or(page.after.as_ref()).map(ChannelId::as_str);
    let shown: Vec<_> = entries.iter().map(|id| json!({"type": "channel", "id": id.as_str()})).collect();
    Ok(envelope::list(&shown, cursor))
}

/// `GET …/channels/:id`.
pub async fn show(
    State(api): State<Arc<Api>>,
    AppPath(key): AppPath,
    ChannelPath(id): ChannelPath,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (_, timeout) = options(uri.query(), &headers, &[])?;
    let app = api.app(&key)?;
    match one(&api, &app, Call::Read(id.clone()), timeout).await? {
        Reply::Channel(channel) => {
            let shown = json!({"type": "channel", "id": id.as_str(),
                "message_storage_policy": channel.message_storage_policy, "push_type": channel.push_type});
            Ok(envelope::success(StatusCode::OK, &shown))
        }
        _ => Err(RequestError::Panicked.into()),
    }
}

/// `DELETE …/channels/:id`.
pub async fn remove(
    State(api): State<Arc<Api>>,
    AppPath(key): AppPath,
    ChannelPath(id): ChannelPath,
    caller: Option<Extension<KeyId>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (_, timeout) = options(uri.query(), &headers, &[])?;
    let app = api.app(&key)?;
    change(&api, &app, Call::Delete(id.clone()), caller, timeout).await?;
    Ok(envelope::success(StatusCode::OK, &json!({"type": "channel", "id": id.as_str()})))
}

/// Makes a call and waits for its content.
async fn one(api: &Api, app: &Arc<App>, call: Call, timeout: Duration) -> Result<Reply, ApiError> {
    let sending = Sending { deadline: Instant::now() + timeout, retry_unknown: false };
    let mut results = api.caller.call(Arc::clone(app), vec![call.clone()], sending)?.await;
    let result = results.pop().ok_or(RequestError::Panicked)?;
    match result {
        CallResult { reply: Some(reply), .. } => Ok(reply),
        result => Err(ChannelFault::of(&call, app, &result).into()),
    }
}

/// Makes a call that changes the app's channels, and logs it with the id of the caller's API key, also if the caller
/// disconnects.
async fn change(
    api: &Arc<Api>,
    app: &Arc<App>,
    call: Call,
    caller: Option<Extension<KeyId>>,
    timeout: Duration,
) -> Result<Reply, ApiError> {
    let (with, app) = (Arc::clone(api), Arc::clone(app));
    let changed = api.drain.spawn("channel", async move {
        let done = one(&with, &app, call.clone(), timeout).await;
        log(&call, &app, caller.as_ref().map(|Extension(KeyId(id))| &**id), &done);
        done
    });
    changed.await.map_err(|_| RequestError::Panicked)?
}

/// Logs a change of an app's channels that Apple made, or may have made.
fn log(call: &Call, app: &App, key_id: Option<&str>, done: &Result<Reply, ApiError>) {
    let app = &app.key;
    match (call, done) {
        (Call::Create(policy), Ok(Reply::Created(id))) => {
            let message_storage_policy = policy.number();
            tracing::info!(key_id, %app, channel = %id, message_storage_policy, "a channel was created");
        }
        (Call::Delete(id), Ok(_)) => tracing::info!(key_id, %app, channel = %id, "a channel was deleted"),
        (call, Err(ApiError::Channel(fault))) if fault.kind == OutcomeKind::Unknown => {
            tracing::warn!(key_id, %app, call = call.name(), %fault, "a channel may have been changed");
        }
        _ => {}
    }
}

fn parse_policy(body: &[u8]) -> Result<StoragePolicy, ObjectFault> {
    const NAME: &str = "message_storage_policy";
    const EXPECTED: &str = "0 (Apple stores no message of the channel) or 1 (it stores the most recent one)";
    let mut object = Object::read(json::text(body)?)?;
    let number: Option<u64> = object.take_integer(NAME, EXPECTED)?;
    object.take_type("channel", "`channel`, or left out")?;
    object.finish()?;
    number.and_then(StoragePolicy::parse).ok_or(ObjectFault::WrongType { name: NAME, expected: EXPECTED })
}

/// The outcome of a call in the arguments of an error.
fn outcome_of(result: &CallResult) -> [(&'static str, Option<Value>); 5] {
    let Outcome { kind, status, reason, attempts, .. } = &result.outcome;
    let is_ours = matches!(reason, Some(Reason::Node(_)));
    let named = |of_node| reason.as_ref().filter(|_| is_ours == of_node).map(|reason| reason.as_str().into());
    [
        ("outcome", Some(kind.as_str().into())),
        ("apple_status", status.map(Value::from)),
        ("apple_reason", named(false)),
        ("cause", named(true)),
        ("attempts", Some((*attempts).into())),
    ]
}
