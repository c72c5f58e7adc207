//! Reads a request's notifications straight into a [`Batch`]: payloads and tokens stay slices of the body.
//!
//! `fast_path` reads what nearly all callers write. `full_parser` reads every other body, and finds what is wrong
//! in it. Two parsers of one format are kept because the fast one pays: with the full parser alone a notification costs
//! 20 % more instructions in a batch of 100, 17 % more in a stream and 14 % more in a batch of 10
//! (`benches/instructions`, from the caller's bytes to the outcome's).

mod fast_path;
mod full_parser;

use super::fault::NotificationsFault;
use crate::json;
use crate::model::identifier::{self, IDENTIFIER_BYTES_MAX};
use crate::model::{Batch, PushType, device_token};
use bytes::Bytes;
use full_parser::{Item, ParseState, Text, read_identifier};
use serde::Deserialize;
use serde::de::DeserializeSeed;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The notifications of a request.
#[derive(Debug)]
pub struct Parsed {
    pub batch: Batch,
    /// The request was a list, or one object with `tokens`: the response is a list.
    pub list: bool,
}

/// Reads one notification object, or a list of at most `items_max`. The whole body is good, or none of it is.
/// `of_topic` is the push type that the app's topic decides.
pub fn parse(body: &Bytes, of_topic: Option<PushType>, items_max: usize) -> Result<Parsed, NotificationsFault> {
    let text = json::text(body)?;
    let batch = || Batch::over(body.clone()).with_push_type(of_topic);
    match fast_path::parse(batch(), text, items_max) {
        Some(parsed) => Ok(parsed),
        None => full_parser::parse(batch(), text, items_max),
    }
}

/// Reads the lines of a stream into one batch. Each line is accepted or refused on its own.
pub struct LineReader(ParseState);

impl LineReader {
    /// Into this batch, over the bytes that all of them lie in.
    pub fn into_empty(batch: Batch) -> Self {
        Self(ParseState { one_token: true, ..ParseState::new(batch, 1) })
    }

    /// Reads one notification object.
    pub fn push(&mut self, text: &str) -> Result<(), NotificationsFault> {
        if fast_path::parse_line(&mut self.0.batch, text).is_some() {
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
            NotificationsFault::Malformed(malformed) => NotificationsFault::MalformedLine(malformed),
            fault => fault,
        };
        self.0.field = None;
        Err(fault)
    }

    /// The number of valid notifications that were read.
    pub fn good(&self) -> usize {
        self.0.batch.len()
    }

    /// Returns the valid notifications.
    pub fn into_batch(self) -> Batch {
        self.0.batch
    }
}

/// The identifier and token of an invalid notification, as far as they can be read.
#[derive(Default)]
pub struct Recovered<'a> {
    /// As JSON.
    pub identifier: Option<&'a str>,
    /// Normalised, as in the outcome of a valid notification.
    pub token: Option<String>,
}

impl<'a> Recovered<'a> {
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

#[cfg(test)]
mod tests;
