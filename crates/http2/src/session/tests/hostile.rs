//! Section 7 of the rules: peers that flood, stall or bomb, row by row.

use super::super::Cause;
use super::support::*;
use crate::frame::ErrorCode::{Cancel, Compression, EnhanceYourCalm, FlowControl, FrameSize, Protocol};
use crate::frame::{flag, kind};

const POINTS: usize = 10_000;

/// A client that answers what it is asked, so that no reply piles up. Stream 1 is open, 3 closed.
fn client() -> Client {
    let mut client = Client::ready(&[]);
    client.send_many(2);
    client.feed(&ok(3));
    client
}

/// Returns the number of frames after which the connection ends.
fn endured(mut client: Client, input: &[u8]) -> usize {
    for count in 0..=2 * POINTS {
        let seen = client.feed(input);
        client.drain();
        if let Some(Seen::Fault(fault)) = seen.last() {
            assert_eq!(fault.code(), EnhanceYourCalm);
            return count;
        }
    }
    panic!("endured without end");
}

#[test]
fn frames_without_effect_spend_the_budget() {
    for (what, input) in [
        ("PING", ping(0, 1)),
        ("stray PING ACK", ping(flag::ACK, 1)),
        ("SETTINGS", settings(&[(4, 1)])),
        ("stray SETTINGS ACK", frame(kind::SETTINGS, flag::ACK, 0, &[])),
        ("WINDOW_UPDATE of an open stream", window_update(1, 1)),
        ("WINDOW_UPDATE of a closed stream", window_update(3, 1)),
        ("WINDOW_UPDATE of the connection", window_update(0, 1)),
        ("PRIORITY", frame(kind::PRIORITY, 0, 1, &[0; 5])),
        ("unknown", frame(0xaa, 0, 0, b"x")),
        ("HEADERS of a closed stream", headers(3, 0, OK)),
        ("DATA of a closed stream", data(3, 0, b"x")),
        ("RST_STREAM of a closed stream", rst_stream(3, 0)),
    ] {
        let count = endured(client(), &input);
        // The first SETTINGS cost one as well.
        assert!((POINTS - 2..=POINTS).contains(&count), "{what}: {count}");
    }
}

#[test]
fn empty_data_spends_the_budget_and_full_data_does_not() {
    let mut with_body = client();
    with_body.feed(&headers(1, 0, OK));
    assert!((POINTS - 2..=POINTS).contains(&endured(with_body, &data(1, 0, b""))));
    let mut padded = client();
    padded.feed(&headers(1, 0, OK));
    // Stops by the stream's window before: padding counts there.
    let seen = padded.feed(&data(1, flag::PADDED, &[&[100][..], &[0; 100]].concat()).repeat(700));
    assert_eq!(seen, [cut(1, 200, "")]);
    let mut full = client();
    full.feed(&headers(1, 0, OK));
    assert_eq!(full.feed(&data(1, 0, b"x").repeat(16_000)), []);
    full.feed(&ping(0, 1));
    assert!(full.session.fault().is_none());
}

#[test]
fn repeated_goaways_spend_the_budget() {
    assert!((POINTS - 2..=POINTS + 1).contains(&endured(client(), &goaway(0x7fff_ffff, 0, &[0; 100]))));
}

#[test]
fn interim_answers_and_continuations_spend_the_budget() {
    let interim = headers(1, 0, &block(&[(":status", "103")]));
    let continued = [frame(kind::HEADERS, 0, 3, &[]), frame(kind::CONTINUATION, flag::END_HEADERS, 3, OK)].concat();
    assert!(endured(client(), &continued) <= POINTS / 2);
    let mut client = client();
    for _ in 0..POINTS - 4 {
        client.feed(&frame(0xaa, 0, 0, b""));
    }
    client.assert_fault(&interim.repeat(5), EnhanceYourCalm);
}

#[test]
fn streams_and_the_callers_timer_refill_the_budget() {
    let mut client = Client::ready(&[]);
    let unknown_frame = frame(0xaa, 0, 0, b"");
    client.feed(&unknown_frame.repeat(POINTS - 1));
    client.send(1);
    assert_eq!(client.feed(&unknown_frame.repeat(8)), []);
    client.session.refill(330);
    assert_eq!(client.feed(&unknown_frame.repeat(330)), []);
    client.assert_fault(&unknown_frame, EnhanceYourCalm);

    let mut rested = Client::ready(&[]);
    rested.session.refill(u32::MAX);
    assert_eq!(endured(rested, &unknown_frame), POINTS, "it never holds more than it began with");
}

