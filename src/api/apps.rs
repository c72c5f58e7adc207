//! `/apps`: provisioning, changing, removing and reading apps.

pub mod object;
pub mod provisioning;

use super::error::Failure;
use super::page::Asked;
use super::path::AppPath;
use super::query::Query;
use super::{Api, envelope};
use crate::credentials::{Material, Secret, paths};
use crate::model::{AppId, AppKey, Environment};
use crate::registry::Provision;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use object::AppObject;
use provisioning::{Given, Source};
use serde_json::json;
use std::sync::Arc;

/// `GET /apps`: sorted by id and environment.
pub async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Result<Response, Failure> {
    let page = Asked::read(uri.query(), parse_key)?;
    let mut apps = api.registry.list();
    apps.retain(|app| page.after.as_ref().is_none_or(|after| app.key > *after));
    apps.truncate(page.limit);
    let cursor = apps.last().map(|app| app.key.to_string()).or(page.after.map(|key| key.to_string()));
    let now = api.clock.unix_seconds();
    let entries: Vec<_> = apps.iter().map(|app| AppObject::new(app, now)).collect();
    Ok(envelope::list(&entries, cursor))
}

/// `GET /apps/:app_id/:environment`.
pub async fn show(State(api): State<Arc<Api>>, AppPath(key): AppPath, uri: Uri) -> Result<Response, Failure> {
    Query::read(uri.query(), &[])?;
    let app = api.app(&key)?;
    Ok(envelope::success(StatusCode::OK, &AppObject::new(&app, api.clock.unix_seconds())))
}

/// `POST /apps/:app_id/:environment`: the same for a new app and one that changes.
pub async fn provision(
    State(api): State<Arc<Api>>,
    path: Result<AppPath, Failure>,
    request: Request,
) -> Result<Response, Failure> {
    let query = Query::read(request.uri().query(), &[]);
    let body = api.bodies.collect(request).await?;
    let (_, AppPath(key)) = (query?, path?);
    let asked = provisioning::read(&body.bytes)?;
    let (material, certificate_path) = load(&api, asked.credential).await?;
    let wanted = Provision {
        key,
        material,
        certificate_path,
        topic: asked.topic,
        timeout_seconds: asked.timeout_seconds,
        lanes: asked.lanes,
    };
    let app = api.registry.provision(wanted).await?;
    Ok(envelope::success(StatusCode::CREATED, &AppObject::new(&app, api.clock.unix_seconds())))
}

/// `DELETE /apps/:app_id/:environment`.
pub async fn remove(State(api): State<Arc<Api>>, AppPath(key): AppPath, uri: Uri) -> Result<Response, Failure> {
    Query::read(uri.query(), &[])?;
    if !api.registry.remove(&key).await? {
        return Err(Failure::UnknownApp { key });
    }
    api.intake.remove(&key);
    let removed = json!({"type": "app", "app_id": key.id.as_str(), "environment": key.environment.as_str()});
    Ok(envelope::success(StatusCode::OK, &removed))
}

/// The credential's text, and the path it was given as.
async fn load(api: &Api, given: Given) -> Result<(Material, Option<String>), Failure> {
    match given {
        Given::Certificate(source) => {
            let (pem, path) = text(api, source).await?;
            Ok((Material::Certificate { pem }, path))
        }
        Given::Key { key, key_id, team_id } => {
            let (p8, _) = text(api, key).await?;
            Ok((Material::Key { p8, key_id, team_id }, None))
        }
    }
}

async fn text(api: &Api, source: Source) -> Result<(Secret, Option<String>), Failure> {
    match source {
        Source::Text(secret) => Ok((secret, None)),
        Source::Path(path) => {
            let (inside, wanted) = (api.credentials_dir.clone(), path.clone());
            let read = tokio::task::spawn_blocking(move || paths::read_inside(inside.as_deref(), &wanted)).await;
            Ok((read.map_err(|_| Failure::Panicked)??, Some(path)))
        }
    }
}

/// The cursor of the list of apps is the last app's key.
fn parse_key(text: &str) -> Option<AppKey> {
    let (id, environment) = text.rsplit_once('/')?;
    Some(AppKey::new(AppId::new(id).ok()?, Environment::parse(environment)?))
}
