//! A request's notifications: valid once constructed, and slices of the request's bytes.

mod from_wire;

pub use from_wire::BadBatch;

use super::channel::{BadChannelId, CHANNEL_ID_BYTES_MAX};
use super::device_token::{self, BadToken, TOKEN_HEX_DIGITS_MAX};
use super::expiry;
use super::identifier::{self, IDENTIFIER_BYTES_MAX};
use super::payload::{self, BadPayload, PAYLOAD_DEPTH_MAX};
use super::priority::Priority;
use super::push_type::PushType;
use crate::json::compact::{compact_bytes, shorter};
use bytes::Bytes;
use std::sync::Arc;
use uuid::Uuid;

/// The maximum length of a `collapse_id`, in bytes (Apple's limit).
pub const COLLAPSE_ID_BYTES_MAX: usize = 64;
/// The maximum length of a `topic`, in bytes.
pub const TOPIC_BYTES_MAX: usize = 255;

/// A span of the request's bytes, or of the rewritten texts beside them. Read it with [`Batch::bytes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    length: u32,
}

impl Span {
    /// A span as another node wrote it; [`Batch::from_wire`] checks it.
    pub fn at(start: u32, length: u32) -> Self {
        Self { start, length }
    }

    /// Offset of its first byte in the batch's texts.
    pub fn start(self) -> usize {
        self.start as usize
    }

    pub fn len(self) -> usize {
        self.length as usize
    }

    pub fn is_empty(self) -> bool {
        self.length == 0
    }
}

/// A notification as the caller wrote it, each part still text of the request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draft<'a> {
    /// The device token; empty for [`Batch::push_to_many`].
    pub token: &'a str,
    /// Well-formed JSON, sent byte for byte.
    pub payload: &'a str,
    /// The push type that the payload implies, if its reader has checked the payload already.
    pub derived: Option<PushType>,
    /// JSON of the identifier as written: a string with its quotes, or an integer.
    pub identifier: Option<&'a str>,
    /// UNIX seconds; 0 = try once, do not store.
    pub expiry: Option<u64>,
    pub push_type: Option<&'a str>,
    pub priority: Option<u64>,
    pub collapse_id: Option<&'a str>,
    pub topic: Option<&'a str>,
}

/// The reason that a draft is not a valid notification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("`token` {0}")]
    Token(BadToken),
    #[error("`tokens[{index}]` {bad}")]
    TokenOfMany { index: usize, bad: BadToken },
    #[error("`payload` is not a JSON object")]
    PayloadNotObject,
    #[error("`payload` is a string that looks like JSON: send the object itself, without quotes around it")]
    PayloadInString,
    #[error("`payload` nests deeper than {PAYLOAD_DEPTH_MAX} levels")]
    PayloadTooDeep,
    #[error("`payload` has {bytes} bytes, and Apple accepts at most {limit} for `{push_type}`: {}", shorter(*.compact))]
    PayloadTooLarge {
        bytes: usize,
        limit: usize,
        push_type: &'static str,
        /// The size without needless escapes and spaces, if Apple accepts that size.
        compact: Option<usize>,
    },
    #[error("`identifier` has {bytes} bytes, and must have at most {IDENTIFIER_BYTES_MAX}")]
    IdentifierTooLong { bytes: usize },
    #[error("`expiry` must be in UNIX seconds, and {expiry} looks like {unit}")]
    ExpiryNotSeconds { expiry: u64, unit: &'static str },
    #[error("`priority` must be 10, 5 or 1")]
    BadPriority,
    #[error(
        "`push_type` must be one of Apple's: alert, background, voip, complication, fileprovider, mdm, location, liveactivity, pushtotalk, controls, widgets"
    )]
    BadPushType,
    #[error("`collapse_id` has {bytes} bytes, and must have 1 to {COLLAPSE_ID_BYTES_MAX}")]
    BadCollapseId { bytes: usize },
    #[error("`{field}` has a character that a header cannot have: use printable ASCII without spaces at the ends")]
    NotHeaderText { field: &'static str },
    #[error("`topic` has {bytes} bytes, and must have 1 to {TOPIC_BYTES_MAX}")]
    BadTopic { bytes: usize },
    /// Of a broadcast.
    #[error("`channel` {0}")]
    Channel(BadChannelId),
}

