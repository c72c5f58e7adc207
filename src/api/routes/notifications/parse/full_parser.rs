//! Reads any body with serde, and reports its faults.

mod faulty;
mod tokens;

use super::Parsed;
use crate::api::routes::notifications::fault::{FaultyIndexes, ItemFault, NotificationsFault};
use crate::api::routes::notifications::field::{Field, FieldName, TYPE};
use crate::json::{Malformed, number};
use crate::model::{Batch, Draft};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use tokens::{Token, Tokens};
use uuid::Uuid;

/// Reads any body from `text` into this batch, whose buffer is `text`.
pub fn parse(batch: Batch, text: &str, items_max: usize) -> Result<Parsed, NotificationsFault> {
    let list = match text.bytes().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => true,
        Some(b'{') => false,
        _ => return Err(neither_object_nor_list(text)),
    };
    let of_topic = batch.push_type_of_topic();
    let mut state = ParseState { list, many: list, ..ParseState::new(batch, items_max) };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = if list { json.deserialize_seq(List(&mut state)) } else { Item(&mut state).deserialize(&mut json) };
    match read.and_then(|()| json.end()) {
        Ok(()) => Ok(Parsed { batch: state.batch, list: state.many }),
        Err(error) => Err(match state.explain(text, &error) {
            NotificationsFault::Item { index: index @ Some(_), why, .. } => {
                NotificationsFault::Item { index, why, faulty: faulty::items(text, of_topic, items_max) }
            }
            fault => fault,
        }),
    }
}

/// The fault of a body that begins like neither an object nor a list.
fn neither_object_nor_list(text: &str) -> NotificationsFault {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => NotificationsFault::NotNotifications,
        Err(error) => Malformed::new(text, &error).into(),
    }
}

/// The state while a body is read. A fault is kept here, because serde's errors carry only text.
pub struct ParseState {
    pub batch: Batch,
    pub items_max: usize,
    pub list: bool,
    /// The index of the current item in the list, from 0.
    pub item: usize,
    pub many: bool,
    /// One notification an object: `tokens` is refused.
    pub one_token: bool,
    pub field: Option<Field>,
    pub fault: Option<NotificationsFault>,
}

impl ParseState {
    pub fn new(batch: Batch, items_max: usize) -> Self {
        Self { batch, items_max, list: false, item: 0, many: false, one_token: false, field: None, fault: None }
    }

    /// Checks an item and appends it.
    fn append(&mut self, fields: &RawFields<'_>) -> Result<(), ItemFault> {
        let draft = fields.draft()?;
        match &fields.tokens {
            None => self.batch.push(draft, Uuid::new_v4)?,
            Some(_) if self.one_token => return Err(ItemFault::TokensInLine),
            Some(_) if fields.token.is_some() => return Err(ItemFault::TokenAndTokens),
            Some(tokens) if tokens.is_empty() => return Err(ItemFault::NoTokens),
            Some(tokens) => {
                self.many = true;
                self.batch.push_to_many(draft, &tokens::texts(tokens)?, Uuid::new_v4)?;
            }
        }
        Ok(())
    }

    /// Records `why` as the fault of the current item, and stops serde.
    fn refuse<E: serde::de::Error>(&mut self, why: ItemFault) -> E {
        self.fault = Some(self.of_item(why));
        E::custom("refused")
    }

    fn of_item(&self, why: ItemFault) -> NotificationsFault {
        NotificationsFault::Item { index: self.list.then_some(self.item), why, faulty: FaultyIndexes::default() }
    }

    pub fn too_many<E: serde::de::Error>(&mut self) -> E {
        self.fault = Some(NotificationsFault::TooManyItems { limit: self.items_max });
        E::custom("too many")
    }

    pub fn explain(&mut self, text: &str, error: &serde_json::Error) -> NotificationsFault {
        if let Some(fault) = self.fault.take() {
            return fault;
        }
        match (error.classify(), self.field) {
            (Category::Data, Some(field)) => self.of_item(ItemFault::WrongType(field)),
            (Category::Data, None) => self.of_item(ItemFault::NotAnObject),
            _ => Malformed::new(text, error).into(),
        }
    }
}

