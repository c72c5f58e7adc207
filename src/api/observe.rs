//! Around every request: its id, the checks of its headers, its count and time, its log line, and what remains of a panic.

use super::Limits;
use super::auth::browser::BrowserPolicy;
use super::error::Failure;
use super::head::Head;
use super::metrics::Metrics;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;
use tokio::sync::Semaphore;
use uuid::Uuid;

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id of a caller that is kept.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// What is needed to watch over a request.
#[derive(Debug, Clone)]
pub struct Observer {
    pub metrics: Arc<Metrics>,
    pub header_list_bytes: usize,
    /// Requests that may be answered at a time.
    pub requests: usize,
    browsers: Option<Arc<BrowserPolicy>>,
    places: Arc<Semaphore>,
}

impl Observer {
    pub fn new(metrics: Arc<Metrics>, limits: &Limits, browsers: Option<Arc<BrowserPolicy>>) -> Self {
        let places = Arc::new(Semaphore::new(limits.requests.min(Semaphore::MAX_PERMITS)));
        Self { metrics, header_list_bytes: limits.header_list_bytes, requests: limits.requests, browsers, places }
    }

    /// Judges a request before its route sees it.
    fn check(&self, route: &str, request: &Request) -> Result<(), Failure> {
        let head = Head::read(request.headers());
        if head.bytes > self.header_list_bytes {
            return Err(Failure::HeadersTooLarge { limit: self.header_list_bytes });
        }
        head.check(request.version())?;
        match &self.browsers {
            // Probes call a node by any name, and learn nothing that a page could use.
            Some(browsers) if !is_probe(route) => Ok(browsers.check(request.uri(), &head)?),
            _ => Ok(()),
        }
    }
}

fn is_probe(route: &str) -> bool {
    matches!(route, "/healthz" | "/readyz")
}

/// What is asked about the node itself is answered when all places are taken, too.
fn is_about_the_node(route: &str) -> bool {
    is_probe(route) || route == "/metrics"
}

/// Answers a request, and sees to it that it is answered.
pub async fn observe(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map_or("none", |path| path.as_str().trim_end_matches('/'));
    observer.watch(route, request, |request| next.run(request)).await
}

impl Observer {
    /// Watches over how `answer` answers a request to this route.
    pub async fn watch<F>(&self, route: &str, request: Request, answer: impl FnOnce(Request) -> F) -> Response
    where
        F: Future<Output = Response>,
    {
        let began = Instant::now();
        let id = request_id(request.headers());
        let method = request.method().clone();
        let place = self.places.try_acquire();
        let mut response = if let Err(failure) = self.check(route, &request) {
            failure.into_response()
        } else if place.is_err() && !is_about_the_node(route) {
            Failure::TooManyRequests { limit: self.requests }.into_response()
        } else {
            unless_it_panics(answer(request)).await
        };
        drop(place);
        let seconds = began.elapsed().as_secs_f64();
        self.metrics.answered(route, known_method(&method), response.status(), seconds);

        let (status, request_id) = (response.status().as_u16(), id.to_str().unwrap_or_default());
        let changes = !method.is_safe() && !route.ends_with("/notifications");
        if status >= 500 && status != 501 {
            tracing::warn!(request_id, route, %method, status, seconds, "a request failed");
        } else if changes {
            tracing::info!(request_id, route, %method, status, seconds, "a request was answered");
        } else {
            tracing::debug!(request_id, route, %method, status, seconds, "a request was answered");
        }
        response.headers_mut().insert(X_REQUEST_ID, id);
        response
    }
}

/// The caller's id if it can stand in a log line as it is, else one of ours.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    match headers.get(X_REQUEST_ID) {
        Some(id) if (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(sane) => id.clone(),
        _ => {
            let mut text = [0; uuid::fmt::Simple::LENGTH];
            let text = Uuid::new_v4().simple().encode_lower(&mut text);
            HeaderValue::from_str(text).expect("hex digits can stand in a header")
        }
    }
}

/// A caller can invent methods without end; a metric's label cannot take them.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// A panic ends one request and not the connection, with all the other requests on it.
async fn unless_it_panics(answer: impl Future<Output = Response>) -> Response {
    let mut answer = pin!(answer);
    std::future::poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx)));
        polled.unwrap_or_else(|_| Poll::Ready(Failure::Panicked.into_response()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;

    #[tokio::test]
    async fn a_panic_becomes_a_500() {
        let response = unless_it_panics(async { panic!("a bug") }).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn an_id_that_cannot_stand_in_a_log_line_is_replaced() {
        let id = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_static(text));
            request_id(&headers).to_str().unwrap().to_owned()
        };
        assert_eq!(id("order-17/a.b:c"), "order-17/a.b:c");
        for bad in ["", "two words", "quo\"te"] {
            assert_eq!(id(bad).len(), 32, "{bad}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
