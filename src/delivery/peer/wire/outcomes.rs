//! OUTCOMES: the end of each item of a batch, 24 bytes each, with the texts of unlisted reasons behind them.

use super::scanner::{Scanner, put_short_text};
use super::{Kind, WireError, put_frame, reasons};
use crate::model::{Outcome, OutcomeKind};
use std::str;

/// Bytes of an outcome.
const OUTCOME_BYTES: usize = 24;
/// Longest text of a reason; those of Apple's that are kept are shorter.
const TEXT_BYTES_MAX: usize = 255;
/// No status: Apple did not answer.
const NO_STATUS: u16 = 0;

/// Appends OUTCOMES, the answer to the BATCH of this id.
pub fn put_outcomes(out: &mut Vec<u8>, id: u64, outcomes: &[Outcome]) {
    put_frame(out, Kind::Outcomes, id, |out| {
        let count = u32::try_from(outcomes.len()).expect("a batch has fewer than 2^32 items");
        out.reserve(4 + outcomes.len() * OUTCOME_BYTES);
        out.extend_from_slice(&count.to_le_bytes());
        let mut texts = Vec::new();
        let mut last = 0..0;
        for outcome in outcomes {
            let (code, text) = reasons::code(outcome.reason.as_ref());
            let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
            // Apple tends to give all of a batch the same reason. No empty texts are compared: glibc's memcmp loads from
            // the address that an empty list has, which costs 90 ns on processors with AVX-512.
            if !text.is_empty() && texts[last.clone()] != *text.as_bytes() {
                last = texts.len()..texts.len() + text.len();
                texts.extend_from_slice(text.as_bytes());
            }
            let start = if text.is_empty() { 0 } else { last.start as u32 };
            put_outcome(out, outcome, code, (start, text.len() as u32));
        }
        out.extend_from_slice(&texts);
    });
}

/// Fewest bytes of a single outcome.
pub(super) const SINGLE_BYTES_MIN: usize = 16;

/// Appends one outcome with the text of its reason.
pub(super) fn put_single(out: &mut Vec<u8>, outcome: &Outcome) {
    let (code, text) = reasons::code(outcome.reason.as_ref());
    out.push(OutcomeKind::ALL.iter().position(|kind| *kind == outcome.kind).unwrap_or_default() as u8);
    out.extend_from_slice(&outcome.status.unwrap_or(NO_STATUS).to_le_bytes());
    out.extend_from_slice(&outcome.attempts.to_le_bytes());
    out.extend_from_slice(&outcome.timestamp.to_le_bytes());
    out.extend_from_slice(&code.to_le_bytes());
    put_short_text(out, &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]);
}

/// Reads what [`put_single`] wrote.
pub(super) fn single(body: &mut Scanner<'_>) -> Result<Outcome, WireError> {
    let kind = *OutcomeKind::ALL.get(usize::from(body.u8()?)).ok_or(body.bad("outcome"))?;
    let (status, attempts, timestamp) = (body.u16()?, body.u16()?, f64::from_bits(body.u64()?));
    let (code, text) = (body.u16()?, body.short_text()?);
    if !timestamp.is_finite() {
        return Err(body.bad("timestamp"));
    }
    let reason = reasons::reason(code, text).ok_or(body.bad("reason"))?;
    Ok(Outcome { kind, status: Some(status).filter(|status| *status != NO_STATUS), reason, timestamp, attempts })
}

fn put_outcome(out: &mut Vec<u8>, outcome: &Outcome, code: u16, text: (u32, u32)) {
    let mut bytes = [0; OUTCOME_BYTES];
    bytes[0] = OutcomeKind::ALL.iter().position(|kind| *kind == outcome.kind).unwrap_or_default() as u8;
    bytes[1] = text.1 as u8;
    bytes[2..4].copy_from_slice(&outcome.status.unwrap_or(NO_STATUS).to_le_bytes());
    bytes[4..6].copy_from_slice(&outcome.attempts.to_le_bytes());
    bytes[6..8].copy_from_slice(&code.to_le_bytes());
    bytes[8..16].copy_from_slice(&outcome.timestamp.to_le_bytes());
    bytes[16..20].copy_from_slice(&text.0.to_le_bytes());
    out.extend_from_slice(&bytes);
}

pub(super) fn decode(body: &[u8], items_max: u32) -> Result<Vec<Outcome>, WireError> {
    let mut body = Scanner::new(Kind::Outcomes, body);
    let count = body.count(OUTCOME_BYTES)?;
    if count > items_max as usize {
        return Err(WireError::TooManyItems { items: count as u32, limit: items_max });
    }
    let mut records = Scanner::new(Kind::Outcomes, body.bytes(count * OUTCOME_BYTES)?);
    let texts = body.rest();
    // Collected as a `Result`, the list would grow step by step.
    let mut outcomes = Vec::with_capacity(count);
    for _ in 0..count {
        outcomes.push(outcome(&mut records, texts)?);
    }
    Ok(outcomes)
}

fn outcome(record: &mut Scanner<'_>, texts: &[u8]) -> Result<Outcome, WireError> {
    let (kind, text_bytes) = (record.u8()?, record.u8()?);
    let kind = *OutcomeKind::ALL.get(usize::from(kind)).ok_or(record.bad("outcome"))?;
    let (status, attempts, code) = (record.u16()?, record.u16()?, record.u16()?);
    let timestamp = f64::from_bits(record.u64()?);
    let start = record.u32()? as usize;
    let _reserved = record.u32()?;
    if !timestamp.is_finite() {
        return Err(record.bad("timestamp"));
    }
    let text = texts.get(start..).and_then(|texts| texts.get(..usize::from(text_bytes)));
    let text = text.and_then(|text| str::from_utf8(text).ok()).ok_or(record.bad("reason's text"))?;
    let reason = reasons::reason(code, text).ok_or(record.bad("reason"))?;
    Ok(Outcome { kind, status: Some(status).filter(|status| *status != NO_STATUS), reason, timestamp, attempts })
}
