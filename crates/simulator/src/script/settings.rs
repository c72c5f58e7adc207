//! Scripted SETTINGS: the first frame, changes during requests, the choke, and the answer to exceeding a limit.

use serde::{Deserialize, Serialize};

use super::ScriptError;

/// The SETTINGS that connections receive, with their times. The default is Apple's usual behaviour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SettingsPlay {
    /// Only this connection; absent: every one.
    pub connection: Option<u64>,
    /// The first frame of later connections, in its differences from Apple's. A token connection still begins with one
    /// stream at most.
    pub first: Values,
    /// Before the first frame nothing is read or written.
    pub delay: Option<Delay>,
    /// `MAX_CONCURRENT_STREAMS` falls to 1 with every rejection but 410, and returns with the next success.
    pub choke: bool,
    /// Changes, made once on each connection, in order: each waits for the earlier ones.
    pub changes: Vec<Change>,
    pub violation: Violation,
}

/// The values of a SETTINGS frame; absent values are not sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Values {
    pub header_table_size: Option<u32>,
    pub max_concurrent_streams: Option<u32>,
    pub initial_window_size: Option<u32>,
    pub max_frame_size: Option<u32>,
    pub max_header_list_size: Option<u32>,
}

/// The time of the first SETTINGS frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delay {
    /// This number of milliseconds after the handshake.
    Ms(u64),
    Never,
}

/// A SETTINGS frame in the middle of a connection's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub at: At,
    pub set: Values,
}

/// Counted from the connection's start, or from the script's arrival on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// With the connection's n-th request.
    Requests(u64),
    /// After this number of milliseconds.
    Ms(u64),
}

/// The answer to a stream above the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Violation {
    /// RST_STREAM with REFUSED_STREAM.
    #[default]
    Refuse,
    /// GOAWAY with code 7 and Apple's text, then the end.
    Goaway,
}

const HEADER_TABLE_SIZE: u16 = 1;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;

impl Values {
    /// The first SETTINGS of Apple's gateway (apns-protocol 10).
    pub const APPLE: Values = Values {
        header_table_size: Some(4096),
        max_concurrent_streams: Some(1000),
        initial_window_size: None,
        max_frame_size: Some(16_384),
        max_header_list_size: Some(8000),
    };

    pub fn streams(limit: u32) -> Self {
        Self { max_concurrent_streams: Some(limit), ..Self::default() }
    }

    /// These values, and `others` for the absent ones.
    pub fn or(self, others: Values) -> Self {
        Self {
            header_table_size: self.header_table_size.or(others.header_table_size),
            max_concurrent_streams: self.max_concurrent_streams.or(others.max_concurrent_streams),
            initial_window_size: self.initial_window_size.or(others.initial_window_size),
            max_frame_size: self.max_frame_size.or(others.max_frame_size),
            max_header_list_size: self.max_header_list_size.or(others.max_header_list_size),
        }
    }

    /// Identifiers and values, in the order of the identifiers.
    pub fn wire(&self) -> Vec<(u16, u32)> {
        let all = [
            (HEADER_TABLE_SIZE, self.header_table_size),
            (MAX_CONCURRENT_STREAMS, self.max_concurrent_streams),
            (INITIAL_WINDOW_SIZE, self.initial_window_size),
            (MAX_FRAME_SIZE, self.max_frame_size),
            (MAX_HEADER_LIST_SIZE, self.max_header_list_size),
        ];
        all.into_iter().filter_map(|(id, value)| Some((id, value?))).collect()
    }

    fn check(&self) -> Result<(), ScriptError> {
        if self.initial_window_size.is_some_and(|size| size >= 1 << 31) {
            return Err(ScriptError::Bounds("initial_window_size", "0 and 2147483647"));
        }
        if self.max_frame_size.is_some_and(|size| !(16_384..1 << 24).contains(&size)) {
            return Err(ScriptError::Bounds("max_frame_size", "16384 and 16777215"));
        }
        Ok(())
    }
}

impl SettingsPlay {
    pub fn check(&self) -> Result<(), ScriptError> {
        self.first.check()?;
        for change in &self.changes {
            change.set.check()?;
            if change.at == At::Requests(0) {
                return Err(ScriptError::Zero("settings.changes.at.requests"));
            }
            if change.set == Values::default() {
                return Err(ScriptError::Nothing("settings.changes.set"));
            }
        }
        Ok(())
    }

    /// Returns `true` if it applies to this connection.
    pub fn concerns(&self, connection: u64) -> bool {
        self.connection.is_none_or(|wanted| wanted == connection)
    }
}
