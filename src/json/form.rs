//! Recognises the bodies of HTML forms, which many programs send unless told otherwise.

/// The maximum length of a form's first field name: a longer one may be base64, which ends in `=`.
const NAME_BYTES_MAX: usize = 64;
/// The maximum length of a multipart form's first line: two dashes and a boundary (RFC 2046, 5.1.1).
const BOUNDARY_LINE_BYTES_MAX: usize = 72;

/// Returns `true` for a form of either kind. `Content-Type` is no evidence: `curl -d` sends JSON with a form's type.
pub fn is_form(body: &[u8]) -> bool {
    let begins_with_brace = matches!(body.first_chunk(), Some([b'%', b'7' | b'5', b'B' | b'b']));
    begins_with_brace || first_name(body).is_some() || is_multipart(body)
}

/// The name of the first field of an URL-encoded form, as written.
pub fn first_name(body: &[u8]) -> Option<&[u8]> {
    let length = body.iter().take(NAME_BYTES_MAX + 1).position(|byte| *byte == b'=')?;
    let name = &body[..length];
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.+%[]*".contains(byte);
    (!name.is_empty() && name.iter().all(in_name)).then_some(name)
}

/// Returns `true` for a multipart form (RFC 7578).
pub fn is_multipart(body: &[u8]) -> bool {
    const FIRST_HEADER: &[u8] = b"content-disposition:";
    let Some(end) = body.iter().take(BOUNDARY_LINE_BYTES_MAX + 1).position(|byte| *byte == b'\n') else { return false };
    let header = body[end + 1..].get(..FIRST_HEADER.len());
    body.starts_with(b"--") && header.is_some_and(|header| header.eq_ignore_ascii_case(FIRST_HEADER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_common_programs_are_recognised() {
        for body in [
            "token=00fc&payload=%7B%7D",
            "token=00fc&payload={\"aps\":{\"alert\":\"x\"}}",
            "payload%5Baps%5D%5Balert%5D=x&token=00fc",
            "payload[aps][alert]=x",
            "certificate=-----BEGIN%20CERTIFICATE-----",
            "%7B%22token%22%3A%2200fc%22%7D",
            "%5b%7b%7d%5d",
            "--------------------------d74496d66958873e\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n00",
            "--b\ncontent-disposition: form-data\n",
        ] {
            assert!(is_form(body.as_bytes()), "{body}");
        }
        assert!(is_form(b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n\x30\x82\xff\x00"));
    }

    #[test]
    fn other_bodies_are_not_recognised_as_forms() {
        let base64 = format!("{}==", "MIIKEgIBAzCC".repeat(20));
        for body in [
            "",
            "=",
            "{\"a\":\"b=c\"}",
            "[1]",
            "token: 00fc",
            "a b=c",
            "-----BEGIN CERTIFICATE-----\nMII=\n",
            "--",
            "--x\r\n",
            &base64,
        ] {
            assert!(!is_form(body.as_bytes()), "{body}");
        }
    }
}
