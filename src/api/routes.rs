//! Every route of the API, in one table: the router, the guard, the metrics' labels and the API description read it.

pub mod apps;
pub mod cluster;
pub mod description;
pub mod disconnections;
pub mod feedback;
pub mod health;
pub mod held;
pub mod metrics;
pub mod not_implemented;
pub mod notifications;
mod records;
pub mod registry;

use super::auth::Need;
use super::auth::key::Scope;
use super::error::ApiError;
use super::state::Api;
use axum::http::Method;
use axum::routing::{MethodRouter, any, delete, get, post, put};
use std::sync::Arc;

/// A path and its operations.
pub struct Route {
    pub path: &'static str,
    /// The access required by a call that only reads: GET, HEAD, OPTIONS.
    pub reading: Need,
    /// The access required by every other call, even if the path does not have its method.
    pub changing: Need,
    pub operations: &'static [Operation],
}

/// One method of a path.
pub struct Operation {
    /// `GET` includes `HEAD`. `*` is any method, for a path that is not built yet.
    pub method: &'static str,
    /// The name of the operation in the API description.
    pub id: &'static str,
    pub summary: &'static str,
    handler: Handler,
}

/// A handler, or the sentence of the 501.
enum Handler {
    Built(fn() -> MethodRouter<Arc<Api>>),
    NotImplemented(&'static str),
}

impl Operation {
    const fn new(
        method: &'static str,
        id: &'static str,
        summary: &'static str,
        handler: fn() -> MethodRouter<Arc<Api>>,
    ) -> Self {
        Self { method, id, summary, handler: Handler::Built(handler) }
    }

    const fn not_implemented(id: &'static str, summary: &'static str, sentence: &'static str) -> Self {
        Self { method: "*", id, summary, handler: Handler::NotImplemented(sentence) }
    }

