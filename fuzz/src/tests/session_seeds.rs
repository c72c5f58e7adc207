//! Sessions to begin with: the recording of the session's tests, and what servers and callers do in each part of the rules.

use super::super::session::{call, frame};
use super::Seed;
use super::hpack_seeds::{length, number, text};
use http2::frame::{FrameHead, HEAD_LENGTH, flag, kind};
use http2::server_frames::recording;
use http2::server_frames::{OK, block, data, goaway, headers, ok, ping, rst_stream, settings, window_update};

/// Reads of at most this many bytes less one; then the shape of the session.
const READY: [u8; 2] = [6, 0];
const NOT_READY: [u8; 2] = [0, 32];
const LAST_IDS: [u8; 2] = [6, 16];
const LARGE_BODIES: [u8; 2] = [255, 4];
const CUT_OFF: [u8; 2] = [6, 64];

/// 16,384 bytes for the newest stream.
const LONG_DATA: [u8; 7] = [call::LONG_FRAME, kind::DATA, 0, 1, 0xc0, 0, b'x'];

fn request(body: usize) -> Vec<u8> {
    [vec![call::REQUEST, 8], length(body)].concat()
}

fn requests(count: u8, body: usize) -> Vec<u8> {
    [vec![call::REQUESTS, count, 16], length(body)].concat()
}

/// A request whose last byte was written.
fn sent(body: usize) -> Vec<u8> {
    [request(body), vec![call::HAND_ALL]].concat()
}

/// The server's bytes, a call for each frame.
fn serve(stream: &[u8]) -> Vec<u8> {
    let (mut calls, mut rest) = (Vec::new(), stream);
    while let Some(head) = rest.first_chunk().map(FrameHead::parse) {
        let (frame, behind) = rest.split_at(rest.len().min(HEAD_LENGTH + head.length));
        calls.extend([vec![call::BYTES], text(frame)].concat());
        rest = behind;
    }
    calls
}

fn seed(name: &'static str, parts: &[&[u8]]) -> Seed {
    (name, parts.concat())
}

pub fn seeds() -> Vec<Seed> {
    [beginnings(), answers(), ends(), limits(), floods()].concat()
}

fn beginnings() -> Vec<Seed> {
    let four = [request(2), request(2), request(3_000), request(2), vec![call::HAND_ALL]].concat();
    let window = [serve(&settings(&[(4, 1_000)])), vec![call::HAND_ALL]].concat();
    let silent = [call::HAND, 1, call::HAND, 100];
    vec![
        seed("recording", &[&READY, &window, &four, &serve(&recording())]),
        seed("first_settings", &[&NOT_READY, &silent, &serve(&settings(&[(3, 1), (1, 0), (6, 8_000)])), &sent(10)]),
        seed("first_goaway", &[&NOT_READY, &serve(&settings(&[])), &request(2), &serve(&goaway(0, 2, b"x"))]),
        seed("http_1", &[&NOT_READY, &[call::BYTES], &text(b"HTTP/1.1 400 Bad Request\r\n\r\n")]),
        seed("settings_illegal", &[&READY, &[call::SETTINGS, 3, 2, 1, 4, 0xfe, 5, 0]]),
        seed("push_promise", &[&READY, &sent(1), &[call::FRAME, kind::PUSH_PROMISE, 4, 1, 4, 0, 0, 0, 2]]),
        seed("answer_before_the_request_is_out", &[&READY, &request(10), &[call::HAND, 100], &serve(&ok(1))]),
    ]
}

