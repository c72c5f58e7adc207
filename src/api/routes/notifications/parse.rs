//! Reads a request's notifications straight into a [`Batch`]: payloads and tokens stay slices of the body. What is plain is
//! read by `plain`; the rest, and all that is wrong, by serde.

mod faulty;
mod tokens;

use super::fault::{Fault, Faulty, ItemFault};
use super::field::{Field, FieldName, TYPE};
use super::plain;
use crate::json::number;
use crate::json::{self, Malformed};
use crate::model::identifier::{self, IDENTIFIER_BYTES_MAX};
use crate::model::{Batch, Draft, PushType, device_token};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use tokens::{Token, Tokens};
use uuid::Uuid;

/// What a request asks to send.
#[derive(Debug)]
pub struct Parsed {
    pub batch: Batch,
    /// A list came, or one object with `tokens`: a list goes back.
    pub list: bool,
}

/// Reads one notification object, or a list of at most `items_max`. The whole body is good, or none of it is. `of_topic` is
/// the push type that the app's topic decides.
pub fn parse(body: &Bytes, of_topic: Option<PushType>, items_max: usize) -> Result<Parsed, Fault> {
    let text = json::text(body)?;
    let batch = || Batch::over(body.clone()).with_push_type(of_topic);
    match plain::read(batch(), text, items_max) {
        Some(parsed) => Ok(parsed),
        None => parse_any(batch(), text, items_max),
    }
}

/// The same for a body of any form, whose text is `text`, into this batch over it.
pub(super) fn parse_any(batch: Batch, text: &str, items_max: usize) -> Result<Parsed, Fault> {
    let list = match text.bytes().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => true,
        Some(b'{') => false,
        _ => return Err(neither(text)),
    };
    let of_topic = batch.push_type_of_topic();
    let mut reading = Reading { list, many: list, ..Reading::new(batch, items_max) };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = if list { json.deserialize_seq(List(&mut reading)) } else { Item(&mut reading).deserialize(&mut json) };
    match read.and_then(|()| json.end()) {
        Ok(()) => Ok(Parsed { batch: reading.batch, list: reading.many }),
        Err(error) => Err(match reading.explain(text, &error) {
            Fault::Item { index: index @ Some(_), why, .. } => {
                Fault::Item { index, why, faulty: faulty::items(text, of_topic, items_max) }
            }
            fault => fault,
        }),
    }
}

/// Reads notifications one by one into one batch, each good or refused for itself.
pub struct OneByOne(Reading);

impl OneByOne {
    /// Into this batch, over the bytes that all of them lie in.
    pub fn into_empty(batch: Batch) -> Self {
        Self(Reading { alone: true, ..Reading::new(batch, 1) })
    }

    /// Reads one notification object.
    pub fn read(&mut self, text: &str) -> Result<(), Fault> {
        if plain::read_line(&mut self.0.batch, text).is_some() {
            return Ok(());
        }
        let before = self.0.batch.len();
        let mut json = serde_json::Deserializer::from_str(text);
        let read = Item(&mut self.0).deserialize(&mut json).and_then(|()| json.end());
        let Err(error) = read else { return Ok(()) };
        if self.0.batch.len() > before {
            self.0.batch.pop();
        }
        let fault = match self.0.explain(text, &error) {
            Fault::Malformed(malformed) => Fault::MalformedLine(malformed),
            fault => fault,
        };
        self.0.field = None;
        Err(fault)
    }

    /// How many good ones were read.
    pub fn good(&self) -> usize {
        self.0.batch.len()
    }

    /// The good ones.
    pub fn into_batch(self) -> Batch {
        self.0.batch
    }
}

/// What tells whose an object is that is no good notification, as far as it can be returned.
#[derive(Default)]
pub struct Rescued<'a> {
    /// As JSON.
    pub identifier: Option<&'a str>,
    /// As that of a good notification is shown.
    pub token: Option<String>,
}

