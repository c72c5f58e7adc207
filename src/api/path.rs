//! The app that a path names.

use super::Api;
use super::error::ApiError;
use crate::http::RequestError;
use crate::model::{AppId, AppKey, ChannelId, Environment};
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use std::sync::Arc;

/// The channel that a path names: `…/channels/:id`, in base64 of either alphabet.
#[derive(Debug)]
pub struct ChannelPath(pub ChannelId);

impl FromRequestParts<Arc<Api>> for ChannelPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, api).await.ok();
        let id = params.as_ref().and_then(|params| params.iter().find(|(name, _)| *name == "id"));
        Ok(Self(ChannelId::parse(id.map_or("", |(_, id)| id))?))
    }
}

/// `/apps/:app_id/:environment`, of an app that may or may not exist.
#[derive(Debug)]
pub struct AppPath(pub AppKey);

impl FromRequestParts<Arc<Api>> for AppPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        // Fails on invalid UTF-8, which no app id has.
        let params = RawPathParams::from_request_parts(parts, api).await.ok();
        let named = |name| params.as_ref()?.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        let (Some(id), Some(environment)) = (named("app_id"), named("environment")) else {
            return Err(RequestError::NoSuchPath { path: parts.uri.path().to_owned() }.into());
        };
        let Some(parsed) = Environment::parse(environment) else {
            return Err(ApiError::UnknownEnvironment { environment: environment.to_owned() });
        };
        let is_there = |id: &AppId| api.registry.get(&AppKey::new(id.clone(), parsed)).is_some();
        // An id that an earlier version accepted can still be used, and removed.
        let old = || AppId::stored(id).ok().filter(is_there);
        let id = AppId::new(id).or_else(|bad| old().ok_or(bad))?;
        Ok(Self(AppKey::new(id, parsed)))
    }
}