fn answers() -> Vec<Seed> {
    let reason = b"{\"reason\":\"BadDeviceToken\"}";
    let refused = block(&[(":status", "400"), ("apns-id", "123e4567"), ("content-length", "27")]);
    let inserted = [&b"\x88\x40\x07apns-id\x02"[..], b"42\x40\x0eapns-unique-id\x8a"].concat();
    // One large entry in the table, and six references to it.
    let large = [&b"\x88\x40\x01x\x7f\xb9\x16"[..], &[b'y'; 3_000], &[0xbe; 6]].concat();
    let many = [&[0x88][..], &[0x90; 130]].concat();
    let interim = headers(1, 0, &block(&[(":status", "103")]));
    let end = flag::END_STREAM;
    let with = |frames: &[Vec<u8>]| [&READY[..], &sent(100), &serve(&frames.concat())].concat();
    let cut = [
        frame(kind::HEADERS, end | flag::PADDED | flag::PRIORITY, 1, b"\x02\0\0\0\0\x09\x88\0\0"),
        frame(kind::CONTINUATION, 0, 1, &refused[12..20]),
        frame(kind::CONTINUATION, flag::END_HEADERS, 1, &refused[20..]),
    ];
    vec![
        ("answer", with(&[ok(1)])),
        ("answer_with_body", with(&[headers(1, 0, &refused), data(1, end, reason)])),
        ("answer_in_pieces", with(&[headers(1, 0, &refused), data(1, 0, &reason[..9]), data(1, end, &reason[9..])])),
        ("answer_padded", with(&[headers(1, 0, &refused), data(1, 9, b"\x03{}...")])),
        ("answer_over_frames", with(&cut)),
        ("answer_with_trailers", with(&[headers(1, 0, OK), headers(1, end, &block(&[("a", "b")]))])),
        ("answer_twice", with(&[headers(1, 0, OK), headers(1, 0, OK), ok(1)])),
        ("answer_after_interim_ones", with(&[interim.repeat(9), ok(1)])),
        ("answer_of_another_length", with(&[headers(1, 0, &refused), data(1, end, b"{}")])),
        ("answer_inserted", with(&[headers(1, end, &inserted), headers(1, end, b"\xbe\xbf")])),
        ("answer_malformed", with(&[headers(1, end, &block(&[("a", "b"), (":status", "200")]))])),
        ("answer_too_large", with(&[headers(1, end, &large)])),
        ("answer_of_too_many_fields", with(&[headers(1, end, &many)])),
        ("answer_with_a_faulty_block", with(&[headers(1, end, b"\x88\xff")])),
        ("data_without_headers", with(&[data(1, 0, b"x"), data(1, end, b"x")])),
        ("body_over_the_cap", [with(&[headers(1, 0, OK)]), LONG_DATA.to_vec(), serve(&data(1, 0, b"x"))].concat()),
    ]
}

fn ends() -> Vec<Seed> {
    let begun = serve(&headers(1, 0, OK));
    let two = [request(10), request(10), vec![call::HAND, 130]].concat();
    let fault = serve(&window_update(0, 0));
    let cancel = [call::CANCEL, 1, 1];
    vec![
        seed("reset_refused", &[&READY, &sent(9), &serve(&rst_stream(1, 7))]),
        seed("reset_otherwise", &[&READY, &sent(9), &serve(&rst_stream(1, 0)), &serve(&ok(1))]),
        seed("reset_after_headers", &[&READY, &sent(9), &begun, &serve(&rst_stream(1, 7))]),
        seed("goaway_between", &[&READY, &two, &serve(&goaway(1, 0, b"{}")), &serve(&goaway(0, 0, b"")), &request(1)]),
        seed(
            "goaway_in_two_phases",
            &[&READY, &two, &serve(&goaway(i32::MAX as u32, 0, b"")), &serve(&goaway(1, 0, b""))],
        ),
        seed("fault_between", &[&READY, &two, &fault, &request(1), &cancel]),
        seed("fault_before_all", &[&NOT_READY, &serve(&settings(&[])), &request(1), &fault]),
        seed("closed_between", &[&CUT_OFF, &two]),
        seed("closed_after_headers", &[&CUT_OFF, &sent(9), &begun]),
        seed("cancel", &[&READY, &sent(9), &cancel, &serve(&ok(1))]),
        seed("cancel_before_it_is_out", &[&READY, &request(9), &[call::HAND, 100], &cancel, &[call::HAND_ALL]]),
        seed("cancel_beyond_the_resets", &[&READY, &requests(120, 0), &[call::HAND_ALL, call::CANCEL, 110, 110]]),
        seed("shut_down", &[&READY, &sent(9), &[call::OTHER, 1, 0, call::OTHER, 0, 9], &serve(&ok(1)), &request(1)]),
        seed("ping", &[&READY, &[call::OTHER, 0, 9], &serve(&ping(flag::ACK, 9)), &serve(&ping(0, 1))]),
        seed("last_ids", &[&LAST_IDS, &requests(6, 1), &[call::HAND_ALL, call::ANSWER, 1, 1, 0]]),
    ]
}

