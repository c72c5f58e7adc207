//! Section 4 of the rules: flow control both ways.

use super::super::{Blocked, Cause, Config};
use super::support::*;
use crate::frame::ErrorCode::{Cancel, FlowControl, Protocol};
use crate::frame::{flag, kind};

/// Lengths of the DATA frames written for a stream.
fn pieces(written: &[Wrote], stream: u32) -> Vec<usize> {
    let data = written.iter().filter(|frame| frame.kind == kind::DATA && frame.stream == stream);
    data.map(|frame| frame.payload.len()).collect()
}

#[test]
fn a_request_starts_only_when_the_connections_window_holds_its_body() {
    let mut client = Client::ready(&[]);
    for tag in 1..=15 {
        client.request(tag, &[b'x'; 4_096]).unwrap();
        client.drain();
    }
    client.request(16, &[b'x'; 4_000]).unwrap();
    client.drain();
    // 65,535 − 15 × 4,096 − 4,000 = 95.
    assert_eq!(client.refusal(&[b'x'; 96]), Some(Blocked::ConnectionWindow));
    client.feed(&window_update(0, 1));
    assert_eq!(client.refusal(&[b'x'; 96]), None);
    client.drain();
    assert_eq!(client.refusal(b"x"), Some(Blocked::ConnectionWindow));
    assert_eq!(client.refusal(b""), None, "headers are not counted");
}

#[test]
fn settings_never_move_the_connections_window() {
    let mut client = Client::ready(&[(4, 1_000_000)]);
    assert_eq!(client.refusal(&[b'x'; 65_536]), Some(Blocked::ConnectionWindow));
    client.feed(&settings(&[(4, 0)]));
    client.drain();
    assert_eq!(client.refusal(&[b'x'; 65_535]), None);
}

#[test]
fn a_body_above_the_streams_window_goes_out_as_the_peer_allows() {
    let mut client = Client::ready(&[(4, 1_023)]);
    client.request(1, &[b'x'; 2_500]).unwrap();
    assert_eq!(pieces(&client.written(), 1), [1_023]);
    client.feed(&window_update(1, 1_000));
    assert_eq!(pieces(&client.written(), 1), [1_000]);
    client.feed(&window_update(0, 1_000));
    assert_eq!(client.written(), [], "the connection's window was not what was missing");
    client.feed(&window_update(1, 1_000));
    let written = client.written();
    assert_eq!(pieces(&written, 1), [477]);
    assert_eq!(written[0].flags, flag::END_STREAM);
    assert_eq!(client.feed(&ok(1)), [answered(1, 200, "")]);
}

#[test]
fn a_changed_initial_window_reaches_waiting_bodies_and_may_make_windows_negative() {
    let mut client = Client::ready(&[(4, 100)]);
    client.request(1, &[b'x'; 300]).unwrap();
    assert_eq!(pieces(&client.written(), 1), [100]);
    client.feed(&settings(&[(4, 40)]));
    assert_eq!(client.written(), [wrote_settings_ack()]);
    // Now at −60.
    client.feed(&window_update(1, 60));
    assert_eq!(client.written(), []);
    client.feed(&window_update(1, 5));
    assert_eq!(pieces(&client.written(), 1), [5]);
    client.feed(&settings(&[(4, 50)]));
    let written = client.written();
    assert_eq!((written[0].clone(), pieces(&written, 1)), (wrote_settings_ack(), vec![10]), "the ACK comes first");
    client.feed(&settings(&[(4, 65_535)]));
    assert_eq!(pieces(&client.written(), 1), [185]);
}

#[test]
fn waiting_bodies_are_served_in_order_and_leave_when_their_stream_ends() {
    let mut client = Client::ready(&[(4, 0)]);
    (1..=3).for_each(|tag| assert!(client.request(tag, b"{}").is_ok()));
    assert_eq!(client.written().len(), 3, "HEADERS only");
    assert_eq!(client.feed(&rst_stream(3, 0)), [unknown(2, Cause::Reset(0))]);
    client.feed(&settings(&[(4, 100)]));
    let streams: Vec<_> = client.written().iter().map(|frame| frame.stream).collect();
    assert_eq!(streams, [0, 1, 5]);
}

#[test]
fn the_window_of_an_unsent_body_is_returned() {
    let mut client = Client::ready(&[(4, 5_535)]);
    client.request(1, &[b'x'; 65_535]).unwrap();
    client.drain();
    assert_eq!(client.refusal(b"x"), Some(Blocked::ConnectionWindow));
    client.feed(&rst_stream(1, 7));
    assert_eq!(client.refusal(&[b'x'; 60_001]), Some(Blocked::ConnectionWindow));
    assert_eq!(client.refusal(&[b'x'; 60_000]), None);
}

#[test]
fn what_waits_for_stream_windows_is_bounded() {
    let mut client = Client::ready(&[(4, 0), (3, 65_536)]);
    client.feed(&window_update(0, 10_000_000));
    let mut waiting = 0;
    while client.request(1, &[b'x'; 4_096]).is_ok() {
        client.drain();
        waiting += 1;
    }
    assert_eq!(waiting, 16);
    assert_eq!(client.refusal(&[b'x'; 4_096]), Some(Blocked::StreamWindow));
    assert_eq!(client.refusal(b""), None);
}

#[test]
fn a_body_in_more_than_64_frames_is_cancelled() {
    let mut client = Client::ready(&[(4, 1)]);
    client.request(1, &[b'x'; 100]).unwrap();
    assert_eq!(pieces(&client.written(), 1), [1]);
    for _ in 0..63 {
        assert_eq!(client.feed(&window_update(1, 1)), []);
    }
    assert_eq!(pieces(&client.written(), 1), [1; 63]);
    assert_eq!(client.feed(&window_update(1, 1)), [unknown(1, Cause::WindowTooSmall)]);
    assert_eq!(client.written(), [wrote_reset(1, Cancel)]);
}

