//! The one log line of each request.

use super::head::Head;
use super::trace::TraceId;
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use hyper::body::Body;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use tracing::Level;

/// The maximum length of a path in the log. A longer one is cut.
const PATH_BYTES_MAX: usize = 256;

/// The requests that are logged at level info.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Those that change something, except sends; the others at level debug.
    #[default]
    Changes,
    All,
}

impl FromStr for Access {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "changes" => Ok(Self::Changes),
            "all" => Ok(Self::All),
            _ => Err("must be `changes` or `all`"),
        }
    }
}

/// The address of the client, in the extensions of a request.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

/// The reason of a refusal, in the extensions of its response.
#[derive(Debug, Clone, Copy)]
pub struct Refusal(pub &'static str);

/// The id of the API key that a request showed, in the extensions of its response.
#[derive(Debug, Clone)]
pub struct KeyId(pub Arc<str>);

/// The fields of a request's line that must be read before the request is answered.
pub struct AccessLine<'a> {
    route: &'a str,
    method: Method,
    level: Level,
    trace: Option<TraceId>,
    client: Option<IpAddr>,
    /// `None` if it belongs to no route: such a path may contain anything. A clone copies no text.
    path: Option<PathAndQuery>,
    received: Option<u64>,
}

impl<'a> AccessLine<'a> {
    /// `is_quiet`: the line has level debug unless the request fails.
    pub fn of(route: &'a str, request: &Request, head: &Head<'_>, client: Option<IpAddr>, is_quiet: bool) -> Self {
        let level = if is_quiet { Level::DEBUG } else { Level::INFO };
        let path = if route == "none" { None } else { request.uri().path_and_query().cloned() };
        Self {
            route,
            method: request.method().clone(),
            level,
            trace: TraceId::of(head.traceparent),
            client,
            path,
            received: head.content_length.first.and_then(|length| std::str::from_utf8(length).ok()?.parse().ok()),
        }
    }

    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Writes the line. `seconds`: from the request's headers to the head of its response.
    pub fn write(self, request_id: &str, response: &Response, seconds: f64) {
        let Self { route, method, level, trace, client, path, received } = self;
        let status = response.status();
        let has_failed = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        if !has_failed && level == Level::DEBUG && !tracing::enabled!(Level::DEBUG) {
            return;
        }
        let status = status.as_u16();
        let sent = response.body().size_hint().exact();
        let reason = response.extensions().get().map(|Refusal(reason)| *reason);
        let key_id = response.extensions().get().map(|KeyId(id)| &**id);
        let trace_id = trace.as_ref().map(TraceId::as_str);
        let path = path.as_ref().map(|path| cut(path.path()));
        let client = client.map(tracing::field::display);
        if has_failed {
            tracing::warn!(
                request_id, trace_id, route, %method, status, reason, seconds, key_id, url.path = path,
                client.address = client, http.request.body.size = received, http.response.body.size = sent,
                "a request failed"
            );
        } else if level == Level::INFO {
            tracing::info!(
                request_id, trace_id, route, %method, status, reason, seconds, key_id, url.path = path,
                client.address = client, http.request.body.size = received, http.response.body.size = sent,
                "a request was answered"
            );
        } else {
            tracing::debug!(
                request_id, trace_id, route, %method, status, reason, seconds, key_id, url.path = path,
                client.address = client, http.request.body.size = received, http.response.body.size = sent,
                "a request was answered"
            );
        }
    }
}

fn cut(path: &str) -> &str {
    &path[..path.floor_char_boundary(PATH_BYTES_MAX)]
}
