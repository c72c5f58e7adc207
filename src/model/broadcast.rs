//! A broadcast: a message to every device that subscribes to a channel; valid once constructed (apns-protocol.md 11).

use super::channel::ChannelId;
use super::expiry;
use super::identifier::{self, IDENTIFIER_BYTES_MAX};
use super::notification::Invalid;
use super::payload;
use super::priority::Priority;
use crate::json::compact::compact_bytes;
use bytes::Bytes;
use uuid::Uuid;

/// The maximum size of a broadcast's payload, in bytes of the body sent (Apple's limit).
pub const BROADCAST_PAYLOAD_BYTES_MAX: usize = 5120;

/// A broadcast as the caller wrote it.
#[derive(Debug, Clone, Copy)]
pub struct BroadcastDraft<'a> {
    pub channel: &'a str,
    /// Well-formed JSON, sent byte for byte.
    pub payload: &'a str,
    /// JSON of the identifier as written: a string with its quotes, or an integer.
    pub identifier: Option<&'a str>,
    /// UNIX seconds; 0 or `None` = try once, do not store.
    pub expiry: Option<u64>,
    /// 10 if it is `None`.
    pub priority: Option<u64>,
}

/// A broadcast ready to be sent.
#[derive(Debug)]
pub struct Broadcast {
    pub channel: ChannelId,
    /// The body, byte for byte.
    pub payload: Bytes,
    /// JSON as written, returned untouched.
    pub identifier: Option<Box<str>>,
    /// The `apns-request-id` of every attempt.
    pub id: Uuid,
    /// UNIX seconds; 0 = try once, do not store.
    pub expiry: u64,
    pub priority: Priority,
}

impl Broadcast {
    /// Checks a draft. The id is the identifier if that is a canonical UUID, otherwise `new_id`'s.
    pub fn new(draft: BroadcastDraft<'_>, new_id: impl FnOnce() -> Uuid) -> Result<Self, Invalid> {
        let channel = ChannelId::parse(draft.channel).map_err(Invalid::Channel)?;
        payload::inspect(draft.payload.as_bytes())?;
        let (bytes, limit) = (draft.payload.len(), BROADCAST_PAYLOAD_BYTES_MAX);
        if bytes > limit {
            let compact = Some(compact_bytes(draft.payload)).filter(|compact| *compact <= limit);
            return Err(Invalid::PayloadTooLarge { bytes, limit, push_type: "broadcast", compact });
        }
        if let Some(bytes) = draft.identifier.map(identifier::bytes).filter(|bytes| *bytes > IDENTIFIER_BYTES_MAX) {
            return Err(Invalid::IdentifierTooLong { bytes });
        }
        let expiry = draft.expiry.unwrap_or(0);
        if let Some(unit) = expiry::smaller_unit(expiry) {
            return Err(Invalid::ExpiryNotSeconds { expiry, unit });
        }
        Ok(Self {
            channel,
            // A copy: a part of the body would keep the whole body in memory.
            payload: Bytes::copy_from_slice(draft.payload.as_bytes()),
            identifier: draft.identifier.map(Into::into),
            id: draft.identifier.and_then(identifier::canonical_uuid).unwrap_or_else(new_id),
            expiry,
            priority: draft.priority.map_or(Some(Priority::Immediate), Priority::parse).ok_or(Invalid::BadPriority)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAFT: BroadcastDraft<'static> =
        BroadcastDraft { channel: "abcd", payload: "", identifier: None, expiry: None, priority: None };

    /// Reads a draft with this payload.
    fn read<'t>(payload: &str, change: impl FnOnce(&mut BroadcastDraft<'t>)) -> Result<Broadcast, Invalid> {
        let mut draft = DRAFT;
        change(&mut draft);
        Broadcast::new(BroadcastDraft { payload, ..draft }, || Uuid::from_u128(7))
    }

    #[test]
    fn an_absent_expiry_is_0_and_an_absent_priority_10() {
        let plain = read(r#"{"aps":{}}"#, |_| {}).unwrap();
        assert_eq!((plain.expiry, plain.priority, plain.id), (0, Priority::Immediate, Uuid::from_u128(7)));
        assert_eq!(plain.payload, r#"{"aps":{}}"#);
        let id = r#""123e4567-e89b-12d3-a456-426655440000""#;
        let given = read("{}", |draft| (draft.expiry, draft.identifier) = (Some(9), Some(id))).unwrap();
        assert_eq!((given.expiry, format!("\"{}\"", given.id)), (9, id.to_owned()));
    }

    #[test]
    fn every_invalid_part_has_its_error() {
        let reason = |read: Result<Broadcast, Invalid>| read.expect_err("a bad draft").reason();
        assert_eq!(reason(read("{}", |draft| draft.channel = "a b")), "bad_channel");
        assert_eq!(reason(read("[]", |_| {})), "payload_not_object");
        let fits = format!(r#"{{"a":"{}"}}"#, "x".repeat(BROADCAST_PAYLOAD_BYTES_MAX - 8));
        assert!(read(&fits, |_| {}).is_ok());
        assert_eq!(reason(read(&format!("{fits} ").replace("\":", "\": "), |_| {})), "payload_too_large");
        assert_eq!(reason(read("{}", |draft| draft.expiry = Some(1_895_934_818_000))), "expiry_not_seconds");
        assert_eq!(reason(read("{}", |draft| draft.priority = Some(7))), "bad_priority");
        let long = format!("\"{}\"", "x".repeat(257));
        assert_eq!(reason(read("{}", |draft| draft.identifier = Some(&long))), "identifier_too_long");
    }
}
