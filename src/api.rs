//! The REST API: every route is on this page.

pub mod apps;
pub mod auth;
pub mod body;
pub mod compat;
pub mod disconnections;
pub mod entry;
pub mod envelope;
pub mod error;
pub mod feedback;
mod head;
pub mod held;
pub mod json;
pub mod limits;
pub mod metrics;
pub mod node;
pub mod notifications;
pub mod object;
pub mod observe;
pub mod page;
pub mod path;
pub mod query;
pub mod server;
pub mod unbuilt;

pub use compat::Compat;
pub use limits::Limits;

use crate::clock::Clock;
use crate::delivery::Intake;
use crate::drain::Drain;
use crate::events::Events;
use crate::model::AppKey;
use crate::registry::{App, Registry};
use crate::telemetry;
use auth::Guard;
use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, any, get, post};
use body::Bodies;
use entry::{Entry, Shortcut};
use error::Failure;
use metrics::Metrics;
use observe::{Observer, observe};
use std::path::PathBuf;
use std::sync::Arc;

/// What the handlers work with.
pub struct Api {
    pub registry: Registry,
    pub intake: Arc<Intake>,
    pub events: Events,
    pub clock: Clock,
    pub telemetry: telemetry::Metrics,
    pub limits: Limits,
    pub compat: Compat,
    pub bodies: Bodies,
    /// Where certificate paths may point; `None` = nowhere.
    pub credentials_dir: Option<PathBuf>,
    pub readiness: node::Readiness,
    pub rendered: node::Rendered,
    /// Begins when the node stops: open streams then come to an end.
    pub drain: Drain,
}

impl Api {
    /// An app that exists.
    fn app(&self, key: &AppKey) -> Result<Arc<App>, Failure> {
        self.registry.get(key).ok_or_else(|| Failure::UnknownApp { key: key.clone() })
    }
}

/// The route of a send, as metrics name it.
const NOTIFICATIONS: &str = "/apps/{app_id}/{environment}/notifications";

/// Every route, built or not.
fn routes() -> impl Iterator<Item = (String, MethodRouter<Arc<Api>>)> {
    let app = "/apps/{app_id}/{environment}";
    let built = [
        ("/apps".to_owned(), only(&["GET", "HEAD"], get(apps::list))),
        (
            app.to_owned(),
            only(&["GET", "HEAD", "POST", "DELETE"], get(apps::show).post(apps::provision).delete(apps::remove)),
        ),
        (NOTIFICATIONS.to_owned(), only(&["POST"], post(notifications::send))),
        (
            format!("{app}/feedback"),
            only(&["GET", "HEAD", "DELETE"], get(feedback::list).delete(feedback::acknowledge)),
        ),
        (format!("{app}/feedback/held"), only(&["GET", "HEAD", "POST"], get(held::show).post(held::settle))),
        (
            format!("{app}/disconnections"),
            only(&["GET", "HEAD", "DELETE"], get(disconnections::list).delete(disconnections::acknowledge)),
        ),
        ("/healthz".to_owned(), only(&["GET", "HEAD"], get(node::health))),
        ("/readyz".to_owned(), only(&["GET", "HEAD"], get(node::ready))),
        ("/metrics".to_owned(), only(&["GET", "HEAD"], get(node::metrics))),
    ];
    let unbuilt =
        unbuilt::PATHS.map(|(path, sentence)| (path.to_owned(), any(async move || Failure::NotBuilt(sentence))));
    built.into_iter().chain(unbuilt)
}

/// The whole API, as one listener answers it.
pub fn entry(api: Arc<Api>, metrics: Arc<Metrics>, guard: Guard) -> Entry {
    let observer = Observer::new(metrics, &api.limits, guard.browsers.clone());
    // What stands before every route has to stand before the shortcut too.
    let shortcut = (!guard.is_needed()).then(|| Shortcut { api: Arc::clone(&api), observer: observer.clone() });
    Entry::new(router(api, observer, guard), shortcut)
}

/// A path means the same with a slash at its end.
fn router(api: Arc<Api>, observer: Observer, guard: Guard) -> Router {
    let router = routes().fold(Router::new(), with_and_without_slash).fallback(nothing_here);
    // Where nobody is refused anything, nothing is asked.
    let router = if guard.is_needed() { router.layer(from_fn_with_state(guard, auth::guard)) } else { router };
    router.layer(from_fn_with_state(observer, observe)).with_state(api)
}

fn with_and_without_slash(router: Router<Arc<Api>>, route: (String, MethodRouter<Arc<Api>>)) -> Router<Arc<Api>> {
    let (path, methods) = route;
    if path == "/" {
        return router.route(&path, methods);
    }
    router.route(&path, methods.clone()).route(&format!("{path}/"), methods)
}

async fn nothing_here(request: Request) -> Failure {
    Failure::NoSuchPath { path: request.uri().path().to_owned() }
}

/// The methods of a path, also for the answer to any other.
fn only(allow: &'static [&'static str], methods: MethodRouter<Arc<Api>>) -> MethodRouter<Arc<Api>> {
    let refuse = async move |method: Method| Failure::MethodNotAllowed { method: method.to_string(), allow };
    methods.fallback(refuse)
}

#[cfg(test)]
mod tests;
