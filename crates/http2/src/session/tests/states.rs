//! Section 2 of the rules, and the judgement of messages: what each frame means in each state of its stream.

use super::super::Cause;
use super::support::*;
use crate::frame::ErrorCode::{Cancel, Protocol};
use crate::frame::{flag, kind};

fn client() -> Client {
    let mut client = Client::ready(&[]);
    client.send_many(2);
    client
}

/// Stream 1 has an answer; 3 is open.
fn answered_client() -> Client {
    let mut client = client();
    assert_eq!(client.feed(&ok(1)), [answered(1, 200, "")]);
    client
}

#[test]
fn a_closed_stream_ignores_every_frame() {
    let reset_by_us = || {
        let mut client = client();
        assert_eq!(client.cancel(1), Some(unknown(1, Cause::Cancelled)));
        client.drain();
        client
    };
    let reset_by_peer = || {
        let mut client = client();
        assert_eq!(client.feed(&rst_stream(1, 2)), [unknown(1, Cause::Reset(2))]);
        client
    };
    let above_goaway = || {
        let mut client = client();
        assert_eq!(client.feed(&goaway(0, 0, b"")).len(), 3);
        client
    };
    let makers: [&dyn Fn() -> Client; 4] = [&answered_client, &reset_by_us, &reset_by_peer, &above_goaway];
    for make in makers {
        for input in [
            headers(1, 0, OK),
            headers(1, flag::END_STREAM, OK),
            data(1, 0, b"late"),
            data(1, flag::END_STREAM, b""),
            rst_stream(1, 0),
            rst_stream(1, 7),
            window_update(1, 0),
            window_update(1, 0x7fff_ffff),
            frame(kind::PRIORITY, 0, 1, &[0; 5]),
        ] {
            let mut client = make();
            assert_eq!(client.feed(&input.repeat(3)), []);
            assert_eq!(client.written(), []);
            assert!(client.session.fault().is_none());
        }
    }
}

#[test]
fn a_dropped_block_still_feeds_the_table() {
    let mut client = answered_client();
    // Inserts apns-id: abc on a closed stream; stream 3 then refers to it.
    let insert = [&[0x88, 0x40, 7], &b"apns-id"[..], &[3], b"abc"].concat();
    assert_eq!(client.feed(&headers(1, 0, &insert)), []);
    let seen = client.feed(&headers(3, flag::END_STREAM, &[0x88, 0xbe]));
    assert!(matches!(&seen[..], [Seen::Answered { tag: 2, apns_id: Some(id), .. }] if id == "abc"), "{seen:?}");
}

#[test]
fn a_window_update_after_our_end_of_stream_is_ignored_with_any_content() {
    let mut client = client();
    for increment in [0, 1, 0x7fff_ffff, 0x7fff_ffff] {
        assert_eq!(client.feed(&window_update(1, increment)), []);
    }
    assert_eq!(client.written(), []);
    assert_eq!(client.feed(&ok(1)), [answered(1, 200, "")]);
}

#[test]
fn data_before_a_final_status_resets_the_stream() {
    for input in [data(1, 0, b"x"), [headers(1, 0, &block(&[(":status", "100")])), data(1, 0, b"x")].concat()] {
        let mut client = client();
        assert_eq!(client.feed(&input), [unknown(1, Cause::Malformed)]);
        assert_eq!(client.written(), [wrote_reset(1, Protocol)]);
        assert_eq!(client.feed(&ok(3)), [answered(2, 200, "")], "the other streams live");
    }
}

#[test]
fn an_early_answer_survives_and_its_body_stops() {
    // INITIAL_WINDOW_SIZE 1: one byte goes out, the rest waits.
    let early = || {
        let mut client = Client::ready(&[(4, 1)]);
        client.request(1, b"{\"aps\":{}}").unwrap();
        client.drain();
        client
    };
    let mut client = early();
    assert_eq!(client.feed(&ok(1)), [answered(1, 200, "")]);
    assert_eq!(client.written(), [wrote_reset(1, Cancel)]);
    for late in [rst_stream(1, 0), headers(1, 0, OK), data(1, 0, b"x"), window_update(1, 100)] {
        assert_eq!(client.feed(&late), []);
    }
    assert_eq!(client.written(), [], "one reset for a stream");

    let mut client = early();
    assert_eq!(client.feed(&[headers(1, 0, OK), rst_stream(1, 0)].concat()), [cut(1, 200, "")]);
    assert_eq!(client.feed(&window_update(1, 100)), []);
    assert_eq!(client.written(), []);
}

#[test]
fn malformed_answers_are_not_accepted() {
    let status = (":status", "200");
    for fields in [
        &[][..],
        &[("apns-id", "x")],
        &[status, status],
        &[("apns-id", "x"), status],
        &[status, (":path", "/")],
        &[status, (":", "/")],
        &[(":status", "20")],
        &[(":status", "2000")],
        &[(":status", "099")],
        &[(":status", "+20")],
        &[(":status", "")],
        &[status, ("", "x")],
        &[status, ("Apns-Id", "x")],
        &[status, ("a b", "x")],
        &[status, ("a:b", "x")],
        &[status, ("a\u{7f}", "x")],
        &[status, ("apns-id", "x\r")],
        &[status, ("apns-id", "a\nb")],
        &[status, ("other", "a\0b")],
        &[status, ("apns-id", " x")],
        &[status, ("apns-id", "x\t")],
        &[status, ("connection", "close")],
        &[status, ("proxy-connection", "x")],
        &[status, ("keep-alive", "x")],
        &[status, ("transfer-encoding", "chunked")],
        &[status, ("upgrade", "h2c")],
        &[status, ("content-length", "1")],
        &[status, ("content-length", "0"), ("content-length", "00"), ("content-length", "1")],
        &[status, ("content-length", "")],
        &[status, ("content-length", "+0")],
        &[status, ("content-length", "99999999999999999999999")],
        &[(":status", "101")],
        &[(":status", "100")],
    ] {
        let mut client = client();
        assert_eq!(
            client.feed(&headers(1, flag::END_STREAM, &block(fields))),
            [unknown(1, Cause::Malformed)],
            "{fields:?}"
        );
        assert_eq!(client.written(), [wrote_reset(1, Protocol)]);
        assert_eq!(client.feed(&ok(3)), [answered(2, 200, "")]);
    }
}

