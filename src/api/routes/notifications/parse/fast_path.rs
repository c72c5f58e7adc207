//! Reads valid notifications as nearly all callers write them, in one pass. Returns `None` for any other body, which
//! `full_parser` reads again to find its faults.

use super::Parsed;
use crate::api::routes::notifications::field::{Field, TYPE};
use crate::json::Cursor;
use crate::model::{Batch, Draft, payload};
use uuid::Uuid;

/// Reads one notification object, or a list of at most `items_max`, from `text` into this batch, whose buffer is
/// `text`.
pub fn parse(mut batch: Batch, text: &str, items_max: usize) -> Option<Parsed> {
    let mut json = Cursor::over(text);
    let list = json.take_if(b'[');
    let mut many = list;
    if list && !json.take_if(b']') {
        loop {
            item(&mut json, &mut batch, items_max)?;
            if json.comma_or(b']')? {
                break;
            }
        }
    } else if !list {
        many = item(&mut json, &mut batch, items_max)?;
    }
    json.is_at_end().then_some(Parsed { batch, list: many })
}

/// Reads one notification, without `tokens`.
pub fn parse_line(batch: &mut Batch, text: &str) -> Option<()> {
    let mut json = Cursor::over(text);
    let (draft, tokens) = draft(&mut json, 0)?;
    (tokens.is_none() && json.is_at_end()).then(|| batch.push(draft, Uuid::new_v4).ok())?
}

/// Appends an object's notifications. Returns true if the object has `tokens`.
fn item(json: &mut Cursor<'_>, batch: &mut Batch, items_max: usize) -> Option<bool> {
    let room = items_max.checked_sub(batch.len())?;
    let (draft, tokens) = draft(json, room)?;
    match &tokens {
        Some(tokens) => batch.push_to_many(draft, tokens, Uuid::new_v4).ok()?,
        None => batch.push(draft, Uuid::new_v4).ok()?,
    }
    (batch.len() <= items_max).then_some(tokens.is_some())
}

/// Reads an object with either a token or some tokens, at most `tokens_max`.
fn draft<'a>(json: &mut Cursor<'a>, tokens_max: usize) -> Option<(Draft<'a>, Option<Vec<&'a str>>)> {
    let (mut draft, mut tokens, mut seen) = (Draft::default(), None, 0_u16);
    json.take(b'{')?;
    loop {
        let field = Field::named(json.plain_string()?).ok()?;
        if seen & bit(field) != 0 {
            return None;
        }
        seen |= bit(field);
        json.take(b':')?;
        match field {
            Field::Type => (json.plain_string()? == TYPE).then_some(())?,
            Field::Token => draft.token = json.plain_string()?,
            Field::Tokens => tokens = Some(list(json, tokens_max)?),
            Field::Payload => {
                let (text, derived) = payload::scan(json)?;
                (draft.payload, draft.derived) = (text, Some(derived));
            }
            Field::Identifier => draft.identifier = Some(json.text_of(identifier)?),
            Field::Expiry => draft.expiry = Some(json.integer()?),
            Field::Priority => draft.priority = Some(json.integer()?),
            Field::PushType => draft.push_type = Some(json.plain_string()?),
            Field::CollapseId => draft.collapse_id = Some(json.plain_string()?),
            Field::Topic => draft.topic = Some(json.plain_string()?),
        }
        if json.comma_or(b'}')? {
            break;
        }
    }
    let (one, many) = (bit(Field::Token), bit(Field::Tokens));
    let is_whole = seen & bit(Field::Payload) != 0 && (seen & (one | many) == one || seen & (one | many) == many);
    is_whole.then_some((draft, tokens))
}

fn bit(field: Field) -> u16 {
    1 << field as u16
}

fn identifier(json: &mut Cursor<'_>) -> Option<()> {
    if json.peek()? == b'"' { json.string().map(|_| ()) } else { json.integer().map(|_| ()) }
}

/// Reads a list of at least one string.
fn list<'a>(json: &mut Cursor<'a>, most: usize) -> Option<Vec<&'a str>> {
    json.take(b'[')?;
    let mut texts = Vec::new();
    loop {
        texts.push(json.plain_string()?);
        let ends = json.comma_or(b']')?;
        if texts.len() > most {
            return None;
        }
        if ends {
            return Some(texts);
        }
    }
}

#[cfg(test)]
mod tests;
