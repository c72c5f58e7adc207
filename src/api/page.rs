//! Lists in pages: `?limit=` entries after `?cursor=`.

use super::error::ApiError;
use crate::http::RequestError;
use crate::http::query::Query;
use crate::store::StoreError;

const LIMIT_DEFAULT: usize = 1_000;
const LIMIT_MAX: u64 = 10_000;

/// The page that a caller requests. `C` is the type of its start: the `cursor` of an earlier response.
#[derive(Debug, PartialEq, Eq)]
pub struct PageRequest<C> {
    pub after: Option<C>,
    pub limit: usize,
}

impl<C> PageRequest<C> {
    /// `parse` returns `None` for a text that is not a cursor.
    pub fn read(query: Option<&str>, parse: fn(&str) -> Option<C>) -> Result<Self, ApiError> {
        Self::of(&Query::read(query, &["limit", "cursor"])?, parse)
    }

    /// Reads the page from a query that may have other parameters too.
    pub fn of(query: &Query, parse: fn(&str) -> Option<C>) -> Result<Self, ApiError> {
        let limit = query.number("limit", 1..=LIMIT_MAX)?;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LIMIT_DEFAULT);
        Ok(Self { after: cursor(query, "cursor", parse)?, limit })
    }
}

/// Reads the cursor up to which a list is acknowledged. It is required, so that no unread entry is deleted.
pub fn through<C>(query: Option<&str>, parse: fn(&str) -> Option<C>) -> Result<C, ApiError> {
    let query = Query::read(query, &["through"])?;
    cursor(&query, "through", parse)?.ok_or_else(|| no_cursor("through"))
}

/// Adds the name of the parameter to the error about a cursor of another store.
pub fn cursor_error(name: &'static str) -> impl Fn(StoreError) -> ApiError {
    move |error| match error {
        StoreError::ForeignCursor => ApiError::ForeignCursor { name },
        error => ApiError::Store(error),
    }
}

fn cursor<C>(query: &Query, name: &'static str, parse: fn(&str) -> Option<C>) -> Result<Option<C>, ApiError> {
    query.text(name).map(|text| parse(text).ok_or_else(|| no_cursor(name))).transpose()
}

fn no_cursor(name: &'static str) -> ApiError {
    RequestError::BadParameter { name, expected: "a `cursor` from an earlier response".to_owned() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<u64> {
        text.parse().ok()
    }

    #[test]
    fn a_page_has_a_beginning_and_a_size() {
        assert_eq!(PageRequest::read(None, parse).unwrap(), PageRequest { after: None, limit: 1_000 });
        assert_eq!(
            PageRequest::read(Some("limit=5&cursor=17"), parse).unwrap(),
            PageRequest { after: Some(17), limit: 5 }
        );
    }

    #[test]
    fn a_cursor_of_another_store_is_refused_with_the_remedy() {
        let foreign = cursor_error("through")(StoreError::ForeignCursor);
        assert_eq!((foreign.status().as_u16(), foreign.reason()), (400, "foreign_cursor"));
        let sentence = foreign.to_string();
        assert!(sentence.contains("`through`") && sentence.contains("without a cursor"), "{sentence}");
        assert_eq!(cursor_error("through")(StoreError::Full).reason(), "disk_full");
    }

    #[test]
    fn an_invalid_cursor_is_refused_and_acknowledging_requires_one() {
        let sentence = |failure: ApiError| failure.to_string();
        let cursor = "in the query must be a `cursor` from an earlier response";
        assert_eq!(PageRequest::read(Some("cursor=x"), parse).map_err(sentence), Err(format!("`cursor` {cursor}")));
        assert_eq!(through(None, parse).map_err(sentence), Err(format!("`through` {cursor}")));
        assert_eq!(through(Some("through=3"), parse).map_err(sentence), Ok(3));
        let unknown = "unknown parameter `thru`: the parameters of this call are through".to_owned();
        assert_eq!(through(Some("thru=3"), parse).map_err(sentence), Err(unknown));
    }
}
