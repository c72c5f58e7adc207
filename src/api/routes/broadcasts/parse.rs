//! Reads the broadcasts of a request: all of them are valid, or none is sent.

use crate::api::routes::notifications::fault::{FaultyIndexes, ItemPrefix, MoreFaulty};
use crate::json::{self, Malformed, Object, ObjectFault, number};
use crate::model::broadcast::BroadcastDraft;
use crate::model::{Broadcast, Invalid};
use bytes::Bytes;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use uuid::Uuid;

/// The broadcasts of a request.
#[derive(Debug)]
pub struct Parsed {
    pub broadcasts: Vec<Arc<Broadcast>>,
    /// The request was a list, and so is the response.
    pub list: bool,
}

/// The reason that no broadcast of a request was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BroadcastsFault {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the body is neither a broadcast object nor a list of them")]
    NotBroadcasts,
    #[error("the request has more than {limit} broadcasts: send several requests")]
    TooManyItems { limit: usize },
    #[error("{}{why}{}", ItemPrefix(*index), MoreFaulty { faulty, what: "items" })]
    Item {
        /// The index in the list, from 0; `None` for a single object.
        index: Option<usize>,
        why: BroadcastFault,
        /// All invalid items of the list; `why` is about the first.
        faulty: FaultyIndexes,
    },
}

/// The reason that an item is not a broadcast.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BroadcastFault {
    #[error(transparent)]
    Object(#[from] ObjectFault),
    #[error("`{field}` is missing")]
    Missing { field: &'static str },
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl BroadcastFault {
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Object(fault) => fault.field(),
            Self::Missing { field } => Some(field),
            Self::Invalid(invalid) => Some(invalid.field()),
        }
    }

    pub fn limit(&self) -> Option<usize> {
        match self {
            Self::Invalid(invalid) => invalid.limit(),
            Self::Object(_) | Self::Missing { .. } => None,
        }
    }

    /// The fields that a broadcast may have, if it has another one.
    pub fn known(&self) -> Option<&[&'static str]> {
        match self {
            Self::Object(fault) => fault.known(),
            Self::Missing { .. } | Self::Invalid(_) => None,
        }
    }
}

/// Reads one broadcast object, or a list of at most `items_max`.
pub fn parse(body: &Bytes, items_max: usize) -> Result<Parsed, BroadcastsFault> {
    let text = json::text(body)?;
    let malformed = |error: &serde_json::Error| BroadcastsFault::from(Malformed::new(text, error));
    match text.bytes().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
            read_list(&items, items_max)
        }
        Some(b'{') => {
            let item: &RawValue = serde_json::from_str(text).map_err(|error| malformed(&error))?;
            let of_item = |why| BroadcastsFault::Item { index: None, why, faulty: FaultyIndexes::default() };
            Ok(Parsed { broadcasts: vec![read(item.get()).map_err(of_item)?], list: false })
        }
        _ => Err(match serde_json::from_str::<&RawValue>(text) {
            Ok(_) => BroadcastsFault::NotBroadcasts,
            Err(error) => malformed(&error),
        }),
    }
}

fn read_list(items: &[&RawValue], items_max: usize) -> Result<Parsed, BroadcastsFault> {
    if items.len() > items_max {
        return Err(BroadcastsFault::TooManyItems { limit: items_max });
    }
    let (mut broadcasts, mut faulty, mut first) = (Vec::with_capacity(items.len()), Vec::new(), None);
    for (index, item) in items.iter().enumerate() {
        match read(item.get()) {
            Ok(broadcast) => broadcasts.push(broadcast),
            Err(why) => {
                first.get_or_insert(why);
                faulty.push(index);
            }
        }
    }
    match first {
        None => Ok(Parsed { broadcasts, list: true }),
        Some(why) => Err(BroadcastsFault::Item { index: faulty.first().copied(), why, faulty: faulty.into() }),
    }
}

