//! BATCH: any batch that a request can make comes out as the same notifications.

use super::*;
use crate::model::notification::Span;
use crate::model::{Draft, Notification, Priority, PushType};
use http::HeaderValue;
use std::sync::Arc;
use uuid::Uuid;

fn head() -> BatchHead {
    BatchHead {
        deadline_ms: 0x0102_0304_0506_0708,
        retry_unknown: true,
        revision: -2,
        app: app("shop"),
        lane: 3,
        lanes: 4,
        request_id: Some(HeaderValue::from_static("req-1")),
    }
}

fn put(batch: &Batch) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_batch(&mut bytes, 9, &head(), batch, LIMITS).expect("it fits");
    bytes
}

fn sent(batch: &Batch) -> Batch {
    let read = read_all(&put(batch)).remove(0);
    let Received { id: 9, frame: Frame::Batch(read_head, batch) } = read else { panic!("{read:?}") };
    assert_eq!(read_head, head());
    batch
}

/// All that a notification says.
type Said = (String, Vec<u8>, [Option<String>; 3], Uuid, Option<u64>, PushType, Priority);

fn said(batch: &Batch) -> Vec<Said> {
    let text = |span: Option<Span>| span.map(|span| batch.text(span).to_owned());
    let item = |item: &Notification| {
        (
            batch.text(item.token).to_owned(),
            batch.bytes(item.payload).to_vec(),
            [text(item.identifier), text(item.collapse_id), text(item.topic)],
            item.apns_id,
            item.expiry,
            item.push_type,
            item.priority,
        )
    };
    batch.items().iter().map(item).collect()
}