impl Invalid {
    /// The field at fault.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::TokenOfMany { .. } => "tokens",
            Self::PayloadNotObject | Self::PayloadInString | Self::PayloadTooDeep | Self::PayloadTooLarge { .. } => {
                "payload"
            }
            Self::IdentifierTooLong { .. } => "identifier",
            Self::ExpiryNotSeconds { .. } => "expiry",
            Self::BadPriority => "priority",
            Self::BadPushType => "push_type",
            Self::BadCollapseId { .. } => "collapse_id",
            Self::NotHeaderText { field } => field,
            Self::BadTopic { .. } => "topic",
            Self::Channel(_) => "channel",
        }
    }

    /// The limit of the field: bytes, digits or levels.
    pub fn limit(&self) -> Option<usize> {
        match self {
            Self::Token(BadToken::TooLong) | Self::TokenOfMany { bad: BadToken::TooLong, .. } => {
                Some(TOKEN_HEX_DIGITS_MAX)
            }
            Self::PayloadTooDeep => Some(PAYLOAD_DEPTH_MAX),
            Self::PayloadTooLarge { limit, .. } => Some(*limit),
            Self::IdentifierTooLong { .. } => Some(IDENTIFIER_BYTES_MAX),
            Self::BadCollapseId { .. } => Some(COLLAPSE_ID_BYTES_MAX),
            Self::BadTopic { .. } => Some(TOPIC_BYTES_MAX),
            Self::Channel(BadChannelId::TooLong { .. }) => Some(CHANNEL_ID_BYTES_MAX),
            _ => None,
        }
    }

    /// The error's `reason` in a response.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Token(bad) | Self::TokenOfMany { bad, .. } => bad.reason(),
            Self::PayloadNotObject | Self::PayloadInString => "payload_not_object",
            Self::PayloadTooDeep => "payload_too_deep",
            Self::PayloadTooLarge { .. } => "payload_too_large",
            Self::IdentifierTooLong { .. } => "identifier_too_long",
            Self::ExpiryNotSeconds { .. } => "expiry_not_seconds",
            Self::BadPriority => "bad_priority",
            Self::BadPushType => "bad_push_type",
            Self::BadCollapseId { .. } => "bad_collapse_id",
            Self::NotHeaderText { .. } => "not_header_text",
            Self::BadTopic { .. } => "bad_topic",
            Self::Channel(_) => "bad_channel",
        }
    }
}

impl From<BadPayload> for Invalid {
    fn from(bad: BadPayload) -> Self {
        match bad {
            BadPayload::NotAnObject => Self::PayloadNotObject,
            BadPayload::InString => Self::PayloadInString,
            BadPayload::TooDeep => Self::PayloadTooDeep,
        }
    }
}

/// A notification ready to be sent. Its texts are spans of its [`Batch`].
#[derive(Debug, Clone, Copy)]
pub struct Notification {
    /// Lower-case hex.
    pub token: Span,
    /// The body, byte for byte.
    pub payload: Span,
    /// JSON as written, returned untouched.
    pub identifier: Option<Span>,
    /// The id of every attempt.
    pub apns_id: Uuid,
    /// UNIX seconds; `Some(0)` = try once, do not store; `None` = no header.
    pub expiry: Option<u64>,
    pub push_type: PushType,
    pub priority: Priority,
    pub collapse_id: Option<Span>,
    /// Overrides the app's topic, suffix included.
    pub topic: Option<Span>,
}

/// The notifications of one request, in its order, as spans of its body.
#[derive(Debug, Default)]
pub struct Batch {
    body: Bytes,
    rewritten: Vec<u8>,
    items: Vec<Notification>,
    /// The push type of notifications with neither a push type nor a topic, if the app's topic decides it.
    of_topic: Option<PushType>,
    /// The batch of which this is a part, and whose rewritten texts it shares.
    whole: Option<Arc<Batch>>,
}

impl Batch {
    /// An empty batch over a request's body (under 2 GiB).
    pub fn over(body: Bytes) -> Self {
        Self { body, ..Self::default() }
    }

    /// Sets the push type that the app's topic decides, for later notifications.
    pub fn with_push_type(self, of_topic: Option<PushType>) -> Self {
        Self { of_topic, ..self }
    }

    /// The push type given with [`Self::with_push_type`].
    pub fn push_type_of_topic(&self) -> Option<PushType> {
        self.of_topic
    }

