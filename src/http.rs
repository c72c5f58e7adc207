//! An HTTP server with timeouts and limits, and a client for it. It has no routes: `api` adds them.

pub mod access_log;
pub mod body;
pub mod browser;
pub mod client;
pub mod envelope;
pub mod error;
mod guard;
pub mod head;
pub mod limits;
pub mod metrics;
pub mod observe;
pub mod query;
pub mod server;
mod trace;

pub use error::RequestError;
pub use limits::Limits;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use std::net::IpAddr;
use tower::ServiceExt;

/// A service that answers requests. Clones share everything.
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers a request.
    fn answer(self, request: Request) -> impl Future<Output = Response> + Send;

    /// The service for the requests of one client; `None` for a client of a Unix socket.
    fn of_client(self, _address: Option<IpAddr>) -> Self {
        self
    }
}

impl Service for Router {
    async fn answer(self, request: Request) -> Response {
        self.oneshot(request).await.unwrap_or_else(|never| match never {})
    }
}
