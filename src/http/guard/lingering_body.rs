//! Reads the rest of a body whose request is answered before the body has arrived.
//!
//! Closing a socket with unread bytes resets the connection, and a client that reads only after its last byte would not
//! get the response. So the rest is read for a while, during the response and after it.

use super::timed_socket::{ActiveRequest, Activity};
use axum::body::HttpBody;
use bytes::Bytes;
use http::header::EXPECT;
use http::{HeaderMap, Version};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The time limit for reading the rest of a body.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of bytes read of the rest. The task pauses regularly, since the bytes are discarded.
const LINGER_BYTES_MAX: usize = 16 << 20;
const LINGER_PAUSE_EVERY_BYTES: usize = 256 << 10;
const LINGER_PAUSE: Duration = Duration::from_millis(10);

/// A request's body. Dropping it before its end starts a task that reads the rest.
pub struct LingeringBody {
    /// `None` once the body has ended.
    body: Option<Incoming>,
    /// The client waits for `100 Continue`. Reading would send it; without it no body arrives.
    awaits_consent: bool,
    version: Version,
    activity: Arc<Activity>,
}

impl LingeringBody {
    pub fn new(body: Incoming, headers: &HeaderMap, version: Version, activity: &Arc<Activity>) -> Self {
        let body = Some(body).filter(|body| !body.is_end_stream());
        let awaits_consent = body.is_some() && headers.contains_key(EXPECT);
        Self { body, awaits_consent, version, activity: Arc::clone(activity) }
    }
}

impl HttpBody for LingeringBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.awaits_consent = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for LingeringBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !self.awaits_consent && !body.is_end_stream()) {
            let busy = Activity::begin(&self.activity, self.version);
            self.activity.drain().spawn("unread body", linger(body, busy));
        }
    }
}

async fn linger(mut body: Incoming, _busy: ActiveRequest) {
    let rest = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await
            && read < LINGER_BYTES_MAX
        {
            let before = read;
            read += frame.data_ref().map_or(0, Bytes::len);
            if read / LINGER_PAUSE_EVERY_BYTES > before / LINGER_PAUSE_EVERY_BYTES {
                sleep(LINGER_PAUSE).await;
            }
        }
    };
    let _ = timeout(LINGER_TIMEOUT, rest).await;
}
