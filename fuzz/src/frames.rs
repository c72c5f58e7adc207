//! The decoder of the frames between nodes: it reads the same however the bytes are cut, and what it has read can be
//! written and read again.

use pyapns::delivery::peer::wire::calls::{decode_call, decode_result, encode_call, encode_result};
use pyapns::delivery::peer::wire::{self, Agreed, Decoder, Features, Frame, Kind, Limits, Received, WireError};

/// Small, so that chance finds their edges.
pub const LIMITS: Limits = Limits { frame_bytes: 1 << 14, items: 16 };
/// Limits for what was read and is written again: a part of a frame can be longer in its usual form.
const WIDE: Limits = Limits { frame_bytes: 1 << 20, items: 16 };

/// An input is a byte that says whether HELLO has passed (1) or not (0), the bytes that come at once (0 = all), and the
/// bytes of a link.
pub fn frames(input: &[u8]) {
    let [has_passed, piece, bytes @ ..] = input else { return };
    let is_open = has_passed % 2 == 1;
    let (whole, end) = read(bytes, bytes.len(), is_open);
    let in_pieces = read(bytes, usize::from(*piece).max(1), is_open);
    assert_eq!((&whole, end), (&in_pieces.0, in_pieces.1), "in pieces of {piece}");
    for frame in whole {
        let mut decoder = Decoder::new(WIDE);
        let is_hello = frame[4] == Kind::Hello as u8;
        if !is_hello {
            decoder.agree(Agreed { version: 1, features: Features::CALLS, limits: WIDE });
        }
        let mut rest = &frame[..];
        let again = decoder.next(&mut rest).expect("what we write is good").expect("all of it");
        assert!(rest.is_empty());
        assert_eq!(write(&again), frame);
    }
}

/// The frames, each as it is written again, and the error that ended them.
fn read(bytes: &[u8], piece: usize, is_open: bool) -> (Vec<Vec<u8>>, Option<WireError>) {
    let mut decoder = Decoder::new(LIMITS);
    let agreed = Agreed { version: 1, features: Features::CALLS, limits: LIMITS };
    if is_open {
        decoder.agree(agreed);
    }
    let mut read = Vec::new();
    for mut part in bytes.chunks(piece.max(1)) {
        loop {
            let before = part.len();
            match decoder.next(&mut part) {
                Ok(Some(received)) => {
                    assert!(!matches!(received.frame, Frame::Hello(_)) || (read.is_empty() && !is_open));
                    if matches!(received.frame, Frame::Hello(_)) {
                        decoder.agree(agreed);
                    }
                    read.push(write(&received));
                }
                Ok(None) => break assert!(part.is_empty(), "all of {before} bytes are used"),
                Err(error) => return (read, Some(error)),
            }
        }
    }
    (read, None)
}

fn write(Received { id, frame }: &Received) -> Vec<u8> {
    let (mut out, id) = (Vec::new(), *id);
    match frame {
        Frame::Hello(hello) => wire::put_hello(&mut out, hello),
        Frame::Batch(head, batch) => {
            // Each text can be read.
            for item in batch.items() {
                assert!(!batch.text(item.token).is_empty() && !batch.text(item.payload).is_empty());
                assert!(item.identifier.is_none_or(|span| !batch.text(span).is_empty()));
                assert!(item.collapse_id.is_none_or(|span| !batch.text(span).is_empty()));
                assert!(item.topic.is_none_or(|span| !batch.text(span).is_empty()));
            }
            wire::put_batch(&mut out, id, head, batch, WIDE).expect("it came in a smaller frame");
        }
        Frame::Outcomes(outcomes) => wire::put_outcomes(&mut out, id, outcomes),
        Frame::Refused(refusal) => wire::put_refused(&mut out, id, *refusal),
        Frame::Ping => wire::put_ping(&mut out, id),
        Frame::Pong { clock_ms } => wire::put_pong(&mut out, id, *clock_ms),
        Frame::Warm(lanes) => wire::put_warm(&mut out, id, lanes),
        Frame::Ready(lanes) => wire::put_ready(&mut out, id, lanes),
        Frame::Status(of) => wire::put_status(&mut out, id, of),
        Frame::Seen(seen) => wire::put_seen(&mut out, id, seen),
        Frame::Leaving => wire::put_leaving(&mut out),
        Frame::Call(body) => {
            if let Ok((head, calls)) = decode_call(body, LIMITS.items) {
                let again = decode_call(&encode_call(&head, &calls), LIMITS.items).expect("what we write is good");
                assert_eq!((head, format!("{calls:?}")), (again.0, format!("{:?}", again.1)));
            }
            wire::put_call(&mut out, id, body);
        }
        Frame::Result(body) => {
            if let Ok(answer) = decode_result(body, LIMITS.items) {
                assert_eq!(decode_result(&encode_result(&answer), LIMITS.items), Ok(answer));
            }
            wire::put_result(&mut out, id, body);
        }
    }
    out
}
