//! Section 5 of the rules: resets, GOAWAY and closes, and the meaning of each end for written requests.

use super::super::{Blocked, Cause, Config};
use super::support::*;
use crate::frame::ErrorCode::{Cancel, NoError, Protocol};
use crate::frame::{flag, kind};

/// The part of the request on stream 1 that was written.
#[derive(Debug, Clone, Copy)]
enum Handed {
    Nothing,
    OneByte,
    HeadersButOne,
    Headers,
    All,
}

fn client(handed: Handed) -> Client {
    let mut client = Client::ready(&[]);
    client.request(1, b"{\"aps\":{}}").unwrap();
    let whole = client.session.output().len();
    let headers = whole - 9 - 10;
    client.session.handed(match handed {
        Handed::Nothing => 0,
        Handed::OneByte => 1,
        Handed::HeadersButOne => headers - 1,
        Handed::Headers => headers,
        Handed::All => whole,
    });
    client
}

const NOT_WHOLE: [Handed; 3] = [Handed::Nothing, Handed::OneByte, Handed::HeadersButOne];
const SENT: [Handed; 2] = [Handed::Headers, Handed::All];

#[test]
fn a_frame_for_an_unwritten_request_is_a_fault() {
    for handed in NOT_WHOLE {
        for input in [ok(1), data(1, 0, b""), rst_stream(1, 7), rst_stream(1, 0), window_update(1, 1)] {
            client(handed).assert_fault(&input, Protocol);
        }
    }
}

#[test]
fn an_answer_is_an_answer_though_the_body_is_not_out() {
    for handed in SENT {
        assert_eq!(client(handed).feed(&ok(1)), [answered(1, 200, "")]);
    }
}

#[test]
fn after_final_headers_every_end_is_an_incomplete_answer() {
    let begun = || {
        let mut client = client(Handed::All);
        assert_eq!(client.feed(&[headers(1, 0, &block(&[(":status", "410")])), data(1, 0, b"{\"re")].concat()), []);
        client
    };
    let expected = [cut(1, 410, "{\"re")];
    for code in [0, 7, 8] {
        assert_eq!(begun().feed(&rst_stream(1, code)), expected);
    }
    assert_eq!(begun().close(), expected);
    assert_eq!(begun().feed(&goaway(0, 0, b""))[1..], expected);
    assert_eq!(begun().cancel(1).as_slice(), expected);
    let mut faulty = begun();
    faulty.assert_fault(&window_update(0, 0), Protocol);
    assert_eq!(faulty.close(), expected);
}

#[test]
fn refused_stream_alone_proves_that_nothing_was_processed() {
    for handed in SENT {
        assert_eq!(client(handed).feed(&rst_stream(1, 7)), [not_sent(1, Cause::Refused)]);
        for code in [0, 1, 2, 8, 11, 13, 0xffff_ffff] {
            let mut client = client(handed);
            assert_eq!(client.feed(&rst_stream(1, code)), [unknown(1, Cause::Reset(code))]);
            assert!(client.written().iter().all(|frame| frame.kind == kind::DATA), "never answered with RST_STREAM");
            assert_eq!(client.session.open(), 0);
        }
    }
}

#[test]
fn a_goaway_below_a_stream_proves_the_same_at_any_time() {
    for handed in NOT_WHOLE.into_iter().chain(SENT) {
        for code in [0, 2, 7] {
            let seen = client(handed).feed(&goaway(0, code, b"{}"));
            let reported = Seen::GoAway { last_id: 0, code, debug: b"{}".to_vec() };
            assert_eq!(seen, [reported, not_sent(1, Cause::AboveLastId)], "{handed:?}");
        }
    }
}

#[test]
fn written_requests_are_unknown_after_a_closed_connection() {
    for (handed, end) in [
        (Handed::Nothing, not_sent(1, Cause::Closed)),
        (Handed::OneByte, unknown(1, Cause::Closed)),
        (Handed::HeadersButOne, unknown(1, Cause::Closed)),
        (Handed::Headers, unknown(1, Cause::Closed)),
        (Handed::All, unknown(1, Cause::Closed)),
    ] {
        assert_eq!(client(handed).close(), std::slice::from_ref(&end), "end of input");

        let mut spared = client(handed);
        spared.feed(&goaway(1, 0, b""));
        assert_eq!(spared.close(), std::slice::from_ref(&end), "the last id spares it");

        let mut faulty = client(handed);
        let unsent = faulty.session.output().len();
        faulty.feed(&window_update(0, 0));
        let frame_begun = match handed {
            Handed::OneByte => unsent - 9 - 10,
            Handed::HeadersButOne => 1,
            _ => 0,
        };
        assert_eq!(faulty.drain().len(), frame_begun + 17, "{handed:?}: the frame begun and the GOAWAY");
        assert_eq!(faulty.close(), [end], "our fault, although the GOAWAY was written");
        assert_eq!(faulty.close(), []);
    }
}

