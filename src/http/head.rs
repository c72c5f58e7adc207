//! Reads a request's headers in one pass, for all checks before its route, and for its line in the log.

use super::trace::TRACEPARENT;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};

/// Only browsers write it; a page cannot set it.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The first value of a header, and the number of its lines.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeaderLines<'a> {
    pub first: Option<&'a [u8]>,
    pub count: usize,
}

impl<'a> HeaderLines<'a> {
    fn add(&mut self, value: &'a HeaderValue) {
        self.first.get_or_insert(value.as_bytes());
        self.count += 1;
    }
}

/// The headers that are checked or logged, borrowed from a request.
#[derive(Debug, Default)]
pub struct Head<'a> {
    /// The size of names and values together.
    pub bytes: usize,
    pub host: HeaderLines<'a>,
    pub origin: HeaderLines<'a>,
    pub fetch_site: HeaderLines<'a>,
    pub authorization: HeaderLines<'a>,
    pub content_length: HeaderLines<'a>,
    pub traceparent: HeaderLines<'a>,
    transfer_encoding: HeaderLines<'a>,
}

/// A fault of a request that HTTP forbids and the parser accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    #[error("an HTTP/1.1 request needs a `Host` header: send one with the node's name or address")]
    NoHost,
    #[error("the request has more than one `Host` header: send one")]
    Hosts,
    #[error("`Transfer-Encoding` must be `chunked`, once: send the body without any other coding")]
    TransferEncoding,
}

impl HeadFault {
    pub fn status_and_reason(self) -> (StatusCode, &'static str) {
        (StatusCode::BAD_REQUEST, "malformed_http")
    }
}

impl<'a> Head<'a> {
    pub fn read(headers: &'a HeaderMap) -> Self {
        let mut head = Self::default();
        for (name, value) in headers {
            head.bytes += name.as_str().len() + value.len();
            match *name {
                HOST => head.host.add(value),
                ORIGIN => head.origin.add(value),
                AUTHORIZATION => head.authorization.add(value),
                CONTENT_LENGTH => head.content_length.add(value),
                TRANSFER_ENCODING => head.transfer_encoding.add(value),
                _ if name.as_str() == SEC_FETCH_SITE => head.fetch_site.add(value),
                _ if name.as_str() == TRACEPARENT => head.traceparent.add(value),
                _ => {}
            }
        }
        head
    }

    /// Refuses the requests that RFC 9112 requires a server to refuse: section 3.2 for `Host`; section 6.1 for unknown
    /// codings and for `chunked` twice, as proxies disagree on the end of such a body.
    pub fn check_framing(&self, version: Version) -> Result<(), HeadFault> {
        if self.host.count != 1 {
            if self.host.count > 1 {
                return Err(HeadFault::Hosts);
            }
            if version == Version::HTTP_11 {
                return Err(HeadFault::NoHost);
            }
        }
        let Some(coding) = self.transfer_encoding.first else { return Ok(()) };
        if self.transfer_encoding.count > 1 || !coding.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err(HeadFault::TransferEncoding);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: Version, lines: &[(&'static str, &'static str)]) -> Result<(), HeadFault> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Head::read(&headers).check_framing(version)
    }

    #[test]
    fn http_1_1_requires_one_host_and_http_1_0_none() {
        assert_eq!(check(Version::HTTP_11, &[]), Err(HeadFault::NoHost));
        assert_eq!(check(Version::HTTP_11, &[("host", "")]), Ok(()));
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert_eq!(check(version, &[("host", "a")]), Ok(()));
            assert_eq!(check(version, &[("host", "a"), ("host", "a")]), Err(HeadFault::Hosts));
        }
        assert_eq!(check(Version::HTTP_10, &[]), Ok(()));
        assert_eq!(check(Version::HTTP_2, &[]), Ok(()), "`:authority` is no header");
    }

    #[test]
    fn the_only_accepted_coding_is_chunked_once() {
        let check = |codings: &[&'static str]| {
            let codings = codings.iter().map(|coding| ("transfer-encoding", *coding));
            check(Version::HTTP_11, &codings.chain([("host", "a")]).collect::<Vec<_>>())
        };
        for good in ["chunked", "Chunked", " chunked\t"] {
            assert_eq!(check(&[good]), Ok(()), "{good}");
        }
        for bad in ["gzip, chunked", "chunked, chunked", "gzip", "identity", "", "chunked;a=b", "chunked,", "xchunked"]
        {
            assert_eq!(check(&[bad]), Err(HeadFault::TransferEncoding), "{bad}");
        }
        assert_eq!(check(&["chunked", "chunked"]), Err(HeadFault::TransferEncoding));
        assert_eq!(check(&["gzip", "chunked"]), Err(HeadFault::TransferEncoding));
    }
}
