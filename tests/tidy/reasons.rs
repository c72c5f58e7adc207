//! The reasons of errors: those in the code, and those in the API description.

use super::source::{Source, Token};
use std::collections::BTreeMap;

/// The API description.
pub const FILE: &str = "src/api/openapi.json";

/// Fails if the code writes a reason that the description does not list, or the description lists one that the code
/// does not write.
pub fn compare<'s>(sources: impl Iterator<Item = &'s Source>, description: &str) {
    let file: serde_json::Value = serde_json::from_str(description).expect("JSON");
    let listed = file["components"]["schemas"]["ErrorReason"]["x-extensible-enum"].as_array().expect("a list");
    let mut listed: Vec<_> = listed.iter().filter_map(|reason| reason.as_str()).map(str::to_owned).collect();
    let mut written = BTreeMap::new();
    for source in sources.filter(|source| !source.is_of_another_crate()) {
        written.extend(of(source).into_iter().map(|(reason, line)| (reason, format!("{}:{line}", source.place()))));
    }
    let unlisted: Vec<_> = written.iter().filter(|(reason, _)| !listed.contains(reason)).collect();
    assert!(unlisted.is_empty(), "not in {FILE}, `ErrorReason`: {unlisted:?}");
    listed.retain(|reason| !written.contains_key(reason));
    assert!(listed.is_empty(), "in {FILE}, `ErrorReason`, and not in the code: {listed:?}");
}

/// The reasons that a file writes, with their lines: words in a function `…reason`, in a field `reason`, or after a
/// status in a table.
fn of(source: &Source) -> Vec<(String, usize)> {
    let tokens = &source.tokens;
    let mut found = Vec::new();
    let (mut depth, mut ends_at) = (0_usize, None);
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "fn" if ends_at.is_none() && tokens.get(at + 1).is_some_and(|name| name.text.ends_with("reason")) => {
                ends_at = Some(depth);
            }
            "{" | "(" | "[" => depth += 1,
            close @ ("}" | ")" | "]") => {
                depth = depth.saturating_sub(1);
                ends_at = ends_at.filter(|end| close != "}" || *end != depth);
            }
            // A declaration without a body.
            ";" => ends_at = ends_at.filter(|end| *end != depth),
            _ => {}
        }
        let Some(word) = word(&token.text) else { continue };
        if ends_at.is_some() || follows(&tokens[..at], &["reason", ":"]) || follows_a_status(&tokens[..at]) {
            found.push((word.to_owned(), token.line));
        }
    }
    found
}

/// The text of a literal that could be a reason.
fn word(literal: &str) -> Option<&str> {
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (!text.is_empty() && text.bytes().all(legal)).then_some(text)
}

fn follows(before: &[Token], texts: &[&str]) -> bool {
    before.len() >= texts.len()
        && before[before.len() - texts.len()..].iter().zip(texts).all(|(one, text)| one.text == *text)
}

/// `S::BAD_REQUEST, ` or `StatusCode::BAD_REQUEST, `.
fn follows_a_status(before: &[Token]) -> bool {
    let [.., kind, path, _, comma] = before else { return false };
    matches!(kind.text.as_str(), "S" | "StatusCode") && path.text == "::" && comma.text == ","
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(text: &str) -> Vec<String> {
        of(&Source::new("a.rs", text)).into_iter().map(|(reason, _)| reason).collect()
    }

    #[test]
    fn a_reason_is_seen_wherever_an_error_gets_it() {
        for text in [
            "fn reason(&self) -> &'static str { match self { Self::A => \"disk_full\" } }",
            "fn missing_reason(self) -> &'static str { if a { b } else { \"disk_full\" } }",
            "const A: Cause = Cause { reason: \"disk_full\", why: \"it is full\" };",
            "fn f() -> (S, &str) { (S::BAD_REQUEST, \"disk_full\") }",
            "fn f() { response(StatusCode::BAD_REQUEST, \"disk_full\", \"it is full\", \"\"); }",
            "trait T { fn reason(&self) -> u8; } fn f() { (S::OK, \"disk_full\"); g(\"other\") }",
        ] {
            assert_eq!(reasons(text), ["disk_full"], "{text}");
        }
        for text in [
            "fn f() { g(\"disk_full\") }",
            "fn reason() { g(\"Disk full\") } fn f() { g(\"disk_full\") }",
            "#[cfg(test)] mod tests { fn reason() { g(\"disk_full\") } }",
        ] {
            assert_eq!(reasons(text), [""; 0], "{text}");
        }
    }

    #[test]
    #[should_panic(expected = "not in src/api/openapi.json")]
    fn a_reason_of_the_code_alone_is_a_fault() {
        let source = Source::new("a.rs", "fn reason() { \"new\" }");
        compare([&source].into_iter(), r#"{"components":{"schemas":{"ErrorReason":{"x-extensible-enum":[]}}}}"#);
    }

    #[test]
    #[should_panic(expected = "and not in the code: [\"old\"]")]
    fn a_reason_of_the_description_alone_is_a_fault() {
        let listed = r#"{"components":{"schemas":{"ErrorReason":{"x-extensible-enum":["old"]}}}}"#;
        compare([&Source::new("a.rs", "")].into_iter(), listed);
    }
}