#[test]
fn unusual_but_legal_answers_are_accepted() {
    let status = (":status", "200");
    for fields in [
        &[status, ("content-length", "0"), ("content-length", "000")][..],
        &[status, ("apns-id", "")],
        &[status, ("te", "gzip"), ("x", "a b\tc")],
        &[status, ("apns-expiration", "\u{fc}")],
    ] {
        let seen = client().feed(&headers(1, flag::END_STREAM, &block(fields)));
        assert!(matches!(seen[..], [Seen::Answered { status: 200, .. }]), "{fields:?}: {seen:?}");
    }
    for (status, length) in [("204", "5"), ("304", "5")] {
        let block = block(&[(":status", status), ("content-length", length)]);
        assert!(matches!(client().feed(&headers(1, flag::END_STREAM, &block))[..], [Seen::Answered { .. }]));
    }
    let odd = headers(1, flag::END_STREAM, &block(&[(":status", "799")]));
    assert_eq!(client().feed(&odd), [answered(1, 799, "")]);
}

#[test]
fn content_length_is_the_data_without_padding() {
    let start = headers(1, 0, &block(&[(":status", "400"), ("content-length", "2")]));
    let padded = data(1, flag::END_STREAM | flag::PADDED, b"\x05{}.....");
    assert_eq!(client().feed(&[start.clone(), padded].concat()), [answered(1, 400, "{}")]);
    for body in [&b"{"[..], b"{ }", b""] {
        let mut client = client();
        let input = [start.clone(), data(1, flag::END_STREAM, body)].concat();
        assert_eq!(client.feed(&input), [unknown(1, Cause::Malformed)]);
        assert_eq!(client.written(), [wrote_reset(1, Protocol)]);
    }
    let trailers = headers(1, flag::END_STREAM, &block(&[("x", "y")]));
    let input = [start, data(1, 0, b"{"), trailers].concat();
    assert_eq!(client().feed(&input), [unknown(1, Cause::Malformed)]);
}

#[test]
fn trailers_must_end_the_stream_and_hold_no_pseudo_header() {
    let start = [headers(1, 0, OK), data(1, 0, b"{}")].concat();
    for trailers in [
        headers(1, 0, &block(&[("x", "y")])),
        headers(1, flag::END_STREAM, OK),
        headers(1, flag::END_STREAM, &block(&[("x", "y"), (":status", "200")])),
        headers(1, flag::END_STREAM, &block(&[("Bad", "y")])),
    ] {
        let mut client = client();
        assert_eq!(client.feed(&[start.clone(), trailers].concat()), [unknown(1, Cause::Malformed)]);
        assert_eq!(client.written(), [wrote_reset(1, Protocol)]);
    }
    let good = headers(1, flag::END_STREAM, &block(&[("x", "y")]));
    assert_eq!(client().feed(&[start, good].concat()), [answered(1, 200, "{}")]);
    let empty = [headers(1, 0, OK), headers(1, flag::END_STREAM, &[])].concat();
    assert_eq!(client().feed(&empty), [answered(1, 200, "")]);
}

#[test]
fn interim_answers_are_dropped_up_to_eight() {
    let interim = headers(1, 0, &block(&[(":status", "103"), ("link", "x"), ("content-length", "9")]));
    assert_eq!(client().feed(&[interim.repeat(8), ok(1)].concat()), [answered(1, 200, "")]);
    let mut client = client();
    assert_eq!(client.feed(&interim.repeat(9)), [unknown(1, Cause::Malformed)]);
    assert_eq!(client.written(), [wrote_reset(1, Protocol)]);
}

#[test]
fn a_header_list_over_the_limit_cancels_its_stream_only() {
    let value = "x".repeat(1_000);
    let big: Vec<_> = std::iter::once((":status", "200")).chain((0..16).map(|_| ("big", &value[..]))).collect();
    let many: Vec<_> = std::iter::once((":status", "200")).chain((0..128).map(|_| ("a", "b"))).collect();
    for fields in [big, many] {
        let mut client = client();
        let seen = client.feed(&headers(1, flag::END_STREAM, &block(&fields[..fields.len() - 1])));
        assert!(matches!(seen[..], [Seen::Answered { .. }]), "just within the limit");
        let seen = client.feed(&headers(3, flag::END_STREAM, &block(&fields)));
        assert_eq!(seen, [unknown(2, Cause::HeadersTooLarge)]);
        assert_eq!(client.written(), [wrote_reset(3, Cancel)]);
        assert!(client.session.fault().is_none());
    }
}

#[test]
fn a_body_over_the_cap_is_truncated_and_the_status_is_kept() {
    let mut client = client();
    let mut input = headers(1, 0, &block(&[(":status", "400")]));
    input.extend(data(1, 0, &[b'x'; 16_000]));
    input.extend(data(1, 0, &[b'x'; 384]));
    assert_eq!(client.feed(&input), []);
    assert_eq!(client.feed(&data(1, 0, b"y")), [cut(1, 400, &"x".repeat(16_384))]);
    assert_eq!(client.written(), [wrote_reset(1, Cancel)]);
    assert_eq!(client.feed(&data(1, flag::END_STREAM, b"y")), []);
}