#[test]
fn a_cancel_resets_the_stream_and_leaves_it_unknown() {
    for handed in NOT_WHOLE.into_iter().chain(SENT) {
        let mut client = client(handed);
        assert_eq!(client.cancel(1), Some(unknown(1, Cause::Cancelled)));
        assert_eq!(client.cancel(1), None);
        let rest = client.drain();
        assert!(rest.ends_with(&rst_stream(1, Cancel as u32)), "the frames begun are finished first");
        assert_eq!(client.close(), []);
    }
    assert_eq!(client(Handed::All).cancel(3), None);
}

#[test]
fn after_a_fault_a_cancel_writes_nothing_and_the_end_comes_with_the_close() {
    let mut client = client(Handed::All);
    client.request(2, b"{}").unwrap();
    client.assert_fault(&window_update(0, 0), Protocol);
    assert_eq!((client.cancel(1), client.cancel(3)), (None, None));
    assert_eq!(client.session.output(), b"", "nothing follows the GOAWAY");
    assert_eq!(client.close(), [unknown(1, Cause::Closed), not_sent(2, Cause::Closed)]);
}

#[test]
fn after_a_goaway_no_stream_opens_and_those_below_it_go_on() {
    for last_id in [3, 0x7fff_ffff] {
        let mut client = Client::ready(&[]);
        client.send_many(2);
        client.feed(&goaway(last_id, 0, b""));
        assert_eq!((client.refusal(b"{}"), client.session.slots_free()), (Some(Blocked::Draining), 0));
        assert!(client.session.is_draining());
        client.feed(&[ping(0, 1), settings(&[]), window_update(0, 1)].concat());
        assert_eq!(client.written().len(), 2, "PING and SETTINGS are answered as before");
        assert_eq!(client.feed(&[ok(1), ok(3)].concat()), [answered(1, 200, ""), answered(2, 200, "")]);
        client.session.shut_down();
        client.session.shut_down();
        assert_eq!(client.written(), [wrote_goaway(NoError)]);
    }
}

#[test]
fn the_smallest_last_id_counts_and_raising_it_is_ignored() {
    let mut client = Client::ready(&[]);
    client.send_many(3);
    assert_eq!(client.feed(&goaway(0x7fff_ffff, 0, b"")).len(), 1);
    assert_eq!(client.feed(&goaway(3, 0, b""))[1..], [not_sent(3, Cause::AboveLastId)]);
    assert_eq!(client.feed(&goaway(5, 0, b"")), []);
    assert_eq!(client.feed(&goaway(3, 0, b"")).len(), 1, "a second, empty one");
    assert_eq!(client.feed(&goaway(1, 0, b""))[1..], [not_sent(2, Cause::AboveLastId)]);
    assert_eq!(client.feed(&ok(1)), [answered(1, 200, "")]);
}

#[test]
fn requests_encoded_but_not_begun_are_cut_out_by_a_goaway() {
    let mut client = Client::ready(&[]);
    client.request(1, b"{\"a\":1}").unwrap();
    let first = client.session.output().len();
    client.request(2, b"{\"b\":2}").unwrap();
    let second = client.session.output().len();
    client.request(3, b"{\"c\":3}").unwrap();
    client.feed(&ping(0, 9));
    let all = client.session.output().to_vec();
    client.session.handed(first + 1);
    client.feed(&goaway(1, 0, b""));
    // The HEADERS frame begun goes out whole; its DATA and the third request do not.
    let headers_of_second = second - 9 - 7;
    assert_eq!(client.drain(), [&all[first + 1..headers_of_second], &all[all.len() - 17..]].concat());

    let mut client = Client::ready(&[]);
    client.request(1, b"{}").unwrap();
    client.feed(&goaway(0, 0, b""));
    assert_eq!(client.session.output(), b"");
}

#[test]
fn a_goaway_that_comes_before_our_first_flight_is_out_cuts_behind_it() {
    let mut client = Client::new(Config::default());
    let first_flight = client.session.output().to_vec();
    client.feed(&settings(&[]));
    client.request(1, b"{}").unwrap();
    assert_eq!(client.feed(&goaway(0, 0, b""))[1..], [not_sent(1, Cause::AboveLastId)]);
    client.session.shut_down();
    let ack = frame(kind::SETTINGS, flag::ACK, 0, &[]);
    assert_eq!(client.drain(), [first_flight, ack, goaway(0, 0, b"")].concat());
}

