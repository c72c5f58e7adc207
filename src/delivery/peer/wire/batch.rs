//! BATCH: a batch as it is in memory, with the app, the lane and the deadline it is for.

use super::scanner::{Scanner, put_app};
use super::{HEADER_BYTES, Kind, Limits, TooLarge, WireError, put_frame};
use crate::model::notification::Span;
use crate::model::{AppKey, Batch, Notification, Priority, PushType};
use crate::registry::LANES_MAX;
use bytes::Bytes;
use http::HeaderValue;
use std::ops::Range;
use uuid::Uuid;

/// Bytes of an item: five spans, the `apns-id`, the expiry, push type, priority, and what of it there is.
pub const ITEM_BYTES: usize = 68;
/// Longest id of a request, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 255;

const RETRY_UNKNOWN: u8 = 1;

const HAS_IDENTIFIER: u8 = 1;
const HAS_COLLAPSE_ID: u8 = 2;
const HAS_TOPIC: u8 = 4;
const HAS_EXPIRY: u8 = 8;

const PRIORITIES: [Priority; 3] = [Priority::Immediate, Priority::Considerate, Priority::Lowest];

/// All of a BATCH but its notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchHead {
    /// On the monotonic clock of the receiver, in milliseconds: nothing is written to Apple after it.
    pub deadline_ms: u64,
    /// Resend what Apple may have got already.
    pub retry_unknown: bool,
    /// The revision of the app that the sender has, to be compared for equality.
    pub revision: i64,
    pub app: AppKey,
    pub lane: u16,
    /// Into how many lanes the sender divides the app's tokens.
    pub lanes: u16,
    /// The caller's `X-Request-Id`, for the log.
    pub request_id: Option<HeaderValue>,
}

/// Appends BATCH, or nothing if the receiver (whose limits these are) takes none so large. A whole batch goes with all
/// its texts, of a part only those that it uses.
pub fn put_batch(out: &mut Vec<u8>, id: u64, head: &BatchHead, batch: &Batch, limits: Limits) -> Result<(), TooLarge> {
    let (start, items) = (out.len(), batch.len());
    put_frame(out, Kind::Batch, id, |out| {
        put_head(out, head);
        let count_at = out.len();
        out.resize(count_at + 8 + items * ITEM_BYTES, 0);
        let texts_at = out.len();
        match batch.whole_texts() {
            Some(texts) => {
                texts.iter().for_each(|text| out.extend_from_slice(text));
                for (at, item) in batch.items().iter().enumerate() {
                    put_item(item_at(out, count_at + 8, at), item);
                }
            }
            None => put_part(out, count_at + 8, batch),
        }
        let texts = (out.len() - texts_at) as u32;
        out[count_at..count_at + 4].copy_from_slice(&(items as u32).to_le_bytes());
        out[count_at + 4..count_at + 8].copy_from_slice(&texts.to_le_bytes());
    });
    let bytes = out.len() - start - HEADER_BYTES;
    if bytes > limits.frame_bytes as usize || items > limits.items as usize {
        out.truncate(start);
        return Err(TooLarge { bytes, items });
    }
    Ok(())
}

/// The size of a batch in a BATCH frame, without its head. Shared texts are counted once per use.
pub fn batch_bytes(batch: &Batch) -> usize {
    let of_item = |item: &Notification| {
        let texts = [Some(item.token), Some(item.payload), item.identifier, item.collapse_id, item.topic];
        texts.into_iter().flatten().map(Span::len).sum::<usize>()
    };
    let texts = match batch.whole_texts() {
        Some(texts) => texts.into_iter().map(<[u8]>::len).sum(),
        None => batch.items().iter().map(of_item).sum::<usize>(),
    };
    texts + batch.len() * ITEM_BYTES
}

fn put_head(out: &mut Vec<u8>, head: &BatchHead) {
    out.extend_from_slice(&head.deadline_ms.to_le_bytes());
    out.push(if head.retry_unknown { RETRY_UNKNOWN } else { 0 });
    out.extend_from_slice(&head.revision.to_le_bytes());
    out.extend_from_slice(&head.lane.to_le_bytes());
    out.extend_from_slice(&head.lanes.to_le_bytes());
    put_app(out, &head.app);
    // One that is longer than any of ours is left out: it is for the log.
    let request_id = head.request_id.as_ref().map(HeaderValue::as_bytes);
    let request_id = request_id.filter(|id| id.len() <= REQUEST_ID_BYTES_MAX).unwrap_or_default();
    out.push(request_id.len() as u8);
    out.extend_from_slice(request_id);
}

/// Appends the texts that a part uses, each once if items that follow each other share it.
fn put_part(out: &mut Vec<u8>, items_at: usize, batch: &Batch) {
    let texts_at = out.len();
    let mut copied = [None::<(Span, Span)>; 4];
    for (at, item) in batch.items().iter().enumerate() {
        let mut copy = |span: Span, last: &mut Option<(Span, Span)>| match *last {
            Some((from, to)) if from == span => to,
            _ => {
                let to = Span::at((out.len() - texts_at) as u32, span.len() as u32);
                out.extend_from_slice(batch.bytes(span));
                *last = Some((span, to));
                to
            }
        };
        let [payload, identifier, collapse_id, topic] = &mut copied;
        let item = Notification {
            token: copy(item.token, &mut None),
            payload: copy(item.payload, payload),
            identifier: item.identifier.map(|span| copy(span, identifier)),
            collapse_id: item.collapse_id.map(|span| copy(span, collapse_id)),
            topic: item.topic.map(|span| copy(span, topic)),
            ..*item
        };
        put_item(item_at(out, items_at, at), &item);
    }
}