#[test]
fn a_received_status_is_kept_if_a_window_fault_resets_its_stream() {
    for (updates, last, code) in [(0, 0, Protocol), (63, 1, Cancel)] {
        let mut client = Client::ready(&[(4, 1)]);
        client.request(1, &[b'x'; 100]).unwrap();
        client.drain();
        assert_eq!(client.feed(&headers(1, 0, &block(&[(":status", "413")]))), []);
        assert_eq!(client.feed(&window_update(1, 1).repeat(updates)), []);
        client.drain();
        assert_eq!(client.feed(&window_update(1, last)), [cut(1, 413, "")]);
        assert_eq!(client.written(), [wrote_reset(1, code)]);
    }
}

#[test]
fn windows_above_two_to_the_31_minus_1_are_faults() {
    let connection = window_update(0, 0x7fff_ffff - 65_535);
    let mut client = Client::ready(&[]);
    assert_eq!(client.feed(&connection), []);
    client.assert_fault(&window_update(0, 1), FlowControl);
    Client::ready(&[]).assert_fault(&window_update(0, 0x7fff_ffff), FlowControl);
    Client::ready(&[]).assert_fault(&window_update(0, 0), Protocol);
}

#[test]
fn an_increment_of_zero_resets_a_stream_whose_body_waits() {
    let mut client = Client::ready(&[(4, 0)]);
    client.request(1, b"{}").unwrap();
    client.drain();
    assert_eq!(client.feed(&window_update(1, 0)), [unknown(1, Cause::Malformed)]);
    assert_eq!(client.written(), [wrote_reset(1, Protocol)]);
}

#[test]
fn settings_that_overflow_a_waiting_streams_window_are_a_fault() {
    let mut client = Client::ready(&[(4, 0)]);
    // The output is full of DATA to come, so the window stays unused.
    client.request(1, &[b'x'; 40_000]).unwrap();
    client.drain();
    client.feed(&window_update(1, 0x7fff_ffff));
    assert_eq!(client.session.output().len(), 16_393);
    client.assert_fault(&settings(&[(4, 0x7fff_ffff)]), FlowControl);
}

#[test]
fn a_stream_window_that_overflows_by_updates_resets_the_stream() {
    let mut client = Client::ready(&[(4, 0)]);
    client.request(1, &[b'x'; 40_000]).unwrap();
    client.drain();
    assert_eq!(client.feed(&window_update(1, 0x7fff_ffff)), []);
    assert_eq!(client.feed(&window_update(1, 16_385)), [unknown(1, Cause::Malformed)]);
    assert_eq!(client.written().last(), Some(&wrote_reset(1, FlowControl)));
}

#[test]
fn a_waiting_body_keeps_the_output_within_a_turn() {
    let mut client = Client::ready(&[(4, 0)]);
    client.request(1, &[b'x'; 60_000]).unwrap();
    client.drain();
    client.feed(&settings(&[(4, 65_535)]));
    assert!(client.session.output().len() <= 2 * 16_393);
    let written = client.written();
    assert_eq!(pieces(&written, 1), [16_384, 16_384, 16_384, 10_848]);
}

#[test]
fn all_received_data_is_credited_with_any_result() {
    let mut client = Client::ready(&[]);
    client.send(1);
    client.feed(&ok(1));
    // Padding and its length byte count; the stream is closed.
    let padded = data(1, flag::PADDED, &[vec![255], vec![0; 16_383]].concat());
    for _ in 0..31 {
        assert_eq!(client.feed(&padded), []);
        assert_eq!(client.written(), []);
    }
    client.feed(&padded);
    assert_eq!(client.written(), [wrote(kind::WINDOW_UPDATE, 0, 0, &524_288_u32.to_be_bytes())]);
}

#[test]
fn padding_alone_can_overflow_a_streams_window() {
    let mut client = Client::ready(&[]);
    client.send_many(2);
    client.feed(&headers(1, 0, &block(&[(":status", "400")])));
    let mut padding = vec![255; 256];
    padding[1..].fill(0);
    let padding = data(1, flag::PADDED, &padding);
    for _ in 0..255 {
        assert_eq!(client.feed(&padding), []);
    }
    assert_eq!(client.feed(&padding), [cut(1, 400, "")]);
    assert_eq!(client.written(), [wrote_reset(1, FlowControl)]);
    assert_eq!(client.feed(&ok(3)), [answered(2, 200, "")]);
}

#[test]
fn a_large_cap_gets_stream_updates_at_half_a_window() {
    let config = Config { body_max: 300_000, ..Config::default() };
    let mut client = Client::ready_with(config, &[]);
    client.send(1);
    client.feed(&headers(1, 0, OK));
    let piece = data(1, 0, &[b'x'; 16_384]);
    for count in 1..=16_u32 {
        client.feed(&piece);
        let update = wrote(kind::WINDOW_UPDATE, 0, 1, &32_768_u32.to_be_bytes());
        assert_eq!(client.written(), if count % 2 == 0 { vec![update] } else { vec![] });
    }
    assert_eq!(client.feed(&data(1, flag::END_STREAM, b"y")), [answered(1, 200, &("x".repeat(262_144) + "y"))]);
}

#[test]
fn the_usual_cap_gets_no_stream_updates() {
    let mut client = Client::ready(&[]);
    client.send(1);
    client.feed(&headers(1, 0, OK));
    // More than half a stream's window, most of it padding.
    client.feed(&data(1, flag::PADDED, &[&[255], &[0; 300][..]].concat()).repeat(120));
    assert_eq!(client.written(), []);
}
