//! A block of a stream's lines: the valid ones as one batch, and the refused ones at their positions.

use super::log_excerpt::log_excerpt;
use crate::api::Compat;
use crate::api::error::ApiError;
use crate::api::routes::notifications::fault::NotificationsFault;
use crate::api::routes::notifications::parse::{LineReader, Recovered};
use crate::api::routes::notifications::response::{self, RefusedItem};
use crate::delivery::metrics::Told;
use crate::events::disconnection;
use crate::json;
use crate::model::{AppKey, Batch, Disconnection, Outcome, PushType};
use bytes::Bytes;
use memchr::memchr;
use std::sync::Arc;

/// The maximum length of a line: enough for any valid payload and the other fields, written with escapes.
pub const LINE_BYTES_MAX: usize = 64 << 10;

/// A block of lines.
pub struct Block {
    batch: Arc<Batch>,
    refused: Vec<RefusedLine>,
}

/// A line that is not a valid notification.
struct RefusedLine {
    /// The number of valid lines of the block before it.
    before: usize,
    /// As JSON, if it could be read.
    identifier: Option<Box<str>>,
    token: Option<Box<str>>,
    /// The fault. Its sentence is formatted only when it is written, as a block may have many.
    why: ApiError,
    /// The line's bytes, if the disconnection log records it.
    logged: Option<Bytes>,
}

impl Block {
    /// Reads whole lines; blank lines do not count. `of_topic` is the push type that the app's topic decides.
    pub fn read(lines: Bytes, of_topic: Option<PushType>, compat: Compat) -> Self {
        let mut reader = LineReader::into_empty(Batch::over(lines.clone()).with_push_type(of_topic));
        let mut refused = Vec::new();
        let mut rest = &lines[..];
        while !rest.is_empty() {
            let (line, after) = rest.split_at(memchr(b'\n', rest).unwrap_or(rest.len()));
            rest = after.get(1..).unwrap_or_default();
            if let Err((fault, Recovered { identifier, token })) = read_line(&mut reader, line) {
                let why = ApiError::from(fault);
                let logged = disconnection::is_of_refused(why.reason()).then(|| lines.slice_ref(line));
                let (identifier, token) = (identifier.map(Box::from), token.map(Box::from));
                refused.push(RefusedLine { before: reader.good(), identifier, token, why, logged });
            }
        }
        let mut batch = reader.into_batch();
        compat.apply_legacy_expiry(&mut batch);
        Self { batch: Arc::new(batch), refused }
    }

    pub fn batch(&self) -> &Arc<Batch> {
        &self.batch
    }

    /// Returns true if all lines were blank.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.refused.is_empty()
    }

    /// The disconnection log's entries for the refused lines, at `timestamp` (UNIX seconds).
    pub fn disconnections(&self, app: &AppKey, timestamp: f64) -> Vec<Disconnection> {
        let entry = |line: &RefusedLine| {
            let offending = log_excerpt(line.logged.as_deref()?, line.identifier.as_deref());
            disconnection::of_refused(app, line.why.reason(), offending, timestamp)
        };
        self.refused.iter().filter_map(entry).collect()
    }

    /// Counts the refused lines, whose outcome no lane counts.
    pub fn count(&self, told: &Told, app: &AppKey) {
        told.reject(app, self.refused.iter().map(|line| line.why.reason()));
    }

    /// Writes an outcome for each line, in order; `timestamp` (UNIX seconds) is for the refused lines.
    pub fn write(&self, outcomes: &[Outcome], timestamp: f64) -> Vec<u8> {
        let mut out = Vec::with_capacity((outcomes.len() + self.refused.len()) * response::OUTCOME_BYTES);
        let mut refused = self.refused.iter().peekable();
        let mut writer = response::OutcomeWriter::default();
        for (index, (item, outcome)) in self.batch.items().iter().zip(outcomes).enumerate() {
            while let Some(line) = refused.next_if(|line| line.before == index) {
                line.write(&mut out, timestamp);
            }
            writer.write(&mut out, &self.batch, item, outcome);
            out.push(b'\n');
        }
        refused.for_each(|line| line.write(&mut out, timestamp));
        out
    }
}

impl RefusedLine {
    fn write(&self, out: &mut Vec<u8>, timestamp: f64) {
        let (identifier, token) = (self.identifier.as_deref(), self.token.as_deref());
        RefusedItem { identifier, token, reason: self.why.reason(), error: &self.why.to_string() }
            .write(out, timestamp);
        out.push(b'\n');
    }
}

