//! A batch from the notifications and texts that another node sent, checked again.

use super::{Batch, COLLAPSE_ID_BYTES_MAX, Notification, Span, TOPIC_BYTES_MAX, header_text};
use crate::json::Cursor;
use crate::model::device_token::TOKEN_HEX_DIGITS_MAX;
use crate::model::identifier::{self, IDENTIFIER_BYTES_MAX};
use bytes::Bytes;
use std::str;

/// The reason that bytes of another node are not a valid batch. No notification of it may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("item {index}: {fault}")]
pub struct BadBatch {
    /// Position of the notification, from 0.
    pub index: usize,
    pub fault: BadItem,
}

/// The rule that a notification of another node breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadItem {
    #[error("a text lies outside the frame")]
    OutOfRange,
    #[error("a text is not UTF-8")]
    NotUtf8,
    #[error("the token is not an even number of hex digits in lower case, at most {TOKEN_HEX_DIGITS_MAX}")]
    Token,
    #[error("the payload is not a JSON object")]
    PayloadNotObject,
    #[error("the payload is longer than Apple takes for its push type")]
    PayloadTooLarge,
    #[error("the identifier is not a string or number in JSON, of at most {IDENTIFIER_BYTES_MAX} bytes")]
    Identifier,
    #[error("the collapse id is not 1 to {COLLAPSE_ID_BYTES_MAX} bytes of header text")]
    CollapseId,
    #[error("the topic is not 1 to {TOPIC_BYTES_MAX} bytes of header text")]
    Topic,
}

impl Batch {
    /// The batch of another node: `items` are spans of `texts`. Each is checked by the rules of [`Batch::push`], but for
    /// the JSON inside a payload, which the sending node has checked.
    pub fn from_wire(texts: Bytes, items: Vec<Notification>) -> Result<Self, BadBatch> {
        let mut last: Option<&Notification> = None;
        let of_batch = Texts::of(&texts);
        for (index, item) in items.iter().enumerate() {
            check(&of_batch, item, last).map_err(|fault| BadBatch { index, fault })?;
            last = Some(item);
        }
        Ok(Self { body: texts, items, ..Self::default() })
    }
}

/// The texts of a batch. To check all of them at once for UTF-8 costs less than each alone.
struct Texts<'a> {
    bytes: &'a [u8],
    /// All of them, if they are UTF-8 together: bytes that no item uses may be anything.
    whole: Option<&'a str>,
}

impl<'a> Texts<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, whole: str::from_utf8(bytes).ok() }
    }

    fn bytes(&self, span: Span) -> Result<&'a [u8], BadItem> {
        let end = span.start().checked_add(span.len()).ok_or(BadItem::OutOfRange)?;
        self.bytes.get(span.start()..end).ok_or(BadItem::OutOfRange)
    }

    fn text(&self, span: Span) -> Result<&'a str, BadItem> {
        let bytes = self.bytes(span)?;
        match self.whole {
            Some(whole) => whole.get(span.start()..span.start() + bytes.len()).ok_or(BadItem::NotUtf8),
            None => str::from_utf8(bytes).map_err(|_| BadItem::NotUtf8),
        }
    }
}

/// Checks an item; what it shares with the `last` one is good.
fn check(texts: &Texts<'_>, item: &Notification, last: Option<&Notification>) -> Result<(), BadItem> {
    token(texts.bytes(item.token)?)?;
    if last.is_none_or(|last| last.payload != item.payload) {
        let payload = texts.text(item.payload)?;
        if !payload.starts_with('{') {
            return Err(BadItem::PayloadNotObject);
        }
    }
    if item.payload.len() > item.push_type.payload_bytes_max() {
        return Err(BadItem::PayloadTooLarge);
    }
    if let Some(span) = item.identifier.filter(|_| last.is_none_or(|last| last.identifier != item.identifier)) {
        is_identifier(texts.text(span)?).then_some(()).ok_or(BadItem::Identifier)?;
    }
    if let Some(span) = item.collapse_id {
        is_header(texts.text(span)?, COLLAPSE_ID_BYTES_MAX).then_some(()).ok_or(BadItem::CollapseId)?;
    }
    if let Some(span) = item.topic {
        is_header(texts.text(span)?, TOPIC_BYTES_MAX).then_some(()).ok_or(BadItem::Topic)?;
    }
    Ok(())
}

fn token(token: &[u8]) -> Result<(), BadItem> {
    // Without an early exit, so that many bytes are checked at once.
    let is_hex = token.iter().fold(true, |good, byte| good & matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_token = is_hex && !token.is_empty() && token.len().is_multiple_of(2) && token.len() <= TOKEN_HEX_DIGITS_MAX;
    is_token.then_some(()).ok_or(BadItem::Token)
}

/// It is copied into JSON, so that nothing else may pass.
fn is_identifier(json: &str) -> bool {
    let mut rest = Cursor::over(json);
    let read = match json.as_bytes().first() {
        Some(b'"') => rest.string().map(drop),
        _ => rest.number(),
    };
    read.is_some() && rest.is_at_end() && identifier::bytes(json) <= IDENTIFIER_BYTES_MAX
}

fn is_header(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && header_text("", text).is_ok()
}

#[cfg(test)]
mod tests;
