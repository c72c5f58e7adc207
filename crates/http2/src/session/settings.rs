//! The peer's SETTINGS: checked before use, acknowledged immediately (RFC 9113 6.5).

use super::event::ConnectionError;
use super::window::{WINDOW_DEFAULT, WINDOW_MAX};
use super::{RawEvent, Session};
use crate::frame::{FrameHead, flag};

const ENTRIES_MAX: usize = 32;
const ENTRY_LENGTH: usize = 6;

/// The maximum number of streams, even if the peer allows more.
const STREAMS_MAX: u32 = 65_536;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// The peer's SETTINGS that bind us.
pub struct PeerSettings {
    pub stream_limit: u32,
    pub initial_window: u32,
    pub header_list_max: u32,
}

impl PeerSettings {
    /// The values that hold until the peer's first SETTINGS set others.
    pub fn new(stream_limit: u32) -> Self {
        Self { stream_limit, initial_window: WINDOW_DEFAULT, header_list_max: u32::MAX }
    }

    fn apply(&mut self, id: u16, value: u32) -> Result<(), ConnectionError> {
        match id {
            ENABLE_PUSH if value != 0 => Err(ConnectionError::protocol("a server sends ENABLE_PUSH other than 0")),
            INITIAL_WINDOW_SIZE if i64::from(value) > WINDOW_MAX => {
                Err(ConnectionError::flow_control("INITIAL_WINDOW_SIZE is above 2^31 - 1"))
            }
            MAX_FRAME_SIZE if !(16_384..1 << 24).contains(&value) => {
                Err(ConnectionError::protocol("MAX_FRAME_SIZE is out of bounds"))
            }
            MAX_CONCURRENT_STREAMS => {
                self.stream_limit = value.min(STREAMS_MAX);
                Ok(())
            }
            INITIAL_WINDOW_SIZE => {
                self.initial_window = value;
                Ok(())
            }
            MAX_HEADER_LIST_SIZE => {
                self.header_list_max = value;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl<T> Session<T> {
    pub(super) fn on_settings(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Option<RawEvent<T>>, ConnectionError> {
        if head.stream != 0 {
            return Err(ConnectionError::protocol("SETTINGS on a stream"));
        }
        if head.has(flag::ACK) {
            return self.on_settings_ack(payload);
        }
        let (entries, rest) = payload.as_chunks::<ENTRY_LENGTH>();
        if !rest.is_empty() {
            return Err(ConnectionError::frame_size("SETTINGS with a length that is not a multiple of 6"));
        }
        if entries.len() > ENTRIES_MAX {
            return Err(ConnectionError::calm("SETTINGS with too many entries"));
        }
        self.budget.spend()?;
        for &[i0, i1, v0, v1, v2, v3] in entries {
            let (id, value) = (u16::from_be_bytes([i0, i1]), u32::from_be_bytes([v0, v1, v2, v3]));
            self.peer.apply(id, value)?;
            if id == HEADER_TABLE_SIZE {
                self.encoder.set_table_size_max(value);
            }
        }
        self.bodies.check_windows(self.peer.initial_window)?;
        self.output.settings_ack();
        self.check_replies()?;
        self.ready = true;
        self.send_waiting_bodies();
        Ok(Some(RawEvent::Settings))
    }

    fn on_settings_ack(&mut self, payload: &[u8]) -> Result<Option<RawEvent<T>>, ConnectionError> {
        if !payload.is_empty() {
            return Err(ConnectionError::frame_size("a SETTINGS ACK with a payload"));
        }
        // We send SETTINGS once; a stray ACK is only counted, since the RFC is silent about it.
        if std::mem::replace(&mut self.settings_acked, true) {
            self.budget.spend()?;
        }
        Ok(None)
    }
}
