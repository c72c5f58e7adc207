//! Checks a payload's bytes, and derives its push type.

use super::push_type::PushType;
use crate::json::Cursor;
use crate::json::characters::Characters;
use memchr::memchr2;

/// The maximum nesting of objects and arrays in a payload; the payload itself is level 1.
pub const PAYLOAD_DEPTH_MAX: usize = 32;

/// The reason that a text is not a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPayload {
    NotAnObject,
    /// A string that seems to contain an object.
    InString,
    TooDeep,
}

/// The values of `event` that mean a live activity (apns-protocol.md 7); any other value is the app's.
const EVENTS: [&[u8]; 3] = [b"\"start\"", b"\"update\"", b"\"end\""];

/// The keys that decide the push type and have a significant value.
#[derive(Default)]
struct Keys {
    mdm: bool,
    live_activity: bool,
    content_changed: bool,
    visible: bool,
    content_available: bool,
}

impl Keys {
    /// `value` is the text from the key's value on.
    fn note(&mut self, key: &[u8], value: &[u8], depth: usize, in_aps: bool) {
        match key {
            b"mdm" if depth == 1 => self.mdm |= has_content(value),
            _ if depth != 2 || !in_aps => {}
            b"event" => self.live_activity |= EVENTS.iter().any(|event| value.starts_with(event)),
            b"content-state" => self.live_activity |= has_content(value),
            b"content-changed" => self.content_changed |= has_content(value),
            b"alert" | b"sound" => self.visible |= has_content(value),
            // 0 removes the badge from the icon.
            b"badge" => self.visible |= is_number(value) || has_content(value),
            b"content-available" => self.content_available |= has_content(value),
            _ => {}
        }
    }

    fn push_type(&self) -> PushType {
        if self.mdm {
            PushType::Mdm
        } else if self.live_activity {
            PushType::LiveActivity
        } else if self.content_changed {
            PushType::Widgets
        } else if self.content_available && !self.visible {
            PushType::Background
        } else {
            PushType::Alert
        }
    }
}

/// Returns `true` unless the JSON value at the start of `text` is `null`, `false`, zero or empty, which senders write
/// for unused keys.
fn has_content(text: &[u8]) -> bool {
    let is_closed_by = |end| text[1..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&end);
    match text.first() {
        Some(b'"') => text.get(1) != Some(&b'"'),
        Some(b'{') => !is_closed_by(b'}'),
        Some(b'[') => !is_closed_by(b']'),
        Some(b't') => true,
        _ if is_number(text) => {
            let digits = text.iter().take_while(|byte| matches!(byte, b'-' | b'.' | b'0'..=b'9'));
            digits.into_iter().any(|byte| matches!(byte, b'1'..=b'9'))
        }
        _ => false,
    }
}

fn is_number(text: &[u8]) -> bool {
    matches!(text.first(), Some(b'-' | b'0'..=b'9'))
}

/// Reads `json`, which must be well-formed, once: checks type and depth, and derives the push type that Apple would
/// otherwise guess (legacy callers never send one).
pub fn inspect(json: &[u8]) -> Result<PushType, BadPayload> {
    if json.first() != Some(&b'{') {
        return Err(if is_in_string(json) { BadPayload::InString } else { BadPayload::NotAnObject });
    }
    let mut keys = Keys::default();
    let (mut depth, mut in_aps) = (0, false);
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > PAYLOAD_DEPTH_MAX {
                    return Err(BadPayload::TooDeep);
                }
            }
            b'}' | b']' => depth -= 1,
            b'"' => {
                let text = string(json, at);
                at += text.len() + 1;
                if depth <= 2
                    && let Some(value) = value_of_key(json, at)
                {
                    keys.note(text, value, depth, in_aps);
                    if depth == 1 {
                        in_aps = text == b"aps";
                    }
                }
            }
            _ => {}
        }
    }
    Ok(keys.push_type())
}

