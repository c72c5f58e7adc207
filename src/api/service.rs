//! The API as a service of the HTTP server. A send, the most frequent request, goes straight to its handler. The router
//! serves every other request, sends with an unusual path, and sends that need the guard.

use super::Api;
use super::path::AppPath;
use super::routes::{NOTIFICATIONS, notifications};
use crate::http::Service;
use crate::http::access_log::ClientAddress;
use crate::http::observe::Observer;
use crate::model::{AppId, AppKey, Environment};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;
use tower::ServiceExt;

/// The API's HTTP service. Clones share its state.
#[derive(Clone)]
pub struct ApiService {
    router: Router,
    shortcut: Option<Arc<Shortcut>>,
    client: Option<IpAddr>,
}

/// The state of sends that bypass the router.
pub struct Shortcut {
    pub api: Arc<Api>,
    pub observer: Observer,
}

impl ApiService {
    pub fn new(router: Router, shortcut: Option<Shortcut>) -> Self {
        Self { router, shortcut: shortcut.map(Arc::new), client: None }
    }
}

impl Service for ApiService {
    fn of_client(self, address: Option<IpAddr>) -> Self {
        Self { client: address, ..self }
    }

    async fn answer(self, mut request: Request) -> Response {
        let key = self.shortcut.as_ref().and_then(|shortcut| Some((shortcut, sends_to(&request)?)));
        let Some((shortcut, key)) = key else {
            if let Some(client) = self.client {
                request.extensions_mut().insert(ClientAddress(client));
            }
            return Box::pin(self.router.oneshot(request)).await.unwrap_or_else(|never| match never {});
        };
        let api = State(Arc::clone(&shortcut.api));
        // Hyper moves this future several times, so it is boxed.
        let send =
            |request| Box::pin(async { notifications::send(api, Ok(AppPath(key)), request).await.into_response() });
        shortcut.observer.watch(NOTIFICATIONS, self.client, request, send).await
    }
}

/// The app of a send with a plain path.
fn sends_to(request: &Request) -> Option<AppKey> {
    if request.method() != Method::POST {
        return None;
    }
    let app = request.uri().path().strip_prefix("/apps/")?.strip_suffix("/notifications")?;
    let (id, environment) = app.split_once('/')?;
    Some(AppKey::new(AppId::new(id).ok()?, Environment::parse(environment)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn key(method: Method, path: &str) -> Option<String> {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        sends_to(&request).map(|key| key.to_string())
    }

    #[test]
    fn only_a_send_with_a_plain_path_bypasses_the_router() {
        let plain = "/apps/com.example.app/sandbox/notifications";
        assert_eq!(key(Method::POST, plain).as_deref(), Some("com.example.app/sandbox"));
        assert_eq!(key(Method::POST, &format!("{plain}?timeout=2")).as_deref(), Some("com.example.app/sandbox"));
        assert_eq!(key(Method::GET, plain), None);
        for other in [
            "/apps/com.example.app/sandbox/notifications/",
            "/apps/com.example.app/sandbox/feedback",
            "/apps/com%2Eexample.app/sandbox/notifications",
            "/apps/com.example.app/staging/notifications",
            "/apps//sandbox/notifications",
            "/apps/a/b/sandbox/notifications",
            "/notifications",
        ] {
            assert_eq!(key(Method::POST, other), None, "{other}");
        }
    }
}
