//! The state in which a caller saw an app: `If-Match` and `If-None-Match` (RFC 9110, 13.1), and the `ETag` that names it.

use crate::api::error::ApiError;
use crate::registry::App;
use crate::store::{Expect, Revision, StoreError};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// The `ETag` of an app: its revision. It names what was provisioned, not how the sending goes.
pub fn etag(revision: Revision) -> HeaderValue {
    HeaderValue::try_from(format!("\"{revision}\"")).expect("digits between quotes")
}

/// The condition of a request on the app that it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    None,
    /// `If-Match: *`: the app is there.
    Present,
    /// `If-Match` with tags: the app has one of these revisions. Tags that are no revision match nothing.
    OneOf(Vec<Revision>),
    /// `If-None-Match: *`: there is no such app.
    Absent,
}

impl Precondition {
    /// Reads the two headers. Refuses both together, and tags in `If-None-Match`: they guard reading, not changing.
    pub fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        match (tags(headers, header::IF_MATCH), tags(headers, header::IF_NONE_MATCH)) {
            (None, None) => Ok(Self::None),
            (Some(tags), None) if tags == ["*"] => Ok(Self::Present),
            (Some(tags), None) => Ok(Self::OneOf(tags.into_iter().filter_map(revision).collect())),
            (None, Some(tags)) if tags == ["*"] => Ok(Self::Absent),
            (_, Some(_)) => Err(ApiError::BadPrecondition),
        }
    }

    /// The state that the store has to find. `app` is the app as this node knows it; the store decides in the end.
    pub fn expectation(&self, app: Option<&App>) -> Result<Expect, ApiError> {
        let known = app.map(|app| app.revision);
        match self {
            Self::None => Ok(Expect::Any),
            Self::Absent => Ok(Expect::Absent),
            Self::Present => match known {
                Some(revision) => Ok(Expect::Is(revision)),
                None => Err(StoreError::Conflict { revision: None }.into()),
            },
            Self::OneOf(revisions) => {
                let expected = revisions.iter().find(|one| Some(**one) == known).or(revisions.first());
                Ok(Expect::Is(expected.copied().unwrap_or(Revision::NONE)))
            }
        }
    }
}

/// The tags of a header, of all its lines; `None` if it is not there.
fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Vec<String>> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    let text: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    Some(text.join(",").split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect())
}

/// The revision that a tag names. Proxies that compress make tags weak, and people leave the quotes out: neither makes
/// it another revision.
fn revision(tag: String) -> Option<Revision> {
    let tag = tag.strip_prefix("W/").unwrap_or(&tag);
    let bare = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
    Revision::parse(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[(HeaderName, &'static str)]) -> Option<Precondition> {
        let headers = lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        Precondition::read(&headers).ok()
    }

    #[test]
    fn each_form_of_the_two_headers_is_read_and_nothing_is_guessed() {
        let (matches, none) = (header::IF_MATCH, header::IF_NONE_MATCH);
        let one_of =
            |numbers: &[i64]| Some(Precondition::OneOf(numbers.iter().copied().map(Revision::stored).collect()));
        assert_eq!(read(&[]), Some(Precondition::None));
        assert_eq!(read(&[(matches.clone(), "*")]), Some(Precondition::Present));
        assert_eq!(read(&[(none.clone(), " * ")]), Some(Precondition::Absent));
        for text in ["\"17\"", "W/\"17\"", "17", " \"17\" ,"] {
            assert_eq!(read(&[(matches.clone(), text)]), one_of(&[17]), "{text}");
        }
        assert_eq!(read(&[(matches.clone(), "\"1\", \"x\""), (matches.clone(), "\"2\"")]), one_of(&[1, 2]));
        for text in ["", "\"x\"", "\"-1\"", "\"1", "*x"] {
            assert_eq!(read(&[(matches.clone(), text)]), one_of(&[]), "{text}");
        }
        assert_eq!(read(&[(none.clone(), "\"17\"")]), None);
        assert_eq!(read(&[(matches, "*"), (none, "*")]), None);
    }

    #[test]
    fn the_store_is_asked_for_the_revision_that_the_caller_saw() {
        let app = App { revision: Revision::stored(7), ..App::sample() };
        let [seven, eight] = [7, 8].map(Revision::stored);
        let expectation = |condition: &Precondition, app| condition.expectation(app).ok();
        let either = Precondition::OneOf(vec![eight, seven]);
        assert_eq!(expectation(&either, Some(&app)), Some(Expect::Is(seven)));
        assert_eq!(expectation(&either, None), Some(Expect::Is(eight)), "another node may know it");
        assert_eq!(expectation(&Precondition::OneOf(vec![]), Some(&app)), Some(Expect::Is(Revision::NONE)));
        assert_eq!(expectation(&Precondition::Present, Some(&app)), Some(Expect::Is(seven)));
        assert_eq!(expectation(&Precondition::Present, None), None);
        assert_eq!(expectation(&Precondition::Absent, Some(&app)), Some(Expect::Absent));
    }
}