/// Returns `true` if `json` is a string that seems to contain an object: the caller encoded the payload twice.
fn is_in_string(json: &[u8]) -> bool {
    if json.first() != Some(&b'"') {
        return false;
    }
    let inside = std::str::from_utf8(string(json, 1)).unwrap_or_default();
    let Ok(text) = Characters::of(inside).collect::<Result<String, _>>() else { return false };
    let text = text.trim();
    text.starts_with('{') && text.ends_with('}')
}

/// Reads a payload from text that need not be JSON, in one pass, and derives its push type like [`inspect`]; `None` if
/// it is invalid.
pub fn scan<'a>(json: &mut Cursor<'a>) -> Option<(&'a str, PushType)> {
    let mut keys = Keys::default();
    let text = json.text_of(|json| take_object(json, &mut keys, 1, false))?;
    Some((text, keys.push_type()))
}

fn take_object(json: &mut Cursor<'_>, keys: &mut Keys, depth: usize, in_aps: bool) -> Option<()> {
    json.take(b'{')?;
    if json.take_if(b'}') {
        return Some(());
    }
    loop {
        let key = json.string()?.as_bytes();
        json.take(b':')?;
        if depth <= 2 {
            keys.note(key, json.ahead(), depth, in_aps);
        }
        take_value(json, keys, depth + 1, depth == 1 && key == b"aps")?;
        if json.comma_or(b'}')? {
            return Some(());
        }
    }
}

/// Reads a value, whose depth is `depth` if it is an object or an array.
fn take_value(json: &mut Cursor<'_>, keys: &mut Keys, depth: usize, in_aps: bool) -> Option<()> {
    match json.peek()? {
        b'"' => json.string().map(|_| ()),
        b'{' | b'[' if depth > PAYLOAD_DEPTH_MAX => None,
        b'{' => take_object(json, keys, depth, in_aps),
        b'[' => take_array(json, keys, depth),
        b'-' | b'0'..=b'9' => json.number(),
        _ => json.word(),
    }
}

fn take_array(json: &mut Cursor<'_>, keys: &mut Keys, depth: usize) -> Option<()> {
    json.take(b'[')?;
    if json.take_if(b']') {
        return Some(());
    }
    loop {
        take_value(json, keys, depth + 1, false)?;
        if json.comma_or(b']')? {
            return Some(());
        }
    }
}

/// The content of the string whose opening quote precedes `start`.
fn string(json: &[u8], start: usize) -> &[u8] {
    let mut end = start;
    while let Some(rest) = json.get(end..) {
        end += memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        match json.get(end) {
            Some(b'\\') => end += 2,
            _ => break,
        }
    }
    &json[start..end.min(json.len())]
}

