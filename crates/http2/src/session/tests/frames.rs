//! Section 1 of the rules: frames as they arrive, row by row.

use super::super::{Config, Event};
use super::support::*;
use crate::frame::ErrorCode::{self, EnhanceYourCalm, FrameSize, Protocol};
use crate::frame::{STREAM_ID_MAX, flag, kind};
use crate::hpack::Decoder;

/// A client with streams 1 and 3 open and their requests written; 5 is idle.
fn client() -> Client {
    let mut client = Client::ready(&[]);
    client.send_many(2);
    client
}

#[test]
fn the_first_flight_is_preface_settings_and_window() {
    let expected = "505249202a20485454502f322e300d0a0d0a534d0d0a0d0a00000c04000000000000020000000000060000400000000408000000000\
                    0000f0001";
    let hex: String = Client::new(Config::default()).drain().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected);
}

#[test]
fn a_request_is_one_headers_and_one_data_frame() {
    let mut client = Client::ready(&[]);
    client.request(7, b"{\"aps\":{}}").unwrap();
    let written = client.written();
    assert_eq!((written[0].kind, written[0].flags, written[0].stream), (kind::HEADERS, flag::END_HEADERS, 1));
    let fields = decode(&mut Decoder::new(4_096), &written[0].payload);
    assert_eq!(fields[0], (":method".into(), "POST".into()));
    assert!(fields.contains(&(":path".into(), "/3/device/00fc13ad".into())));
    assert_eq!(written[1..], [wrote(kind::DATA, flag::END_STREAM, 1, b"{\"aps\":{}}")]);
}

#[test]
fn a_request_without_body_ends_with_its_headers() {
    let mut client = Client::ready(&[]);
    client.request(7, b"").unwrap();
    let written = client.written();
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].flags, flag::END_HEADERS | flag::END_STREAM);
}

#[test]
fn a_body_above_the_frame_size_is_cut_into_frames() {
    let mut client = Client::ready(&[]);
    client.request(7, &[b'x'; 40_000]).unwrap();
    let data: Vec<_> = client.written().into_iter().skip(1).map(|frame| (frame.payload.len(), frame.flags)).collect();
    assert_eq!(data, [(16_384, 0), (16_384, 0), (7_232, flag::END_STREAM)]);
}

#[test]
fn an_answer_in_one_headers_frame_comes_with_its_headers() {
    let mut client = client();
    let names = ["apns-id", "apns-unique-id", "apns-channel-id", "apns-request-id", "retry-after"];
    let fields: Vec<_> = names.iter().map(|name| (*name, *name)).collect();
    let input = headers(1, flag::END_STREAM, &[OK, &block(&fields)].concat());
    let Some(Event::Answered { tag: 1, answer }) = client.session.receive(&mut &input[..]) else {
        panic!("not answered");
    };
    assert_eq!((answer.status, answer.body, answer.complete), (200, &b""[..], true));
    let found = [answer.apns_id, answer.unique_id, answer.channel_id, answer.request_id, answer.retry_after];
    assert_eq!(found, names.map(|name| Some(name.as_bytes())));
}

#[test]
fn a_body_comes_whole_from_one_frame_or_many() {
    let start = headers(1, 0, OK);
    for body in [
        vec![data(1, flag::END_STREAM, b"{\"reason\"}")],
        vec![data(1, 0, b"{\"rea"), data(1, flag::END_STREAM, b"son\"}")],
        vec![data(1, 0, b"{\"reason\"}"), data(1, flag::END_STREAM, b"")],
        vec![data(1, flag::END_STREAM | flag::PADDED, b"\x03{\"reason\"}...")],
        vec![data(1, flag::PADDED, b"\x00{\"reason"), data(1, flag::END_STREAM | flag::PADDED, b"\x02\"}..")],
        vec![data(1, 0, b"{\"reason\"}"), headers(1, flag::END_STREAM, &block(&[("grpc-status", "0")]))],
    ] {
        assert_eq!(client().feed(&[start.clone(), body.concat()].concat()), [answered(1, 200, "{\"reason\"}")]);
    }
}

#[test]
fn a_body_in_one_frame_is_lent_from_the_input() {
    let mut client = client();
    let input = [headers(1, 0, OK), data(1, flag::END_STREAM, b"{}")].concat();
    let Some(Event::Answered { answer, .. }) = client.session.receive(&mut &input[..]) else { panic!("not answered") };
    assert!(std::ptr::eq(answer.body, &input[input.len() - 2..]));
}