    /// The router of this operation.
    pub fn router(&self) -> MethodRouter<Arc<Api>> {
        match self.handler {
            Handler::Built(handler) => handler(),
            Handler::NotImplemented(sentence) => any(async move || ApiError::NotImplemented(sentence)),
        }
    }
}

/// The route of a send, as in the metrics.
pub const NOTIFICATIONS: &str = "/apps/{app_id}/{environment}/notifications";

/// The table.
pub const ROUTES: &[Route] = {
    use Need::{AnyKey, Nothing};
    use Operation as Op;
    const ADMIN: Need = Need::Scope(Scope::Admin);
    const READ: Need = Need::Scope(Scope::AppsRead);
    const WRITE: Need = Need::Scope(Scope::AppsWrite);
    const SEND: Need = Need::Scope(Scope::Send);
    const FEEDBACK: Need = Need::Scope(Scope::Feedback);
    const METRICS: Need = Need::Scope(Scope::Metrics);
    &[
        Route {
            path: "/apps",
            reading: READ,
            changing: WRITE,
            operations: &[Op::new("GET", "listApps", "Lists the provisioned apps", || get(apps::list))],
        },
        Route {
            path: "/apps/{app_id}/{environment}",
            reading: READ,
            changing: WRITE,
            operations: &[
                Op::new("GET", "getApp", "Shows an app and its state", || get(apps::show)),
                Op::new("POST", "provisionApp", "Provisions an app, or gives it another credential", || {
                    post(apps::provision)
                }),
                Op::new("DELETE", "removeApp", "Removes an app", || delete(apps::remove)),
            ],
        },
        Route {
            path: NOTIFICATIONS,
            reading: SEND,
            changing: SEND,
            operations: &[Op::new("POST", "sendNotifications", "Sends one notification or many", || {
                post(notifications::send)
            })],
        },
        Route {
            path: "/apps/{app_id}/{environment}/feedback",
            reading: FEEDBACK,
            changing: FEEDBACK,
            operations: &[
                Op::new("GET", "listFeedback", "Lists dead tokens", || get(feedback::list)),
                Op::new("DELETE", "acknowledgeFeedback", "Clears dead tokens up to a cursor", || {
                    delete(feedback::acknowledge)
                }),
            ],
        },
        Route {
            path: "/apps/{app_id}/{environment}/feedback/held",
            reading: FEEDBACK,
            changing: FEEDBACK,
            operations: &[
                Op::new("GET", "getHeldFeedback", "Shows the feedback that is held back", || get(held::show)),
                Op::new("POST", "settleHeldFeedback", "Releases or drops the feedback that is held back", || {
                    post(held::resolve)
                }),
            ],
        },
        Route {
            path: "/apps/{app_id}/{environment}/disconnections",
            reading: FEEDBACK,
            changing: FEEDBACK,
            operations: &[
                Op::new("GET", "listDisconnections", "Lists the disconnection log", || get(disconnections::list)),
                Op::new("DELETE", "acknowledgeDisconnections", "Clears the disconnection log up to a cursor", || {
                    delete(disconnections::acknowledge)
                }),
            ],
        },
        Route {
            path: "/healthz",
            reading: Nothing,
            changing: Nothing,
            operations: &[Op::new("GET", "getHealth", "Says that the process answers", || get(health::healthz))],
        },
        Route {
            path: "/readyz",
            reading: Nothing,
            changing: Nothing,
            operations: &[Op::new("GET", "getReadiness", "Says whether the node can do its work", || {
                get(health::readyz)
            })],
        },
        Route {
            path: "/metrics",
            reading: METRICS,
            changing: METRICS,
            operations: &[Op::new("GET", "getMetrics", "Shows the metrics in Prometheus's text format", || {
                get(metrics::metrics)
            })],
        },
        Route {
            path: "/apps/{app_id}/{environment}/notifications/{id}",
            reading: SEND,
            changing: SEND,
            operations: &[Op::not_implemented(
                "getNotification",
                "Shows the outcome of a notification",
                "looking a notification up is not built yet: keep the outcome that the POST answers with",
            )],
        },
        Route {
            path: "/apps/{app_id}/{environment}/channels",
            reading: SEND,
            changing: SEND,
            operations: &[Op::not_implemented(
                "listChannels",
                "Lists broadcast channels",
                "Apple's broadcast channels are not built yet",
            )],
        },
        Route {
            path: "/apps/{app_id}/{environment}/broadcasts",
            reading: SEND,
            changing: SEND,
            operations: &[Op::not_implemented("sendBroadcasts", "Sends broadcasts", "broadcast push is not built yet")],
        },
        Route {
            path: "/openapi.json",
            reading: AnyKey,
            changing: AnyKey,
            operations: &[Op::new("GET", "getDescription", "Describes the API", || get(description::show))],
        },
        Route {
            path: "/cluster",
            reading: ADMIN,
            changing: ADMIN,
            operations: &[Op::new("GET", "getCluster", "Shows the cluster as this node sees it", || {
                get(cluster::show)
            })],
        },
        Route {
            path: "/cluster/owner",
            reading: ADMIN,
            changing: ADMIN,
            operations: &[Op::new(
                "POST",
                "findOwner",
                "Shows which node sends for an app or a token, and why",
                || post(cluster::owner::find),
            )],
        },
        Route {
            path: "/cluster/nodes/{node}",
            reading: ADMIN,
            changing: ADMIN,
            operations: &[Op::new("POST", "cordonNode", "Takes a node out of the ring, or back into it", || {
                post(cluster::nodes::decide)
            })],
        },
        Route {
            path: "/cluster/pins/{app_id}/{environment}/{lane}",
            reading: ADMIN,
            changing: ADMIN,
            operations: &[
                Op::new("PUT", "pinLane", "Gives a lane to a node", || put(cluster::pins::put)),
                Op::new("DELETE", "unpinLane", "Lets the ring decide about a lane again", || {
                    delete(cluster::pins::delete)
                }),
            ],
        },
        Route {
            path: "/cluster/registry",
            reading: ADMIN,
            changing: ADMIN,
            operations: &[Op::new(
                "POST",
                "recoverRegistry",
                "Gives a shared store that has lost apps the apps of this node, accepts those that it has, or encrypts credentials again",
                || post(registry::recover),
            )],
        },
        Route {
            path: "/",
            reading: ADMIN,
            changing: ADMIN,
            operations: &[Op::not_implemented(
                "getDashboard",
                "Shows the dashboard",
                "the dashboard is not built yet: GET /apps lists the apps",
            )],
        },
    ]
};

impl Route {
    /// Finds the route of a path pattern, as the router names it.
    pub fn find(path: &str) -> Option<&'static Self> {
        ROUTES.iter().find(|route| route.path == path)
    }

    /// The access required by a call with this method.
    pub fn need(&self, method: &Method) -> Need {
        if method.is_safe() { self.reading } else { self.changing }
    }

    /// The methods of the route, for the header `Allow`.
    pub fn allow(&self) -> Vec<&'static str> {
        let methods = self.operations.iter().map(|operation| operation.method);
        methods.flat_map(|method| [Some(method), (method == "GET").then_some("HEAD")]).flatten().collect()
    }
}

/// Returns true for the health checks of load balancers, which are answered under any host name.
pub fn is_health_check(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// Returns true for a route about the node itself, which is answered even at the limit of requests.
pub fn is_about_the_node(path: &str) -> bool {
    is_health_check(path) || path == "/metrics"
}
