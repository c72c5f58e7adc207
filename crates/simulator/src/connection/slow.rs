//! Answers with unusual timing: a single delayed one, one with a late body, one before the request's body.

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Duration, Instant};

use super::Session;
use super::arrival::Arrival;
use super::record::{self, AnswerId};
use crate::rules::{Rejection, Verdict, verdict};
use crate::script::{Act, DebugData, Ending, GoAway, StreamPosition, When};

/// The body of an answer whose headers are sent.
pub struct LateBody {
    due: Instant,
    stream: SendStream<Bytes>,
    body: Bytes,
    /// Dropping it would reset the stream.
    _request: RecvStream,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Processes a request with this act.
    pub fn process_timed(&mut self, act: Act, arrival: Arrival, id: AnswerId, now_ms: i64) {
        match act {
            Act::AnswerAndGoaway { status, reason } => {
                let debug = DebugData::Reason(reason.clone());
                let rejection = Rejection::scripted(status, reason);
                self.answer_scripted(arrival, id, rejection, "scripted answer, and GOAWAY");
                if self.is_open() {
                    self.end(&GoAway { debug, ..GoAway::new(When::Now, Ending::Single) });
                }
            }
            Act::Delay { ms } => {
                let verdict = self.judge(&arrival, now_ms);
                self.record(&arrival, &id, Some(&verdict), Some("delayed"));
                self.answer_after(ms, arrival, id, verdict);
            }
            Act::SlowBody { after_ms, status, reason } => {
                let rejection = Rejection::scripted(status, reason);
                self.record(&arrival, &id, Some(&Err(rejection.clone())), Some("headers first, the body later"));
                self.answer_in_parts(after_ms, arrival, id, rejection);
            }
            // Handled at the request's headers, or elsewhere.
            Act::EarlyAnswer { .. }
            | Act::Answer { .. }
            | Act::Poison { .. }
            | Act::Reset { .. }
            | Act::Silence { .. }
            | Act::Malformed(_) => {}
        }
    }

    /// Answers after this time, regardless of the script's latency.
    pub fn answer_after(&mut self, ms: u64, arrival: Arrival, id: AnswerId, verdict: Verdict) {
        let body = verdict::body(&verdict);
        let response = self.response(id, &verdict);
        self.wait(Instant::now() + Duration::from_millis(ms), arrival, response, body);
    }

    /// Sends the headers of an answer now, and its body after this time. The answer counts from its headers on.
    pub fn answer_in_parts(&mut self, after_ms: u64, arrival: Arrival, id: AnswerId, rejection: Rejection) {
        let body = Bytes::from(rejection.body());
        let response = self.response(id, &Err(rejection));
        let (request, mut respond) = arrival.into_stream();
        let Ok(stream) = respond.send_response(response, false) else {
            self.open -= 1;
            return;
        };
        self.batch.totals.answered += 1;
        if let Some(entry) = self.batch.entries.last_mut() {
            entry.answered = true;
        }
        let due = Instant::now() + Duration::from_millis(after_ms);
        self.late_bodies.push(LateBody { due, stream, body, _request: request });
    }

    /// Sends every body that is due; `true` if there was one.
    pub fn send_late_bodies(&mut self) -> bool {
        let now = Instant::now();
        let before = self.late_bodies.len();
        for mut late in self.late_bodies.extract_if(.., |late| late.due <= now) {
            self.open -= 1;
            self.ended += u64::from(late.stream.send_data(late.body, true).is_ok());
        }
        self.late_bodies.len() < before
    }

    pub fn next_late_body(&self) -> Option<Instant> {
        self.late_bodies.iter().map(|late| late.due).min()
    }

    /// Answers a request whose body is still on its way, if the script requests it; otherwise returns it. h2 then
    /// resets the stream with NO_ERROR, because the rest is not read.
    pub fn answer_early(&mut self, arrival: Arrival) -> Option<Arrival> {
        let position = StreamPosition { connection: self.number, stream: arrival.stream };
        let early = self.active.script.early_fault(&arrival.push(), position, &mut self.random).cloned();
        let Some(Act::EarlyAnswer { status, reason }) = early else { return Some(arrival) };
        let id = record::answer_id(&arrival);
        let verdict = Err(Rejection::scripted(status, reason));
        self.highest_processed = self.highest_processed.max(arrival.stream);
        self.record(&arrival, &id, Some(&verdict), Some("answered before the request's end"));
        self.answer_now(arrival, id, verdict);
        None
    }
}