struct List<'r>(&'r mut ParseState);

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of notifications")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Item(self.0))?.is_some() {
            self.0.item += 1;
            if self.0.batch.len() > self.0.items_max {
                return Err(self.0.too_many());
            }
        }
        Ok(())
    }
}

pub struct Item<'r>(pub &'r mut ParseState);

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a notification")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut raw = RawFields::default();
        let mut seen = 0u16;
        while let Some(FieldName(name)) = fields.next_key()? {
            let field = match Field::named(&name) {
                Ok(field) => field,
                Err(why) => return Err(self.0.refuse(why)),
            };
            let bit = 1 << field as u16;
            if seen & bit != 0 {
                return Err(self.0.refuse(ItemFault::Repeated(field)));
            }
            seen |= bit;
            self.0.field = Some(field);
            raw.set(field, &mut fields, self.0)?;
            self.0.field = None;
        }
        self.0.append(&raw).map_err(|why| self.0.refuse(why))
    }
}

/// A string of the body, copied only if it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// An integer of 0 or more, in any notation.
struct Unsigned(u64);

impl<'de> Deserialize<'de> for Unsigned {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(json)?;
        number::unsigned(json.get()).map(Self).ok_or_else(|| serde::de::Error::custom("not an integer of 0 or more"))
    }
}

/// The unchecked fields of one notification.
#[derive(Default)]
struct RawFields<'a> {
    token: Option<Text<'a>>,
    tokens: Option<Vec<Token<'a>>>,
    payload: Option<&'a RawValue>,
    identifier: Option<&'a RawValue>,
    expiry: Option<Unsigned>,
    priority: Option<Unsigned>,
    push_type: Option<Text<'a>>,
    collapse_id: Option<Text<'a>>,
    topic: Option<Text<'a>>,
}

impl<'de> RawFields<'de> {
    fn set<A: MapAccess<'de>>(&mut self, field: Field, fields: &mut A, state: &mut ParseState) -> Result<(), A::Error> {
        match field {
            Field::Type => {
                let said: Option<Text<'_>> = fields.next_value()?;
                if said.is_some_and(|said| &*said.0 != TYPE) {
                    return Err(state.refuse(ItemFault::WrongType(field)));
                }
            }
            Field::Token => self.token = Some(fields.next_value()?),
            Field::Tokens => self.tokens = Some(fields.next_value_seed(Tokens(state))?),
            Field::Payload => self.payload = Some(fields.next_value()?),
            Field::Identifier => self.identifier = Some(fields.next_value()?),
            Field::Expiry => self.expiry = fields.next_value()?,
            Field::Priority => self.priority = fields.next_value()?,
            Field::PushType => self.push_type = fields.next_value()?,
            Field::CollapseId => self.collapse_id = fields.next_value()?,
            Field::Topic => self.topic = fields.next_value()?,
        }
        Ok(())
    }

    fn draft(&self) -> Result<Draft<'_>, ItemFault> {
        fn text<'t>(text: &'t Option<Text<'_>>) -> Option<&'t str> {
            text.as_ref().map(|text| &*text.0)
        }
        Ok(Draft {
            token: match (&self.token, &self.tokens) {
                (Some(token), _) => &token.0,
                (None, Some(_)) => "",
                (None, None) => return Err(ItemFault::Missing(Field::Token)),
            },
            payload: self.payload.ok_or(ItemFault::Missing(Field::Payload))?.get(),
            derived: None,
            identifier: self.identifier.map(read_identifier).transpose()?.flatten(),
            expiry: self.expiry.as_ref().map(|expiry| expiry.0),
            push_type: text(&self.push_type),
            priority: self.priority.as_ref().map(|priority| priority.0),
            collapse_id: text(&self.collapse_id),
            topic: text(&self.topic),
        })
    }
}

/// The identifier's JSON as written, if it is a string or an integer.
pub fn read_identifier(json: &RawValue) -> Result<Option<&str>, ItemFault> {
    match json.get() {
        "null" => Ok(None),
        text if text.starts_with('"') || number::is_integer(text) => Ok(Some(text)),
        _ => Err(ItemFault::WrongType(Field::Identifier)),
    }
}
