//! Rows 1 to 3, 5 and 6 of the table: method, path, repeated headers, topic, header values.

use http::{HeaderValue, Method};

use super::{Credential, Push, Rejection};

const METHOD_NOT_ALLOWED: Rejection = Rejection::new(405, "MethodNotAllowed");
const BAD_PATH: Rejection = Rejection::new(404, "BadPath");
const MISSING_DEVICE_TOKEN: Rejection = Rejection::new(400, "MissingDeviceToken");
const DUPLICATE_HEADERS: Rejection = Rejection::new(400, "DuplicateHeaders");
const MISSING_TOPIC: Rejection = Rejection::new(400, "MissingTopic");
const BAD_TOPIC: Rejection = Rejection::new(400, "BadTopic");
const TOPIC_DISALLOWED: Rejection = Rejection::new(400, "TopicDisallowed");
const BAD_MESSAGE_ID: Rejection = Rejection::new(400, "BadMessageId");
const BAD_EXPIRATION_DATE: Rejection = Rejection::new(400, "BadExpirationDate");
const BAD_PRIORITY: Rejection = Rejection::new(400, "BadPriority");
const BAD_COLLAPSE_ID: Rejection = Rejection::new(400, "BadCollapseId");
const INVALID_PUSH_TYPE: Rejection = Rejection::new(400, "InvalidPushType");

const TOPIC_LENGTH_MAX: usize = 255;
const COLLAPSE_ID_LENGTH_MAX: usize = 64;

/// Push types and what each appends to the bundle id. `mdm` has the certificate's own topic.
const PUSH_TYPES: [(&str, &str); 11] = [
    ("alert", ""),
    ("background", ""),
    ("mdm", ""),
    ("voip", ".voip"),
    ("complication", ".complication"),
    ("fileprovider", ".pushkit.fileprovider"),
    ("location", ".location-query"),
    ("liveactivity", ".push-type.liveactivity"),
    ("pushtotalk", ".voip-ptt"),
    ("controls", ".push-type.controls"),
    ("widgets", ".push-type.widgets"),
];

pub fn method(push: &Push<'_>) -> Result<(), Rejection> {
    if *push.method == Method::POST { Ok(()) } else { Err(METHOD_NOT_ALLOWED) }
}

pub fn path(push: &Push<'_>) -> Result<(), Rejection> {
    match push.device_token() {
        Some("") => Err(MISSING_DEVICE_TOKEN),
        None if push.path == "/3/device" => Err(MISSING_DEVICE_TOKEN),
        Some(token) if !token.contains(['/', '?']) => Ok(()),
        _ => Err(BAD_PATH),
    }
}

pub fn duplicates(push: &Push<'_>) -> Result<(), Rejection> {
    if push.repeated { Err(DUPLICATE_HEADERS) } else { Ok(()) }
}

/// Row 5. A certificate of a single topic replaces a missing header.
pub fn topic(push: &Push<'_>, credential: &Credential) -> Result<(), Rejection> {
    let Some(topic) = push.topic else {
        let single = credential.certificate().is_some_and(|certificate| certificate.topics.len() == 1);
        return if single { Ok(()) } else { Err(MISSING_TOPIC) };
    };
    let topic = topic.to_str().map_err(|_| BAD_TOPIC)?;
    let well_formed = topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-');
    if topic.is_empty() || topic.len() > TOPIC_LENGTH_MAX || !well_formed {
        return Err(BAD_TOPIC);
    }
    if covers(credential, topic) { Ok(()) } else { Err(TOPIC_DISALLOWED) }
}

/// A certificate covers exactly its topics; a key covers its bundle ids with every suffix.
fn covers(credential: &Credential, topic: &str) -> bool {
    if let Some(certificate) = credential.certificate() {
        return certificate.topics.iter().any(|covered| covered == topic);
    }
    let listed = credential.claims().and_then(|claims| claims.key.topics.as_deref());
    let suffixed = |bundle: &str| {
        let suffix = topic.strip_prefix(bundle);
        suffix.is_some_and(|suffix| PUSH_TYPES.iter().any(|(_, known)| suffix == *known))
    };
    listed.is_none_or(|bundles| bundles.iter().any(|bundle| suffixed(bundle)))
}

/// Row 6.
pub fn values(push: &Push<'_>) -> Result<(), Rejection> {
    if push.id.is_some_and(|id| !is_canonical_uuid(id.as_bytes())) {
        return Err(BAD_MESSAGE_ID);
    }
    if push.expiration.is_some_and(|expiration| integer(expiration).is_none()) {
        return Err(BAD_EXPIRATION_DATE);
    }
    if push.priority.is_some_and(|priority| !matches!(priority.as_bytes(), b"10" | b"5" | b"1")) {
        return Err(BAD_PRIORITY);
    }
    if push.collapse_id.is_some_and(|id| id.len() > COLLAPSE_ID_LENGTH_MAX) {
        return Err(BAD_COLLAPSE_ID);
    }
    if push.push_type.is_some_and(|push_type| suffix_of(push_type).is_none()) {
        return Err(INVALID_PUSH_TYPE);
    }
    Ok(())
}

/// Row 6b. The topic is that of the header, else the single one of the certificate.
pub fn push_type(push: &Push<'_>, credential: &Credential) -> Result<(), Rejection> {
    let single = credential.certificate().and_then(|certificate| certificate.topics.first()).map(String::as_str);
    let topic = push.topic.map_or(single, |topic| topic.to_str().ok());
    let (Some(suffix), Some(topic)) = (push.push_type.and_then(suffix_of), topic) else { return Ok(()) };
    let written = suffixes().find(|known| topic.ends_with(known)).unwrap_or_default();
    if written == suffix { Ok(()) } else { Err(INVALID_PUSH_TYPE) }
}

/// Row 6c.
pub fn consistency(push: &Push<'_>, credential: &Credential) -> Result<(), Rejection> {
    let Some(push_type) = push.push_type else { return Ok(()) };
    if push_type == "background" && push.priority.is_some_and(|priority| priority == "10") {
        return Err(BAD_PRIORITY);
    }
    if push_type == "location" && credential.certificate().is_some() {
        return Err(INVALID_PUSH_TYPE);
    }
    Ok(())
}

/// The suffixes that push types append to a bundle id.
pub fn suffixes() -> impl Iterator<Item = &'static str> {
    PUSH_TYPES.iter().map(|(_, suffix)| *suffix).filter(|suffix| !suffix.is_empty())
}

fn suffix_of(push_type: &HeaderValue) -> Option<&'static str> {
    PUSH_TYPES.iter().find(|(name, _)| push_type == name).map(|(_, suffix)| *suffix)
}

/// A number without sign.
pub fn integer(value: &HeaderValue) -> Option<i64> {
    let text = value.to_str().ok()?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// 8-4-4-4-12 hex digits of either case: ids that Apple generates are upper case.
pub fn is_canonical_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
