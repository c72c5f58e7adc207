//! The fast path and the full parser return the same result.

use super::*;
use crate::api::routes::notifications::parse::full_parser;
use crate::model::PushType;
use bytes::Bytes;
use proptest::prelude::*;

const USUAL: &str = r#"{"type":"notification","token":"00fc","payload":{"aps":{"alert":{"title":"a","body":"b\n"},"badge":-1.5e+3,"content-available":1},"x":[1,[],{},null]},"identifier":"one"}"#;
const WHOLE: &str = r#" {"identifier": 12, "token": "<00FC>", "payload": { "aps" : {"mutable-content":true} , "x":"\u00e9" },
    "expiry": 0, "priority": 5, "push_type": "background", "collapse_id": "a", "topic": "com.example"} "#;
const MANY: &str = r#"{"tokens":["00fc","01"],"payload":{"mdm":"x"}}"#;

/// The contents of a batch without its generated ids.
fn told(parsed: &Parsed) -> String {
    let Parsed { batch, list } = parsed;
    let items = batch.items().iter().map(|item| {
        let text = |span: Option<_>| span.map(|span| batch.text(span));
        let texts = (batch.text(item.token), batch.text(item.payload), text(item.identifier));
        (texts, item.expiry, item.push_type, item.priority, text(item.collapse_id), text(item.topic))
    });
    format!("{list} {:?}", items.collect::<Vec<_>>())
}

/// Reads a body with the fast path, and compares the result with the full parser's.
fn read_alike(body: &[u8]) -> Option<String> {
    let (text, body) = (std::str::from_utf8(body).ok()?, Bytes::copy_from_slice(body));
    let batch = || Batch::over(body.clone()).with_push_type(Some(PushType::Voip));
    let read = told(&parse(batch(), text, 3)?);
    let there = full_parser::parse(batch(), text, 3).expect("what is plain is good");
    assert_eq!(read, told(&there), "{text}");
    Some(read)
}

#[test]
fn the_fast_path_reads_what_callers_usually_write() {
    for body in [USUAL.to_owned(), WHOLE.to_owned(), MANY.to_owned(), format!("[{USUAL} , {WHOLE}]"), "[]".to_owned()] {
        assert!(read_alike(body.as_bytes()).is_some(), "{body}");
    }
}

#[test]
fn the_fast_path_leaves_unusual_and_invalid_bodies_to_the_full_parser() {
    for body in [
        "",
        "7",
        "{}",
        "[{}]",
        "[,]",
        r#"{"token":"00","payload":{}} x"#,
        r#"[{"token":"00","payload":{}},]"#,
        r#"{"token":"00"}"#,
        r#"{"token":"00","payload":{},"token":"00"}"#,
        r#"{"token":"00","tokens":["00"],"payload":{}}"#,
        r#"{"tokens":[],"payload":{}}"#,
        r#"{"tokens":["00","00","00","00"],"payload":{}}"#,
        r#"{"token":"0","payload":{}}"#,
        r#"{"token":"\u0030\u0030","payload":{}}"#,
        r#"{"token":"00","payload":{"a":01}}"#,
        r#"{"token":"00","payload":{"a":tru}}"#,
        r#"{"token":"00","payload":{"a":"\x"}}"#,
        r#"{"token":"00","payload":{"a":"\u12"}}"#,
        "{\"token\":\"00\",\"payload\":{\"a\":\"\n\"}}",
        r#"{"token":"00","payload":[]}"#,
        r#"{"token":"00","payload":{},"identifier":1.5}"#,
        r#"{"token":"00","payload":{},"expiry":null}"#,
        r#"{"token":"00","payload":{},"expiry":1.0}"#,
        r#"{"token":"00","payload":{},"extra":1}"#,
        r#"{"type":"outcome","token":"00","payload":{}}"#,
        r#"{"type":"notification","type":"notification","token":"00","payload":{}}"#,
    ] {
        assert!(parse(Batch::over(Bytes::copy_from_slice(body.as_bytes())), body, 3).is_none(), "{body}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn a_mutated_body_is_never_read_differently(
        which in 0_usize..4,
        slips in proptest::collection::vec((any::<prop::sample::Index>(), 0..3, "[]\\[{}\":,\\\\0-9a-fA-Fu.eE+ \n\u{1}é-]"), 0..4),
    ) {
        let mut body = [USUAL.to_owned(), WHOLE.to_owned(), MANY.to_owned(), format!("[{USUAL},{MANY}]")][which].clone().into_bytes();
        for (at, how, text) in slips {
            let at = at.index(body.len());
            let end = if how == 0 { at } else { at + 1 };
            body.splice(at..end, if how == 1 { Vec::new() } else { text.into_bytes() });
        }
        read_alike(&body);
    }
}
