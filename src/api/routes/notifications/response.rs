//! Writes the outcomes of a request into one buffer, without serde, because it runs for every notification.

use crate::json;
use crate::model::{Batch, Notification, Outcome};
use std::ops::Range;
use uuid::fmt::Hyphenated;

/// The approximate size of an outcome with its token, in bytes.
pub const OUTCOME_BYTES: usize = 288;

/// The body of a 201: one outcome per notification, in order; a list, or the only outcome.
pub fn write(batch: &Batch, outcomes: &[Outcome], list: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + outcomes.len() * OUTCOME_BYTES);
    out.extend_from_slice(br#"{"response":"#);
    if list {
        out.push(b'[');
    }
    let mut writer = OutcomeWriter::default();
    for (index, (item, outcome)) in batch.items().iter().zip(outcomes).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        writer.write(&mut out, batch, item, outcome);
    }
    if list {
        out.push(b']');
    }
    out.extend_from_slice(br#","code":201}"#);
    out
}

/// Appends outcome objects to one buffer. Neighbours usually end with the same bytes, which are then copied.
#[derive(Default)]
pub struct OutcomeWriter<'o> {
    last: Option<(&'o Outcome, Range<usize>)>,
}

impl<'o> OutcomeWriter<'o> {
    /// Appends the outcome object of one notification.
    pub fn write(&mut self, out: &mut Vec<u8>, batch: &Batch, item: &Notification, outcome: &'o Outcome) {
        out.extend_from_slice(br#"{"type":"outcome","identifier":"#);
        out.extend_from_slice(item.identifier.map_or(b"null", |json| batch.bytes(json)));
        out.extend_from_slice(br#","token":""#);
        out.extend_from_slice(batch.bytes(item.token));
        out.extend_from_slice(br#"","apns_id":""#);
        let mut apns_id = [0; Hyphenated::LENGTH];
        out.extend_from_slice(item.apns_id.hyphenated().encode_lower(&mut apns_id).as_bytes());
        match &self.last {
            Some((last, end)) if *last == outcome => out.extend_from_within(end.clone()),
            _ => {
                let start = out.len();
                write_end(out, outcome);
                self.last = Some((outcome, start..out.len()));
            }
        }
    }
}

fn write_end(out: &mut Vec<u8>, outcome: &Outcome) {
    out.extend_from_slice(br#"","outcome":""#);
    out.extend_from_slice(outcome.kind.as_str().as_bytes());
    out.extend_from_slice(br#"","status":"#);
    match outcome.status {
        Some(status) => out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes()),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(br#","reason":"#);
    match &outcome.reason {
        Some(reason) => json::write(out, reason.as_str()),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(br#","timestamp":"#);
    write_seconds(out, outcome.timestamp);
    out.extend_from_slice(br#","attempts":"#);
    out.extend_from_slice(itoa::Buffer::new().format(outcome.attempts).as_bytes());
    out.push(b'}');
}

/// An invalid item.
pub struct RefusedItem<'a> {
    /// As JSON, if it could be read.
    pub identifier: Option<&'a str>,
    pub token: Option<&'a str>,
    pub reason: &'a str,
    /// The sentence that goes with the reason.
    pub error: &'a str,
}

impl RefusedItem<'_> {
    /// Appends the item's outcome object: rejected by us at `timestamp` (UNIX seconds).
    pub fn write(&self, out: &mut Vec<u8>, timestamp: f64) {
        out.extend_from_slice(br#"{"type":"outcome","identifier":"#);
        out.extend_from_slice(self.identifier.unwrap_or("null").as_bytes());
        out.extend_from_slice(br#","token":"#);
        json::write(out, &self.token);
        out.extend_from_slice(br#","apns_id":null,"outcome":"rejected","status":null,"reason":"#);
        json::write(out, self.reason);
        out.extend_from_slice(br#","timestamp":"#);
        write_seconds(out, timestamp);
        out.extend_from_slice(br#","attempts":0,"error":"#);
        json::write(out, self.error);
        out.push(b'}');
    }
}

/// UNIX seconds with three decimals.
fn write_seconds(out: &mut Vec<u8>, seconds: f64) {
    let milliseconds = (seconds * 1000.0).round() as u64;
    out.extend_from_slice(itoa::Buffer::new().format(milliseconds / 1000).as_bytes());
    let rest = (milliseconds % 1000) as u16;
    let digit = |value: u16| b'0' + (value % 10) as u8;
    out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppleReason, Draft, OutcomeKind, Reason};
    use serde_json::{Value, json};

    fn batch(identifiers: &[Option<&str>]) -> Batch {
        let mut batch = Batch::default();
        for &identifier in identifiers {
            batch
                .push(Draft { token: "<00FC>", payload: "{}", identifier, ..Draft::default() }, uuid::Uuid::new_v4)
                .unwrap();
        }
        batch
    }

    fn outcome(kind: OutcomeKind, status: Option<u16>, reason: Option<Reason>) -> Outcome {
        Outcome { kind, status, reason, timestamp: 1_800_000_000.25, attempts: 2 }
    }

    #[test]
    fn one_object_sent_gets_one_outcome_back() {
        let batch = batch(&[Some(r#""123e4567-e89b-12d3-a456-426655440000""#)]);
        let body = write(&batch, &[outcome(OutcomeKind::Accepted, Some(200), None)], false);
        let expected = concat!(
            r#"{"response":{"type":"outcome","identifier":"123e4567-e89b-12d3-a456-426655440000","token":"00fc","#,
            r#""apns_id":"123e4567-e89b-12d3-a456-426655440000","outcome":"accepted","status":200,"reason":null,"#,
            r#""timestamp":1800000000.250,"attempts":2},"code":201}"#
        );
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }

    #[test]
    fn a_list_keeps_its_order_and_its_identifiers_as_written() {
        let batch = batch(&[Some("-7"), None, Some(r#""a\"b""#)]);
        let outcomes = [
            outcome(OutcomeKind::Rejected, Some(400), Some(AppleReason::BadDeviceToken.into())),
            outcome(OutcomeKind::Unknown, None, None),
            outcome(OutcomeKind::Rejected, Some(400), Some(Reason::Unlisted("New\"Reason\n".into()))),
        ];
        let body: Value = serde_json::from_slice(&write(&batch, &outcomes, true)).unwrap();
        let list = body["response"].as_array().unwrap();
        let identifiers: Vec<_> = list.iter().map(|outcome| outcome["identifier"].clone()).collect();
        assert_eq!(identifiers, [json!(-7), Value::Null, json!("a\"b")]);
        assert_eq!(list[0]["reason"], "BadDeviceToken");
        assert_eq!(list[1]["status"], Value::Null);
        assert_eq!(list[2]["reason"], "New\"Reason\n");
    }

    #[test]
    fn neighbours_with_equal_ends_are_written_as_separately() {
        let batch = batch(&[Some("1"), Some("2"), Some("3"), Some("4")]);
        let (accepted, unknown) =
            (outcome(OutcomeKind::Accepted, Some(200), None), outcome(OutcomeKind::Unknown, None, None));
        let later = Outcome { timestamp: 1_800_000_000.5, ..unknown.clone() };
        let outcomes = [accepted.clone(), accepted, unknown, later];
        let mut together = Vec::new();
        let mut writer = OutcomeWriter::default();
        let mut alone = Vec::new();
        for (item, outcome) in batch.items().iter().zip(&outcomes) {
            writer.write(&mut together, &batch, item, outcome);
            OutcomeWriter::default().write(&mut alone, &batch, item, outcome);
        }
        assert_eq!(String::from_utf8(together).unwrap(), String::from_utf8(alone).unwrap());
    }

    #[test]
    fn an_empty_list_is_answered_with_an_empty_list() {
        assert_eq!(write(&Batch::default(), &[], true), br#"{"response":[],"code":201}"#);
    }
}