#[test]
fn a_peer_that_reads_no_replies_is_left_after_a_thousand() {
    for input in [ping(0, 1), settings(&[])] {
        let mut client = Client::ready(&[]);
        assert_eq!(client.feed(&input.repeat(1_000)).iter().filter(|seen| matches!(seen, Seen::Fault(_))).count(), 0);
        assert!(client.session.output().len() <= 17_000);
        client.assert_fault(&input, EnhanceYourCalm);
    }
}

#[test]
fn answers_cost_nothing() {
    let mut client = Client::ready(&[]);
    for tag in 0..3 * POINTS as u32 {
        let id = client.send(tag);
        assert_eq!(
            client.feed(&[headers(id, 0, OK), data(id, flag::END_STREAM, b"{}")].concat()),
            [answered(tag, 200, "{}")]
        );
    }
}

#[test]
fn an_hpack_bomb_keeps_nothing_and_cancels_the_stream() {
    let mut client = client();
    // One entry of 3,000 bytes, named 4,000 times.
    let value = "x".repeat(3_000);
    let mut bomb = vec![0x88, 0x40, 1, b'a', 0x7f, (3_000_u32 - 127) as u8 & 127 | 128, ((3_000 - 127) / 128) as u8];
    bomb.extend_from_slice(value.as_bytes());
    bomb.extend([0xbe; 4_000]);
    assert_eq!(client.feed(&headers(1, flag::END_STREAM, &bomb)), [unknown(1, Cause::HeadersTooLarge)]);
    assert_eq!(client.written(), [wrote_reset(1, Cancel)]);
}

#[test]
fn broken_field_blocks_end_the_connection() {
    for block in [
        &[0x80][..],
        &[0xbe],
        &[0x7e, 0x01, 0x61],
        &[0x3f],
        &[0x00, 0x05, 0x61, 0x62],
        &[0x00, 0x7f, 0xff, 0xff, 0xff, 0x07],
        &[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
        &[0x00, 0x01, 0x61, 0x81, 0x18],
        &[0x00, 0x01, 0x61, 0x82, 0x1f, 0xff],
        &[0x00, 0x01, 0x61, 0x84, 0xff, 0xff, 0xff, 0xff],
        &[0x3f, 0xe2, 0x1f, 0x88],
        &[0x88, 0x20],
    ] {
        client().assert_fault(&headers(1, flag::END_STREAM, block), Compression);
        client().assert_fault(&headers(3, 0, block), Compression);
        let pieces =
            [frame(kind::HEADERS, 0, 1, &block[..1]), frame(kind::CONTINUATION, flag::END_HEADERS, 1, &block[1..])];
        client().assert_fault(&pieces.concat(), Compression);
    }
}

#[test]
fn nothing_the_peer_sends_provokes_resets_without_end() {
    let mut client = Client::ready(&[(3, 1_000)]);
    client.send_many(300);
    for id in (1..600).step_by(2) {
        let seen = client.feed(&headers(id, flag::END_STREAM, &[]));
        assert!(matches!(seen[..], [Seen::Ended { .. }]));
        assert_eq!(client.feed(&headers(id, 0, &[])), []);
    }
    let written = client.written();
    assert_eq!(written.len(), 100, "one reset for a stream, and a hundred in all");
    assert_eq!(client.session.slots_free(), 1_000, "what both sides ended holds no slot");
}

#[test]
fn wrong_sizes_fail_at_the_ninth_byte() {
    client().assert_fault(&[0xff, 0xff, 0xff, kind::DATA, 0, 0, 0, 0, 1], FrameSize);
    client().assert_fault(&settings(&[(5, 0)]), Protocol);
    client().assert_fault(&window_update(0, 0x7fff_ffff), FlowControl);
}

#[test]
fn credit_comes_back_in_time_for_any_amount_of_data() {
    let mut client = client();
    for _ in 0..200 {
        client.feed(&data(3, 0, &[0; 16_384]));
    }
    let updates = client.written();
    assert_eq!(updates, vec![wrote(kind::WINDOW_UPDATE, 0, 0, &524_288_u32.to_be_bytes()); 6]);
}

#[test]
fn an_idle_session_gives_its_buffers_back() {
    let mut client = client();
    client.feed(&[headers(1, 0, OK), data(1, 0, &[0; 16_000])].concat());
    client.feed(&data(1, flag::END_STREAM, &[0; 300])[..200]);
    client.session.release();
    let seen = client.feed(&data(1, flag::END_STREAM, &[0; 300])[200..]);
    assert!(matches!(&seen[..], [Seen::Answered { body, .. }] if body.len() == 16_300), "what is in use stays");
    client.session.release();
    let id = client.send(7);
    assert_eq!(client.feed(&ok(id)), [answered(7, 200, "")]);
}
