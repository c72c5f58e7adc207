//! The frames against bytes made by hand, and against all batches that can be.

mod batches;
mod hello;

use super::*;
use crate::model::{AppId, AppKey, AppleReason, Environment, NodeReason, OutcomeKind, Reason};
use proptest::prelude::*;

const LIMITS: Limits = Limits { frame_bytes: 64 << 20, items: 100_000 };

/// A decoder behind HELLO.
fn decoder(limits: Limits) -> Decoder {
    let mut decoder = Decoder::new(limits);
    decoder.agree(Agreed { version: 1, features: Features::CALLS, limits });
    decoder
}

fn read_all(bytes: &[u8]) -> Vec<Received> {
    let (mut decoder, mut rest, mut read) = (decoder(LIMITS), bytes, Vec::new());
    while let Some(received) = decoder.next(&mut rest).expect("good frames") {
        read.push(received);
    }
    assert!(rest.is_empty());
    read
}

/// The only frame that `put` appends.
fn round_trip(put: impl FnOnce(&mut Vec<u8>)) -> Received {
    let mut bytes = b"before".to_vec();
    put(&mut bytes);
    let mut read = read_all(&bytes[6..]);
    assert_eq!(read.len(), 1);
    read.remove(0)
}

fn error(bytes: &[u8]) -> WireError {
    decoder(LIMITS).next(&mut &bytes[..]).expect_err("a bad frame")
}

/// A frame of this kind with the id 9.
fn frame(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_frame(&mut bytes, kind, 9, |out| out.extend_from_slice(body));
    bytes
}

fn app(id: &str) -> AppKey {
    AppKey::new(AppId::new(id).unwrap(), Environment::Production)
}

fn lanes() -> Vec<Lane> {
    [("shop", 0), ("com.example.app", 63), ("shop", u16::MAX)].map(|(id, lane)| Lane { app: app(id), lane }).to_vec()
}

