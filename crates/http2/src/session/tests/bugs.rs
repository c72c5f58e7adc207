//! Section 8 of the rules: bugs that other stacks had, each as a test here.

use super::super::{Blocked, Cause, Config};
use super::support::*;
use crate::frame::ErrorCode::{Cancel, Compression, FlowControl, Protocol};
use crate::frame::{flag, kind};
use crate::hpack::Decoder;

fn client() -> Client {
    let mut client = Client::ready(&[]);
    client.send_many(2);
    client
}

// 1

#[test]
fn an_answer_for_a_stream_behind_the_limit_is_a_fault_and_never_an_answer() {
    for input in [ok(3), rst_stream(3, 7)] {
        let mut client = Client::ready(&[(3, 1)]);
        client.send(1);
        assert_eq!(client.refusal(b"{}"), Some(Blocked::Streams));
        client.assert_fault(&input, Protocol);
    }
}

#[test]
fn a_request_behind_the_limit_has_no_stream_to_reset() {
    let mut client = Client::ready(&[(3, 1)]);
    client.send(1);
    assert_eq!(client.refusal(b"{}"), Some(Blocked::Streams));
    assert_eq!(client.cancel(3), None);
    assert_eq!(client.written(), []);
}

// 2

#[test]
fn no_stream_opens_after_the_first_phase_of_a_graceful_end() {
    let mut client = client();
    client.feed(&goaway(0x7fff_ffff, 0, b""));
    assert_eq!(client.refusal(b"{}"), Some(Blocked::Draining));
}

#[test]
fn a_refused_request_gives_its_tag_back() {
    let mut client = client();
    client.feed(&goaway(3, 0, b""));
    assert_eq!(client.request(42, b"{}").unwrap_err().tag, 42);
}

#[test]
fn streams_up_to_the_last_id_are_answered_after_a_goaway() {
    let mut client = client();
    assert_eq!(client.feed(&goaway(1, 0, b""))[1..], [not_sent(2, Cause::AboveLastId)]);
    assert_eq!(client.feed(&[headers(1, 0, OK), data(1, flag::END_STREAM, b"{}")].concat()), [answered(1, 200, "{}")]);
}

// 3

#[test]
fn a_goaway_is_reported_before_the_ends_it_causes() {
    let seen = client().feed(&goaway(0, 0, b"{\"reason\":\"Shutdown\"}"));
    assert!(matches!(seen[0], Seen::GoAway { last_id: 0, .. }));
    assert_eq!(seen[1..], [not_sent(1, Cause::AboveLastId), not_sent(2, Cause::AboveLastId)]);
}

#[test]
fn a_goaway_with_an_error_and_then_silence_leaves_nothing_hanging() {
    let mut client = client();
    client.feed(&goaway(1, 2, b""));
    assert_eq!((client.session.open(), client.session.is_draining()), (1, true));
    assert_eq!(client.cancel(1), Some(unknown(1, Cause::Cancelled)));
    assert_eq!(client.session.open(), 0);
}

// 4

#[test]
fn an_answer_and_a_reset_in_one_read_keep_the_answer() {
    for code in [0, 8] {
        assert_eq!(client().feed(&[ok(1), rst_stream(1, code)].concat()), [answered(1, 200, "")]);
    }
}

// 5

#[test]
fn data_of_closed_and_reset_streams_is_credited() {
    let makers: [fn() -> Client; 3] = [
        || {
            let mut client = client();
            client.feed(&ok(1));
            client
        },
        || {
            let mut client = client();
            client.cancel(1);
            client
        },
        || {
            let mut client = client();
            client.feed(&goaway(0, 0, b""));
            client
        },
    ];
    for make in makers {
        let mut client = make();
        client.drain();
        client.feed(&data(1, 0, &[0; 16_384]).repeat(32));
        assert_eq!(client.written(), [wrote(kind::WINDOW_UPDATE, 0, 0, &524_288_u32.to_be_bytes())]);
    }
}

// 6

#[test]
fn window_updates_and_many_resets_after_the_end_are_harmless() {
    let mut client = client();
    client.feed(&ok(1));
    assert_eq!(client.feed(&[window_update(1, 5), rst_stream(1, 0), rst_stream(1, 8)].concat()), []);
    assert_eq!(client.feed(&ok(3)), [answered(2, 200, "")]);
}

// 7

#[test]
fn a_reset_does_not_wait_behind_a_blocked_body() {
    let mut client = Client::ready(&[(4, 0)]);
    client.request(1, b"{}").unwrap();
    client.drain();
    assert_eq!(client.cancel(1), Some(unknown(1, Cause::Cancelled)));
    assert_eq!(client.written(), [wrote_reset(1, Cancel)]);
    client.feed(&settings(&[(4, 100)]));
    assert_eq!(client.written(), [wrote_settings_ack()], "and its body never follows");
}

