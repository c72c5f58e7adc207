//! The middleware around every request: its id, the checks of its headers, its metrics, its log line, and the recovery
//! from a panic.

use super::Limits;
use super::access_log::{Access, AccessLine, ClientAddress};
use super::browser::BrowserPolicy;
use super::error::RequestError;
use super::head::Head;
use super::metrics::Metrics;
use crate::budget::Budget;
use crate::subject::Subject;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use uuid::Uuid;

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The maximum length of a caller's request id; a longer one is replaced.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The observer of every request.
#[derive(Debug, Clone)]
pub struct Observer {
    pub metrics: Arc<Metrics>,
    pub header_list_bytes: usize,
    /// The permits of requests being answered.
    pub requests: usize,
    policy: Policy,
    browsers: Option<Arc<BrowserPolicy>>,
    permits: Arc<Budget>,
}

/// The routes with special treatment.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Routes that load balancers call under any host name.
    pub is_health_check: fn(&str) -> bool,
    /// Routes that are answered even when the limit of requests is reached.
    pub always_answered: fn(&str) -> bool,
    /// The route of sends, whose lines have level debug unless `access` has all requests.
    pub sends: &'static str,
    pub access: Access,
}

impl Observer {
    pub fn new(metrics: Arc<Metrics>, limits: &Limits, browsers: Option<Arc<BrowserPolicy>>, policy: Policy) -> Self {
        let permits = Budget::new(limits.requests);
        let (header_list_bytes, requests) = (limits.header_list_bytes, limits.requests);
        Self { metrics, header_list_bytes, requests, policy, browsers, permits }
    }

    /// Checks a request's headers before its route sees it.
    fn check_headers(&self, route: &str, request: &Request, head: &Head<'_>) -> Result<(), RequestError> {
        if head.bytes > self.header_list_bytes {
            return Err(RequestError::HeadersTooLarge { limit: self.header_list_bytes });
        }
        head.check_framing(request.version())?;
        match &self.browsers {
            // Health checks may use any host name, as a page cannot use their responses.
            Some(browsers) if !(self.policy.is_health_check)(route) => Ok(browsers.check(request.uri(), head)?),
            _ => Ok(()),
        }
    }
}

/// Runs the route of a request under the observer.
pub async fn observe(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map_or("none", |path| path.as_str().trim_end_matches('/'));
    let client = request.extensions().get().map(|ClientAddress(address)| *address);
    observer.watch(route, client, request, |request| next.run(request)).await
}

impl Observer {
    /// Answers a request to this route with `answer`: checks, counts and logs it, and survives its panic.
    pub async fn watch<F>(
        &self,
        route: &str,
        client: Option<IpAddr>,
        request: Request,
        answer: impl FnOnce(Request) -> F,
    ) -> Response
    where
        F: Future<Output = Response>,
    {
        let began = Instant::now();
        let id = request_id(request.headers());
        let is_change = !request.method().is_safe() && route != self.policy.sends;
        let head = Head::read(request.headers());
        let line = AccessLine::of(route, &request, &head, client, !is_change && self.policy.access == Access::Changes);
        let permit = self.permits.try_acquire(1);
        let mut response = if let Err(error) = self.check_headers(route, &request, &head) {
            error.into_response()
        } else if permit.is_none() && !(self.policy.always_answered)(route) {
            RequestError::TooManyRequests { limit: self.requests }.into_response()
        } else {
            let subject = Subject::Request(id.clone());
            let response = subject.clone().scope(catch_panic(answer(request))).await;
            scope_body(response, subject)
        };
        drop(permit);
        let seconds = began.elapsed().as_secs_f64();
        self.metrics.answered(route, known_method(line.method()), response.status(), seconds);
        line.write(id.to_str().unwrap_or_default(), &response, seconds);
        response.headers_mut().insert(X_REQUEST_ID, id);
        response
    }
}

/// The caller's request id if it is valid in a log line, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    match headers.get(X_REQUEST_ID) {
        Some(id) if (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(allowed) => id.clone(),
        _ => {
            let mut text = [0; uuid::fmt::Simple::LENGTH];
            let text = Uuid::new_v4().simple().encode_lower(&mut text);
            HeaderValue::from_str(text).expect("hex digits are valid in a header")
        }
    }
}

/// The metric label of a method. Callers can send any method, and the number of labels must be bounded.
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

/// Produces a streamed body in the scope of its request.
fn scope_body(response: Response, subject: Subject) -> Response {
    let is_made = response.body().size_hint().exact().is_some();
    if is_made { response } else { response.map(|body| Body::new(Streamed { body: Some(body), subject })) }
}

/// The body of a streamed response.
struct Streamed {
    /// `None` after a panic.
    body: Option<Body>,
    subject: Subject,
}

/// The error of a response that a panic ended. The connection stays open.
#[derive(Debug, thiserror::Error)]
#[error("the response could not be finished")]
struct CutOff;

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let subject = self.subject.clone();
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let poll = || subject.within(|| Pin::new(body).poll_frame(cx));
        catch_unwind(AssertUnwindSafe(poll)).unwrap_or_else(|_| {
            self.body = None;
            Poll::Ready(Some(Err(axum::Error::new(CutOff))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

/// Catches a panic, so that it ends one request and not the other requests on its connection.
async fn catch_panic(answer: impl Future<Output = Response>) -> Response {
    let mut answer = pin!(answer);
    std::future::poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx)));
        polled.unwrap_or_else(|_| Poll::Ready(RequestError::Panicked.into_response()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;

    #[tokio::test]
    async fn a_panic_becomes_a_500() {
        let response = catch_panic(async { panic!("a bug") }).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn a_request_id_that_is_invalid_in_a_log_line_is_replaced() {
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
