//! Reads a request's notifications straight into a [`Batch`]: one pass, payloads and tokens stay slices of the body.

use super::fault::{Fault, ItemFault};
use super::field::{Field, FieldName};
use crate::api::json::{self, Malformed};
use crate::model::{Batch, Draft};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// What a request asks to send.
#[derive(Debug)]
pub struct Parsed {
    pub batch: Batch,
    /// A list came, and a list goes back.
    pub list: bool,
}

/// Reads one notification object, or a list of at most `items_max`. The whole body is good, or none of it is.
pub fn parse(body: &Bytes, items_max: usize) -> Result<Parsed, Fault> {
    let text = json::text(body)?;
    let list = match text.bytes().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => true,
        Some(b'{') => false,
        _ => return Err(neither(text)),
    };
    let mut reading = Reading { batch: Batch::over(body.clone()), items_max, list, field: None, fault: None };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = if list { json.deserialize_seq(List(&mut reading)) } else { Item(&mut reading).deserialize(&mut json) };
    match read.and_then(|()| json.end()) {
        Ok(()) => Ok(Parsed { batch: reading.batch, list }),
        Err(error) => Err(reading.explain(text, &error)),
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
    field: Option<Field>,
    fault: Option<Fault>,
}

impl Reading {
    /// Leaves `why` for the item being read, and makes serde stop.
    fn refuse<E: serde::de::Error>(&mut self, why: ItemFault) -> E {
        self.fault = Some(self.of_item(why));
        E::custom("refused")
    }

    fn of_item(&self, why: ItemFault) -> Fault {
        Fault::Item { index: self.list.then(|| self.batch.len()), why }
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
            if self.0.batch.len() > self.0.items_max {
                self.0.fault = Some(Fault::TooManyItems { limit: self.0.items_max });
                return Err(A::Error::custom("too many"));
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
            parts.read(field, &mut fields)?;
            self.0.field = None;
        }
        let draft = parts.draft().map_err(|why| self.0.refuse(why))?;
        self.0.batch.push(draft).map_err(|invalid| self.0.refuse(invalid.into()))
    }
}

/// A string of the body, copied only where it is written with escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// One notification's fields as they come.
#[derive(Default)]
struct Parts<'a> {
    token: Option<Text<'a>>,
    payload: Option<&'a RawValue>,
    identifier: Option<&'a RawValue>,
    expiry: Option<u64>,
    priority: Option<u64>,
    push_type: Option<Text<'a>>,
    collapse_id: Option<Text<'a>>,
    topic: Option<Text<'a>>,
}

impl<'de> Parts<'de> {
    fn read<A: MapAccess<'de>>(&mut self, field: Field, fields: &mut A) -> Result<(), A::Error> {
        match field {
            Field::Token => self.token = Some(fields.next_value()?),
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
            token: text(&self.token).ok_or(ItemFault::Missing(Field::Token))?,
            payload: self.payload.ok_or(ItemFault::Missing(Field::Payload))?.get(),
            identifier: self.identifier.map(identifier).transpose()?.flatten(),
            expiry: self.expiry,
            push_type: text(&self.push_type),
            priority: self.priority,
            collapse_id: text(&self.collapse_id),
            topic: text(&self.topic),
        })
    }
}

/// The identifier's JSON as written, if it is a string or an integer.
fn identifier(json: &RawValue) -> Result<Option<&str>, ItemFault> {
    let text = json.get();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let integer = digits.bytes().all(|byte| byte.is_ascii_digit());
    match text {
        "null" => Ok(None),
        _ if integer || text.starts_with('"') => Ok(Some(text)),
        _ => Err(ItemFault::WrongType(Field::Identifier)),
    }
}

#[cfg(test)]
mod tests;
