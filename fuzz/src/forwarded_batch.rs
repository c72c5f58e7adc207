//! The check of a batch that another node sent, against the rules written a second time: it is taken exactly if each of
//! its notifications keeps them.

use super::input::Input;
use bytes::Bytes;
use pyapns::model::notification::Span;
use pyapns::model::{Batch, Notification, Priority, PushType};
use serde_json::value::RawValue;
use uuid::Uuid;

/// An input is the texts with their length before them, then items: a byte of what there is of it, its push type, and
/// start and length of each text.
pub fn forwarded_batch(input: &[u8]) {
    let mut input = Input::new(input);
    let texts = input.text();
    let mut items = Vec::new();
    while !input.is_empty() && items.len() < 32 {
        let (has, push_type) = (input.byte(), input.byte());
        let mut span = |present: bool| present.then(|| Span::at(input.number(), input.number()));
        items.push(Notification {
            token: span(true).unwrap_or(Span::at(0, 0)),
            payload: span(true).unwrap_or(Span::at(0, 0)),
            identifier: span(has & 1 != 0),
            apns_id: Uuid::nil(),
            expiry: None,
            push_type: PushType::ALL[usize::from(push_type) % PushType::ALL.len()],
            priority: Priority::Immediate,
            collapse_id: span(has & 2 != 0),
            topic: span(has & 4 != 0),
        });
    }
    let judged: Option<Vec<bool>> = items.iter().map(|item| is_good(texts, item)).collect();
    match (Batch::from_wire(Bytes::copy_from_slice(texts), items.clone()), judged) {
        (Ok(batch), judged) => {
            assert!(judged.is_none_or(|good| good.iter().all(|good| *good)), "a bad one is taken");
            for item in &items {
                assert_eq!(batch.bytes(item.payload), slice(texts, item.payload).expect("in range"));
                assert!(!batch.text(item.token).is_empty());
            }
        }
        (Err(bad), Some(judged)) => {
            assert_eq!(judged.iter().position(|good| !good), Some(bad.index), "{bad}");
        }
        (Err(_), None) => {}
    }
}

/// `None` where these rules, which count no escapes, cannot tell.
fn is_good(texts: &[u8], item: &Notification) -> Option<bool> {
    let Some(token) = text(texts, Some(item.token)) else { return Some(false) };
    let Some(payload) = text(texts, Some(item.payload)) else { return Some(false) };
    let payload_max = if item.push_type == PushType::Voip { 5120 } else { 4096 };
    let token_is_good = token.len().is_multiple_of(2)
        && (2..=512).contains(&token.len())
        && token.chars().all(|digit| "0123456789abcdef".contains(digit));
    let header_is_good = |span: Option<Span>, longest: usize| {
        span.is_none()
            || text(texts, span).is_some_and(|text| {
                let printable = text.chars().all(|character| character.is_ascii_graphic() || character == ' ');
                printable && text.trim() == text && !text.is_empty() && text.len() <= longest
            })
    };
    let rest = token_is_good
        && payload.starts_with('{')
        && payload.len() <= payload_max
        && header_is_good(item.collapse_id, 64)
        && header_is_good(item.topic, 255);
    if !rest || item.identifier.is_none() {
        return Some(rest);
    }
    let Some(identifier) = text(texts, item.identifier) else { return Some(false) };
    let is_json = serde_json::from_str::<&RawValue>(&identifier).is_ok();
    if !is_json || !identifier.starts_with(|first: char| "\"-0123456789".contains(first)) {
        return Some(false);
    }
    let length = identifier.len() - if identifier.starts_with('"') { 2 } else { 0 };
    let can_tell = length <= 256 || !identifier.contains(['\\', ' ', '\n', '\r', '\t']);
    can_tell.then_some(length <= 256)
}

fn slice(texts: &[u8], span: Span) -> Option<&[u8]> {
    texts.get(span.start()..span.start() + span.len())
}

fn text(texts: &[u8], span: Option<Span>) -> Option<String> {
    String::from_utf8(slice(texts, span?)?.to_vec()).ok()
}
