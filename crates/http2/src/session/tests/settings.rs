//! Section 3 of the rules: the peer's SETTINGS, and waiting for them.

use super::super::{Blocked, Config};
use super::support::*;
use crate::frame::ErrorCode::{EnhanceYourCalm, FlowControl, Protocol};
use crate::frame::{STREAM_ID_MAX, flag, kind};
use crate::hpack::Decoder;

#[test]
fn no_request_starts_before_the_servers_settings() {
    let mut client = Client::new(Config::default());
    assert_eq!((client.refusal(b"{}"), client.session.slots_free()), (Some(Blocked::NotReady), 0));
    assert!(!client.session.is_ready());
    assert_eq!(client.feed(&settings(&[])), [Seen::Settings]);
    assert!(client.session.is_ready());
    assert_eq!(client.session.slots_free(), 1_000);
    client.drain();
    assert_eq!(client.refusal(b"{}"), None);
}

#[test]
fn settings_are_acknowledged_once_each() {
    let mut client = Client::ready(&[]);
    client.feed(&[settings(&[(3, 5)]), settings(&[])].concat());
    assert_eq!(client.written(), [wrote_settings_ack(), wrote_settings_ack()]);
}

#[test]
fn values_out_of_bounds_end_the_connection() {
    for (id, value, code) in [
        (2, 1, Protocol),
        (2, 2, Protocol),
        (4, 0x8000_0000, FlowControl),
        (4, u32::MAX, FlowControl),
        (5, 0, Protocol),
        (5, 16_383, Protocol),
        (5, 16_777_216, Protocol),
    ] {
        Client::ready(&[]).assert_fault(&settings(&[(id, value)]), code);
        Client::new(Config::default()).assert_fault(&settings(&[(id, value)]), code);
    }
}

#[test]
fn values_within_bounds_are_taken() {
    let entries =
        [(1, u32::MAX), (2, 0), (3, u32::MAX), (4, 0x7fff_ffff), (5, 16_777_215), (6, u32::MAX), (8, 7), (0, 1)];
    let client = Client::ready(&entries);
    assert!(client.session.fault().is_none());
    assert_eq!(client.session.stream_limit(), 65_536);
}

#[test]
fn the_last_of_repeated_values_wins() {
    assert_eq!(Client::ready(&[(3, 1), (3, 7), (3, 2)]).session.stream_limit(), 2);
}

#[test]
fn more_than_32_entries_are_too_many() {
    Client::ready(&[(3, 1); 32]).assert_fault(&settings(&[(3, 1); 33]), EnhanceYourCalm);
}

#[test]
fn requests_before_our_ack_fall_under_the_old_limit_and_later_ones_under_the_new() {
    let mut client = Client::ready(&[(3, 3)]);
    client.request(1, b"{}").unwrap();
    client.request(2, b"{}").unwrap();
    client.feed(&settings(&[(3, 4)]));
    client.request(3, b"{}").unwrap();
    client.request(4, b"{}").unwrap();
    assert_eq!(client.refusal(b"{}"), Some(Blocked::Streams));
    let order: Vec<_> = client.written().iter().map(|frame| (frame.kind, frame.stream)).collect();
    let (h, d, s) = (kind::HEADERS, kind::DATA, kind::SETTINGS);
    assert_eq!(order, [(h, 1), (d, 1), (h, 3), (d, 3), (s, 0), (h, 5), (d, 5), (h, 7), (d, 7)]);
}

#[test]
fn a_limit_below_what_is_open_closes_nothing_and_opens_nothing() {
    let mut client = Client::ready(&[(3, 3)]);
    client.send_many(3);
    client.feed(&settings(&[(3, 1)]));
    client.drain();
    assert_eq!((client.session.open(), client.session.slots_free()), (3, 0));
    client.feed(&[ok(1), ok(3)].concat());
    assert_eq!(client.refusal(b"{}"), Some(Blocked::Streams));
    client.feed(&ok(5));
    assert_eq!((client.session.slots_free(), client.refusal(b"{}")), (1, None));
}

#[test]
fn a_limit_of_zero_is_for_now() {
    let mut client = Client::ready(&[(3, 0)]);
    assert_eq!(client.refusal(b"{}"), Some(Blocked::Streams));
    client.feed(&settings(&[(3, 1)]));
    client.drain();
    assert_eq!(client.refusal(b"{}"), None);
}

#[test]
fn settings_that_name_no_limit_leave_it_as_it_is() {
    let mut client = Client::ready(&[(3, 5)]);
    client.feed(&settings(&[(4, 100_000)]));
    assert_eq!(client.session.stream_limit(), 5);
}

#[test]
fn headers_above_the_peers_list_size_are_refused_here() {
    let mut client = Client::ready(&[(6, 100)]);
    assert_eq!(client.refusal(b"{}"), Some(Blocked::HeadersTooLarge));
    client.feed(&settings(&[(6, 8_000)]));
    client.drain();
    assert_eq!(client.refusal(b"{}"), None);
}

#[test]
fn a_smaller_header_table_is_announced_in_the_first_block_after_the_ack() {
    let mut client = Client::ready(&[]);
    client.request(1, b"{}").unwrap();
    client.feed(&settings(&[(1, 0), (1, 4_096)]));
    client.request(2, b"{}").unwrap();
    let written = client.written();
    let blocks: Vec<_> = written.iter().filter(|frame| frame.kind == kind::HEADERS).collect();
    assert!(blocks[1].payload.starts_with(&[0x20, 0x3f, 0xe1, 0x1f]), "{:?}", &blocks[1].payload[..5]);
    let mut decoder = Decoder::new(4_096);
    let [first, second] = [0, 1].map(|at| decode(&mut decoder, &blocks[at].payload));
    assert_eq!(first, second);
}

#[test]
fn the_ack_of_our_settings_is_seen_and_a_second_tolerated() {
    let mut client = Client::new(Config::default());
    client.feed(&settings(&[]));
    assert!(!client.session.settings_acked());
    let ack = frame(kind::SETTINGS, flag::ACK, 0, &[]);
    assert_eq!(client.feed(&ack), []);
    assert!(client.session.settings_acked());
    assert_eq!(client.feed(&ack), []);
    assert!(client.session.fault().is_none());
}

#[test]
fn ids_run_out_at_the_last_odd_one() {
    let mut client = Client::ready_with(Config { first_id: STREAM_ID_MAX - 2, ..Config::default() }, &[]);
    assert_eq!((client.session.ids_left(), client.session.slots_free()), (2, 2));
    assert_eq!(client.send(1), STREAM_ID_MAX - 2);
    assert_eq!(client.send(2), STREAM_ID_MAX);
    assert_eq!((client.session.ids_left(), client.session.slots_free()), (0, 0));
    assert_eq!(client.refusal(b"{}"), Some(Blocked::IdsUsedUp));
    assert_eq!(client.feed(&ok(STREAM_ID_MAX)), [answered(2, 200, "")]);
    assert_eq!(Client::ready(&[]).session.ids_left(), 1 << 30);
}
