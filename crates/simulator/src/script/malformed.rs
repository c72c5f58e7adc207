//! Answers in undocumented forms, each deviation separately.

use serde::{Deserialize, Serialize};

use super::{DebugData, ScriptError};

/// An answer that differs from Apple's usual one. It is sent immediately, regardless of the latency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Malformed {
    /// The status in place of processing; absent: the rules decide.
    pub status: Option<u16>,
    /// `false`: the header is missing.
    pub apns_id: bool,
    /// More headers, after Apple's.
    pub headers: Vec<(String, String)>,
    /// The body in place of Apple's JSON; an empty text means no body.
    pub body: Option<DebugData>,
    pub trailers: Vec<(String, String)>,
    /// The header block is cut into a HEADERS and several CONTINUATION frames.
    pub continuation: bool,
    /// The block begins with this size of the dynamic table. Later answers of the connection stay without the table.
    pub table_size: Option<u32>,
    /// Statuses 1xx before the answer.
    pub informational: Vec<u16>,
    /// The stream is not ended but reset with this code, after all of the answer.
    pub reset: Option<u32>,
}

impl Default for Malformed {
    fn default() -> Self {
        Self {
            status: None,
            apns_id: true,
            headers: Vec::new(),
            body: None,
            trailers: Vec::new(),
            continuation: false,
            table_size: None,
            informational: Vec::new(),
            reset: None,
        }
    }
}

impl Malformed {
    pub fn check(&self) -> Result<(), ScriptError> {
        if self.status.is_some_and(|status| !(201..=999).contains(&status)) {
            return Err(ScriptError::Bounds("odd.status", "201 and 999 (leave it out for what the rules decide)"));
        }
        if self.informational.iter().any(|status| !(100..=199).contains(status)) {
            return Err(ScriptError::Bounds("odd.informational", "100 and 199"));
        }
        if self.table_size.is_some_and(|size| size > 4096) {
            return Err(ScriptError::Bounds("odd.table_size", "0 and 4096"));
        }
        self.body.as_ref().map_or(Ok(()), DebugData::check)
    }
}