    /// The notifications at `positions`, as a batch over the same bytes.
    pub fn part(self: &Arc<Self>, positions: &[u32]) -> Self {
        let items = positions.iter().map(|at| self.items[*at as usize]).collect();
        Self { body: self.body.clone(), items, whole: Some(Arc::clone(self)), ..Self::default() }
    }

    /// Checks a draft and appends it. Parts that lie in the batch's body are not copied. The `apns-id` is the
    /// identifier if that is a canonical UUID, otherwise `new_id`'s.
    pub fn push(&mut self, draft: Draft<'_>, new_id: impl FnOnce() -> Uuid) -> Result<(), Invalid> {
        let token = device_token::normalise(draft.token).map_err(Invalid::Token)?;
        let apns_id = draft.identifier.and_then(identifier::canonical_uuid).unwrap_or_else(new_id);
        let token = self.span(&token);
        let notification = self.read(&draft, token, apns_id)?;
        self.items.push(notification);
        Ok(())
    }

    /// Checks a draft and appends it once for each of `tokens`, each with an `apns-id` from `new_id`. All share the
    /// same bytes.
    pub fn push_to_many(
        &mut self,
        draft: Draft<'_>,
        tokens: &[impl AsRef<str>],
        mut new_id: impl FnMut() -> Uuid,
    ) -> Result<(), Invalid> {
        let nowhere = Span { start: 0, length: 0 };
        let notification = self.read(&draft, nowhere, Uuid::nil())?;
        self.items.reserve(tokens.len());
        for (index, token) in tokens.iter().enumerate() {
            let token = device_token::normalise(token.as_ref()).map_err(|bad| Invalid::TokenOfMany { index, bad })?;
            let token = self.span(&token);
            self.items.push(Notification { token, apns_id: new_id(), ..notification });
        }
        Ok(())
    }

    /// Checks a draft except its token.
    fn read(&mut self, draft: &Draft<'_>, token: Span, apns_id: Uuid) -> Result<Notification, Invalid> {
        let derived = match draft.derived {
            Some(derived) => derived,
            None => payload::inspect(draft.payload.as_bytes())?,
        };
        let push_type = match draft.push_type {
            Some(name) => PushType::parse(name).ok_or(Invalid::BadPushType)?,
            None => draft.topic.map_or(self.of_topic, PushType::of_topic).unwrap_or(derived),
        };
        let (bytes, limit) = (draft.payload.len(), push_type.payload_bytes_max());
        if bytes > limit {
            let compact = Some(compact_bytes(draft.payload)).filter(|compact| *compact <= limit);
            return Err(Invalid::PayloadTooLarge { bytes, limit, push_type: push_type.as_str(), compact });
        }
        let priority = match draft.priority {
            Some(number) => Priority::parse(number).ok_or(Invalid::BadPriority)?,
            None => Priority::default_for(push_type),
        };
        check_options(draft)?;
        Ok(Notification {
            token,
            payload: self.span(draft.payload),
            identifier: draft.identifier.map(|text| self.span(text)),
            apns_id,
            expiry: draft.expiry,
            push_type,
            priority,
            collapse_id: draft.collapse_id.map(|text| self.span(text)),
            topic: draft.topic.map(|text| self.span(text)),
        })
    }

    /// Replaces every `expiry` before `seconds` by 0: try once, do not store.
    pub fn try_once_where_expiry_is_before(&mut self, seconds: u64) {
        for item in &mut self.items {
            item.expiry = item.expiry.map(|expiry| if expiry < seconds { 0 } else { expiry });
        }
    }

    /// Removes the last notification.
    pub fn pop(&mut self) {
        self.items.pop();
    }

