//! Answers written without h2, frame by frame. Their header blocks use neither table nor Huffman code, so that h2's
//! encoder and the peer's decoder stay in step.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::arrival::Arrival;
use super::record::AnswerId;
use crate::pump::{CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, frame};
use crate::rules::{Acceptance, Rejection, Verdict, verdict};
use crate::script::{DebugData, Malformed};

/// Nothing we write is longer.
const FRAME_MAX: usize = 16_384;

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// A request that gets a malformed answer.
    pub fn answer_malformed(&mut self, arrival: Arrival, id: AnswerId, malformed: &Malformed, now_ms: i64) {
        let verdict = match malformed.status {
            None => self.judge(&arrival, now_ms),
            Some(status) => {
                let reason = match &malformed.body {
                    Some(DebugData::Reason(reason)) => reason.clone(),
                    _ => String::new(),
                };
                let verdict = Err(Rejection::scripted(status, reason));
                self.decided(&verdict);
                verdict
            }
        };
        self.record(&arrival, &id, Some(&verdict), Some("malformed answer"));
        self.without_table |= malformed.table_size.is_some();
        self.answer_past_h2(arrival, &id, &verdict, malformed);
    }

    /// Writes the answer. The entry of the request is the last in the batch.
    pub fn answer_past_h2(&mut self, arrival: Arrival, id: &AnswerId, verdict: &Verdict, malformed: &Malformed) {
        self.order_last(&wire(arrival.stream, id, verdict, malformed));
        self.open -= 1;
        self.batch.totals.answered += 1;
        if let Some(entry) = self.batch.entries.last_mut() {
            entry.answered = true;
        }
        // h2 does not know the answer; dropping the stream would reset it.
        self.passed.push(arrival.into_stream());
    }
}

/// All frames of an answer.
fn wire(stream: u32, id: &AnswerId, verdict: &Verdict, malformed: &Malformed) -> Vec<u8> {
    let mut out = Vec::new();
    for status in &malformed.informational {
        let mut block = Vec::new();
        literal(&mut block, b":status", status.to_string().as_bytes());
        headers(&mut out, stream, &block, false, malformed);
    }
    let body = match &malformed.body {
        Some(body) => body.bytes(),
        None => verdict::body(verdict).map(Vec::from).unwrap_or_default(),
    };
    let mut block = Vec::new();
    if let Some(size) = malformed.table_size {
        integer(&mut block, 0x20, 5, size as usize);
    }
    literal(&mut block, b":status", verdict::status(verdict).to_string().as_bytes());
    if !body.is_empty() {
        literal(&mut block, b"content-type", b"application/json");
    }
    if malformed.apns_id {
        literal(&mut block, id.name.as_str().as_bytes(), id.value.as_bytes());
    }
    if let Ok(Acceptance { channel_id: Some(channel), .. }) = verdict {
        literal(&mut block, b"apns-channel-id", channel.as_bytes());
    }
    for (name, value) in &malformed.headers {
        literal(&mut block, name.as_bytes(), value.as_bytes());
    }
    let ends = malformed.reset.is_none();
    headers(&mut out, stream, &block, ends && body.is_empty() && malformed.trailers.is_empty(), malformed);
    if !body.is_empty() {
        let flags = if ends && malformed.trailers.is_empty() { END_STREAM } else { 0 };
        out.extend(frame(DATA, flags, stream, &body));
    }
    if !malformed.trailers.is_empty() {
        let mut block = Vec::new();
        malformed.trailers.iter().for_each(|(name, value)| literal(&mut block, name.as_bytes(), value.as_bytes()));
        headers(&mut out, stream, &block, ends, malformed);
    }
    if let Some(code) = malformed.reset {
        out.extend(frame(RST_STREAM, 0, stream, &code.to_be_bytes()));
    }
    out
}

/// A header block in one frame, or in three and more.
fn headers(out: &mut Vec<u8>, stream: u32, block: &[u8], ends: bool, malformed: &Malformed) {
    let piece = if malformed.continuation { block.len().div_ceil(3).clamp(1, FRAME_MAX) } else { FRAME_MAX };
    let count = block.len().div_ceil(piece);
    for (at, part) in block.chunks(piece).enumerate() {
        let kind = if at == 0 { HEADERS } else { CONTINUATION };
        let last = if at + 1 == count { END_HEADERS } else { 0 };
        let ended = if at == 0 && ends { END_STREAM } else { 0 };
        out.extend(frame(kind, last | ended, stream, part));
    }
}

/// A field without indexing, with a literal name (RFC 7541 6.2.2).
fn literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    for text in [name, value] {
        integer(block, 0, 7, text.len());
        block.extend_from_slice(text);
    }
}

/// RFC 7541 5.1, with a prefix of so many bits.
fn integer(block: &mut Vec<u8>, pattern: u8, bits: u32, mut value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        return block.push(pattern | value as u8);
    }
    block.push(pattern | most as u8);
    value -= most;
    while value >= 0x80 {
        block.push(value as u8 | 0x80);
        value >>= 7;
    }
    block.push(value as u8);
}
