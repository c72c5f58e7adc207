//! The bytes that a decoder keeps, and the order of frames that it accepts.

use super::super::{HEADER_BYTES, put_call, put_hello, put_leaving, put_outcomes, put_ping, put_pong, put_result};
use super::*;
use crate::delivery::peer::wire::Agreed;

const LIMITS: Limits = Limits { frame_bytes: 8 << 20, items: 100 };

fn hello() -> Hello {
    Hello {
        versions: (1, 1),
        features: Features::NONE,
        limits: LIMITS,
        ring: 7,
        session: "00112233445566778899aabbccddeeff".parse().unwrap(),
        epoch: crate::store::Epoch::stored(3),
        node: "n1".parse().unwrap(),
    }
}

/// A decoder that has read HELLO.
fn open(features: Features) -> Decoder {
    let mut decoder = Decoder::new(LIMITS);
    let mut bytes = Vec::new();
    put_hello(&mut bytes, &hello());
    assert!(matches!(decoder.next(&mut &bytes[..]), Ok(Some(Received { frame: Frame::Hello(_), .. }))));
    decoder.agree(Agreed { version: 1, features, limits: LIMITS });
    decoder
}

fn header(length: u32, kind: u8) -> Vec<u8> {
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(&[kind, 0, 0, 0]);
    bytes.extend_from_slice(&9_u64.to_le_bytes());
    bytes
}

#[test]
fn nothing_comes_before_hello_and_hello_comes_once() {
    let mut ping = Vec::new();
    put_ping(&mut ping, 1);
    assert_eq!(Decoder::new(LIMITS).next(&mut &ping[..]).err(), Some(WireError::NoHello(5)));
    assert_eq!(Decoder::new(LIMITS).next(&mut &b"GET / HTTP/1.1\r\n"[..]).err(), Some(WireError::NoHello(b'/')));
    let mut again = Vec::new();
    put_hello(&mut again, &hello());
    assert_eq!(open(Features::NONE).next(&mut &again[..]).err(), Some(WireError::SecondHello));
    let large = WireError::TooLong { bytes: 4097, limit: 4096 };
    assert_eq!(Decoder::new(LIMITS).next(&mut &header(4097, 1)[..]).err(), Some(large));
}

#[test]
fn calls_are_refused_unless_both_sides_agreed_on_them() {
    for (put, kind) in [(put_call as fn(&mut Vec<u8>, u64, &[u8]), Kind::Call), (put_result, Kind::Result)] {
        let mut bytes = Vec::new();
        put(&mut bytes, 5, b"body");
        assert_eq!(open(Features::NONE).next(&mut &bytes[..]).err(), Some(WireError::NotAgreed(kind)));
        let read = open(Features::CALLS).next(&mut &bytes[..]).expect("agreed").expect("a frame");
        let (Frame::Call(body) | Frame::Result(body)) = read.frame else { panic!("{read:?}") };
        assert_eq!((read.id, &body[..]), (5, &b"body"[..]));
    }
}

#[test]
fn an_unknown_kind_a_reserved_field_and_a_length_over_the_limit_are_refused_from_the_header_alone() {
    for (header, expected) in [
        (header(0, 0), WireError::UnknownKind(0)),
        (header(0, 14), WireError::UnknownKind(14)),
        (header((8 << 20) + 1, 2), WireError::TooLong { bytes: (8 << 20) + 1, limit: 8 << 20 }),
        (header(u32::MAX, 2), WireError::TooLong { bytes: u32::MAX, limit: 8 << 20 }),
    ] {
        assert_eq!(open(Features::NONE).next(&mut &header[..]).err(), Some(expected));
    }
    for reserved in 5..8 {
        let mut header = header(0, 5);
        header[reserved] = 1;
        assert_eq!(open(Features::NONE).next(&mut &header[..]).err(), Some(WireError::Reserved), "byte {reserved}");
    }
}

#[test]
fn a_body_of_another_length_than_its_kind_has_is_refused() {
    for (kind, length, expected) in [
        (5, 1, WireError::TooMuch(Kind::Ping)),
        (6, 7, WireError::CutShort(Kind::Pong)),
        (6, 9, WireError::TooMuch(Kind::Pong)),
        (11, 1, WireError::TooMuch(Kind::Leaving)),
        (4, 4, WireError::CutShort(Kind::Refused)),
        (7, 3, WireError::CutShort(Kind::Warm)),
        (2, 10, WireError::CutShort(Kind::Batch)),
    ] {
        let mut bytes = header(length, kind);
        bytes.resize(HEADER_BYTES + length as usize, 0);
        if kind == 4 {
            bytes[HEADER_BYTES] = 1;
        }
        assert_eq!(open(Features::NONE).next(&mut &bytes[..]).err(), Some(expected));
    }
}

#[test]
fn a_length_that_is_announced_takes_no_memory_before_its_bytes_come() {
    let mut decoder = open(Features::CALLS);
    let mut bytes = header(8 << 20, 12);
    bytes.extend_from_slice(&[0; 10]);
    assert!(decoder.next(&mut &bytes[..]).unwrap().is_none());
    assert!(decoder.body.capacity() <= AHEAD_BYTES_MAX, "{}", decoder.body.capacity());
    let mut arrived = 10;
    while arrived < 8 << 20 {
        let part = vec![0; (100 << 10).min((8 << 20) - arrived)];
        arrived += part.len();
        let read = decoder.next(&mut &part[..]).unwrap();
        assert_eq!(read.is_some(), arrived == 8 << 20);
        assert!(
            decoder.body.capacity() <= (2 * arrived).max(AHEAD_BYTES_MAX),
            "{} of {arrived}",
            decoder.body.capacity()
        );
    }
    assert_eq!(decoder.body.capacity(), 0, "the frame is handed out, and nothing of it is kept");
}

#[test]
fn frames_come_out_in_their_order_however_their_bytes_are_cut() {
    let mut bytes = Vec::new();
    put_hello(&mut bytes, &hello());
    put_ping(&mut bytes, 1);
    put_pong(&mut bytes, 2, 1234);
    put_outcomes(&mut bytes, 3, &[]);
    put_leaving(&mut bytes);
    for piece in 1..=bytes.len() {
        let mut decoder = Decoder::new(LIMITS);
        let mut seen = Vec::new();
        for mut part in bytes.chunks(piece) {
            while let Some(received) = decoder.next(&mut part).expect("good frames") {
                seen.push((received.id, format!("{:?}", received.frame)));
            }
            assert!(part.is_empty());
        }
        assert_eq!(seen.len(), 5, "in pieces of {piece}");
        let rest: Vec<(u64, &str)> = seen[1..].iter().map(|(id, frame)| (*id, &frame[..])).collect();
        assert_eq!(rest, [(1, "Ping"), (2, "Pong { clock_ms: 1234 }"), (3, "Outcomes([])"), (0, "Leaving")]);
    }
}