fn many(tokens: usize) -> Batch {
    let tokens: Vec<_> = (0..tokens).map(|number| format!("{number:08x}")).collect();
    let mut batch = Batch::default();
    let draft = Draft { payload: r#"{"aps":{"alert":"to all"}}"#, identifier: Some("7"), ..Draft::default() };
    batch.push_to_many(draft, &tokens, Uuid::new_v4).unwrap();
    batch
}

#[test]
#[rustfmt::skip]
fn a_batch_is_read_from_bytes_made_by_hand() {
    let mut body = Vec::new();
    body.extend_from_slice(&[8, 7, 6, 5, 4, 3, 2, 1]);
    body.extend_from_slice(&[1, 0xfe, 255, 255, 255, 255, 255, 255, 255, 3, 0, 4, 0]);
    body.extend_from_slice(&[1, 4, b's', b'h', b'o', b'p', 5, b'r', b'e', b'q', b'-', b'1']);
    body.extend_from_slice(&[1, 0, 0, 0, 9, 0, 0, 0]);
    // Token, payload, identifier, collapse id, topic.
    body.extend_from_slice(&[1, 0, 0, 0, 4, 0, 0, 0,  5, 0, 0, 0, 2, 0, 0, 0,  7, 0, 0, 0, 2, 0, 0, 0]);
    body.extend_from_slice(&[0; 16]);
    body.extend_from_slice(&[0xab; 16]);
    body.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    // The third push type, the second priority, identifier and expiry.
    body.extend_from_slice(&[2, 1, 9, 0]);
    body.extend_from_slice(b"-00fc{}42");
    let read = read_all(&frame(Kind::Batch, &body)).remove(0);
    let Frame::Batch(read_head, batch) = read.frame else { panic!("BATCH") };
    assert_eq!(read_head, head());
    let identifier = [Some("42".to_owned()), None, None];
    let id = Uuid::from_bytes([0xab; 16]);
    let expected: Said = ("00fc".to_owned(), b"{}".to_vec(), identifier, id, Some(256), PushType::Voip, Priority::Considerate);
    assert_eq!(said(&batch), [expected]);
}

#[test]
fn push_types_and_priorities_have_the_numbers_that_other_releases_send() {
    let names = [
        "alert",
        "background",
        "voip",
        "complication",
        "fileprovider",
        "mdm",
        "location",
        "liveactivity",
        "pushtotalk",
        "controls",
        "widgets",
    ];
    for (number, name) in (0_u8..).zip(names) {
        for (priority, value) in [(0, 10), (1, 5), (2, 1)] {
            let mut batch = Batch::default();
            let draft =
                Draft { token: "00", payload: "{}", push_type: Some(name), priority: Some(value), ..Draft::default() };
            batch.push(draft, Uuid::new_v4).unwrap();
            let bytes = put(&batch);
            let item = bytes.len() - "00{}".len() - 4;
            assert_eq!(bytes[item..item + 2], [number, priority], "{name}");
        }
    }
}

#[test]
fn a_whole_batch_goes_with_all_its_texts_and_a_part_with_those_it_uses() {
    let body = Bytes::from_static(br#"00fc13ad {"aps":{}} and more that no notification uses"#);
    let text = std::str::from_utf8(&body).unwrap();
    let mut whole = Batch::over(body.clone());
    for token in [&text[..8], "<AB>"] {
        whole.push(Draft { token, payload: &text[9..19], ..Draft::default() }, Uuid::new_v4).unwrap();
    }
    assert!(put(&whole).ends_with(&[&body[..], b"ab"].concat()));
    let whole = Arc::new(whole);
    let part = whole.part(&[1, 0]);
    assert!(put(&part).ends_with(br#"ab{"aps":{}}00fc13ad"#), "each text once: {:?}", put(&part));
    assert_eq!(said(&sent(&part)), [said(&whole)[1].clone(), said(&whole)[0].clone()]);
}

#[test]
fn a_payload_to_many_crosses_once_in_a_part_too() {
    let whole = Arc::new(many(1000));
    let part = whole.part(&(0..1000).step_by(3).collect::<Vec<_>>());
    let bytes = put(&part);
    assert!(bytes.len() < part.len() * 80 + 200, "{} bytes for {}", bytes.len(), part.len());
    assert_eq!(said(&sent(&part)), said(&part));
}

#[test]
fn a_batch_larger_than_its_receiver_takes_is_not_begun() {
    let batch = many(10);
    let bytes = put(&batch).len() - HEADER_BYTES;
    for (limits, fits) in [
        (Limits { frame_bytes: bytes as u32, items: 10 }, true),
        (Limits { frame_bytes: bytes as u32 - 1, items: 10 }, false),
        (Limits { frame_bytes: bytes as u32, items: 9 }, false),
    ] {
        let mut out = b"earlier".to_vec();
        let put = put_batch(&mut out, 9, &head(), &batch, limits);
        assert_eq!(put, if fits { Ok(()) } else { Err(TooLarge { bytes, items: 10 }) });
        assert_eq!(out.len(), if fits { 7 + HEADER_BYTES + bytes } else { 7 });
        let mut decoder = decoder(limits);
        let sent = self::put(&batch);
        assert_eq!(decoder.next(&mut &sent[..]).is_ok(), fits, "the receiver refuses the same");
    }
}

#[test]
fn the_largest_request_of_the_smallest_notifications_fits() {
    let body: Vec<u8> = (0..10_000).flat_map(|_| br#"{"token":"00","payload":{}},"#.iter().copied()).collect();
    let limits = Limits::of_requests(body.len(), 10_000);
    let body = Bytes::from(body);
    let text = std::str::from_utf8(&body).unwrap();
    let mut batch = Batch::over(body.clone());
    for at in (0..text.len()).step_by(28) {
        let draft = Draft { token: &text[at + 10..at + 12], payload: &text[at + 24..at + 26], ..Draft::default() };
        batch.push(draft, Uuid::new_v4).unwrap();
    }
    put_batch(&mut Vec::new(), 1, &head(), &batch, limits).expect("it fits");
}

#[test]
fn a_head_that_no_node_sends_is_refused_and_a_bad_item_is_named() {
    let good = put(&many(2));
    let at = |offset: usize, byte: u8| {
        let mut bad = good.clone();
        bad[HEADER_BYTES + offset] = byte;
        error(&bad)
    };
    let bad = |what| WireError::BadField { kind: Kind::Batch, what };
    assert_eq!(at(8, 2), bad("flags"));
    assert_eq!(at(17, 4), bad("lane"));
    assert_eq!(at(19, 65), bad("lane"));
    assert_eq!(at(21, 2), bad("environment"));
    assert_eq!(at(23, b' '), bad("app id"));
    assert_eq!(at(28, b'\n'), bad("request id"));
    assert_eq!(at(33, 1), WireError::TooMuch(Kind::Batch), "the second item is taken for texts");
    assert_eq!(at(33, 9), WireError::CutShort(Kind::Batch));
    let first = 41;
    assert_eq!(at(first + 64, 11), bad("push type"));
    assert_eq!(at(first + 65, 3), bad("priority"));
    let WireError::BadBatch { id: 9, why } = at(first + 7, 1) else { panic!("a bad batch") };
    assert_eq!(why.to_string(), "item 0: a text lies outside the frame");
}

/// A draft with owned texts, and whether they are taken from the body.
#[derive(Debug, Clone)]
struct Written {
    tokens: Vec<String>,
    texts: [String; 2],
    identifier: Option<String>,
    collapse_id: Option<String>,
    topic: Option<String>,
    expiry: Option<u64>,
    push_type: Option<PushType>,
    priority: Option<u64>,
    in_body: bool,
}

fn written() -> impl Strategy<Value = Written> {
    let token = prop_oneof!["([0-9a-f]{2}){1,40}", "<?([0-9A-F]{2} ?){1,40}>?"];
    let payload = prop_oneof![
        Just("{}".to_owned()),
        "[ -!#-Z]{0,60}é?".prop_map(|text| format!(r#"{{"aps":{{"alert":"{text}"}}}}"#)),
        "[a-z]{0,9}".prop_map(|text| format!(r#"{{"aps":{{"content-available":1}},"{text}":[1, 2]}}"#)),
    ];
    let identifier = prop_oneof!["\"[a-zé0-9-]{0,40}\"", "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,3})?"];
    let texts = (payload, "[ -~]{0,10}").prop_map(|(payload, between)| [payload, between]);
    (
        prop::collection::vec(token, 1..6),
        texts,
        prop::option::of(identifier),
        prop::option::of("[!-~]{1,64}"),
        prop::option::of("[a-z.]{1,40}"),
        prop::option::of(0..4_000_000_000_u64),
        prop::option::of(prop::sample::select(&PushType::ALL[..])),
        (prop::option::of(prop::sample::select(&[10_u64, 5, 1][..])), any::<bool>()),
    )
        .prop_map(|(tokens, texts, identifier, collapse_id, topic, expiry, push_type, (priority, in_body))| {
            Written { tokens, texts, identifier, collapse_id, topic, expiry, push_type, priority, in_body }
        })
}

/// The batch of these, over a body that some of their texts lie in.
fn batch(all: &[Written]) -> Batch {
    let mut body = String::new();
    for one in all.iter().filter(|one| one.in_body) {
        body.push_str(&one.texts[1]);
        body.push_str(&one.texts[0]);
        body.extend(one.tokens.iter().map(String::as_str));
    }
    let body = Bytes::from(body);
    let (mut rest, mut batch) = (std::str::from_utf8(&body).unwrap(), Batch::over(body.clone()));
    for one in all {
        let mut take = |text: &'_ str| -> Option<&str> {
            let (taken, left) = rest.split_at(text.len());
            rest = left;
            one.in_body.then_some(taken)
        };
        let (mut payload, mut tokens) = (&one.texts[0][..], one.tokens.iter().map(String::as_str).collect::<Vec<_>>());
        if one.in_body {
            take(&one.texts[1]);
            payload = take(payload).unwrap();
            tokens = tokens.into_iter().map(|token| take(token).unwrap()).collect();
        }
        let draft = Draft {
            token: tokens[0],
            payload,
            derived: None,
            identifier: one.identifier.as_deref(),
            expiry: one.expiry,
            push_type: one.push_type.map(PushType::as_str),
            priority: one.priority,
            collapse_id: one.collapse_id.as_deref(),
            topic: one.topic.as_deref(),
        };
        match &tokens[..] {
            [_] => batch.push(draft, Uuid::new_v4).expect("a good draft"),
            many => batch.push_to_many(draft, many, Uuid::new_v4).expect("a good draft"),
        }
    }
    batch.try_once_where_expiry_is_before(1_000_000_000);
    batch
}

proptest! {
    #[test]
    fn any_batch_and_any_part_of_it_comes_out_as_the_same_notifications(
        all in prop::collection::vec(written(), 0..12),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let whole = Arc::new(batch(&all));
        prop_assert_eq!(said(&sent(&whole)), said(&whole));
        if whole.is_empty() {
            return Ok(());
        }
        let positions: Vec<u32> = chosen.iter().map(|index| index.index(whole.len()) as u32).collect();
        let part = Arc::new(whole.part(&positions));
        prop_assert_eq!(said(&sent(&part)), said(&part));
        let of_part = part.part(&(0..part.len() as u32).rev().collect::<Vec<_>>());
        prop_assert_eq!(said(&sent(&of_part)), said(&of_part));
        let again = Arc::new(sent(&part));
        prop_assert_eq!(said(&sent(&again)), said(&part), "what came can be sent on");
    }
}