/// Reads a line. A refused line returns its fault, its identifier and its token.
fn read_line<'l>(reader: &mut LineReader, line: &'l [u8]) -> Result<(), (NotificationsFault, Recovered<'l>)> {
    if line.trim_ascii().is_empty() {
        return Ok(());
    }
    if line.len() > LINE_BYTES_MAX {
        return Err((NotificationsFault::LineTooLong { limit: LINE_BYTES_MAX }, Recovered::default()));
    }
    let text =
        json::text(line).map_err(|malformed| (NotificationsFault::MalformedLine(malformed), Recovered::default()))?;
    reader.push(text).map_err(|fault| (fault, Recovered::from(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NodeReason, OutcomeKind};
    use serde_json::{Value, json};

    /// The answer to `lines`, if every notification is `not_sent`.
    fn answers(lines: &[u8]) -> Vec<Value> {
        let block = Block::read(Bytes::copy_from_slice(lines), None, Compat::default());
        let outcome = Outcome {
            kind: OutcomeKind::NotSent,
            status: None,
            reason: Some(NodeReason::Overloaded.into()),
            timestamp: 1.0,
            attempts: 0,
        };
        let written = String::from_utf8(block.write(&vec![outcome; block.batch().len()], 2.5)).expect("text");
        assert_eq!(block.is_empty(), written.is_empty());
        written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn every_line_has_its_outcome_at_its_position() {
        let good = r#"{"token":"00fc","payload":{"aps":{}},"identifier":"good"}"#;
        let table = [
            ("{\"token\":\"00\",", "malformed_json", Value::Null, None, "the line ends in the middle of its JSON"),
            (&format!("{good} {good}"), "malformed_json", Value::Null, None, "the line is not JSON at column"),
            ("7", "not_an_object", Value::Null, None, "must be a JSON object"),
            (r#"[{"token":"00","payload":{}}]"#, "not_an_object", Value::Null, None, "must be a JSON object"),
            (r#"{"token":"xy","payload":{},"identifier":7}"#, "token_not_hex", json!(7), None, "`token` is not hex"),
            (r#"{"identifier":"a","token":"00"}"#, "payload_missing", json!("a"), Some("00"), "`payload` is missing"),
            (
                r#"{"token":"<00 FC>","payload":{},"badge":[1],"identifier":"b"}"#,
                "unknown_field",
                json!("b"),
                Some("00fc"),
                "`badge` is not a field",
            ),
            (
                r#"{"token":"00","payload":{},"identifier":{}}"#,
                "wrong_type",
                Value::Null,
                Some("00"),
                "`identifier` must",
            ),
            (r#"{"token":7,"payload":{},"identifier":-3}"#, "wrong_type", json!(-3), None, "`token` must be"),
            (r#"{"tokens":["00","01"],"payload":{},"identifier":1}"#, "tokens_in_line", json!(1), None, "one `token`"),
            (r#"{"tokens":["00",7],"payload":{},"identifier":1}"#, "tokens_in_line", json!(1), None, "one `token`"),
        ];
        let mut lines = format!("\n{good}\r\n \t\r\n");
        for (bad, ..) in &table {
            lines.push_str(&format!("{bad}\n{good}\n"));
        }
        let answers = answers(lines.as_bytes());
        assert_eq!(answers.len(), 1 + 2 * table.len());
        assert!(answers.iter().step_by(2).all(|good| good["identifier"] == "good" && good.get("error").is_none()));
        for (answer, (line, reason, identifier, token, told)) in answers.iter().skip(1).step_by(2).zip(table) {
            let error = answer["error"].as_str().expect("a sentence");
            assert!(error.contains(told), "{line}: {error}");
            let expected = json!({"type": "outcome", "identifier": identifier, "token": token, "apns_id": null,
                "outcome": "rejected", "status": null, "reason": reason, "timestamp": 2.5, "attempts": 0, "error": error});
            assert_eq!(*answer, expected, "{line}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_or_not_text_is_refused_alone() {
        let long = format!("\"{}\"", "x".repeat(LINE_BYTES_MAX - 1));
        let mut lines = long.into_bytes();
        lines.extend_from_slice(b"\n\xff\n{\"token\":\"00\",\"payload\":{}}\n");
        let reasons: Vec<_> = answers(&lines).iter().map(|answer| answer["reason"].clone()).collect();
        assert_eq!(reasons, ["line_too_long", "malformed_json", "overloaded"]);
    }

    #[test]
    fn the_settings_for_old_clients_apply_to_lines_too() {
        let line = Bytes::from_static(br#"{"token":"00","payload":{},"expiry":30}"#);
        for (early_expiry_is_zero, expiry) in [(false, 30), (true, 0)] {
            let block = Block::read(line.clone(), None, Compat { early_expiry_is_zero, ..Compat::default() });
            assert_eq!(block.batch().items()[0].expiry, Some(expiry));
        }
    }

    #[test]
    fn blank_lines_are_ignored() {
        assert!(answers(b"").is_empty());
        assert!(answers(b"\n\r\n  \n").is_empty());
    }
}
