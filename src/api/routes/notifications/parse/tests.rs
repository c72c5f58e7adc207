//! Every fault of a body, with the reason and the sentence of the response.

use super::*;
use crate::api::error::ApiError;
use crate::api::routes::notifications::field::Field;
use crate::model::{Priority, PushType};
use serde_json::{Value, json};

const GOOD: &str = r#"{"token":"00fc13ad","payload":{"aps":{"alert":"hi"}}}"#;

fn parsed(body: &str) -> Parsed {
    parse(&Bytes::copy_from_slice(body.as_bytes()), None, 10).expect("a good body")
}

/// The status, reason, sentence and args of the response to a bad body.
fn refused(body: &[u8]) -> (u16, &'static str, String, Value) {
    refused_within(3, body)
}

/// Like `refused`, with another limit of items.
fn refused_within(items_max: usize, body: &[u8]) -> (u16, &'static str, String, Value) {
    let fault = parse(&Bytes::copy_from_slice(body), None, items_max).expect_err("a bad body");
    let failure = ApiError::from(fault);
    (failure.status().as_u16(), failure.reason(), failure.to_string(), failure.args())
}

#[test]
fn one_object_and_a_list_of_them_are_both_taken() {
    let one = parsed(GOOD);
    assert!(!one.list);
    assert_eq!(one.batch.len(), 1);
    let list = parsed(&format!(" \r\n[{GOOD} , {GOOD}] "));
    assert!(list.list);
    assert_eq!(list.batch.len(), 2);
}

#[test]
fn an_empty_list_is_a_list() {
    let list = parsed("[]");
    assert!(list.list && list.batch.is_empty());
}

#[test]
fn every_field_is_read_as_written() {
    let whole = r#"{"type": "notification", "identifier": -12, "token": "\u0030\u0030FC", "payload": { "aps" : {} , "x":"\u00e9" },
        "expiry": 0, "priority": 1, "push_type": "background", "collapse_id": "a\/b", "topic": "com.example"}"#;
    let batch = parsed(whole).batch;
    let item = batch.items()[0];
    assert_eq!(batch.text(item.token), "00fc");
    assert_eq!(batch.text(item.payload), r#"{ "aps" : {} , "x":"\u00e9" }"#);
    assert_eq!(item.identifier.map(|span| batch.text(span)), Some("-12"));
    assert_eq!((item.expiry, item.priority, item.push_type), (Some(0), Priority::Lowest, PushType::Background));
    assert_eq!(item.collapse_id.map(|span| batch.text(span)), Some("a/b"));
    assert_eq!(item.topic.map(|span| batch.text(span)), Some("com.example"));
}

#[test]
fn null_in_an_optional_field_is_its_absence() {
    let batch = parsed(
        r#"{"type":null,"token":"00fc","payload":{},"identifier":null,"expiry":null,"priority":null,"push_type":null,
        "collapse_id":null,"topic":null}"#,
    )
    .batch;
    let item = batch.items()[0];
    assert!(item.identifier.is_none() && item.expiry.is_none() && item.collapse_id.is_none() && item.topic.is_none());
    assert_eq!(item.priority, Priority::Immediate);
}

#[test]
fn nothing_of_an_ordinary_body_is_copied() {
    let body = format!("[{GOOD}]");
    let batch = parsed(&body).batch;
    assert_eq!(batch.bytes_held(), body.len() + size_of_val(batch.items()));
}