/// The text from the value on, if the string that ends before `at` is a key: a colon follows it.
fn value_of_key(json: &[u8], at: usize) -> Option<&[u8]> {
    let rest = json[at.min(json.len())..].trim_ascii_start();
    rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(json: &str) -> PushType {
        let derived = inspect(json.as_bytes()).expect("a good payload");
        let (text, taken) = scan(&mut Cursor::over(json)).expect("a good payload");
        assert_eq!((text, taken), (json, derived));
        derived
    }

    #[test]
    fn the_push_type_follows_from_the_payload() {
        let table = [
            (r#"{"mdm":"magic"}"#, PushType::Mdm),
            (r#"{"aps":{"event":"update","content-state":{},"alert":"x"}}"#, PushType::LiveActivity),
            (r#"{"aps":{"content-changed":true}}"#, PushType::Widgets),
            (r#"{"aps":{"alert":"x","content-available":1}}"#, PushType::Alert),
            (r#"{"aps" : { "content-available" : 1 }, "custom":{"alert":1}}"#, PushType::Background),
            (r#"{"aps":{"badge":0}}"#, PushType::Alert),
            (r#"{"custom":{"event":"start"}}"#, PushType::Alert),
            (r#"{"note":"mdm","aps":{"category":"event"}}"#, PushType::Alert),
            ("{}", PushType::Alert),
        ];
        for (json, expected) in table {
            assert_eq!(derived(json), expected, "{json}");
        }
    }

    #[test]
    fn a_key_that_is_null_false_zero_or_empty_counts_as_absent() {
        let nothing = ["null", "false", "0", "-0", "0.0", "0.00e7", "\"\"", "{}", "[]", "{ }", "[\n]", " null"];
        let something = ["1", "-1", "0.5", "10", "1e0", "true", "\"x\"", "\" \"", "{\"a\":0}", "[0]", "\t\"x\"", "\n1"];
        for (key, present) in [
            (r#"{"mdm":VALUE}"#, PushType::Mdm),
            (r#"{"aps":{"alert":"x","content-state":VALUE}}"#, PushType::LiveActivity),
            (r#"{"aps":{"alert":"x","content-changed":VALUE}}"#, PushType::Widgets),
            (r#"{"aps":{"content-available":VALUE}}"#, PushType::Background),
        ] {
            nothing
                .iter()
                .for_each(|value| assert_eq!(derived(&key.replace("VALUE", value)), PushType::Alert, "{key} {value}"));
            something
                .iter()
                .for_each(|value| assert_eq!(derived(&key.replace("VALUE", value)), present, "{key} {value}"));
        }
        for key in ["alert", "sound", "badge"] {
            let silent = |value: &str| derived(&format!(r#"{{"aps":{{"content-available":1,"{key}":{value}}}}}"#));
            for value in nothing {
                let clears_the_badge = key == "badge" && value.contains('0');
                let expected = if clears_the_badge { PushType::Alert } else { PushType::Background };
                assert_eq!(silent(value), expected, "{key} {value}");
            }
            something.iter().for_each(|value| assert_eq!(silent(value), PushType::Alert, "{key} {value}"));
        }
    }

    #[test]
    fn an_event_means_a_live_activity_only_if_it_is_one_of_apples() {
        let event = |value: &str| derived(&format!(r#"{{"aps":{{"alert":"x","event": {value}}}}}"#));
        for value in [r#""start""#, r#""update""#, r#""end""#] {
            assert_eq!(event(value), PushType::LiveActivity, "{value}");
        }
        for value in ["null", r#""order_shipped""#, r#""Start""#, r#""ended""#, r#""""#, "1", "true", r#"["end"]"#] {
            assert_eq!(event(value), PushType::Alert, "{value}");
        }
    }

    #[test]
    fn quotes_and_brackets_inside_strings_do_not_count() {
        assert_eq!(
            derived(r#"{"long":"0123456\"{[89abcdef\\\\","aps":{"content-available":1}}"#),
            PushType::Background
        );
        assert_eq!(derived(r#"{"a":"\"{[\\","aps":{"content-available":1}}"#), PushType::Background);
    }

    #[test]
    fn the_maximum_depth_is_thirty_two_levels() {
        let nested = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(inspect(nested(32).as_bytes()).is_ok());
        assert_eq!(inspect(nested(33).as_bytes()), Err(BadPayload::TooDeep));
        assert!(scan(&mut Cursor::over(&nested(32))).is_some() && scan(&mut Cursor::over(&nested(33))).is_none());
    }

    #[test]
    fn a_payload_is_an_object() {
        assert_eq!(inspect(b"[]"), Err(BadPayload::NotAnObject));
        for json in [r#""""#, r#""text""#, r#""{""#, r#""{} x""#, r#""[{}]""#] {
            assert_eq!(inspect(json.as_bytes()), Err(BadPayload::NotAnObject), "{json}");
        }
        for json in [r#""{}""#, r#"" {\"aps\": {\"alert\": \"\u00e9\"}}\n""#, r#""\u007b\u007d""#] {
            assert_eq!(inspect(json.as_bytes()), Err(BadPayload::InString), "{json}");
        }
    }
}