/// Reads one broadcast.
fn read(text: &str) -> Result<Arc<Broadcast>, BroadcastFault> {
    let mut object = Object::read(text)?;
    let channel: Option<Cow<'_, str>> = object.take("channel", "a string: the id of a channel")?;
    let payload: Option<&RawValue> = object.take("payload", "a JSON object")?;
    let identifier: Option<&RawValue> = object.take("identifier", IDENTIFIER)?;
    let expiry = object.take_integer("expiry", "an integer, 0 or more: UNIX seconds, or 0 to store nothing")?;
    let priority = object.take_integer("priority", "an integer: 10 or 5")?;
    object.take_type("broadcast", "`broadcast`, or left out")?;
    object.finish()?;
    let draft = BroadcastDraft {
        channel: channel.as_deref().ok_or(BroadcastFault::Missing { field: "channel" })?,
        payload: payload.ok_or(BroadcastFault::Missing { field: "payload" })?.get(),
        identifier: identifier.map(RawValue::get),
        expiry,
        priority,
    };
    if draft.identifier.is_some_and(|json| !json.starts_with('"') && !number::is_integer(json)) {
        return Err(ObjectFault::WrongType { name: "identifier", expected: IDENTIFIER }.into());
    }
    Ok(Arc::new(Broadcast::new(draft, Uuid::new_v4)?))
}

const IDENTIFIER: &str = "a string or an integer";

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> BroadcastsFault {
        parse(&Bytes::from(body.to_owned()), 3).expect_err(body)
    }

    #[test]
    fn one_object_and_a_list_are_read() {
        let one =
            r#"{"channel":"a-b_","payload":{"aps": {}},"identifier":7,"expiry":9,"priority":5,"type":"broadcast"}"#;
        let parsed = parse(&one.into(), 3).unwrap();
        let [read] = &parsed.broadcasts[..] else { panic!("one") };
        assert_eq!((read.channel.as_str(), &read.payload[..], read.expiry), ("a+b/", &br#"{"aps": {}}"#[..], 9));
        assert_eq!((read.identifier.as_deref(), parsed.list), (Some("7"), false));
        let list = parse(&format!("[{one},{one}]").into(), 3).unwrap();
        assert_eq!((list.broadcasts.len(), list.list), (2, true));
        assert!(parse(&"[]".into(), 3).unwrap().broadcasts.is_empty());
    }

    #[test]
    fn a_broadcast_keeps_nothing_of_the_body_that_it_came_in() {
        let body = Bytes::from(r#"[{"channel":"abcd","payload":{"aps":{}}}]"#.to_owned());
        let parsed = parse(&body, 3).unwrap();
        assert_eq!((&parsed.broadcasts[0].payload[..], body.is_unique()), (&br#"{"aps":{}}"#[..], true));
    }

    #[test]
    fn a_bad_item_refuses_the_request_with_its_index() {
        let good = r#"{"channel":"abcd","payload":{}}"#;
        for (bad, what) in [
            ("7", "item 1: the body must be a JSON object"),
            ("{}", "item 1: `channel` is missing"),
            (r#"{"channel":"abcd"}"#, "item 1: `payload` is missing"),
            (r#"{"channel":"abcd","payload":null}"#, "item 1: `payload` is missing"),
            (r#"{"channel":7,"payload":{}}"#, "item 1: `channel` must be a string: the id of a channel"),
            (r#"{"channel":"abcd","payload":[]}"#, "item 1: `payload` is not a JSON object"),
            (r#"{"channel":"abcd","channel":"abcd","payload":{}}"#, "item 1: `channel` appears twice"),
            (
                r#"{"channel":"abcd","payload":{},"identifier":1.5}"#,
                "item 1: `identifier` must be a string or an integer",
            ),
            (r#"{"channel":"abcd","payload":{},"token":"00"}"#, "item 1: `token` is not a known field: the fields are"),
            (r#"{"channel":"abcd","payload":{},"priority":7}"#, "item 1: `priority` must be"),
        ] {
            let sentence = refused(&format!("[{good},{bad}]")).to_string();
            assert!(sentence.starts_with(what), "{bad}: {sentence}");
        }
        let both = refused(&format!("[{{}},{good},{{}}]"));
        let BroadcastsFault::Item { index: Some(0), faulty, .. } = &both else { panic!("{both:?}") };
        assert_eq!(faulty.several(), Some(&[0, 2][..]));
        assert_eq!(refused(&format!("[{good},{good},{good},{good}]")), BroadcastsFault::TooManyItems { limit: 3 });
        assert_eq!(refused("7"), BroadcastsFault::NotBroadcasts);
        assert!(matches!(refused("[{]"), BroadcastsFault::Malformed(_)));
    }
}
