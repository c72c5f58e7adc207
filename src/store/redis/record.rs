//! The form in which an app is stored: `1 REVISION CONTENT`, as the scripts read it.

use super::reply::odd;
use crate::model::AppKey;
use crate::store::{AppRecord, Revision, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use zeroize::Zeroizing;

/// The format of a record. A reader refuses any other.
const FORMAT: &str = "1";

/// The part of an app that no script looks into.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    /// The sealed credential in Base64.
    credential: Cow<'a, str>,
    certificate_path: Option<Cow<'a, str>>,
    topic: Option<Cow<'a, str>>,
    timeout_seconds: u32,
    lanes: u16,
}

/// The content of an app's record: the length of its entry's fingerprint or `-`, a line feed, the fingerprint, and JSON.
pub(super) fn content(app: &AppRecord) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let credential = Zeroizing::new(BASE64.encode(&*app.credential));
    let body = Body {
        credential: Cow::from(credential.as_str()),
        certificate_path: app.certificate_path.as_deref().map(Cow::from),
        topic: app.topic.as_deref().map(Cow::from),
        timeout_seconds: app.timeout_seconds,
        lanes: app.lanes,
    };
    let body = Zeroizing::new(serde_json::to_vec(&body).map_err(|error| odd(&error.to_string()))?);
    let entry = app.entry.as_deref();
    let length = entry.map_or_else(|| "-".to_owned(), |entry| entry.len().to_string());
    let parts = [length.as_bytes(), b"\n", entry.unwrap_or("").as_bytes(), &body];
    Ok(Zeroizing::new(parts.concat()))
}

/// Reads an app's record.
pub(super) fn parse(key: AppKey, record: &[u8]) -> Result<AppRecord, StoreError> {
    let unreadable = || odd(&format!("the app {key} in another form"));
    let text = std::str::from_utf8(record).map_err(|_| unreadable())?;
    let (format, rest) = text.split_once(' ').ok_or_else(unreadable)?;
    if format != FORMAT {
        let what = format!("a newer pyapns wrote the app {key}: upgrade this one");
        return Err(StoreError::RedisRefused { what });
    }
    let (revision, rest) = rest.split_once(' ').ok_or_else(unreadable)?;
    let (length, rest) = rest.split_once('\n').ok_or_else(unreadable)?;
    let length: Option<usize> = if length == "-" { None } else { Some(length.parse().map_err(|_| unreadable())?) };
    let (entry, body) = rest.split_at_checked(length.unwrap_or(0)).ok_or_else(unreadable)?;
    let body: Body<'_> = serde_json::from_str(body).map_err(|_| unreadable())?;
    Ok(AppRecord {
        credential: Zeroizing::new(BASE64.decode(body.credential.as_bytes()).map_err(|_| unreadable())?),
        certificate_path: body.certificate_path.map(Cow::into_owned),
        topic: body.topic.map(Cow::into_owned),
        timeout_seconds: body.timeout_seconds,
        lanes: body.lanes,
        entry: length.map(|_| entry.to_owned()),
        revision: Revision::stored(revision.parse().map_err(|_| unreadable())?),
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{app, shop};

    fn stored(app: &AppRecord) -> Vec<u8> {
        [b"1 1764417600123456 ".as_slice(), &content(app).unwrap()].concat()
    }

    #[test]
    fn an_app_reads_back_as_it_was_written() {
        for entry in [None, Some(""), Some("0123abc"), Some("5\nodd\u{e4}")] {
            let revision = Revision::stored(1_764_417_600_123_456);
            let app = AppRecord { entry: entry.map(str::to_owned), revision, ..app(shop()) };
            assert_eq!(parse(shop(), &stored(&app)).unwrap(), app);
        }
    }

    #[test]
    fn whatever_else_is_stored_is_an_error_and_no_panic() {
        let good = stored(&AppRecord { entry: Some("\u{e4}\u{e4}".to_owned()), ..app(shop()) });
        for end in 0..good.len() {
            assert!(parse(shop(), &good[..end]).is_err(), "{end}");
        }
        for odd in ["", "1", "2 1 -\n{}", "1 x -\n{}", "1 1 999\n{}", "1 1 -1\n{}", "1 1 -\n{}", "1 1 1\n\u{e4}{}"] {
            assert!(parse(shop(), odd.as_bytes()).is_err(), "{odd}");
        }
        let newer = parse(shop(), b"2 anything").unwrap_err().to_string();
        assert!(newer.contains("upgrade"), "{newer}");
    }
}
