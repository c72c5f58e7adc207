//! The value of `tokens`. One invalid token does not hide the faults of later ones.

use super::{ParseState, Text};
use crate::api::routes::notifications::fault::{ItemFault, TokenFault};
use crate::model::device_token;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// One of the tokens, if it is a string.
pub struct Token<'a>(Option<Text<'a>>);

/// The texts of all tokens, or all their faults.
pub fn texts<'t>(tokens: &'t [Token<'_>]) -> Result<Vec<&'t str>, ItemFault> {
    let mut texts = Vec::with_capacity(tokens.len());
    let (mut first, mut faulty) = (None, Vec::new());
    for (index, token) in tokens.iter().enumerate() {
        match token.text() {
            Ok(text) => texts.push(text),
            Err(why) => {
                first.get_or_insert((index, why));
                faulty.push(index);
            }
        }
    }
    match first {
        None => Ok(texts),
        Some((index, why)) => Err(ItemFault::BadTokens { index, why, faulty: faulty.into() }),
    }
}

impl Token<'_> {
    fn text(&self) -> Result<&str, TokenFault> {
        let text = &*self.0.as_ref().ok_or(TokenFault::NotText)?.0;
        device_token::normalise(text)?;
        Ok(text)
    }
}

impl<'de> Deserialize<'de> for Token<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(AnyToken)
    }
}

/// Reads any JSON value, and keeps only a string.
struct AnyToken;

impl<'de> Visitor<'de> for AnyToken {
    type Value = Token<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a device token")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Token<'de>, E> {
        Ok(Token(Some(Text(Cow::Borrowed(text)))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Token<'de>, E> {
        Ok(Token(Some(Text(Cow::Owned(text.to_owned())))))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Token<'de>, E> {
        Ok(Token(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Token<'de>, E> {
        Ok(Token(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Token<'de>, E> {
        Ok(Token(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Token<'de>, E> {
        Ok(Token(None))
    }

    fn visit_unit<E>(self) -> Result<Token<'de>, E> {
        Ok(Token(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Token<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Token(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Token<'de>, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Token(None))
    }
}

/// Reads the list, up to the request's limit of notifications.
pub struct Tokens<'r>(pub &'r mut ParseState);

impl<'de> DeserializeSeed<'de> for Tokens<'_> {
    type Value = Vec<Token<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Tokens<'_> {
    type Value = Vec<Token<'de>>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of device tokens")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut tokens = Vec::new();
        while let Some(token) = list.next_element()? {
            tokens.push(token);
            if !self.0.one_token && self.0.batch.len() + tokens.len() > self.0.items_max {
                return Err(self.0.too_many());
            }
        }
        Ok(tokens)
    }
}
