//! The graceful close of connections when the node stops. For a while the node still accepts requests, and each
//! response asks the client to close. So no connection is closed while a request is on its way. Idle connections are
//! closed afterwards.

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

/// Resolves once an HTTP/2 client is idle after GOAWAY and has not answered the PING sent with it. The connection of a
/// client that answers ends by itself, and so does HTTP/1.
pub async fn goaway_unanswered(activity: &Activity) {
    loop {
        tokio::time::sleep(GOAWAY_PING_TIMEOUT).await;
        if activity.is_idle_http2() {
            return;
        }
    }
}

/// Asks an HTTP/1 client to close, once the drain has begun. HTTP/2 has a frame for this.
pub fn ask_to_close(mut response: Response, version: Version, drain: &Drain) -> Response {
    if version < Version::HTTP_2 && drain.has_begun() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