    pub fn items(&self) -> &[Notification] {
        &self.items
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The memory that this batch keeps while any of it is in flight, in bytes.
    pub fn bytes_held(&self) -> usize {
        self.body.len() + self.rewritten.len() + self.items.len() * size_of::<Notification>()
    }

    pub fn bytes(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        match start.checked_sub(self.body.len()) {
            None => &self.body[start..start + span.len()],
            Some(start) => &self.rewritten()[start..start + span.len()],
        }
    }

    /// All its texts in the order that spans count them in: the body, and what had to be rewritten. `None` for a part,
    /// which uses only some of them.
    pub fn whole_texts(&self) -> Option<[&[u8]; 2]> {
        self.whole.is_none().then(|| [&self.body[..], &self.rewritten])
    }

    fn rewritten(&self) -> &[u8] {
        self.whole.as_ref().map_or(&self.rewritten, |whole| whole.rewritten())
    }

    /// The span as text; every span was created from text.
    pub fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.bytes(span)).unwrap_or_default()
    }

    /// Finds `text` in the body by its address, or appends a copy.
    fn span(&mut self, text: &str) -> Span {
        debug_assert!(self.whole.is_none(), "nothing joins a part");
        let offset = (text.as_ptr() as usize).wrapping_sub(self.body.as_ptr() as usize);
        let inside = !text.is_empty() && offset < self.body.len();
        let start = if inside {
            offset
        } else {
            self.rewritten.extend_from_slice(text.as_bytes());
            self.body.len() + self.rewritten.len() - text.len()
        };
        let narrow = |number: usize| u32::try_from(number).expect("a request body is far below 4 GiB");
        Span { start: narrow(start), length: narrow(text.len()) }
    }
}

fn check_options(draft: &Draft<'_>) -> Result<(), Invalid> {
    if let Some(identifier) = draft.identifier {
        let bytes = identifier::bytes(identifier);
        if bytes > IDENTIFIER_BYTES_MAX {
            return Err(Invalid::IdentifierTooLong { bytes });
        }
    }
    if let Some((expiry, unit)) = draft.expiry.and_then(|expiry| Some((expiry, expiry::smaller_unit(expiry)?))) {
        return Err(Invalid::ExpiryNotSeconds { expiry, unit });
    }
    if let Some(id) = draft.collapse_id {
        if id.is_empty() || id.len() > COLLAPSE_ID_BYTES_MAX {
            return Err(Invalid::BadCollapseId { bytes: id.len() });
        }
        header_text("collapse_id", id)?;
    }
    if let Some(topic) = draft.topic {
        if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX {
            return Err(Invalid::BadTopic { bytes: topic.len() });
        }
        header_text("topic", topic)?;
    }
    Ok(())
}

