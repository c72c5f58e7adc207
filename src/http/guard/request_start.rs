//! The first bytes of the request being read. They show the reason of a refusal by hyper's parser, which reports none.

/// The maximum number of bytes kept. A request with longer headers gets the general reason.
const KEPT_BYTES: usize = 1 << 10;

/// The digits of 2^64, which the parser refuses like any malformed number.
const ENDLESS_DIGITS: usize = 20;

#[derive(Debug, Default)]
pub struct RequestStart {
    bytes: Vec<u8>,
    /// The number of the request on its connection.
    request: u64,
}

impl RequestStart {
    /// Keeps bytes of this request, up to the limit.
    pub fn add(&mut self, request: u64, bytes: &[u8]) {
        if self.request != request {
            self.request = request;
            self.bytes.clear();
        }
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(KEPT_BYTES);
        }
        let room = KEPT_BYTES - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Returns true if a header line gives the body a length of 2^64 or more.
    pub fn has_endless_length(&self) -> bool {
        let lines = self.bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        lines.take_while(|line| !line.is_empty()).any(|line| {
            let mut parts = line.splitn(2, |byte| *byte == b':');
            let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().trim_ascii());
            name.eq_ignore_ascii_case(b"content-length")
                && value.len() >= ENDLESS_DIGITS
                && value.iter().all(u8::is_ascii_digit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_endless(parts: &[&str]) -> bool {
        let mut request_start = RequestStart::default();
        request_start.add(0, b"GET / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n");
        parts.iter().for_each(|part| request_start.add(1, part.as_bytes()));
        request_start.has_endless_length()
    }

    #[test]
    fn an_oversized_content_length_is_found_only_in_the_headers_of_its_request() {
        let start = "POST / HTTP/1.1\r\nhost: a\r\n";
        for line in ["content-length: 18446744073709551616\r\n\r\n", "Content-Length:18446744073709551615 \r\n"] {
            assert!(is_endless(&[start, line]), "{line}");
        }
        assert!(is_endless(&[start, "content-length: 1844674407", "3709551616\r\n\r\n"]));
        for line in [
            "content-length: 9223372036854775808\r\n\r\n",
            "x: 18446744073709551616\r\n\r\n",
            "content-length: 1844674407370955161x6\r\n\r\n",
            "content-length 18446744073709551616\r\n\r\n",
            "\r\ncontent-length: 18446744073709551616\r\n",
        ] {
            assert!(!is_endless(&[start, line]), "{line}");
        }
        assert!(!is_endless(&[start]), "the last request is forgotten");
        let long = format!("{start}a: {}\r\n", "x".repeat(KEPT_BYTES));
        assert!(!is_endless(&[&long, "content-length: 18446744073709551616\r\n\r\n"]), "no more is kept");
    }
}
