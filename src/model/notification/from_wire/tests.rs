//! A node that sends what no batch of ours can be.

use super::*;
use crate::model::notification::Draft;
use crate::model::push_type::{PAYLOAD_BYTES_MAX, PushType, VOIP_PAYLOAD_BYTES_MAX};
use std::sync::Arc;
use uuid::Uuid;

/// Texts, and a notification of them.
struct Sent {
    texts: Vec<u8>,
    item: Notification,
}

impl Sent {
    fn good() -> Self {
        let draft = Draft {
            token: "00fc13ad",
            payload: r#"{"aps":{"alert":"hi"}}"#,
            identifier: Some(r#""one""#),
            collapse_id: Some("game 7"),
            topic: Some("com.example.app"),
            ..Draft::default()
        };
        let mut batch = Batch::default();
        batch.push(draft, Uuid::new_v4).expect("a good draft");
        let texts = batch.whole_texts().expect("a whole batch").concat();
        Self { texts, item: batch.items()[0] }
    }

    /// A span of a text that is appended.
    fn text(&mut self, text: impl AsRef<[u8]>) -> Span {
        let start = self.texts.len();
        self.texts.extend_from_slice(text.as_ref());
        Span::at(start as u32, text.as_ref().len() as u32)
    }

    fn fault(self) -> Option<BadItem> {
        let good = Self::good().item;
        // It comes second, so that its index is seen.
        let read = Batch::from_wire(self.texts.into(), vec![good, self.item]);
        read.err().map(|bad| {
            assert_eq!(bad.index, 1);
            bad.fault
        })
    }
}

/// The result for a good notification after `spoil` has changed it.
fn fault(spoil: impl FnOnce(&mut Sent)) -> Option<BadItem> {
    let mut sent = Sent::good();
    spoil(&mut sent);
    sent.fault()
}

#[test]
fn a_good_batch_is_read_as_it_was_sent() {
    let Sent { texts, item } = Sent::good();
    let batch = Arc::new(Batch::from_wire(texts.into(), vec![item]).expect("a good batch"));
    for batch in [&batch, &Arc::new(batch.part(&[0]))] {
        let item = batch.items()[0];
        assert_eq!(batch.text(item.token), "00fc13ad");
        assert_eq!(batch.bytes(item.payload), br#"{"aps":{"alert":"hi"}}"#);
        assert_eq!(item.identifier.map(|span| batch.text(span)), Some(r#""one""#));
        assert_eq!(item.topic.map(|span| batch.text(span)), Some("com.example.app"));
    }
    assert_eq!(fault(|_| {}), None);
}

#[test]
fn a_span_outside_the_texts_is_refused_wherever_it_is() {
    for outside in [Span::at(0, 10_000), Span::at(10_000, 1), Span::at(10_000, 0), Span::at(u32::MAX, u32::MAX)] {
        assert_eq!(fault(|sent| sent.item.token = outside), Some(BadItem::OutOfRange), "{outside:?}");
        assert_eq!(fault(|sent| sent.item.payload = outside), Some(BadItem::OutOfRange), "{outside:?}");
        assert_eq!(fault(|sent| sent.item.identifier = Some(outside)), Some(BadItem::OutOfRange), "{outside:?}");
        assert_eq!(fault(|sent| sent.item.collapse_id = Some(outside)), Some(BadItem::OutOfRange), "{outside:?}");
        assert_eq!(fault(|sent| sent.item.topic = Some(outside)), Some(BadItem::OutOfRange), "{outside:?}");
    }
}

#[test]
fn a_token_that_could_leave_its_path_is_refused() {
    for bad in ["", "0", "0g", "00FC", "../x", "0 00", "00\r\n", &"0".repeat(514)] {
        assert_eq!(fault(|sent| sent.item.token = sent.text(bad)), Some(BadItem::Token), "{bad:?}");
    }
    assert_eq!(fault(|sent| sent.item.token = sent.text("0".repeat(512))), None);
}

#[test]
fn a_payload_is_an_object_no_longer_than_apple_takes_for_its_push_type() {
    for bad in ["", "[]", r#""{}""#, " {}"] {
        assert_eq!(fault(|sent| sent.item.payload = sent.text(bad)), Some(BadItem::PayloadNotObject), "{bad:?}");
    }
    assert_eq!(fault(|sent| sent.item.payload = sent.text(b"{\"a\":\"\xff\"}")), Some(BadItem::NotUtf8));
    for (push_type, bytes, expected) in [
        (PushType::Alert, PAYLOAD_BYTES_MAX, None),
        (PushType::Alert, PAYLOAD_BYTES_MAX + 1, Some(BadItem::PayloadTooLarge)),
        (PushType::Voip, VOIP_PAYLOAD_BYTES_MAX, None),
        (PushType::Voip, VOIP_PAYLOAD_BYTES_MAX + 1, Some(BadItem::PayloadTooLarge)),
    ] {
        let spoil = |sent: &mut Sent| {
            sent.item.payload = sent.text(format!("{{{}}}", " ".repeat(bytes - 2)));
            sent.item.push_type = push_type;
        };
        assert_eq!(fault(spoil), expected, "{push_type:?} {bytes}");
    }
}

#[test]
fn a_payload_that_items_share_is_measured_for_each_of_their_push_types() {
    let mut sent = Sent::good();
    sent.item.payload = sent.text(format!("{{{}}}", " ".repeat(VOIP_PAYLOAD_BYTES_MAX - 2)));
    sent.item.push_type = PushType::Voip;
    let alert = Notification { push_type: PushType::Alert, ..sent.item };
    let read = Batch::from_wire(sent.texts.into(), vec![sent.item, alert]);
    assert_eq!(read.err(), Some(BadBatch { index: 1, fault: BadItem::PayloadTooLarge }));
}

#[test]
fn an_identifier_that_would_break_the_json_it_is_copied_into_is_refused() {
    for bad in ["", "x", "\"", "\"a", "\"a\"b", "\"a\nb\"", "1,2", "{}", "[]", "null", "--1", "\"a\",\"b\":\"c\""] {
        assert_eq!(fault(|sent| sent.item.identifier = Some(sent.text(bad))), Some(BadItem::Identifier), "{bad:?}");
    }
    let long = format!("\"{}\"", "x".repeat(IDENTIFIER_BYTES_MAX + 1));
    assert_eq!(fault(|sent| sent.item.identifier = Some(sent.text(long))), Some(BadItem::Identifier));
    assert_eq!(fault(|sent| sent.item.identifier = Some(sent.text(b"\"\xc3\""))), Some(BadItem::NotUtf8));
    for good in ["7", "-455.0", "0", r#""""#, r#""\u00e9""#, "\"é\""] {
        assert_eq!(fault(|sent| sent.item.identifier = Some(sent.text(good))), None, "{good:?}");
    }
}

#[test]
fn a_text_that_would_break_a_header_is_refused() {
    for bad in ["", "a\r\nb", " a", "a ", "é", "a\0", &"x".repeat(256)] {
        assert_eq!(fault(|sent| sent.item.collapse_id = Some(sent.text(bad))), Some(BadItem::CollapseId), "{bad:?}");
        assert_eq!(fault(|sent| sent.item.topic = Some(sent.text(bad))), Some(BadItem::Topic), "{bad:?}");
    }
    let long = "x".repeat(COLLAPSE_ID_BYTES_MAX + 1);
    assert_eq!(fault(|sent| sent.item.collapse_id = Some(sent.text(&long))), Some(BadItem::CollapseId));
    assert_eq!(fault(|sent| sent.item.topic = Some(sent.text(&long))), None);
}
