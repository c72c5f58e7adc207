//! Blocks that must be understood, and blocks that must not.

use proptest::prelude::*;

use super::{Decoder, HpackError, decode, entries, fields, hex};

fn decoded(block: &str) -> Result<Vec<super::Field>, HpackError> {
    decode(&mut Decoder::new(4096), &hex(block))
}

#[test]
fn legal_but_unusual_blocks_are_understood() {
    assert_eq!(decoded(""), Ok(vec![]));
    assert_eq!(decoded("000161811f"), Ok(fields(&[("a", "a")])));
    assert_eq!(decoded("00016180"), Ok(fields(&[("a", "")])), "an empty Huffman string");
    assert_eq!(decoded("203fe11f88"), Ok(fields(&[(":status", "200")])), "two size updates");
    assert_eq!(decoded("20202088"), Ok(fields(&[(":status", "200")])), "more than two size updates");
    assert_eq!(decoded("20"), Ok(vec![]), "a size update alone");
    assert_eq!(decoded("1f2f0161"), Err(HpackError::IndexOutOfRange), "never indexed, name not there");
}

#[test]
fn a_name_survives_the_eviction_of_its_entry() {
    let mut decoder = Decoder::new(4096);
    let (a, b, c) = ("61".repeat(10), "62".repeat(10), "63".repeat(20));
    let long = "a".repeat(10);
    let first = decode(&mut decoder, &hex(&format!("3f21 400a{a}0a{b}")));
    assert_eq!(first, Ok(fields(&[(&long, &"b".repeat(10))])));
    let wanted = fields(&[(&long, &"c".repeat(20))]);
    assert_eq!(decode(&mut decoder, &hex(&format!("7e14{c}"))), Ok(wanted.clone()));
    assert_eq!(decode(&mut decoder, &hex("be")), Ok(wanted));
}

#[test]
fn an_entry_larger_than_the_table_empties_it_without_error() {
    let mut decoder = Decoder::new(64);
    assert!(decode(&mut decoder, &hex("4001610162")).is_ok());
    assert_eq!(decoder.table().entry_count(), 1);
    let large = format!("400161 21{}", "62".repeat(33));
    assert_eq!(decode(&mut decoder, &hex(&large)), Ok(fields(&[("a", &"b".repeat(33))])));
    assert_eq!((decoder.table().entry_count(), decoder.table().size()), (0, 0));
}

#[test]
fn duplicate_entries_are_legal() {
    let mut decoder = Decoder::new(4096);
    assert!(decode(&mut decoder, &hex("4001610162 4001610162")).is_ok());
    assert_eq!(entries(decoder.table()), fields(&[("a", "b"), ("a", "b")]));
}

#[test]
fn faulty_blocks_are_refused_for_their_fault() {
    for (block, fault) in [
        ("80", HpackError::IndexOutOfRange),
        ("be", HpackError::IndexOutOfRange),
        ("7e0161", HpackError::IndexOutOfRange),
        ("0f2f0161", HpackError::IndexOutOfRange),
        ("3f", HpackError::Truncated),
        ("40", HpackError::Truncated),
        ("400161", HpackError::Truncated),
        ("00056162", HpackError::Truncated),
        ("007fffffff07", HpackError::Truncated),
        ("ff8080808080808080808000", HpackError::IntegerTooLong),
        ("ffffffffff0f", HpackError::IntegerTooLong),
        ("0001618118", HpackError::HuffmanPadding),
        ("000161821fff", HpackError::HuffmanPadding),
        ("00016184ffffffff", HpackError::HuffmanEos),
        ("008118 0161", HpackError::HuffmanPadding),
        ("3fe21f88", HpackError::SizeUpdateTooLarge),
        ("8820", HpackError::LateSizeUpdate),
        ("882088", HpackError::LateSizeUpdate),
    ] {
        assert_eq!(decoded(block), Err(fault), "{block}");
    }
}

#[test]
fn a_size_update_is_held_to_our_own_limit() {
    assert_eq!(decode(&mut Decoder::new(100), &hex("3f46")), Err(HpackError::SizeUpdateTooLarge));
    assert_eq!(decode(&mut Decoder::new(100), &hex("3f45")), Ok(vec![]));
    assert_eq!(decode(&mut Decoder::new(16_384), &hex("3fe17f")), Ok(vec![]));
}

/// Bytes as they might come from a peer: noise, and pieces of real blocks.
fn hostile_block() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        Just(hex("88 be bf")),
        Just(hex("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572")),
        Just(hex("5886 a8eb 1064 9cbf 7e82 6402")),
        Just(hex("3f45")),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic_or_its_table_outgrow_the_limit(
        blocks in proptest::collection::vec(hostile_block(), 1..8),
        limit in 0usize..300,
    ) {
        let mut decoder = Decoder::new(limit);
        for block in blocks {
            let mut listed = 0;
            let result = decoder.decode(&block, |name, value| listed += name.len() + value.len());
            // An index of one byte may stand for a whole entry, a Huffman byte for 8/5 of a byte.
            prop_assert!(listed <= block.len() * 300);
            prop_assert!(decoder.table().size() <= decoder.table().size_max());
            prop_assert!(decoder.table().size_max() <= limit);
            if result.is_err() {
                break;
            }
        }
    }

    #[test]
    fn a_flipped_bit_never_makes_the_decoder_panic(place in any::<proptest::sample::Index>(), bit in 0..8) {
        let mut block = hex("4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e");
        let place = place.index(block.len());
        block[place] ^= 1_u8 << bit;
        let mut decoder = Decoder::new(256);
        let _ = decode(&mut decoder, &block);
        prop_assert!(decoder.table().size() <= 256);
    }
}
