//! HELLO of this release, of an old one and of a newer one, each made by hand.

use super::super::*;
use crate::model::NodeSession;
use crate::store::Epoch;

/// HELLO as the first release with frames sends it: versions 1 to 1, no features.
#[rustfmt::skip]
const OLD: &[u8] = &[
    51, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    1, 0, 1, 0,
    0, 0, 0, 0,
    0, 0, 0x90, 0, 0x10, 0x27, 0, 0,
    0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 1,
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    42, 0, 0, 0, 0, 0, 0, 0,
    2, b'n', b'1',
];

fn old() -> Hello {
    Hello {
        versions: (1, 1),
        features: Features::NONE,
        limits: Limits { frame_bytes: 9 << 20, items: 10_000 },
        ring: 0x0123_4567_89ab_cdef,
        session: NodeSession::from_bits(0x100f_0e0d_0c0b_0a09_0807_0605_0403_0201),
        epoch: Epoch::stored(42),
        node: "n1".parse().unwrap(),
    }
}

/// HELLO of a release that comes later: other versions, features that nobody knows yet, and fields behind the known ones.
fn newer(versions: (u8, u8)) -> Vec<u8> {
    let mut bytes = OLD.to_vec();
    bytes[16] = versions.0;
    bytes[18] = versions.1;
    bytes[20..24].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    bytes.extend_from_slice(&[7; 30]);
    bytes[0] += 30;
    bytes
}

fn read(mut bytes: &[u8]) -> Result<Hello, WireError> {
    let received = Decoder::new(Limits::of_requests(1, 1)).next(&mut bytes)?.expect("all of it is there");
    let Frame::Hello(hello) = received.frame else { panic!("HELLO") };
    assert!(bytes.is_empty());
    Ok(hello)
}

#[test]
fn the_hello_of_an_old_node_is_read_and_is_the_one_that_this_node_sends() {
    assert_eq!(read(OLD), Ok(old()));
    let mut sent = Vec::new();
    put_hello(&mut sent, &old());
    assert_eq!(sent, OLD);
}

#[test]
fn nodes_of_different_releases_agree_on_the_newest_version_that_both_speak() {
    let ours = Hello { versions: (1, 2), features: Features::CALLS, ..old() };
    let with_old = ours.agree(&old()).expect("version 1");
    assert_eq!((with_old.version, with_old.features), (1, Features::NONE));
    let newer = read(&newer((2, 7))).expect("a newer HELLO");
    assert_eq!(newer.versions, (2, 7));
    let with_newer = ours.agree(&newer).expect("version 2");
    assert_eq!((with_newer.version, with_newer.features), (2, Features::CALLS));
    assert_eq!(newer.agree(&ours), Ok(with_newer), "both sides come to the same");
}

#[test]
fn nodes_without_a_common_version_are_told_to_update_the_older_one() {
    let newer = read(&newer((2, 3))).expect("a newer HELLO");
    let none = old().agree(&newer).expect_err("1 and 2-3");
    assert_eq!(none, NoCommonVersion { ours: (1, 1), theirs: (2, 3) });
    assert!(
        none.to_string().ends_with("versions 2-3 of the frames between nodes, and this node 1-1: update the older one")
    );
    assert!(newer.agree(&old()).is_err());
}

#[test]
fn each_side_keeps_to_the_smaller_limits() {
    let small = Hello { limits: Limits { frame_bytes: 1 << 20, items: 20_000 }, ..old() };
    let agreed = old().agree(&small).expect("a version");
    assert_eq!(agreed.limits, Limits { frame_bytes: 1 << 20, items: 10_000 });
}

#[test]
fn a_hello_that_is_none_is_refused() {
    let spoilt = |at: usize, byte: u8| {
        let mut bytes = OLD.to_vec();
        bytes[at] = byte;
        read(&bytes).expect_err("a bad HELLO")
    };
    let bad = |what| WireError::BadField { kind: Kind::Hello, what };
    assert_eq!(spoilt(16, 0), bad("versions"));
    assert_eq!(spoilt(16, 2), bad("versions"));
    assert_eq!(spoilt(65, b'\n'), bad("node"));
    assert_eq!(spoilt(65, 0xff), bad("text"));
    assert_eq!(spoilt(64, 0), bad("node"));
    assert_eq!(spoilt(64, 9), WireError::CutShort(Kind::Hello));
}
