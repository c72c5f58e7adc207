//! What a payload's own bytes tell: how deep it nests, and which push type it asks for.

use super::characters::Characters;
use super::json::Cursor;
use super::push_type::PushType;
use super::scan::find_either;

/// Deepest nesting of objects and arrays in a payload; the payload itself is level 1.
pub const PAYLOAD_DEPTH_MAX: usize = 32;

/// Why a text is no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPayload {
    NotAnObject,
    /// A string that seems to hold an object.
    InString,
    TooDeep,
}

/// Which of the keys that decide a push type were seen.
#[derive(Default)]
struct Keys {
    mdm: bool,
    live_activity: bool,
    content_changed: bool,
    visible: bool,
    content_available: bool,
}

impl Keys {
    fn see(&mut self, key: &[u8], depth: usize, in_aps: bool) {
        match key {
            b"mdm" if depth == 1 => self.mdm = true,
            _ if depth != 2 || !in_aps => {}
            b"event" | b"content-state" => self.live_activity = true,
            b"content-changed" => self.content_changed = true,
            b"alert" | b"badge" | b"sound" => self.visible = true,
            b"content-available" => self.content_available = true,
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

/// Reads `json`, which must be well-formed, once: checks shape and depth, and derives the push type that Apple
/// would otherwise guess (legacy callers never name one).
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
                if depth <= 2 && is_key(json, at) {
                    keys.see(text, depth, in_aps);
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

/// Whether `json` is a string that seems to hold an object: a caller has written its payload as JSON twice.
fn is_in_string(json: &[u8]) -> bool {
    if json.first() != Some(&b'"') {
        return false;
    }
    let inside = std::str::from_utf8(string(json, 1)).unwrap_or_default();
    let Ok(text) = Characters::of(inside).collect::<Result<String, _>>() else { return false };
    let text = text.trim();
    text.starts_with('{') && text.ends_with('}')
}

/// Takes a payload from text that need not be JSON, in one pass, and derives its push type as [`inspect`] does; `None` if
/// it is not a good one.
pub fn take<'a>(json: &mut Cursor<'a>) -> Option<(&'a str, PushType)> {
    let mut keys = Keys::default();
    let text = json.written(|json| take_object(json, &mut keys, 1, false))?;
    Some((text, keys.push_type()))
}

fn take_object(json: &mut Cursor<'_>, keys: &mut Keys, depth: usize, in_aps: bool) -> Option<()> {
    json.take(b'{')?;
    if json.take_if(b'}') {
        return Some(());
    }
    loop {
        let key = json.string()?.as_bytes();
        if depth <= 2 {
            keys.see(key, depth, in_aps);
        }
        json.take(b':')?;
        take_value(json, keys, depth + 1, depth == 1 && key == b"aps")?;
        if json.comma_or(b'}')? {
            return Some(());
        }
    }
}

/// A value that is at `depth` if it is an object or an array.
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

/// The inside of the string whose opening quote stands before `start`.
fn string(json: &[u8], start: usize) -> &[u8] {
    let mut end = start;
    while let Some(rest) = json.get(end..) {
        end += find_either(rest, b'"', b'\\');
        match json.get(end) {
            Some(b'\\') => end += 2,
            _ => break,
        }
    }
    &json[start..end.min(json.len())]
}

/// Whether the string that ends before `at` is followed by a colon.
fn is_key(json: &[u8], at: usize) -> bool {
    json[at.min(json.len())..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(json: &str) -> PushType {
        let derived = inspect(json.as_bytes()).expect("a good payload");
        let (text, taken) = take(&mut Cursor::over(json)).expect("a good payload");
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
    fn quotes_and_brackets_inside_strings_do_not_count() {
        assert_eq!(
            derived(r#"{"long":"0123456\"{[89abcdef\\\\","aps":{"content-available":1}}"#),
            PushType::Background
        );
        assert_eq!(derived(r#"{"a":"\"{[\\","aps":{"content-available":1}}"#), PushType::Background);
    }

    #[test]
    fn thirty_two_levels_are_the_deepest() {
        let nested = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(inspect(nested(32).as_bytes()).is_ok());
        assert_eq!(inspect(nested(33).as_bytes()), Err(BadPayload::TooDeep));
        assert!(take(&mut Cursor::over(&nested(32))).is_some() && take(&mut Cursor::over(&nested(33))).is_none());
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