#[test]
fn the_refusal_of_invalid_json_names_the_position() {
    let (status, reason, sentence, args) = refused(b"[\n{\"token\":x}]");
    assert_eq!((status, reason), (400, "malformed_json"));
    assert_eq!(sentence, "the body is not JSON at line 2, column 10: expected value");
    assert_eq!(args, json!({"line": 2, "column": 10}));

    let table: [(&[u8], &str); 9] = [
        (b"", "the body is empty: send JSON"),
        (b" \n", "the body is empty: send JSON"),
        (b"\xff", "the body is not UTF-8 from byte 0 on, and JSON is UTF-8"),
        (b"[{", "the body ends in the middle of its JSON, at line 1, column 3"),
        (b"tabc", "the body is not JSON at line 1, column 2: expected ident"),
        (b"[{}", "item 0: `token` is missing"),
        (br#"{"token":"00","payload":{}} x"#, "the body is not JSON at line 1, column 29: trailing characters"),
        (br#"{"token":"00","payload":{}}{}"#, "the body is not JSON at line 1, column 28: trailing characters"),
        (br#"[{"token":"00","payload":{}},]"#, "the body is not JSON at line 1, column 30: trailing comma"),
    ];
    for (body, expected) in table {
        let (status, _, sentence, _) = refused(body);
        assert_eq!((status, sentence.as_str()), (400, expected), "{}", body.escape_ascii());
    }
}

#[test]
fn the_refusal_of_a_raw_line_break_says_how_to_send_a_file() {
    let (status, reason, sentence, args) = refused(b"{\"token\":\"00\nfc\",\"payload\":{}}");
    assert_eq!((status, reason), (400, "malformed_json"));
    assert!(sentence.contains("line 1, column 13") && sentence.contains("curl --data-binary @file"), "{sentence}");
    assert_eq!(args, json!({"line": 1, "column": 13}));
}

#[test]
fn a_body_of_another_shape_is_refused() {
    for body in ["7", "\"text\"", "null", "true"] {
        let (status, reason, sentence, _) = refused(body.as_bytes());
        assert_eq!((status, reason), (400, "not_notifications"));
        assert_eq!(sentence, "the body is neither a notification object nor a list of them");
    }
}

#[test]
fn more_items_than_the_limit_are_too_many() {
    let four = format!("[{GOOD},{GOOD},{GOOD},{GOOD}]");
    let (status, reason, sentence, args) = refused(four.as_bytes());
    assert_eq!((status, reason), (413, "too_many_items"));
    assert_eq!(sentence, "the request has more than 3 notifications: send several requests");
    assert_eq!(args, json!({"limit": 3}));
}

#[test]
fn a_bad_item_is_named_by_its_index_with_its_reason() {
    let table = [
        ("7", "not_an_object", "a notification must be a JSON object"),
        ("[]", "not_an_object", "a notification must be a JSON object"),
        ("null", "not_an_object", "a notification must be a JSON object"),
        (r#"{"payload":{}}"#, "token_missing", "`token` is missing"),
        (r#"{"token":"00"}"#, "payload_missing", "`payload` is missing"),
        (r#"{"token":7,"payload":{}}"#, "wrong_type", "`token` must be a string: the device token in hex"),
        (r#"{"token":null,"payload":{}}"#, "wrong_type", "`token` must be a string: the device token in hex"),
        (r#"{"token":"00","payload":"x"}"#, "payload_not_object", "`payload` is not a JSON object"),
        (r#"{"token":"00","payload":null}"#, "payload_not_object", "`payload` is not a JSON object"),
        (r#"{"token":"00","token":"00"}"#, "repeated_field", "`token` appears twice"),
        (r#"{"token":"00","payload":{},"payload":{}}"#, "repeated_field", "`payload` appears twice"),
        (r#"{"token":"","payload":{}}"#, "token_missing", "`token` is empty: give the device token in hex"),
    ];
    for (item, reason, sentence) in table {
        let got = refused(format!("[{GOOD},{item}]").as_bytes());
        assert_eq!((got.0, got.1, got.2), (400, reason, format!("item 1: {sentence}")), "{item}");
        assert_eq!(got.3["index"], 1, "{item}");
    }
}

#[test]
fn values_of_a_wrong_type_are_named_by_their_field() {
    let table = [
        ("expiry", "1.5"),
        ("expiry", "-1"),
        ("expiry", "\"30\""),
        ("expiry", "1e-3"),
        ("expiry", "1e99"),
        ("expiry", "true"),
        ("expiry", "99999999999999999999"),
        ("priority", "\"10\""),
        ("identifier", "1.5"),
        ("identifier", "1e-5"),
        ("identifier", "{}"),
        ("identifier", "[1]"),
        ("identifier", "true"),
        ("push_type", "1"),
        ("collapse_id", "1"),
        ("topic", "{}"),
    ];
    for (field, value) in table {
        let (status, reason, sentence, args) =
            refused(format!(r#"{{"token":"00","payload":{{}},"{field}":{value}}}"#).as_bytes());
        assert_eq!((status, reason), (400, "wrong_type"), "{field} {value}");
        assert!(sentence.starts_with(&format!("`{field}` must be a")), "{sentence}");
        assert_eq!(args, json!({"field": field}));
    }
}

#[test]
fn an_integer_is_accepted_in_every_notation() {
    for (written, expiry) in [("455.0", 455), ("1e3", 1000), ("-0.0", 0), ("-0", 0), ("19.0e8", 1_900_000_000)] {
        let body =
            format!(r#"{{"token":"00","payload":{{}},"expiry":{written},"priority":5.0,"identifier":{written}}}"#);
        let batch = parsed(&body).batch;
        let item = batch.items()[0];
        assert_eq!((item.expiry, item.priority), (Some(expiry), Priority::Considerate), "{written}");
        assert_eq!(item.identifier.map(|span| batch.text(span)), Some(written));
    }
}

#[test]
fn the_only_accepted_type_is_notification() {
    for written in [r#""notification""#, r#""n\u006ftification""#, "null"] {
        for body in [
            format!(r#"{{"type":{written},"token":"00","payload":{{}}}}"#),
            format!(r#"[{{"token":"00","type":{written},"payload":{{}}}}]"#),
            format!(r#"{{"tokens":["00"],"payload":{{}},"type":{written}}}"#),
        ] {
            assert_eq!(parsed(&body).batch.len(), 1, "{body}");
        }
    }
    for written in [r#""outcome""#, r#""Notification""#, r#""""#, "7", "{}", "true"] {
        let body = format!(r#"{{"type":{written},"token":"00","payload":{{}}}}"#);
        let (status, reason, sentence, args) = refused(body.as_bytes());
        assert_eq!((status, reason), (400, "wrong_type"), "{written}");
        assert_eq!(sentence, "`type` must be `notification`, or left out");
        assert_eq!(args, json!({"field": "type"}));
    }
    assert_eq!(refused(br#"{"type":"notification","type":"notification"}"#).1, "repeated_field");
}

#[test]
fn the_refusal_of_an_unknown_field_names_it() {
    let (status, reason, sentence, args) = refused(br#"{"token":"00","payload":{},"badge":1}"#);
    assert_eq!((status, reason), (400, "unknown_field"));
    assert!(sentence.starts_with("`badge` is not a field of a notification"), "{sentence}");
    let known = Field::ALL.map(Field::name);
    assert_eq!(args, json!({"field": "badge", "known": known}));
}

#[test]
fn each_of_tokens_is_a_notification_and_the_response_is_a_list() {
    let one = parsed(r#"{"tokens":["00","\u0030\u0031","<02 FC>"],"payload":{"a":1},"identifier":"x"}"#);
    assert!(one.list);
    let tokens: Vec<_> = one.batch.items().iter().map(|item| one.batch.text(item.token)).collect();
    assert_eq!(tokens, ["00", "01", "02fc"]);
    assert!(one.batch.items().iter().all(|item| one.batch.text(item.payload) == r#"{"a":1}"#));
    assert!(one.batch.items().iter().all(|item| item.identifier == one.batch.items()[0].identifier));
    let mixed = parsed(&format!(r#"[{GOOD},{{"payload":{{}},"tokens":["00","01"]}},{GOOD}]"#));
    assert_eq!((mixed.list, mixed.batch.len()), (true, 4));
}

#[test]
fn a_bad_list_of_tokens_is_named_by_item_and_token() {
    let table = [
        (r#""tokens":[]"#, "tokens_empty", "`tokens` is empty: give at least one device token", None),
        (
            r#""tokens":["00"],"token":"00""#,
            "token_and_tokens",
            "`token` and `tokens` are both given: give only one",
            None,
        ),
        (r#""token":"00","tokens":[]"#, "token_and_tokens", "`token` and `tokens` are both given: give only one", None),
        (r#""tokens":"00""#, "wrong_type", "`tokens` must be a list of strings: the device tokens in hex", None),
        (r#""tokens":null"#, "wrong_type", "`tokens` must be a list of strings: the device tokens in hex", None),
        (r#""tokens":["00",7]"#, "wrong_type", "`tokens[1]` must be a string: the device token in hex", Some(1)),
        (
            r#""tokens":["00","0"]"#,
            "token_odd_length",
            "`tokens[1]` has an odd number of hex digits: a digit is missing",
            Some(1),
        ),
        (
            r#""tokens":["x"]"#,
            "token_not_hex",
            "`tokens[0]` is not hex: character 1 is `x`, and a token has only the digits 0-9 and a-f",
            Some(0),
        ),
        (r#""tokens":["00",""]"#, "token_missing", "`tokens[1]` is empty: give the device token in hex", Some(1)),
    ];
    for (tokens, reason, sentence, token_index) in table {
        // The item before counts once, with any number of tokens.
        let before = r#"{"tokens":["00","01"],"payload":{}}"#;
        let got = refused_within(10, format!(r#"[{before},{{"payload":{{}},{tokens}}}]"#).as_bytes());
        assert_eq!((got.0, got.1, got.2), (400, reason, format!("item 1: {sentence}")), "{tokens}");
        let expected = match token_index {
            None => json!({"index": 1, "field": "tokens"}),
            Some(token) => json!({"index": 1, "field": "tokens", "token_index": token}),
        };
        assert_eq!(got.3, expected, "{tokens}");
    }
}

#[test]
fn all_bad_tokens_of_a_list_are_listed_the_first_hundred_of_many() {
    let body = r#"{"tokens":["00","(null)","01",7,"02\n",{"a":[]},null,"03"],"payload":{}}"#;
    let (status, reason, sentence, args) = refused_within(10, body.as_bytes());
    assert_eq!((status, reason), (400, "token_not_hex"));
    assert!(sentence.starts_with("`tokens[1]` is not hex: character 1 is `(`"), "{sentence}");
    assert!(sentence.ends_with("; 3 more of the tokens are bad, and `args.indexes` lists all of them"), "{sentence}");
    assert_eq!(args, json!({"field": "tokens", "token_index": 1, "indexes": [1, 3, 5, 6]}));

    let (_, reason, sentence, args) =
        refused_within(300, json!([{"tokens": vec![7; 250], "payload": {}}]).to_string().as_bytes());
    assert_eq!(reason, "wrong_type");
    assert!(
        sentence.ends_with("; 249 more of the tokens are bad, and `args.indexes` lists the first 100"),
        "{sentence}"
    );
    assert_eq!(args["indexes"], json!((0..100).collect::<Vec<_>>()));
}

#[test]
fn all_bad_items_of_a_list_are_listed_the_first_hundred_of_many() {
    let items = [GOOD, r#"{"token":"xy","payload":{}}"#, "7", GOOD, r#"{"badge":{"a":[1]}}"#, r#"{"token":"00"}"#];
    let (status, reason, sentence, args) = refused_within(10, format!("[{}]", items.join(",")).as_bytes());
    assert_eq!((status, reason), (400, "token_not_hex"));
    assert!(sentence.starts_with("item 1: `token` is not hex"), "{sentence}");
    assert!(sentence.ends_with("; 3 more of the items are bad, and `args.indexes` lists all of them"), "{sentence}");
    assert_eq!(args, json!({"index": 1, "field": "token", "indexes": [1, 2, 4, 5]}));

    let many = format!("[{}{GOOD}]", "{},".repeat(150));
    let (_, _, sentence, args) = refused_within(200, many.as_bytes());
    assert!(
        sentence.ends_with("; 149 more of the items are bad, and `args.indexes` lists the first 100"),
        "{sentence}"
    );
    assert_eq!(args["indexes"].as_array().map(Vec::len), Some(100));
    // Of a list over the limit, only the items within the limit are checked.
    assert!(refused_within(3, many.as_bytes()).2.contains("2 more of the items"));
}

#[test]
fn the_refusal_of_a_form_says_that_it_is_a_form() {
    for body in ["token=00fc&payload=%7B%7D", "token=00fc&payload={\"aps\":{}}", "%7B%22token%22%3A%2200%22%7D"] {
        let (status, reason, sentence, args) = refused(body.as_bytes());
        assert_eq!((status, reason), (400, "malformed_json"), "{body}");
        assert!(sentence.starts_with("this is a form; send JSON, as in `curl -d"), "{sentence}");
        assert_eq!(args, json!({}));
    }
}

#[test]
fn the_refusal_of_a_doubly_encoded_payload_says_so() {
    let body = json!({"token": "00", "payload": json!({"aps": {"alert": "x"}}).to_string()}).to_string();
    let (status, reason, sentence, _) = refused(body.as_bytes());
    assert_eq!((status, reason), (400, "payload_not_object"));
    assert_eq!(
        sentence,
        "`payload` is a string that looks like JSON: send the object itself, without quotes around it"
    );
}

#[test]
fn the_refusal_of_an_expiry_in_milliseconds_says_so() {
    let (status, reason, sentence, args) = refused(br#"{"token":"00","payload":{},"expiry":1895934818000}"#);
    assert_eq!((status, reason), (400, "expiry_not_seconds"));
    assert_eq!(sentence, "`expiry` must be in UNIX seconds, and 1895934818000 looks like milliseconds");
    assert_eq!(args, json!({"field": "expiry"}));
}

#[test]
fn all_tokens_of_a_request_count_against_the_limit() {
    let two = r#"{"tokens":["00","01"],"payload":{}}"#;
    for body in [format!("[{two},{two}]"), r#"{"tokens":["00","01","02","03"],"payload":{}}"#.to_owned()] {
        let (status, reason, sentence, _) = refused(body.as_bytes());
        assert_eq!((status, reason), (413, "too_many_items"));
        assert_eq!(sentence, "the request has more than 3 notifications: send several requests");
    }
    assert!(parse(&Bytes::from(format!("[{two},{GOOD}]")), None, 3).is_ok());
}

#[test]
fn values_that_apple_would_refuse_are_refused_with_the_models_sentences() {
    let (status, reason, sentence, args) = refused(br#"[{"token":"abc","payload":{}}]"#);
    assert_eq!((status, reason), (400, "token_odd_length"));
    assert_eq!(sentence, "item 0: `token` has an odd number of hex digits: a digit is missing");
    assert_eq!(args, json!({"index": 0, "field": "token"}));
    let deep = format!(r#"{{"token":"00","payload":{{"a":{}1{}}}}}"#, "[".repeat(40), "]".repeat(40));
    assert_eq!(refused(deep.as_bytes()).1, "payload_too_deep");
}

#[test]
fn a_payload_nested_a_hundred_thousand_deep_does_not_overflow_the_stack() {
    let deep = format!(r#"{{"token":"00","payload":{{"a":{}{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(refused(deep.as_bytes()).1, "payload_too_deep");
    let deep = format!("[{}", "[".repeat(100_000));
    assert_eq!(refused(deep.as_bytes()).0, 400);
}
