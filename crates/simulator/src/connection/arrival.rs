//! An arriving request: its head, and the received part of its body.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use http::request::Parts;

use crate::rules::{PAYLOAD_VOIP_MAX, Push};
use crate::site::Service;

pub struct Arrival {
    /// The service of its listener.
    service: Service,
    pub stream: u32,
    pub head: Parts,
    pub respond: SendResponse<Bytes>,
    /// The start of the body: all of it unless it is too large for every push type.
    pub kept: Bytes,
    /// Bytes of the whole body.
    length: usize,
    /// Its bytes open no window.
    withholds: bool,
    body: RecvStream,
}

enum Progress {
    Ended,
    Open,
    /// The peer reset the stream.
    Gone,
}

impl Arrival {
    pub fn new(request: Request<RecvStream>, respond: SendResponse<Bytes>, service: Service, withholds: bool) -> Self {
        let (head, body) = request.into_parts();
        let stream = respond.stream_id().as_u32();
        Self { service, stream, head, respond, kept: Bytes::new(), length: 0, withholds, body }
    }

    /// The request in the form for the rules.
    pub fn push(&self) -> Push<'_> {
        Push::new(&self.head, self.service, &self.kept, self.length)
    }

    pub fn into_stream(self) -> (RecvStream, SendResponse<Bytes>) {
        (self.body, self.respond)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Progress {
        while !self.body.is_end_stream() {
            match self.body.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => self.add(data),
                Poll::Ready(Some(Err(_))) => return Progress::Gone,
                Poll::Ready(None) => break,
                Poll::Pending => return Progress::Open,
            }
        }
        Progress::Ended
    }

    fn add(&mut self, data: Bytes) {
        if !self.withholds {
            // Fails only for more than was received; the window is large enough without it.
            let _ = self.body.flow_control().release_capacity(data.len());
        }
        self.length += data.len();
        if self.kept.is_empty() {
            self.kept = data;
        } else if self.kept.len() <= PAYLOAD_VOIP_MAX {
            let mut joined = BytesMut::from(&self.kept[..]);
            joined.extend_from_slice(&data);
            self.kept = joined.freeze();
        }
    }
}

/// Reads on in every body; those that ended move to `complete`, in order of arrival.
pub fn poll_bodies(incomplete: &mut Vec<Arrival>, complete: &mut Vec<Arrival>, open: &mut u32, cx: &mut Context<'_>) {
    for mut arrival in std::mem::take(incomplete) {
        match arrival.poll_body(cx) {
            Progress::Ended => complete.push(arrival),
            Progress::Open => incomplete.push(arrival),
            Progress::Gone => *open -= 1,
        }
    }
}
