//! A request lasts as long as its answer: one that is streamed holds its guard until the last byte.

use super::patient::Busy;
use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Keeps `busy` with an answer whose length is not known yet; any other is there already, and only has to be written.
pub fn hold(answer: Response, busy: Busy) -> Response {
    match answer.body().size_hint().exact() {
        Some(_) => answer,
        None => answer.map(|body| Body::new(Lasting { body, _busy: busy })),
    }
}

struct Lasting {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Lasting {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
