//! Answers: their form on the wire, and the queue of delayed ones.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::task::Context;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::arrival::Arrival;
use super::record::AnswerId;
use super::{Session, Stream};
use crate::rules::{Environment, Verdict, verdict};
use crate::script::Malformed;

static APNS_CHANNEL_ID: HeaderName = HeaderName::from_static("apns-channel-id");
static APNS_UNIQUE_ID: HeaderName = HeaderName::from_static("apns-unique-id");

/// A delayed answer.
pub struct Delayed {
    due: Instant,
    /// The sequence number in the ledger; until the batch is entered, the index in the batch.
    sequence: u64,
    stream: Stream,
    response: Response<()>,
    body: Option<Bytes>,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Delayed {}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

/// Delayed answers: the new ones of this turn, and the ones that are in the ledger already.
#[derive(Default)]
pub struct Waiting {
    fresh: Vec<Delayed>,
    queue: BinaryHeap<Reverse<Delayed>>,
}

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.queue.is_empty()
    }

    pub fn len(&self) -> usize {
        self.fresh.len() + self.queue.len()
    }

    /// Drops the answers to streams that the client has reset.
    pub fn forget_reset(&mut self, cx: &mut Context<'_>) {
        let queue = std::mem::take(&mut self.queue).into_iter();
        self.queue = queue
            .filter_map(|Reverse(mut delayed)| delayed.stream.1.poll_reset(cx).is_pending().then_some(Reverse(delayed)))
            .collect();
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse(next)| next.due)
    }

    /// The batch they belong to begins at this sequence number.
    pub fn entered(&mut self, first: u64) {
        self.queue.extend(self.fresh.drain(..).map(|mut delayed| {
            delayed.sequence += first;
            Reverse(delayed)
        }));
    }

    /// Drops all answers; their streams stay unchanged.
    pub fn abandon(&mut self) -> impl Iterator<Item = Stream> {
        let queued = std::mem::take(&mut self.queue).into_iter().map(|Reverse(delayed)| delayed);
        std::mem::take(&mut self.fresh).into_iter().chain(queued).map(|delayed| delayed.stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Answers now or after the script's latency. The entry of the request is the last in the batch.
    pub fn answer(&mut self, arrival: Arrival, id: AnswerId, verdict: Verdict) {
        match &self.active.script.script.latency {
            Some(latency) if !self.without_table => {
                let due = Instant::now() + latency.draw(&mut self.random);
                let body = verdict::body(&verdict);
                let response = self.response(id, &verdict);
                self.wait(due, arrival, response, body);
            }
            _ => self.answer_now(arrival, id, verdict),
        }
    }

    pub fn answer_now(&mut self, arrival: Arrival, id: AnswerId, verdict: Verdict) {
        if self.without_table {
            return self.answer_past_h2(arrival, &id, &verdict, &Malformed::default());
        }
        let body = verdict::body(&verdict);
        let response = self.response(id, &verdict);
        let (body_read, mut respond) = arrival.into_stream();
        self.withheld.extend(self.withholds.then_some(body_read));
        let sent = self.send(&mut respond, response, body);
        if let Some(entry) = self.batch.entries.last_mut() {
            entry.answered = sent;
        }
    }

    pub fn wait(&mut self, due: Instant, arrival: Arrival, response: Response<()>, body: Option<Bytes>) {
        let sequence = self.batch.entries.len().saturating_sub(1) as u64;
        self.waiting.fresh.push(Delayed { due, sequence, stream: arrival.into_stream(), response, body });
    }

    /// Sends every answer that is due; `true` if there was one.
    pub fn answer_due(&mut self) -> bool {
        let Some(due) = self.waiting.next_due() else { return false };
        let now = Instant::now();
        if due > now {
            return false;
        }
        while self.waiting.next_due().is_some_and(|due| due <= now)
            && let Some(Reverse(delayed)) = self.waiting.queue.pop()
        {
            let (body_read, mut respond) = delayed.stream;
            self.withheld.extend(self.withholds.then_some(body_read));
            if self.send(&mut respond, delayed.response, delayed.body) {
                self.batch.answered.push(delayed.sequence);
            }
        }
        true
    }

    /// `false`: the client had reset the stream meanwhile.
    fn send(&mut self, respond: &mut SendResponse<Bytes>, response: Response<()>, body: Option<Bytes>) -> bool {
        self.open -= 1;
        let sent = respond
            .send_response(response, body.is_none())
            .and_then(|mut stream| body.map_or(Ok(()), |body| stream.send_data(body, true)))
            .is_ok();
        self.ended += u64::from(sent);
        self.batch.totals.answered += u64::from(sent);
        sent
    }

    pub fn response(&self, id: AnswerId, verdict: &Verdict) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() =
            StatusCode::from_u16(verdict::status(verdict)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let is_device = id.is_of_device();
        let headers = response.headers_mut();
        if !matches!(verdict, Ok(acceptance) if acceptance.body.is_none()) {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.insert(id.name, id.value);
        let Ok(acceptance) = verdict else { return response };
        if is_device
            && self.site.environment == Environment::Sandbox
            && let Ok(unique) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string())
        {
            headers.insert(&APNS_UNIQUE_ID, unique);
        }
        if let Some(Ok(channel)) = acceptance.channel_id.as_deref().map(HeaderValue::from_str) {
            headers.insert(&APNS_CHANNEL_ID, channel);
        }
        response
    }
}