fn item_at(out: &mut [u8], items_at: usize, at: usize) -> &mut [u8; ITEM_BYTES] {
    out[items_at + at * ITEM_BYTES..].first_chunk_mut().expect("all items have their place")
}

fn put_item(out: &mut [u8; ITEM_BYTES], item: &Notification) {
    let spans = [Some(item.token), Some(item.payload), item.identifier, item.collapse_id, item.topic];
    for (span, out) in spans.into_iter().zip(out.chunks_exact_mut(8)) {
        if let Some(span) = span {
            out[..4].copy_from_slice(&(span.start() as u32).to_le_bytes());
            out[4..].copy_from_slice(&(span.len() as u32).to_le_bytes());
        }
    }
    out[40..56].copy_from_slice(item.apns_id.as_bytes());
    out[56..64].copy_from_slice(&item.expiry.unwrap_or_default().to_le_bytes());
    out[64] = item.push_type as u8;
    out[65] = PRIORITIES.iter().position(|priority| *priority == item.priority).unwrap_or_default() as u8;
    let has = |present: bool, bit| if present { bit } else { 0 };
    out[66] = has(item.identifier.is_some(), HAS_IDENTIFIER)
        | has(item.collapse_id.is_some(), HAS_COLLAPSE_ID)
        | has(item.topic.is_some(), HAS_TOPIC)
        | has(item.expiry.is_some(), HAS_EXPIRY);
}

/// Reads a BATCH. `texts` makes the batch's texts of their range of the body.
pub(super) fn decode(
    id: u64,
    bytes: &[u8],
    limits: Limits,
    texts: impl FnOnce(Range<usize>) -> Bytes,
) -> Result<(BatchHead, Batch), WireError> {
    let mut body = Scanner::new(Kind::Batch, bytes);
    let head = decode_head(&mut body)?;
    let (count, texts_bytes) = (body.u32()?, body.u32()? as usize);
    if count > limits.items {
        return Err(WireError::TooManyItems { items: count, limit: limits.items });
    }
    let records = body.bytes(count as usize * ITEM_BYTES)?;
    let texts_at = bytes.len() - body.rest().len();
    body.bytes(texts_bytes)?;
    body.finish()?;
    let (records, _) = records.as_chunks::<ITEM_BYTES>();
    // Collected as a `Result`, the list would grow step by step.
    let mut items = Vec::with_capacity(records.len());
    for record in records {
        items.push(decode_item(record)?);
    }
    let batch = Batch::from_wire(texts(texts_at..texts_at + texts_bytes), items);
    Ok((head, batch.map_err(|why| WireError::BadBatch { id, why })?))
}

fn decode_head(body: &mut Scanner<'_>) -> Result<BatchHead, WireError> {
    let deadline_ms = body.u64()?;
    let retry_unknown = match body.u8()? {
        0 => false,
        RETRY_UNKNOWN => true,
        _ => return Err(body.bad("flags")),
    };
    let (revision, lane, lanes) = (body.i64()?, body.u16()?, body.u16()?);
    if lane >= lanes || lanes > LANES_MAX {
        return Err(body.bad("lane"));
    }
    let app = body.app()?;
    let length = body.u8()?;
    let request_id = body.bytes(usize::from(length))?;
    let request_id = (length > 0).then(|| HeaderValue::from_bytes(request_id)).transpose();
    let request_id = request_id.map_err(|_| body.bad("request id"))?;
    Ok(BatchHead { deadline_ms, retry_unknown, revision, app, lane, lanes, request_id })
}

/// Reads an item at fixed offsets: this runs for each notification.
fn decode_item(record: &[u8; ITEM_BYTES]) -> Result<Notification, WireError> {
    let (spans, rest) = record.split_first_chunk::<40>().expect("an item has five spans");
    let [token, payload, identifier, collapse_id, topic] = spans.as_chunks::<8>().0 else {
        unreachable!("five times eight bytes are forty")
    };
    let (apns_id, rest) = rest.split_first_chunk::<16>().expect("an item has an apns-id");
    let [e0, e1, e2, e3, e4, e5, e6, e7, push_type, priority, has, _] = *rest else {
        unreachable!("an item ends with twelve bytes")
    };
    let expiry = u64::from_le_bytes([e0, e1, e2, e3, e4, e5, e6, e7]);
    let bad = |what| WireError::BadField { kind: Kind::Batch, what };
    Ok(Notification {
        token: decode_span(*token),
        payload: decode_span(*payload),
        identifier: (has & HAS_IDENTIFIER != 0).then(|| decode_span(*identifier)),
        apns_id: Uuid::from_bytes(*apns_id),
        expiry: (has & HAS_EXPIRY != 0).then_some(expiry),
        push_type: *PushType::ALL.get(usize::from(push_type)).ok_or_else(|| bad("push type"))?,
        priority: *PRIORITIES.get(usize::from(priority)).ok_or_else(|| bad("priority"))?,
        collapse_id: (has & HAS_COLLAPSE_ID != 0).then(|| decode_span(*collapse_id)),
        topic: (has & HAS_TOPIC != 0).then(|| decode_span(*topic)),
    })
}

fn decode_span([s0, s1, s2, s3, l0, l1, l2, l3]: [u8; 8]) -> Span {
    Span::at(u32::from_le_bytes([s0, s1, s2, s3]), u32::from_le_bytes([l0, l1, l2, l3]))
}
