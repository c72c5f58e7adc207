//! The blocks of our requests, byte by byte, and what the peer's table size does to them.

use super::super::Encoder;
use super::{Decoder, decode, entries, hex};
use crate::request::{Head, Method, Request};

const AUTHORITY: &str = "api.push.apple.com";
const APNS_ID: &str = "123e4567-e89b-12d3-a456-426655440000";

fn bearer(letter: &str) -> String {
    format!("bearer {}", letter.repeat(184))
}

fn head(bearer: &str, topic: &str) -> Head {
    let fields = [
        ("authorization", bearer),
        ("apns-topic", topic),
        ("apns-push-type", "alert"),
        ("apns-priority", "10"),
        ("apns-expiration", "0"),
    ];
    Head::new(Method::Post, AUTHORITY, &fields)
}

/// An encoder with the decoder of its peer; every block passes through both.
struct Wire {
    encoder: Encoder,
    peer: Decoder,
}

impl Wire {
    fn new() -> Self {
        Self { encoder: Encoder::new(), peer: Decoder::new(4096) }
    }

    fn send_with(&mut self, head: &Head, fields: &[(&'static str, &[u8])]) -> Vec<u8> {
        let token = "ab".repeat(32);
        let mut block = Vec::new();
        let request = Request { head, path: [b"/3/device/", token.as_bytes()], fields, body: b"" };
        self.encoder.encode(&request, &mut block);
        decode(&mut self.peer, &block).unwrap();
        assert_eq!(entries(self.encoder.table()), entries(self.peer.table()));
        assert_eq!(self.encoder.table().size_max(), self.peer.table().size_max());
        block
    }

    fn send(&mut self, head: &Head) -> Vec<u8> {
        self.send_with(head, &[("apns-id", APNS_ID.as_bytes())])
    }
}

/// A string as encoded in a block, its length below 127.
fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn path() -> Vec<u8> {
    [vec![0x04], text(&format!("/3/device/{}", "ab".repeat(32)))].concat()
}

fn long_text(text: &str) -> Vec<u8> {
    [&[0x7f, u8::try_from(text.len() - 127).unwrap()], text.as_bytes()].concat()
}

#[test]
fn the_first_request_installs_every_header_and_the_others_refer_to_them() {
    let mut wire = Wire::new();
    let (bearer, topic) = (bearer("j"), "com.example.app");
    let head = head(&bearer, topic);
    let first = [
        hex("8387 41"),
        text(AUTHORITY),
        path(),
        hex("57"),
        long_text(&bearer),
        [hex("40"), text("apns-topic"), text(topic)].concat(),
        [hex("40"), text("apns-push-type"), text("alert")].concat(),
        [hex("40"), text("apns-priority"), text("10")].concat(),
        [hex("40"), text("apns-expiration"), text("0")].concat(),
        [hex("40"), text("apns-id"), text(APNS_ID)].concat(),
    ]
    .concat();
    assert_eq!(wire.send(&head), first);
    assert_eq!((first.len(), wire.peer.table().size()), (425, 574));
    let others = [hex("8387 c4"), path(), hex("c3c2 c1c0 bf 0f2f"), text(APNS_ID)].concat();
    assert_eq!(others.len(), 123);
    for _ in 0..5 {
        assert_eq!(wire.send(&head), others);
    }
    assert_eq!(wire.peer.table().size(), 574);
}

#[test]
fn a_second_topic_costs_only_its_own_header() {
    let mut wire = Wire::new();
    let bearer = bearer("j");
    wire.send(&head(&bearer, "com.example.app"));
    let second = head(&bearer, "com.example.app.voip");
    // 62 is apns-id, then apns-expiration, -priority, -push-type, -topic at 66.
    let block =
        [hex("8387 c4"), path(), hex("c3 7f03"), text("com.example.app.voip"), hex("c2 c1 c0 0f30"), text(APNS_ID)]
            .concat();
    assert_eq!(wire.send(&second), block);
    assert_eq!(wire.send(&second).len(), 123);
}

#[test]
fn the_names_of_per_message_headers_are_installed_once() {
    let mut wire = Wire::new();
    let head = head(&bearer("j"), "com.example.app");
    let fields: [(&'static str, &[u8]); 3] =
        [("apns-id", APNS_ID.as_bytes()), ("apns-expiration", b"1700000000"), ("apns-collapse-id", b"score")];
    wire.send_with(&head, &fields);
    let entries_before = wire.peer.table().entry_count();
    assert_eq!(entries_before, 8, "apns-expiration takes its name from the shared one of value 0");
    let block = wire.send_with(&head, &fields);
    let own = [hex("0f30"), text(APNS_ID), hex("0f31"), text("1700000000"), hex("0f2f"), text("score")].concat();
    assert!(block.ends_with(&own), "{block:02x?}");
    assert_eq!(wire.peer.table().entry_count(), entries_before);
}

#[test]
fn a_method_outside_the_static_table_is_installed_too() {
    let mut wire = Wire::new();
    let head = Head::new(Method::Delete, AUTHORITY, &[]);
    assert!(wire.send_with(&head, &[]).starts_with(&[hex("42"), text("DELETE"), hex("87")].concat()));
    assert_eq!(wire.send_with(&head, &[]), [hex("bf87be"), path()].concat());
}

#[test]
fn a_peer_without_a_table_gets_literals_with_static_names() {
    let mut wire = Wire::new();
    let bearer = bearer("j");
    let head = head(&bearer, "com.example.app");
    wire.encoder.set_table_size_max(0);
    let literals = [
        hex("8387 01"),
        text(AUTHORITY),
        path(),
        hex("0f08"),
        long_text(&bearer),
        [hex("00"), text("apns-topic"), text("com.example.app")].concat(),
        [hex("00"), text("apns-push-type"), text("alert")].concat(),
        [hex("00"), text("apns-priority"), text("10")].concat(),
        [hex("00"), text("apns-expiration"), text("0")].concat(),
        [hex("00"), text("apns-id"), text(APNS_ID)].concat(),
    ]
    .concat();
    assert_eq!(wire.send(&head), [hex("20"), literals.clone()].concat());
    for _ in 0..3 {
        wire.encoder.allow_restart();
        assert_eq!(wire.send(&head), literals);
    }
}

#[test]
fn a_table_lowered_and_raised_between_two_blocks_announces_both() {
    let mut wire = Wire::new();
    let head = head(&bearer("j"), "com.example.app");
    let first = wire.send(&head);
    wire.encoder.set_table_size_max(0);
    wire.encoder.set_table_size_max(4096);
    assert_eq!(wire.send(&head), [hex("203fe11f"), first].concat());
    assert_eq!(wire.send(&head).len(), 123, "announced once");
}

#[test]
fn a_size_that_changes_nothing_is_not_announced() {
    let mut wire = Wire::new();
    let head = head(&bearer("j"), "com.example.app");
    wire.send(&head);
    for limit in [4096, 65_536, u32::MAX, 5000, 4096] {
        wire.encoder.set_table_size_max(limit);
        assert_eq!(wire.send(&head).len(), 123, "{limit}");
    }
    wire.encoder.set_table_size_max(1000);
    assert!(wire.send(&head).starts_with(&hex("3fc907 8387 c4")), "a lower size");
    wire.encoder.set_table_size_max(4096);
    wire.encoder.set_table_size_max(1000);
    assert_eq!(wire.send(&head).len(), 123, "raised and lowered again before any block");
}

#[test]
fn a_lowered_table_loses_its_oldest_entries_on_both_sides() {
    let mut wire = Wire::new();
    let head = head(&bearer("j"), "com.example.app");
    wire.send(&head);
    wire.encoder.set_table_size_max(300);
    let block = wire.send(&head);
    assert!(block.starts_with(&[hex("3f8d02 8387 01"), text(AUTHORITY)].concat()), "{block:02x?}");
    assert_eq!(wire.peer.table().size_max(), 300);
    assert!(block.ends_with(&[hex("c1 c0 bf 0f2f"), text(APNS_ID)].concat()), "{block:02x?}");
}

#[test]
fn the_table_never_evicts_with_any_number_of_topics() {
    let mut wire = Wire::new();
    let bearer = bearer("j");
    let heads: Vec<_> = (0..100).map(|topic| head(&bearer, &format!("com.example.app{topic:02}"))).collect();
    let mut last = wire.send(&heads[0]).len();
    for head in &heads {
        let before = entries(wire.peer.table());
        last = wire.send(head).len();
        assert!(entries(wire.peer.table()).ends_with(&before), "no entry left the table");
    }
    assert!(wire.peer.table().size() <= 3072 + 75);
    // Literal: the name by its index, then the topic.
    assert_eq!(last, 123 + 2 + "com.example.app99".len());
}

#[test]
fn a_table_full_of_outdated_tokens_is_restarted_after_a_while() {
    let mut wire = Wire::new();
    let heads: Vec<_> = ('a'..='n').map(|letter| head(&bearer(&letter.to_string()), "com.example.app")).collect();
    let first = wire.send(&heads[0]);
    for head in &heads {
        wire.send(head);
    }
    let newest = heads.last().unwrap();
    assert!(wire.send(newest).len() > 300, "the newest authorization found no room");
    for _ in 0..100 {
        assert!(wire.send(newest).starts_with(&hex("8387")), "not immediately");
    }
    wire.encoder.allow_restart();
    let restart = wire.send(newest);
    assert!(restart.starts_with(&hex("203fe11f 8387 41")), "{restart:02x?}");
    assert_eq!(restart.len(), 4 + first.len());
    for _ in 0..3 {
        assert_eq!(wire.send(newest).len(), 123);
        wire.encoder.allow_restart();
    }
    assert_eq!(wire.peer.table().size(), 574);
}

#[test]
fn a_head_too_large_for_the_table_never_restarts_it() {
    let mut wire = Wire::new();
    wire.encoder.set_table_size_max(200);
    let head = head(&bearer("j"), "com.example.app");
    wire.send(&head);
    for _ in 0..3 {
        wire.encoder.allow_restart();
        assert!(wire.send(&head).starts_with(&hex("8387")));
    }
}