#[test]
fn each_kind_is_refused_on_a_wrong_stream() {
    let on_streams = [
        frame(kind::DATA, 0, 0, b""),
        frame(kind::HEADERS, flag::END_HEADERS, 0, OK),
        frame(kind::PRIORITY, 0, 0, &[0; 5]),
        frame(kind::RST_STREAM, 0, 0, &[0; 4]),
    ];
    let on_the_connection = [
        frame(kind::SETTINGS, 0, 1, &[]),
        frame(kind::SETTINGS, flag::ACK, 1, &[]),
        frame(kind::PING, 0, 1, &[0; 8]),
        frame(kind::PING, flag::ACK, 1, &[0; 8]),
        frame(kind::GOAWAY, 0, 1, &[0; 8]),
    ];
    let idle_or_even = [5, 7, STREAM_ID_MAX, 2, 4]
        .into_iter()
        .flat_map(|id| [headers(id, 0, OK), data(id, 0, b""), rst_stream(id, 0), window_update(id, 1)]);
    for input in on_streams.into_iter().chain(on_the_connection).chain(idle_or_even) {
        client().assert_fault(&input, Protocol);
    }
}

#[test]
fn each_kind_is_refused_with_a_wrong_length() {
    for (kind, flags, stream, length) in [
        (kind::PRIORITY, 0, 1, 4),
        (kind::PRIORITY, 0, 1, 6),
        (kind::RST_STREAM, 0, 1, 3),
        (kind::RST_STREAM, 0, 1, 5),
        (kind::SETTINGS, 0, 0, 5),
        (kind::SETTINGS, flag::ACK, 0, 6),
        (kind::PING, 0, 0, 7),
        (kind::PING, 0, 0, 9),
        (kind::PING, flag::ACK, 0, 7),
        (kind::GOAWAY, 0, 0, 7),
        (kind::WINDOW_UPDATE, 0, 0, 3),
        (kind::WINDOW_UPDATE, 0, 1, 5),
        (kind::HEADERS, flag::END_HEADERS | flag::PRIORITY, 1, 4),
        (kind::HEADERS, flag::END_HEADERS | flag::PADDED, 1, 0),
        (kind::DATA, flag::PADDED, 1, 0),
    ] {
        client().assert_fault(&frame(kind, flags, stream, &vec![0; length]), FrameSize);
    }
}

#[test]
fn more_padding_than_payload_ends_the_connection() {
    client().assert_fault(&data(1, flag::PADDED, &[3, 0, 0]), Protocol);
    client().assert_fault(&headers(1, flag::PADDED, &[2, 0x88]), Protocol);
    let padded_and_prioritised = headers(1, flag::PADDED | flag::PRIORITY, &[4, 0, 0, 0, 0, 0, 0, 0, 0]);
    client().assert_fault(&padded_and_prioritised, FrameSize);
}

#[test]
fn a_frame_too_long_is_refused_at_its_ninth_byte() {
    for kind in [kind::DATA, kind::HEADERS, kind::SETTINGS, 0xfa] {
        client().assert_fault(&[0, 0x40, 1, kind, 0, 0, 0, 0, 1], FrameSize);
    }
    let longest = frame(0xfa, 0, 1, &[0; 16_384]);
    assert_eq!(client().feed(&longest), []);
}

#[test]
fn the_first_frame_must_be_settings() {
    for input in [ping(0, 1), frame(kind::SETTINGS, flag::ACK, 0, &[]), goaway(0, 0, b""), frame(0xfa, 0, 0, &[])] {
        Client::new(Config::default()).assert_fault(&input, Protocol);
    }
}

#[test]
fn a_peer_that_speaks_http_1_is_called_so() {
    let mut client = Client::new(Config::default());
    let seen = client.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert!(matches!(&seen[..], [Seen::Fault(fault)] if fault.to_string().contains("HTTP/1")), "{seen:?}");
    assert_eq!(client.written().last(), Some(&wrote_goaway(Protocol)));
}

#[test]
fn push_promise_ends_the_connection() {
    for (stream, payload) in [(1, &[0, 0, 0, 2, 0x88][..]), (0, &[]), (1, &[0; 100])] {
        client().assert_fault(&frame(kind::PUSH_PROMISE, flag::END_HEADERS, stream, payload), Protocol);
    }
}

#[test]
fn inside_a_field_block_only_its_continuation_may_come() {
    let open = frame(kind::HEADERS, flag::END_STREAM, 1, &[]);
    for next in [
        ping(0, 1),
        settings(&[]),
        window_update(0, 1),
        frame(0xfa, 0, 0, &[]),
        headers(1, 0, OK),
        headers(3, 0, OK),
        frame(kind::CONTINUATION, flag::END_HEADERS, 3, OK),
        // The order of checks: that it is out of place comes before its length.
        vec![0xff, 0xff, 0xff, 0xfa, 0, 0, 0, 0, 0],
    ] {
        client().assert_fault(&[open.clone(), next].concat(), Protocol);
    }
    client().assert_fault(&frame(kind::CONTINUATION, flag::END_HEADERS, 1, OK), Protocol);
    client().assert_fault(&frame(kind::CONTINUATION, flag::END_HEADERS, 0, OK), Protocol);
}

