//! `/apps`: provisioning, changing, removing and reading apps.

mod figures;
pub mod object;
pub mod precondition;
pub mod provisioning;

use crate::api::Api;
use crate::api::auth::RestrictedCaller;
use crate::api::error::ApiError;
use crate::api::page::PageRequest;
use crate::api::path::AppPath;
use crate::credentials::{Material, Secret, import, paths};
use crate::http::query::Query;
use crate::http::{RequestError, envelope};
use crate::model::{AppId, AppKey, Environment};
use crate::registry::{App, Provision, ProvisionError};
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::Response;
use figures::Statuses;
use object::AppObject;
use precondition::Precondition;
use provisioning::{CredentialSource, GivenCredential};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The header of the passphrase for a credential that is the whole body. It is not a query parameter, because proxies
/// log queries.
const X_PASSPHRASE: HeaderName = HeaderName::from_static("x-passphrase");

/// The maximum number of credential files read at the same time: they share the reserved file descriptors.
static PATH_READS: Semaphore = Semaphore::const_new(4);

/// `GET /apps`: lists the apps that the caller may use, sorted by id and environment.
pub async fn list(
    State(api): State<Arc<Api>>,
    caller: Option<Extension<RestrictedCaller>>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let page = PageRequest::read(uri.query(), parse_key)?;
    let shown = |key: &AppKey| caller.as_ref().is_none_or(|caller| caller.may_use(key.id.as_str()));
    let apps = api.registry.page(page.after.as_ref(), page.limit, shown);
    let cursor = apps.last().map(|app| app.key.to_string()).or(page.after.map(|key| key.to_string()));
    let statuses = Statuses::of(&api, &apps).await;
    let entries: Vec<_> = apps.iter().map(|app| object(&api, app, &statuses)).collect();
    Ok(envelope::list(&entries, cursor))
}

/// `GET /apps/:app_id/:environment`.
pub async fn show(State(api): State<Arc<Api>>, AppPath(key): AppPath, uri: Uri) -> Result<Response, ApiError> {
    Query::read(uri.query(), &[])?;
    let app = api.app(&key)?;
    Ok(respond(StatusCode::OK, &api, &app).await)
}

/// `POST /apps/:app_id/:environment`: provisions a new app, or changes an existing one.
pub async fn provision(
    State(api): State<Arc<Api>>,
    path: Result<AppPath, ApiError>,
    request: Request,
) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &[]);
    let precondition = Precondition::read(request.headers());
    let passphrase = request.headers().get(X_PASSPHRASE).map(|value| Secret::from(value.as_bytes().to_vec()));
    let body = api.bodies.collect(request).await?;
    let (_, AppPath(key)) = (query?, path?);
    let expect = precondition?.expectation(api.registry.get(&key).as_deref())?;
    let asked = provisioning::read(&body.bytes, passphrase)?;
    let (material, certificate_path) = load(&api, asked.credential, asked.passphrase).await?;
    let wanted = Provision {
        key,
        material,
        certificate_path,
        topic: asked.topic,
        timeout_seconds: asked.timeout_seconds,
        lanes: asked.lanes,
        entry: None,
        expect,
        even_expired: false,
        even_unfit: false,
        even_without_topic: false,
    };
    let app = api.registry.provision(wanted).await?;
    Ok(respond(StatusCode::CREATED, &api, &app).await)
}

/// `DELETE /apps/:app_id/:environment`.
pub async fn remove(
    State(api): State<Arc<Api>>,
    AppPath(key): AppPath,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    Query::read(uri.query(), &[])?;
    let expect = Precondition::read(&headers)?.expectation(api.registry.get(&key).as_deref())?;
    if !api.registry.remove(&key, expect).await? {
        return Err(ApiError::UnknownApp { key });
    }
    let removed = json!({"type": "app", "app_id": key.id.as_str(), "environment": key.environment.as_str()});
    Ok(envelope::success(StatusCode::OK, &removed))
}

/// The app, with its revision as `ETag`.
async fn respond(status: StatusCode, api: &Api, app: &Arc<App>) -> Response {
    let statuses = Statuses::of(api, std::slice::from_ref(app)).await;
    let mut response = envelope::success(status, &object(api, app, &statuses));
    response.headers_mut().insert(header::ETAG, precondition::etag(app.revision));
    response
}

fn object<'a>(api: &Api, app: &'a App, statuses: &Statuses<'_>) -> AppObject<'a> {
    AppObject::new(app, statuses.sum(app), api.events.quarantine_of(&app.key), api.clock.unix_seconds())
}

/// The credential in plain PEM, and its path if it was given as a path.
async fn load(
    api: &Api,
    given: GivenCredential,
    passphrase: Option<Secret>,
) -> Result<(Material, Option<String>), ApiError> {
    match given {
        GivenCredential::Certificate(source) => {
            let (pem, path) = opened(api, source, passphrase).await?;
            Ok((Material::Certificate { pem }, path))
        }
        GivenCredential::Key { key, key_id, team_id } => {
            let (p8, _) = opened(api, key, passphrase).await?;
            Ok((Material::Key { p8, key_id, team_id }, None))
        }
    }
}

async fn opened(
    api: &Api,
    source: CredentialSource,
    passphrase: Option<Secret>,
) -> Result<(Secret, Option<String>), ApiError> {
    let (content, path) = content(api, source).await?;
    let pem = import::open_in_turn(content, passphrase, &api.drain).await.map_err(ProvisionError::from)?;
    Ok((pem, path))
}

async fn content(api: &Api, source: CredentialSource) -> Result<(Secret, Option<String>), ApiError> {
    match source {
        CredentialSource::Content(secret) => Ok((secret, None)),
        CredentialSource::Path(path) => {
            let (inside, wanted) = (api.credentials_dir.clone(), path.clone());
            let turn = PATH_READS.acquire().await;
            let read = move || {
                let _until_it_ends = turn;
                paths::read_inside(inside.as_deref(), &wanted)
            };
            let read = api.drain.spawn_blocking(read).await;
            Ok((read.map_err(|_| RequestError::Panicked)??, Some(path)))
        }
    }
}

/// The cursor of the list of apps is the last app's key.
fn parse_key(text: &str) -> Option<AppKey> {
    let (id, environment) = text.rsplit_once('/')?;
    Some(AppKey::new(AppId::stored(id).ok()?, Environment::parse(environment)?))
}
