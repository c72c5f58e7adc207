//! The guard in front of every route. The table of routes has the scope of each; a route that is not in it requires
//! `admin`.

pub mod config;
pub mod key;

use super::error::ApiError;
use super::routes::Route;
use crate::clock::Clock;
use crate::http::access_log;
use crate::http::browser::BrowserPolicy;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use key::{ApiKey, Keys, Scope};
use std::sync::Arc;

/// The access that a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Nothing,
    AnyKey,
    Scope(Scope),
}

fn need(method: &Method, route: Option<&str>) -> Need {
    // Requires a key for an unknown path too, so that the response does not reveal which paths exist.
    let Some(path) = route else { return Need::AnyKey };
    Route::find(path).map_or(Need::Scope(Scope::Admin), |route| route.need(method))
}

/// The callers that a listener serves, which decides its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// The listener answers every route.
    Whole,
    /// The listener leaves provisioning, metrics and `admin` calls to the admin listener.
    Public,
}

impl Exposure {
    fn answers(self, need: Need) -> bool {
        self == Self::Whole || !matches!(need, Need::Scope(Scope::AppsWrite | Scope::Metrics | Scope::Admin))
    }
}

/// The reasons to refuse a caller. The sentences are the same for an app that exists and one that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessFault {
    #[error("this call needs an API key: send the header `Authorization: Bearer ID.SECRET`")]
    KeyMissing,
    #[error("unknown API key: check its id and secret, and that this node's configuration has it")]
    KeyUnknown,
    #[error("this API key has expired: ask for a new one")]
    KeyExpired,
    #[error("this API key lacks the scope `{scope}`, which this call needs")]
    ScopeMissing { scope: Scope },
    #[error("this API key may not use this app")]
    AppForbidden,
    #[error("this API key is for some apps only, and this call concerns all apps: use a key for all apps")]
    AllApps,
    #[error("this call is answered only on the admin listener")]
    AdminListenerOnly,
}

impl AccessFault {
    pub fn status_and_reason(self) -> (StatusCode, &'static str) {
        match self {
            Self::KeyMissing => (StatusCode::UNAUTHORIZED, "api_key_missing"),
            Self::KeyUnknown => (StatusCode::UNAUTHORIZED, "api_key_unknown"),
            Self::KeyExpired => (StatusCode::UNAUTHORIZED, "api_key_expired"),
            Self::ScopeMissing { .. } => (StatusCode::FORBIDDEN, "scope_missing"),
            Self::AppForbidden | Self::AllApps => (StatusCode::FORBIDDEN, "app_forbidden"),
            Self::AdminListenerOnly => (StatusCode::FORBIDDEN, "admin_listener_only"),
        }
    }
}

/// The check before every route of a listener that restricts its callers.
#[derive(Debug, Clone)]
pub struct Guard {
    /// `None` means that no key is needed. The keys may change at run time; if there is none, every caller is refused.
    pub keys: Option<Arc<Keys>>,
    pub exposure: Exposure,
    /// Checked first, on every route but health checks; `None` on a listener that browsers cannot reach.
    pub browsers: Option<Arc<BrowserPolicy>>,
    pub clock: Clock,
}

impl Guard {
    /// Returns true if any caller can be refused.
    pub fn is_needed(&self) -> bool {
        self.keys.is_some() || self.exposure == Exposure::Public
    }

    /// Lets a request pass if its caller may make it. A known key leaves its id in the extensions, also if it is refused.
    async fn admit(&self, head: &mut Parts) -> Result<(), AccessFault> {
        let route = head.extensions.get::<MatchedPath>().map(|path| match path.as_str() {
            "/" => "/",
            path => path.trim_end_matches('/'),
        });
        let need = need(&head.method, route);
        let key = match &self.keys {
            Some(keys) if need != Need::Nothing => Some(self.key(keys, head, need)?),
            _ => None,
        };
        if !self.exposure.answers(need) {
            return Err(AccessFault::AdminListenerOnly);
        }
        let Some(key) = key.filter(|key| key.apps.is_some()) else { return Ok(()) };
        // Decoded as for the handlers.
        let params = RawPathParams::from_request_parts(head, &()).await.ok();
        let app = params.as_ref().and_then(|params| params.iter().find(|(name, _)| *name == "app_id"));
        if app.is_some_and(|(_, app)| !key.may_use(app)) {
            return Err(AccessFault::AppForbidden);
        }
        head.extensions.insert(RestrictedCaller(key));
        Ok(())
    }

    fn key(&self, keys: &Keys, head: &mut Parts, need: Need) -> Result<Arc<ApiKey>, AccessFault> {
        let shown = head.headers.get(header::AUTHORIZATION).ok_or(AccessFault::KeyMissing)?;
        let key = keys.find(shown.as_bytes()).ok_or(AccessFault::KeyUnknown)?;
        head.extensions.insert(access_log::KeyId(key.id.shared()));
        if key.expires_at.is_some_and(|end| end <= self.clock.unix_seconds()) {
            return Err(AccessFault::KeyExpired);
        }
        match need {
            Need::Scope(scope) if !key.has(scope) => Err(AccessFault::ScopeMissing { scope }),
            _ => Ok(key),
        }
    }
}

/// A caller with a key for some apps only.
#[derive(Debug, Clone)]
pub struct RestrictedCaller(Arc<ApiKey>);

impl RestrictedCaller {
    pub fn may_use(&self, app: &str) -> bool {
        self.0.may_use(app)
    }
}

/// Lets a request pass, or refuses it before its body is read.
pub async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    let admitted = guard.admit(&mut head).await;
    let key = head.extensions.get::<access_log::KeyId>().cloned();
    let mut response = match admitted {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(fault) => ApiError::Access(fault).into_response(),
    };
    if let Some(key) = key {
        response.extensions_mut().insert(key);
    }
    response
}