#[test]
fn a_block_in_pieces_is_decoded_once_and_then_ends_its_stream() {
    let mut client = client();
    let block = [OK, &block(&[("apns-id", "abc")])].concat();
    assert_eq!(client.feed(&frame(kind::HEADERS, flag::END_STREAM, 1, &block[..3])), []);
    assert!(client.session.block_open());
    assert_eq!(client.feed(&frame(kind::CONTINUATION, 0, 1, &[])), []);
    assert_eq!(client.feed(&frame(kind::CONTINUATION, 0, 1, &block[3..6])), []);
    let seen = client.feed(&frame(kind::CONTINUATION, flag::END_HEADERS, 1, &block[6..]));
    assert!(matches!(&seen[..], [Seen::Answered { apns_id: Some(id), complete: true, .. }] if id == "abc"));
    assert!(!client.session.block_open());
}

#[test]
fn priority_and_unknown_frames_are_ignored_anywhere() {
    let mut client = client();
    for input in [
        frame(kind::PRIORITY, 0, 1, &[0; 5]),
        frame(kind::PRIORITY, 0, 8, &[0; 5]),
        frame(kind::PRIORITY, 0, 9_999, &[0; 5]),
        frame(0x0a, 0, 0, b"h2"),
        frame(0x10, 0, 0, b"u=1"),
        frame(0xff, 0xff, STREAM_ID_MAX, &[]),
    ] {
        assert_eq!(client.feed(&input), []);
    }
    assert_eq!(client.written(), []);
}

#[test]
fn a_ping_is_answered_and_its_ack_is_not() {
    let mut client = client();
    assert_eq!(client.feed(&ping(0xfe, 77)), []);
    assert_eq!(client.written(), [wrote(kind::PING, flag::ACK, 0, &77_u64.to_be_bytes())]);
    client.session.ping(5);
    assert_eq!(client.written(), [wrote(kind::PING, 0, 0, &5_u64.to_be_bytes())]);
    assert_eq!(client.feed(&ping(flag::ACK, 5)), [Seen::Pong(5)]);
    assert_eq!(client.feed(&ping(flag::ACK, 5)), [], "a stray ACK");
    assert_eq!(client.written(), []);
}

#[test]
fn undefined_flags_and_reserved_bits_are_ignored() {
    let mut client = client();
    let mut answer = headers(1, 0xd2 | flag::END_STREAM, OK);
    answer[5] |= 0x80;
    assert_eq!(client.feed(&answer), [answered(1, 200, "")]);
    assert_eq!(client.feed(&goaway(0x8000_0003, 0, b"")), [Seen::GoAway { last_id: 3, code: 0, debug: vec![] }]);
}

#[test]
fn headers_with_padding_and_priority_are_understood() {
    let flags = flag::END_STREAM | flag::PADDED | flag::PRIORITY;
    let payload = [2, 0x80, 0, 0, 0, 16, 0x88, 0, 0];
    assert_eq!(client().feed(&headers(1, flags, &payload)), [answered(1, 200, "")]);
}

#[test]
fn events_before_a_fault_in_the_same_read_are_delivered() {
    let mut client = client();
    let seen = client.feed(&[ok(1), ping(0, 1), frame(kind::PING, 0, 1, &[0; 8]), ok(3)].concat());
    assert_eq!(seen[0], answered(1, 200, ""));
    assert!(matches!(seen[1..], [Seen::Fault(_)]));
    assert_eq!(client.session.fault().map(|fault| fault.code()), Some(ErrorCode::Protocol));
    assert_eq!(client.close(), [unknown(2, super::super::Cause::Closed)]);
    assert_eq!(client.close(), []);
}

#[test]
fn continuations_are_limited_in_number_and_size() {
    let open = frame(kind::HEADERS, flag::END_STREAM, 1, &[]);
    let continuations = |count: usize| frame(kind::CONTINUATION, 0, 1, &[]).repeat(count);
    let end = frame(kind::CONTINUATION, flag::END_HEADERS, 1, OK);
    let seen = client().feed(&[open.clone(), continuations(7), end.clone()].concat());
    assert_eq!(seen, [answered(1, 200, "")]);
    client().assert_fault(&[open, continuations(9)].concat(), EnhanceYourCalm);
    let half = frame(kind::HEADERS, 0, 1, &[0; 9_000]);
    client().assert_fault(&[half, frame(kind::CONTINUATION, 0, 1, &[0; 9_000])].concat(), EnhanceYourCalm);
}
