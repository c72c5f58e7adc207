//! The app that a path names.

use super::error::Failure;
use crate::model::{AppId, AppKey, Environment};
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

/// `/apps/:app_id/:environment`, of an app that may or may not exist.
#[derive(Debug)]
pub struct AppPath(pub AppKey);

impl<S: Send + Sync> FromRequestParts<S> for AppPath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        // Fails on bytes that are not UTF-8, which no app id has.
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        let named = |name| params.as_ref()?.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        let (Some(id), Some(environment)) = (named("app_id"), named("environment")) else {
            return Err(Failure::NoSuchPath { path: parts.uri.path().to_owned() });
        };
        let Some(parsed) = Environment::parse(environment) else {
            return Err(Failure::UnknownEnvironment { environment: environment.to_owned() });
        };
        Ok(Self(AppKey::new(AppId::new(id)?, parsed)))
    }
}
