//! The REST API: a table of routes, a guard in front of them, a file for each resource.

pub mod auth;
pub mod compat;
pub mod error;
pub mod page;
pub mod path;
pub mod routes;
pub mod service;
pub mod state;

pub use compat::Compat;
pub use state::{Api, ClusterAccess};

use crate::http::RequestError;
use crate::http::access_log::Access;
use crate::http::metrics::Metrics;
use crate::http::observe::{Observer, Policy, observe};
use auth::Guard;
use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use error::ApiError;
use routes::{NOTIFICATIONS, ROUTES, Route};
use service::{ApiService, Shortcut};
use std::sync::Arc;

const POLICY: Policy = Policy {
    is_health_check: routes::is_health_check,
    always_answered: routes::is_about_the_node,
    sends: NOTIFICATIONS,
    access: Access::Changes,
};

/// Builds the API that one listener serves.
pub fn service(api: Arc<Api>, metrics: Arc<Metrics>, guard: Guard) -> ApiService {
    let policy = Policy { access: api.access, ..POLICY };
    let observer = Observer::new(metrics, &api.limits, guard.browsers.clone(), policy);
    // The guard must also check sends that bypass the router.
    let shortcut = (!guard.is_needed()).then(|| Shortcut { api: Arc::clone(&api), observer: observer.clone() });
    ApiService::new(router(api, observer, guard), shortcut)
}

/// A trailing slash does not change the meaning of a path.
fn router(api: Arc<Api>, observer: Observer, guard: Guard) -> Router {
    let router = ROUTES.iter().fold(Router::new(), with_and_without_slash).fallback(nothing_here);
    // Without keys and restrictions no request needs a check.
    let router = if guard.is_needed() { router.layer(from_fn_with_state(guard, auth::guard)) } else { router };
    router.layer(from_fn_with_state(observer, observe)).with_state(api)
}

fn with_and_without_slash(router: Router<Arc<Api>>, route: &'static Route) -> Router<Arc<Api>> {
    let operations = route.operations.iter().map(routes::Operation::router);
    let methods = operations.fold(MethodRouter::new(), MethodRouter::merge);
    let is_built = route.operations.iter().all(|operation| operation.method != "*");
    let methods = if is_built { methods.fallback(move |request| not_this_method(route, request)) } else { methods };
    if route.path == "/" {
        return router.route(route.path, methods);
    }
    router.route(route.path, methods.clone()).route(&format!("{}/", route.path), methods)
}

async fn nothing_here(request: Request) -> ApiError {
    RequestError::NoSuchPath { path: request.uri().path().to_owned() }.into()
}

async fn not_this_method(route: &Route, method: Method) -> ApiError {
    RequestError::MethodNotAllowed { method: method.to_string(), allow: route.allow() }.into()
}

#[cfg(test)]
mod tests;