#[test]
fn a_lowered_window_stalls_only_until_it_is_raised() {
    let mut client = Client::ready(&[(4, 10)]);
    client.request(1, &[b'x'; 20]).unwrap();
    client.drain();
    client.feed(&[settings(&[(4, 0)]), settings(&[(4, 20)])].concat());
    assert_eq!(client.written().last(), Some(&wrote(kind::DATA, flag::END_STREAM, 1, &[b'x'; 10])));
}

// 8

#[test]
fn the_limit_is_exact() {
    for limit in [1, 2, 100] {
        let mut client = Client::ready(&[(3, limit)]);
        client.send_many(limit);
        assert_eq!(client.refusal(b"{}"), Some(Blocked::Streams));
        client.feed(&ok(1));
        client.send(9);
        assert_eq!(client.refusal(b"{}"), Some(Blocked::Streams));
    }
}

#[test]
fn an_absent_limit_is_our_own() {
    let client = Client::ready_with(Config { streams_max: 7, ..Config::default() }, &[]);
    assert_eq!((client.session.stream_limit(), client.session.slots_free()), (7, 7));
}

// 9

#[test]
fn a_peer_without_table_gets_blocks_without_inserts() {
    let mut client = Client::ready(&[(1, 0)]);
    let mut decoder = Decoder::new(0);
    let blocks: Vec<_> = (1..=3)
        .map(|tag| {
            client.request(tag, b"{}").unwrap();
            client.written().swap_remove(0).payload
        })
        .collect();
    assert_eq!(blocks[0][0], 0x20, "the update comes first");
    let fields = blocks.iter().map(|block| decode(&mut decoder, block)).collect::<Vec<_>>();
    assert!(fields.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_size_update_in_mid_block_is_a_fault() {
    client().assert_fault(&headers(1, flag::END_STREAM, &[0x88, 0x3f, 0xe1, 0x1f]), Compression);
}

// 10

#[test]
fn a_name_may_be_cut_at_a_continuation_after_padding() {
    let block = [OK, &block(&[("apns-id", "abcdef")])].concat();
    for at in 0..=block.len() {
        let (start, rest) = block.split_at(at);
        let padded = [&[3], start, &[0; 3]].concat();
        let input = [
            frame(kind::HEADERS, flag::END_STREAM | flag::PADDED, 1, &padded),
            frame(kind::CONTINUATION, flag::END_HEADERS, 1, rest),
        ];
        let seen = client().feed(&input.concat());
        assert!(matches!(&seen[..], [Seen::Answered { apns_id: Some(id), .. }] if id == "abcdef"), "{at}: {seen:?}");
    }
}

// 11

#[test]
fn interim_answers_may_come_while_our_body_goes_out() {
    let mut client = Client::ready(&[(4, 1)]);
    client.request(1, b"{}").unwrap();
    client.drain();
    let interim = headers(1, 0, &block(&[(":status", "100")]));
    assert_eq!(client.feed(&[interim, window_update(1, 1)].concat()), []);
    assert_eq!(client.written(), [wrote(kind::DATA, flag::END_STREAM, 1, b"}")]);
    assert_eq!(client.feed(&ok(1)), [answered(1, 200, "")]);
}

#[test]
fn data_after_headers_without_status_is_no_answer() {
    let mut client = client();
    let input = [headers(1, 0, &block(&[("apns-id", "x")])), data(1, flag::END_STREAM, b"{}")].concat();
    assert_eq!(client.feed(&input), [unknown(1, Cause::Malformed)]);
    assert_eq!(client.written(), [wrote_reset(1, Protocol)]);
}

#[test]
fn a_content_length_without_data_is_malformed() {
    let block = block(&[(":status", "200"), ("content-length", "5")]);
    assert_eq!(client().feed(&headers(1, flag::END_STREAM, &block)), [unknown(1, Cause::Malformed)]);
}

// 12

#[test]
fn a_reset_before_the_answer_is_reported() {
    assert_eq!(client().feed(&rst_stream(1, 1)), [unknown(1, Cause::Reset(1))]);
}

// 13

#[test]
fn unknown_frames_on_any_stream_are_harmless() {
    let mut client = client();
    for stream in [0, 1, 2, 99, 0x7fff_ffff] {
        assert_eq!(client.feed(&frame(0x42, 0xff, stream, &[0xff; 64])), []);
    }
}

// 14

#[test]
fn deadlines_do_not_free_the_slots_of_a_hung_connection() {
    let mut client = Client::ready(&[(3, 10)]);
    client.send_many(10);
    (1..20).step_by(2).for_each(|id| assert!(client.cancel(id).is_some()));
    let written = client.written();
    assert!(written.iter().all(|frame| frame.kind == kind::RST_STREAM), "no PING with each reset");
    assert_eq!(client.refusal(b"{}"), Some(Blocked::Streams));
}

#[test]
fn overflow_by_a_data_frame_and_update_is_distinguished() {
    let mut client = client();
    client.assert_fault(&[window_update(0, 0x7fff_0000), window_update(0, 0x7fff_0000)].concat(), FlowControl);
    assert_eq!(client.close(), [unknown(1, Cause::Closed), unknown(2, Cause::Closed)]);
}
