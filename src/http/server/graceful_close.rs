//! How a node that stops parts with its callers: for a while it goes on as before, and each answer asks to close. So no
//! connection is closed under a request that is on its way; what is idle then is closed.

use crate::drain::Drain;
use crate::http::guard::timed_socket::Activity;
use axum::response::Response;
use http::{HeaderValue, Version, header};
use std::time::Duration;

/// How long an idle HTTP/2 client may take to answer the PING that comes with its GOAWAY.
const GOAWAY_PING_TIMEOUT: Duration = Duration::from_secs(3);

/// Resolves once the drain has begun and `notice` has passed since then, or since now.
pub async fn notice_over(drain: &Drain, notice: Duration) {
    drain.cancelled().await;
    tokio::time::sleep(notice).await;
}

/// Resolves once an HTTP/2 client that was told to leave has nothing here and does not say that it has heard. Who hears
/// it answers a PING, and its connection ends by that; HTTP/1 ends without the client's help.
pub async fn goaway_unanswered(activity: &Activity) {
    loop {
        tokio::time::sleep(GOAWAY_PING_TIMEOUT).await;
        if activity.is_idle_http2() {
            return;
        }
    }
}

/// An answer that asks to close once the drain has begun. HTTP/2 says it with a frame.
pub fn ask_to_close(mut answer: Response, version: Version, drain: &Drain) -> Response {
    if version < Version::HTTP_2 && drain.has_begun() {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}
