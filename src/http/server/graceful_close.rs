//! The graceful close of connections when the node stops. For a while the node still accepts requests, and each
//! response asks the client to close. So no connection closes under a request on its way. Idle connections are closed
//! afterwards.

use crate::drain::Drain;
use crate::http::guard::timed_socket::Activity;
use axum::response::Response;
use http::{HeaderValue, Version, header};
use std::time::Duration;

/// The time for an idle HTTP/2 client to answer the PING that comes with its GOAWAY.
const GOAWAY_PING_TIMEOUT: Duration = Duration::from_secs(3);

/// Resolves once the drain has begun and `notice` has passed since then, or since now.
pub async fn notice_over(drain: &Drain, notice: Duration) {
    drain.cancelled().await;
    tokio::time::sleep(notice).await;
}

/// Resolves once an HTTP/2 client is idle after GOAWAY and has not answered the PING that came with it. A client that
/// answers ends its connection by that; HTTP/1 ends without the client's help.
pub async fn goaway_unanswered(activity: &Activity) {
    loop {
        tokio::time::sleep(GOAWAY_PING_TIMEOUT).await;
        if activity.is_idle_http2() {
            return;
        }
    }
}

/// Asks an HTTP/1 client to close, once the drain has begun. HTTP/2 does so with a frame.
pub fn ask_to_close(mut response: Response, version: Version, drain: &Drain) -> Response {
    if version < Version::HTTP_2 && drain.has_begun() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