impl<'a> Rescued<'a> {
    pub fn from(text: &'a str) -> Self {
        #[derive(Default, Deserialize)]
        struct Only<'a> {
            #[serde(borrow)]
            identifier: Option<&'a RawValue>,
            #[serde(borrow)]
            token: Option<&'a RawValue>,
        }
        let only: Only<'_> = serde_json::from_str(text).unwrap_or_default();
        let identifier = only.identifier.and_then(|json| read_identifier(json).ok().flatten());
        let token = only.token.and_then(|json| serde_json::from_str::<Text<'_>>(json.get()).ok());
        Self {
            identifier: identifier.filter(|json| identifier::bytes(json) <= IDENTIFIER_BYTES_MAX),
            token: token.and_then(|token| device_token::normalise(&token.0).ok().map(Cow::into_owned)),
        }
    }
}

/// The fault of a body that begins like neither an object nor a list.
fn neither(text: &str) -> Fault {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Fault::NotNotifications,
        Err(error) => Malformed::new(text, &error).into(),
    }
}

/// What is known while the body is read; a fault is left here, because serde's errors carry only text.
struct Reading {
    batch: Batch,
    items_max: usize,
    list: bool,
    /// Where the item being read stands in the list, from 0.
    item: usize,
    many: bool,
    /// One notification an object: `tokens` is not taken.
    alone: bool,
    field: Option<Field>,
    fault: Option<Fault>,
}

impl Reading {
    fn new(batch: Batch, items_max: usize) -> Self {
        Self { batch, items_max, list: false, item: 0, many: false, alone: false, field: None, fault: None }
    }

    /// Checks an item and appends it.
    fn take(&mut self, parts: &Parts<'_>) -> Result<(), ItemFault> {
        let draft = parts.draft()?;
        match &parts.tokens {
            None => self.batch.push(draft, Uuid::new_v4)?,
            Some(_) if self.alone => return Err(ItemFault::TokensInLine),
            Some(_) if parts.token.is_some() => return Err(ItemFault::TokenAndTokens),
            Some(tokens) if tokens.is_empty() => return Err(ItemFault::NoTokens),
            Some(tokens) => {
                self.many = true;
                self.batch.push_to_many(draft, &tokens::texts(tokens)?, Uuid::new_v4)?;
            }
        }
        Ok(())
    }

    /// Leaves `why` for the item being read, and makes serde stop.
    fn refuse<E: serde::de::Error>(&mut self, why: ItemFault) -> E {
        self.fault = Some(self.of_item(why));
        E::custom("refused")
    }

    fn of_item(&self, why: ItemFault) -> Fault {
        Fault::Item { index: self.list.then_some(self.item), why, faulty: Faulty::default() }
    }

    fn too_many<E: serde::de::Error>(&mut self) -> E {
        self.fault = Some(Fault::TooManyItems { limit: self.items_max });
        E::custom("too many")
    }

    fn explain(&mut self, text: &str, error: &serde_json::Error) -> Fault {
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

struct List<'r>(&'r mut Reading);

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

struct Item<'r>(&'r mut Reading);

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
        let mut parts = Parts::default();
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
            parts.read(field, &mut fields, self.0)?;
            self.0.field = None;
        }
        self.0.take(&parts).map_err(|why| self.0.refuse(why))
    }
}

/// A string of the body, copied only where it is written with escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// An integer of 0 or more, however it is written.
struct Unsigned(u64);

impl<'de> Deserialize<'de> for Unsigned {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(json)?;
        number::unsigned(json.get()).map(Self).ok_or_else(|| serde::de::Error::custom("not an integer of 0 or more"))
    }
}

/// One notification's fields as they come.
#[derive(Default)]
struct Parts<'a> {
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

impl<'de> Parts<'de> {
    fn read<A: MapAccess<'de>>(&mut self, field: Field, fields: &mut A, reading: &mut Reading) -> Result<(), A::Error> {
        match field {
            Field::Type => {
                let said: Option<Text<'_>> = fields.next_value()?;
                if said.is_some_and(|said| &*said.0 != TYPE) {
                    return Err(reading.refuse(ItemFault::WrongType(field)));
                }
            }
            Field::Token => self.token = Some(fields.next_value()?),
            Field::Tokens => self.tokens = Some(fields.next_value_seed(Tokens(reading))?),
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
fn read_identifier(json: &RawValue) -> Result<Option<&str>, ItemFault> {
    match json.get() {
        "null" => Ok(None),
        text if text.starts_with('"') || number::is_integer(text) => Ok(Some(text)),
        _ => Err(ItemFault::WrongType(Field::Identifier)),
    }
}

#[cfg(test)]
mod tests;
