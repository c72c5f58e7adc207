//! PKCS#12 in BER, converted from OpenSSL's DER, has the same contents, and hostile nesting is refused quickly.

use super::*;
use crate::credentials::Secret;
use crate::credentials::import::open;
use crate::credentials::testing::forms::{Form, Forms, PASSPHRASE};

/// The length of a string's pieces, in bytes.
const PIECE: usize = 100;

/// Converts DER to BER: indefinite lengths, and every OCTET STRING in pieces, the last piece in pieces again.
fn to_ber(der: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = der;
    while !rest.is_empty() {
        let head = Head::read(rest).expect("DER");
        let (contents, after) = head.contents().expect("DER");
        rest = after;
        match head.tag {
            OCTET_STRING => in_pieces(OCTET_STRING_IN_PIECES, contents, &mut out),
            // In PKCS#12 a primitive [0] is the IMPLICIT OCTET STRING of the encrypted content.
            [0x80] => in_pieces(&[0xa0], contents, &mut out),
            tag if head.is_constructed() => {
                out.extend([tag, &[0x80], &to_ber(contents), END_OF_CONTENTS].concat());
            }
            tag => out.extend([&header(tag, contents.len()), contents].concat()),
        }
    }
    out
}

fn in_pieces(tag: &[u8], contents: &[u8], out: &mut Vec<u8>) {
    out.extend([tag, &[0x80]].concat());
    for piece in contents.chunks(PIECE) {
        let whole = [&header(OCTET_STRING, piece.len()), piece].concat();
        match piece.len() {
            PIECE => out.extend(whole),
            _ => out.extend([OCTET_STRING_IN_PIECES, &header(&[], whole.len()), &whole].concat()),
        }
    }
    out.extend_from_slice(END_OF_CONTENTS);
}

fn pkcs12() -> impl Iterator<Item = &'static Form> {
    Forms::get().forms.iter().filter(|form| form.is_binary())
}

fn opened(bytes: &[u8], form: &Form) -> Result<Secret, CredentialError> {
    open(Secret::from(bytes.to_vec()), form.passphrase.map(Secret::from).as_ref())
}

#[test]
fn pkcs12_in_ber_has_the_same_contents_as_in_der() {
    for form in pkcs12() {
        let ber = to_ber(&form.bytes);
        assert!(ber.starts_with(&[0x30, 0x80]) && ber != form.bytes);
        assert_eq!(*to_der(&ber).expect("BER"), form.bytes, "{}", form.name);
        assert!(opened(&ber, form) == opened(&form.bytes, form), "{}", form.name);
        assert_eq!(open(Secret::from(ber), Some(&"wrong".into())), Err(CredentialError::PassphraseWrong));
    }
}

#[test]
fn der_stays_unchanged() {
    for form in pkcs12() {
        assert_eq!(*to_der(&form.bytes).expect("DER"), form.bytes, "{}", form.name);
    }
    let long_tag = [0x3f, 0x81, 0x01, 0x03, 0x04, 0x01, 0x07];
    assert_eq!(*to_der(&long_tag).expect("DER"), long_tag);
    assert_eq!(*to_der(&[0x30, 0x84, 0, 0, 0, 2, 5, 0]).expect("BER"), [0x30, 2, 5, 0], "the shortest length");
}

#[test]
fn deeply_nested_or_truncated_ber_is_refused_quickly() {
    let began = std::time::Instant::now();
    let nested = |unit: &[u8], times: usize| unit.repeat(times);
    let closed = |unit: &[u8], times: usize| [nested(unit, times), END_OF_CONTENTS.repeat(times)].concat();
    for unit in [&[0x30, 0x80][..], &[0x24, 0x80], &[0xa0, 0x80], &[0x30, 0x80, 0x24, 0x80]] {
        for times in [33, 10_000] {
            assert_eq!(to_der(&closed(unit, times)).err(), Some(CredentialError::Damaged));
            assert_eq!(to_der(&nested(unit, times)).err(), Some(CredentialError::Damaged));
        }
    }
    assert!(to_der(&closed(&[0x30, 0x80], DEPTH_MAX)).is_ok());
    // As many elements as fit into 64 KiB, at the maximum depth.
    let wide =
        [nested(&[0x30, 0x80], DEPTH_MAX - 1), nested(&[0x30, 0], 32_000), END_OF_CONTENTS.repeat(DEPTH_MAX - 1)];
    assert!(to_der(&wide.concat()).is_ok());
    let odd: [&[u8]; 9] = [
        &[],
        &[0x30],
        &[0x30, 0x80],
        &[0x04, 0x80, 0, 0],
        &[0x30, 0x85, 0, 0, 0, 0, 0],
        &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        &[0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0],
        &[0x24, 0x80, 0x02, 0x01, 0x01, 0, 0],
        &[0x30, 0, 0],
    ];
    for bytes in odd {
        assert_eq!(to_der(bytes).err(), Some(CredentialError::Damaged), "{bytes:x?}");
    }
    assert!(began.elapsed().as_secs() < 5);
}

#[test]
fn damaged_ber_never_causes_a_panic() {
    let form = pkcs12().find(|form| form.passphrase == Some(PASSPHRASE)).expect("an encrypted one");
    let ber = to_ber(&form.bytes);
    for end in (0..ber.len()).step_by(7) {
        assert!(to_der(&ber[..end]).is_err(), "{end}");
    }
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..2_000 {
        let mut damaged = ber.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..damaged.len());
            damaged[at] = random.u8(..);
        }
        let _ = to_der(&damaged);
    }
}
