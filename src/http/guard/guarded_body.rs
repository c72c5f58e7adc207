//! Keeps a request active until the bytes of its response are written.

use super::timed_socket::{ActiveRequest, Unsent};
use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use http::Version;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Keeps the request active until its response has ended. In HTTP/1 a response of known length is complete and only
/// waits to be written, so it is not wrapped. In HTTP/2 the client can delay it, so every response is tracked.
pub fn hold(response: Response, busy: ActiveRequest, version: Version) -> Response {
    let http2 = version == Version::HTTP_2;
    if !http2 && response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        let unsent = http2.then(|| busy.unsent());
        Body::new(GuardedBody { body, http2, unsent, busy })
    })
}

struct GuardedBody {
    body: Body,
    http2: bool,
    /// Set while the response has data that the client has not read.
    unsent: Option<Unsent>,
    busy: ActiveRequest,
}

impl HttpBody for GuardedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, http2, unsent, busy } = &mut *self;
        let polled = Pin::new(body).poll_frame(cx);
        if !*http2 {
            return polled;
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let watched = frame.map_data(|data| Bytes::from_owner(TrackedBytes { data, _unsent: busy.unsent() }));
                unsent.get_or_insert_with(|| busy.unsent());
                Poll::Ready(Some(Ok(watched)))
            }
            other => {
                *unsent = None;
                other
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes that count as unsent until they are dropped.
struct TrackedBytes {
    data: Bytes,
    _unsent: Unsent,
}

impl AsRef<[u8]> for TrackedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}