fn limits() -> Vec<Seed> {
    let long_block = |kind| [call::LONG_FRAME, kind, 0, 1, 0xa8, 0, 0x88];
    let window = |bytes| [serve(&settings(&[(4, bytes)])), vec![call::HAND_ALL]].concat();
    let trickle = serve(&window_update(1, 10));
    let hand = [call::HAND_ALL];
    vec![
        seed(
            "fewer_streams",
            &[&READY, &requests(5, 1), &serve(&settings(&[(3, 2)])), &hand, &request(1), &[call::CANCEL, 5, 5]],
        ),
        seed(
            "no_streams",
            &[&READY, &serve(&settings(&[(3, 0)])), &request(1), &serve(&settings(&[(3, 1)])), &sent(1)],
        ),
        seed("body_waits", &[&READY, &window(100), &sent(300), &trickle, &serve(&settings(&[(4, 400)])), &hand]),
        seed("body_trickles", &[&READY, &window(10), &sent(900), &trickle, &[call::REPEAT, 72], &hand]),
        seed(
            "body_waits_and_is_answered",
            &[&READY, &window(100), &sent(300), &serve(&ok(1)), &serve(&rst_stream(1, 0)), &sent(1)],
        ),
        seed(
            "the_only_slot_is_answered_while_its_body_waits",
            &[&READY, &serve(&settings(&[(3, 1)])), &window(100), &sent(300), &serve(&ok(1)), &sent(1), &sent(1)],
        ),
        seed(
            "body_waits_after_headers",
            &[&READY, &window(100), &sent(300), &serve(&headers(1, 0, OK)), &serve(&window_update(1, 0))],
        ),
        seed("stream_window_overflows", &[&READY, &window(100), &sent(300), &serve(&window_update(1, 0x7fff_ffff))]),
        seed(
            "settings_overflow_a_window",
            &[&READY, &window(9), &sent(300), &trickle, &serve(&settings(&[(4, 0x7fff_ffff)]))],
        ),
        seed("connection_window_overflows", &[&READY, &serve(&window_update(0, 0x7fff_ffff)), &sent(1)]),
        seed(
            "connection_window_used_up",
            &[&READY, &sent(9_000).repeat(9), &serve(&window_update(0, 20_000)), &sent(9_000).repeat(4)],
        ),
        seed(
            "less_table",
            &[
                &READY,
                &sent(1),
                &serve(&settings(&[(1, 0), (1, 4_096)])),
                &sent(1),
                &serve(&settings(&[(1, 100)])),
                &sent(1),
            ],
        ),
        seed(
            "small_header_list",
            &[&READY, &serve(&settings(&[(6, 200)])), &[call::REQUEST, 10, 1, call::REQUEST, 1, 1]],
        ),
        seed(
            "too_much_waits",
            &[&READY, &window(0), &serve(&window_update(0, 1 << 20)), &sent(30_000).repeat(3), &trickle, &hand],
        ),
        seed("block_too_long", &[&READY, &sent(0), &long_block(kind::HEADERS), &long_block(kind::CONTINUATION)]),
        seed(
            "large_body",
            &[&LARGE_BODIES, &sent(0), &serve(&headers(1, 0, OK)), &LONG_DATA.repeat(3), &hand, &LONG_DATA],
        ),
    ]
}

fn floods() -> Vec<Seed> {
    let again = [call::REPEAT, u8::MAX].repeat(40);
    let flood = |name, frame: &[u8]| seed(name, &[&READY, &sent(0), &serve(frame), &again]);
    let late = data(1, flag::PADDED, &[100; 127]);
    vec![
        seed("ping_flood", &[&READY, &serve(&ping(0, 1)), &[call::REPEAT, 200, call::HAND_ALL], &again]),
        flood("settings_flood", &settings(&[])),
        flood("priority_flood", &frame(kind::PRIORITY, 0, 1, &[0; 5])),
        flood("unknown_flood", &frame(0x10, 0, 0, b"")),
        flood("empty_data_flood", &data(1, 0, b"")),
        flood("goaway_flood", &goaway(1, 0, b"")),
        seed("late_data", &[&READY, &sent(0), &serve(&ok(1)), &serve(&late), &again, &[call::HAND_ALL]]),
        seed(
            "continuation_flood",
            &[
                &READY,
                &sent(0),
                &serve(&frame(kind::HEADERS, 0, 1, OK)),
                &serve(&frame(kind::CONTINUATION, 0, 1, b"")),
                &again,
            ],
        ),
        seed(
            "numbers",
            &[&READY, &sent(9), &[call::NUMBER_FRAME, 1, 1], &number(1 << 20), &[call::GOAWAY, 1, 0, 1, b'x']],
        ),
    ]
}