#[test]
fn debug_data_is_kept_to_a_kibibyte() {
    let seen = Client::ready(&[]).feed(&goaway(0, 11, &[b'x'; 5_000]));
    assert_eq!(seen, [Seen::GoAway { last_id: 0, code: 11, debug: vec![b'x'; 1_024] }]);
}

#[test]
fn a_shutdown_of_ours_lets_streams_finish() {
    let mut client = Client::ready(&[]);
    client.send_many(1);
    client.session.shut_down();
    assert_eq!(client.written(), [wrote_goaway(NoError)]);
    assert_eq!(client.refusal(b"{}"), Some(Blocked::Draining));
    assert_eq!(client.feed(&ok(1)), [answered(1, 200, "")]);
}

#[test]
fn a_reset_of_ours_is_counted_until_the_peer_shows_life() {
    let life: [fn(&mut Client); 4] = [
        |client| {
            client.feed(&ok(3));
        },
        |client| {
            client.feed(&headers(1, flag::END_STREAM, OK));
        },
        |client| {
            client.feed(&window_update(3, 1));
        },
        |client| {
            client.session.ping(1);
            client.drain();
            client.feed(&ping(flag::ACK, 1));
        },
    ];
    for shows_life in life {
        let mut client = Client::ready(&[(3, 2)]);
        client.send_many(2);
        client.cancel(1);
        assert_eq!((client.session.open(), client.session.slots_free()), (1, 0));
        client.feed(&[settings(&[]), window_update(0, 1)].concat());
        assert_eq!(client.session.slots_free(), 0, "frames of the connection may come from a proxy");
        shows_life(&mut client);
        assert!(client.session.slots_free() > 0);
    }
}

#[test]
fn beyond_a_hundred_resets_a_cancelled_stream_keeps_its_slot() {
    let mut client = Client::ready(&[(3, 1_000)]);
    client.send_many(103);
    for id in (1..=199).step_by(2) {
        client.cancel(id);
    }
    assert_eq!(client.written().len(), 100);
    assert_eq!(client.session.resets_left(), 0);
    assert_eq!(client.cancel(201), Some(unknown(101, Cause::Cancelled)));
    assert_eq!(client.cancel(201), None);
    assert_eq!(client.written(), []);
    client.feed(&window_update(205, 1));
    assert_eq!((client.session.open(), client.session.slots_free()), (2, 997), "one slot stays taken");
    client.session.refill_resets(1);
    let answer = [headers(201, 0, OK), headers(201, 0, b""), data(201, 0, b"x"), data(201, flag::END_STREAM, b"y")];
    assert_eq!((client.feed(&answer.concat()), client.written()), (vec![], vec![]));
    assert_eq!(client.session.slots_free(), 998);
    client.cancel(203);
    assert_eq!(client.written(), [wrote_reset(203, Cancel)]);
    assert_eq!(client.close(), [unknown(103, Cause::Closed)]);
}

#[test]
fn an_abandoned_stream_ends_once_at_a_close() {
    let mut client = Client::ready(&[]);
    client.send_many(102);
    for id in (1..=203).step_by(2) {
        assert!(client.cancel(id).is_some());
    }
    assert_eq!((client.session.open(), client.close()), (0, vec![]));
}

#[test]
fn requests_wait_while_an_output_is_partly_written() {
    let mut client = Client::ready(&[]);
    client.request(1, b"{}").unwrap();
    assert_eq!(client.refusal(b"{}"), None, "a turn's buffer is shared");
    client.session.handed(1);
    assert_eq!(client.refusal(b"{}"), Some(Blocked::Output));
    let rest = client.session.output().len();
    client.session.handed(rest - 1);
    assert_eq!(client.refusal(b"{}"), Some(Blocked::Output));
    client.session.handed(1);
    assert_eq!(client.refusal(b"{}"), None);
}

#[test]
fn a_turn_fills_one_record_and_no_more() {
    let mut client = Client::ready(&[]);
    while client.request(1, &[b'x'; 160]).is_ok() {}
    assert_eq!(client.refusal(&[b'x'; 160]), Some(Blocked::Output));
    let length = client.session.output().len();
    assert!((15_500..=16_384).contains(&length), "{length}");
}

#[test]
fn open_streams_can_be_listed_by_age() {
    let mut client = Client::ready(&[]);
    client.send_many(5);
    client.feed(&ok(3));
    let mut open: Vec<_> = client.session.open_before(9).collect();
    open.sort_unstable();
    assert_eq!(open, [1, 5, 7]);
    assert_eq!(client.session.open_before(client.session.next_id()).count(), 4);
}