#[test]
fn the_numbers_of_kinds_are_those_that_other_releases_send() {
    let numbers = Kind::ALL.map(|kind| kind as u8);
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    let bytes = frame(Kind::Pong, &[0xd2, 4, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes, [8, 0, 0, 0, 6, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0xd2, 4, 0, 0, 0, 0, 0, 0]);
    let [Received { id: 9, frame: Frame::Pong { clock_ms: 1234 } }] = &read_all(&bytes)[..] else { panic!("a PONG") };
}

#[test]
fn every_refusal_reads_back_and_an_unknown_one_is_refused() {
    for refusal in [
        Refusal::NodeOverloaded { retry_after_seconds: 1 },
        Refusal::AppOverloaded { retry_after_seconds: u32::MAX },
        Refusal::Leaving,
        Refusal::UnknownApp,
        Refusal::Malformed,
    ] {
        let read = round_trip(|out| put_refused(out, 4, refusal));
        let Received { id: 4, frame: Frame::Refused(read) } = read else { panic!("{read:?}") };
        assert_eq!(read, refusal);
    }
    for unknown in [0, 6, 255] {
        let bytes = frame(Kind::Refused, &[unknown, 0, 0, 0, 0]);
        assert_eq!(error(&bytes), WireError::BadField { kind: Kind::Refused, what: "reason" });
    }
}

#[test]
fn lists_of_lanes_and_figures_of_apps_read_back() {
    let read = round_trip(|out| put_warm(out, 1, &lanes()));
    assert!(matches!(read.frame, Frame::Warm(read) if read == lanes()));
    let read = round_trip(|out| put_ready(out, 1, &[]));
    assert!(matches!(read.frame, Frame::Ready(read) if read.is_empty()));
    for of in [StatusOf::Held, StatusOf::Apps(vec![]), StatusOf::Apps(vec![app("a"), app("b")])] {
        let read = round_trip(|out| put_status(out, 1, &of));
        assert!(matches!(read.frame, Frame::Status(read) if read == of));
    }
    let figures = vec![AppFigures { app: app("a"), json: Bytes::from_static(br#"{"queued":1}"#) }];
    for seen in [Seen::Held(lanes()), Seen::Apps(figures)] {
        let read = round_trip(|out| put_seen(out, 1, &seen));
        assert!(matches!(read.frame, Frame::Seen(read) if read == seen));
    }
}

#[test]
fn a_count_that_the_frame_cannot_hold_takes_no_memory() {
    for (kind, body) in [
        (Kind::Warm, &[255, 255, 255, 255, 0, 0][..]),
        (Kind::Status, &[2, 255, 255, 255, 255, 0, 0]),
        (Kind::Seen, &[2, 255, 255, 255, 255, 0, 0]),
        (Kind::Seen, &[1, 255, 255, 255, 255, 0, 0]),
        (Kind::Outcomes, &[255, 255, 255, 255, 0, 0]),
    ] {
        assert_eq!(error(&frame(kind, body)), WireError::CutShort(kind), "{kind:?}");
    }
}

#[test]
fn an_outcome_is_read_from_bytes_made_by_hand() {
    let mut body = vec![2, 0, 0, 0];
    // Rejected, a text of 4 bytes; status 400, 2 attempts, a text of Apple's; 1.5; the text's offset; reserved.
    body.extend_from_slice(&[1, 4, 0x90, 1, 2, 0, 0xfe, 0xff]);
    body.extend_from_slice(&1.5_f64.to_le_bytes());
    body.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
    // Unknown, no status, 1 attempt, `peer_lost`.
    body.extend_from_slice(&[4, 0, 0, 0, 1, 0, 0xf9, 3]);
    body.extend_from_slice(&2_f64.to_le_bytes());
    body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0]);
    body.extend_from_slice(b"-Nova");
    let outcomes = [
        Outcome {
            kind: OutcomeKind::Rejected,
            status: Some(400),
            reason: Some(Reason::Unlisted("Nova".into())),
            timestamp: 1.5,
            attempts: 2,
        },
        Outcome {
            kind: OutcomeKind::Unknown,
            status: None,
            reason: Some(NodeReason::PeerLost.into()),
            timestamp: 2.0,
            attempts: 1,
        },
    ];
    let read = read_all(&frame(Kind::Outcomes, &body)).remove(0);
    assert!(matches!(&read.frame, Frame::Outcomes(read) if *read == outcomes), "{read:?}");
}

#[test]
fn an_outcome_that_says_nothing_known_is_refused() {
    let mut good = Vec::new();
    let outcome = Outcome {
        kind: OutcomeKind::Rejected,
        status: Some(400),
        reason: Some(Reason::Unlisted("é".into())),
        timestamp: 1.0,
        attempts: 1,
    };
    put_outcomes(&mut good, 9, &[outcome]);
    let first = HEADER_BYTES + 4;
    for (at, byte, what) in [
        (first, 5, "outcome"),
        (first + 1, 3, "reason's text"),
        (first + 1, 1, "reason's text"),
        (first + 6, 0x70, "reason"),
        (first + 15, 0x7f, "timestamp"),
        (first + 19, 1, "reason's text"),
    ] {
        let mut bad = good.clone();
        bad[at] = byte;
        if what == "timestamp" {
            bad[at - 1] = 0xf0;
        }
        assert_eq!(error(&bad), WireError::BadField { kind: Kind::Outcomes, what }, "byte {at}");
    }
}

#[test]
fn more_outcomes_than_a_batch_may_have_are_refused() {
    let outcome = Outcome { kind: OutcomeKind::Accepted, status: Some(200), reason: None, timestamp: 0.0, attempts: 1 };
    let mut bytes = Vec::new();
    put_outcomes(&mut bytes, 1, &vec![outcome; 4]);
    let limits = Limits { items: 3, ..LIMITS };
    let refused = decoder(limits).next(&mut &bytes[..]).expect_err("too many");
    assert_eq!(refused, WireError::TooManyItems { items: 4, limit: 3 });
}

#[test]
fn the_outcomes_of_the_largest_batch_fit_into_a_frame_whatever_their_reasons() {
    let limits = Limits::of_requests(1 << 10, 10_000);
    let outcomes: Vec<_> = (0..10_000)
        .map(|number| Outcome {
            kind: OutcomeKind::Rejected,
            status: Some(400),
            reason: Some(Reason::Unlisted(format!("{number:0128}").into())),
            timestamp: 0.0,
            attempts: 1,
        })
        .collect();
    let mut bytes = Vec::new();
    put_outcomes(&mut bytes, 1, &outcomes);
    let read = decoder(limits).next(&mut &bytes[..]).expect("it fits").expect("a frame");
    assert!(matches!(read.frame, Frame::Outcomes(read) if read == outcomes));
    assert_eq!(Limits::of_requests(usize::MAX, usize::MAX), Limits { frame_bytes: u32::MAX, items: u32::MAX });
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let reason = prop_oneof![
        Just(None),
        prop::sample::select(AppleReason::ALL).prop_map(|reason| Some(Reason::from(reason))),
        prop::sample::select(NodeReason::ALL).prop_map(|reason| Some(Reason::from(reason))),
        // Never one of the listed, since those are read as such.
        "[ -~é]{1,127}#".prop_map(|text| Some(Reason::Unlisted(text.into()))),
    ];
    let status = prop::option::of(1_u16..);
    (prop::sample::select(&OutcomeKind::ALL[..]), status, reason, -1e12..1e12_f64, any::<u16>())
        .prop_map(|(kind, status, reason, timestamp, attempts)| Outcome { kind, status, reason, timestamp, attempts })
}

proptest! {
    #[test]
    fn any_outcomes_read_back_as_they_were(outcomes in prop::collection::vec(outcome(), 0..50), id: u64) {
        let read = round_trip(|out| put_outcomes(out, id, &outcomes));
        prop_assert_eq!(read.id, id);
        let Frame::Outcomes(read) = read.frame else { panic!("OUTCOMES") };
        prop_assert_eq!(read, outcomes);
    }
}