/// RFC 9113 8.2.1 allows more characters, but users of APNs need none of them.
fn header_text(field: &'static str, text: &str) -> Result<(), Invalid> {
    let printable = text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    if !printable || text.starts_with(' ') || text.ends_with(' ') {
        return Err(Invalid::NotHeaderText { field });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &str = r#"{"aps":{"alert":"hi"}}"#;

    fn draft() -> Draft<'static> {
        Draft { token: "00fc13ad", payload: PAYLOAD, ..Draft::default() }
    }

    fn refusal(draft: Draft<'_>) -> Invalid {
        Batch::default().push(draft, Uuid::new_v4).expect_err("a bad draft")
    }

    #[test]
    fn only_texts_outside_the_body_are_copied() {
        let body = Bytes::from_static(br#"00fc13ad {"aps":{}} "x""#);
        let whole: &str = std::str::from_utf8(&body).unwrap();
        let mut batch = Batch::over(body.clone());
        batch
            .push(
                Draft {
                    token: &whole[..8],
                    payload: &whole[9..19],
                    identifier: Some(&whole[20..]),
                    ..Draft::default()
                },
                Uuid::new_v4,
            )
            .unwrap();
        assert!(batch.rewritten.is_empty());
        batch.push(Draft { token: "<00FC>", ..draft() }, Uuid::new_v4).unwrap();
        assert_eq!(batch.text(batch.items()[0].token), "00fc13ad");
        assert_eq!(batch.bytes(batch.items()[0].payload), br#"{"aps":{}}"#);
        assert_eq!(batch.text(batch.items()[1].token), "00fc");
        assert_eq!(batch.text(batch.items()[1].payload), PAYLOAD);
    }

    #[test]
    fn a_part_has_the_same_texts_without_copies() {
        let body = Bytes::from_static(br#"00fc13ad {"aps":{}}"#);
        let whole: &str = std::str::from_utf8(&body).unwrap();
        let mut batch = Batch::over(body.clone());
        for token in [&whole[..8], "<00FC>", "AB"] {
            batch.push(Draft { token, payload: &whole[9..], ..Draft::default() }, Uuid::new_v4).unwrap();
        }
        let batch = Arc::new(batch);
        let part = Arc::new(batch.part(&[2, 0]));
        for part in [&part, &Arc::new(part.part(&[0, 1]))] {
            let tokens: Vec<_> = part.items().iter().map(|item| part.bytes(item.token).as_ptr()).collect();
            let expected = [2, 0].map(|at: usize| batch.bytes(batch.items()[at].token).as_ptr());
            assert_eq!(tokens, expected);
            assert_eq!((part.text(part.items()[0].token), part.text(part.items()[0].payload)), ("ab", &whole[9..]));
            assert_eq!(part.items()[1].apns_id, batch.items()[0].apns_id);
        }
    }

    #[test]
    fn an_identifier_that_is_a_canonical_uuid_is_the_apns_id() {
        let mut batch = Batch::default();
        let canonical = r#""123e4567-e89b-12d3-a456-426655440000""#;
        let escaped = canonical.replace('-', r"\u002d");
        for identifier in [canonical, r#""123E4567-E89B-12D3-A456-426655440000""#, "7", &escaped] {
            batch.push(Draft { identifier: Some(identifier), ..draft() }, Uuid::new_v4).unwrap();
        }
        let ids: Vec<_> = batch.items().iter().map(|item| format!("\"{}\"", item.apns_id)).collect();
        assert_eq!(ids[0], canonical);
        assert_ne!(ids[1].to_uppercase(), canonical.to_uppercase());
        assert_ne!(ids[1], ids[2]);
        assert_eq!(ids[3], canonical);
    }

    #[test]
    fn generated_apns_ids_come_from_the_callers_source_and_none_is_wasted() {
        let mut drawn = 0;
        let mut next = || {
            drawn += 1;
            Uuid::from_u128(drawn)
        };
        let canonical = r#""123e4567-e89b-12d3-a456-426655440000""#;
        let mut batch = Batch::default();
        batch.push(draft(), &mut next).unwrap();
        batch.push(Draft { identifier: Some(canonical), ..draft() }, &mut next).unwrap();
        batch.push_to_many(Draft { token: "", ..draft() }, &["00", "01"], &mut next).unwrap();
        let ids = batch.items().iter().map(|item| item.apns_id.as_u128()).collect::<Vec<_>>();
        assert_eq!(ids, [1, 0x123e_4567_e89b_12d3_a456_4266_5544_0000, 2, 3]);
    }

    #[test]
    fn one_payload_to_many_is_stored_once_and_each_has_its_apns_id() {
        let canonical = r#""123e4567-e89b-12d3-a456-426655440000""#;
        let mut batch = Batch::default();
        batch
            .push_to_many(Draft { token: "", identifier: Some(canonical), ..draft() }, &["00", "<01 FC>"], Uuid::new_v4)
            .unwrap();
        let [one, other] = batch.items() else { panic!("two notifications") };
        assert_eq!((one.payload, one.identifier), (other.payload, other.identifier));
        assert_eq!((batch.text(one.token), batch.text(other.token)), ("00", "01fc"));
        assert_ne!(one.apns_id, other.apns_id);
        assert!([one, other].iter().all(|item| format!("\"{}\"", item.apns_id) != canonical && !item.apns_id.is_nil()));
        let refused = batch.push_to_many(draft(), &["00", "0"], Uuid::new_v4).expect_err("a bad token");
        assert_eq!(refused, Invalid::TokenOfMany { index: 1, bad: BadToken::OddLength });
    }

    #[test]
    fn a_payload_over_apples_limit_is_refused_with_both_numbers() {
        let long = format!(r#"{{"aps":"{}"}}"#, "x".repeat(4087));
        let refused = refusal(Draft { payload: &long, ..draft() });
        assert_eq!(refused, Invalid::PayloadTooLarge { bytes: 4097, limit: 4096, push_type: "alert", compact: None });
        let mut batch = Batch::default();
        assert!(batch.push(Draft { payload: &long, push_type: Some("voip"), ..draft() }, Uuid::new_v4).is_ok());
    }

    #[test]
    fn a_topic_with_a_suffix_decides_a_missing_push_type() {
        let own = |topic| Draft { topic: Some(topic), ..draft() };
        for (of_app, draft, expected) in [
            (None, draft(), PushType::Alert),
            (Some(PushType::Voip), draft(), PushType::Voip),
            (Some(PushType::Voip), Draft { push_type: Some("alert"), ..draft() }, PushType::Alert),
            (Some(PushType::Voip), own("com.example.app"), PushType::Alert),
            (Some(PushType::Voip), own("com.example.app.push-type.liveactivity"), PushType::LiveActivity),
            (None, own("com.example.app.voip"), PushType::Voip),
            (None, Draft { push_type: Some("alert"), ..own("com.example.app.voip") }, PushType::Alert),
        ] {
            let mut batch = Batch::default().with_push_type(of_app);
            batch.push(draft, Uuid::new_v4).unwrap();
            batch.push_to_many(Draft { token: "", ..draft }, &["00fc"], Uuid::new_v4).unwrap();
            assert!(batch.items().iter().all(|item| item.push_type == expected), "{of_app:?} {draft:?}");
        }
        let long = format!(r#"{{"aps":"{}"}}"#, "x".repeat(5110));
        let mut batch = Batch::default().with_push_type(Some(PushType::Voip));
        assert!(
            batch.push(Draft { payload: &long, ..draft() }, Uuid::new_v4).is_ok(),
            "the limit is that of the decided type"
        );
    }

    #[test]
    fn the_refusal_of_a_payload_that_would_fit_in_compact_utf8_has_that_size() {
        let text = "é".repeat(1000);
        for long in [
            format!(r#"{{"aps":{{"alert":"{}"}}}}"#, r"\u00e9".repeat(1000)),
            format!(r#"{{"aps":{}{{"alert":"{text}"}}}}"#, " ".repeat(3000)),
        ] {
            let refused = refusal(Draft { payload: &long, ..draft() }).to_string();
            assert!(
                refused.contains(&format!("has {} bytes, and Apple accepts at most 4096", long.len())),
                "{refused}"
            );
            let compact = format!(r#"{{"aps":{{"alert":"{text}"}}}}"#).len();
            assert!(refused.ends_with(&format!("between its parts, and it has {compact}")), "{refused}");
        }
        let still = format!(r#"{{"aps": "{}"}}"#, "é".repeat(2100));
        assert!(refusal(Draft { payload: &still, ..draft() }).to_string().ends_with("for `alert`: shorten it"));
    }

    #[test]
    fn an_identifier_is_as_long_as_its_decoded_value() {
        for (written, good) in [(r"\u00e9".repeat(128), true), ("é".repeat(128), true), (r"\u00e9".repeat(129), false)]
        {
            let identifier = format!("\"{written}\"");
            let pushed = Batch::default().push(Draft { identifier: Some(&identifier), ..draft() }, Uuid::new_v4);
            let expected = if good { Ok(()) } else { Err(Invalid::IdentifierTooLong { bytes: 258 }) };
            assert_eq!(pushed, expected, "{identifier}");
        }
    }

    #[test]
    fn every_invalid_part_has_its_error() {
        assert_eq!(refusal(Draft { token: "", ..draft() }), Invalid::Token(BadToken::Empty));
        assert_eq!(refusal(Draft { token: "abc", ..draft() }), Invalid::Token(BadToken::OddLength));
        let bad = BadToken::NotHex { at: 2, character: 'x' };
        assert_eq!(refusal(Draft { token: "0x", ..draft() }), Invalid::Token(bad));
        assert_eq!(refusal(Draft { payload: "[]", ..draft() }), Invalid::PayloadNotObject);
        assert_eq!(refusal(Draft { payload: r#""{}""#, ..draft() }), Invalid::PayloadInString);
        let refused = Invalid::ExpiryNotSeconds { expiry: 1_895_934_818_000, unit: "milliseconds" };
        assert_eq!(refusal(Draft { expiry: Some(1_895_934_818_000), ..draft() }), refused);
        assert_eq!(refusal(Draft { priority: Some(7), ..draft() }), Invalid::BadPriority);
        assert_eq!(refusal(Draft { push_type: Some("Alert"), ..draft() }), Invalid::BadPushType);
        let long = "x".repeat(65);
        assert_eq!(refusal(Draft { collapse_id: Some(&long), ..draft() }), Invalid::BadCollapseId { bytes: 65 });
        assert_eq!(refusal(Draft { topic: Some("a\r\nb"), ..draft() }), Invalid::NotHeaderText { field: "topic" });
        let long = format!("\"{}\"", "x".repeat(257));
        assert_eq!(refusal(Draft { identifier: Some(&long), ..draft() }), Invalid::IdentifierTooLong { bytes: 257 });
    }
}
